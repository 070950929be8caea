"""LeNet-5 in one pass, without Python: loops over vectors that setup.py compiles once for each CPU level.

`real` is float, and `vreal` a vector of LANES of them (see simd.h). The arrays are C-contiguous.

N is the number of images. A `d` before a name is the gradient of the loss with respect to it. The order of every sum
over an image is independent of N and of its place in the batch, so logits do not depend on how a batch is cut. The
gradients of C1 and C3 are summed per call, so their last bits do.
"""
from libc.math cimport sqrtf
from libc.stdint cimport uintptr_t
from libc.string cimport memset

cdef extern from "simd.h" nogil:
    ctypedef float vreal
    const char* BUILD       # the name of its CPU, as in LENET_CPU
    const char* COMPILED_BY
    enum:
        LANES
        # the sizes of tiles
        VECTORS, DOT_ROWS, C3_ROWS, C3_VECTORS, C3_WEIGHT_MAPS, S2_VECTORS, C1_WEIGHT_MAPS
    const real EXP_RANGE
    vreal vload(const real* source)
    void vstore(real* target, vreal vector)
    vreal vload_part(const real* source, Py_ssize_t count)
    void vstore_part(real* target, vreal vector, Py_ssize_t count)
    vreal vset(real x)
    vreal vmuladd(vreal a, vreal b, vreal c)    # a b + c
    real vsum(vreal vector)
    vreal vexp_negative(vreal x)
    vreal vsigmoid(vreal x)
    void vsigmoids(const int n, vreal* x)
    vreal vload_bytes(const unsigned char* source)
    vreal vmin(vreal a, vreal b)
    vreal veven(vreal a, vreal b)
    vreal vodd(vreal a, vreal b)
    vreal vbefore(vreal a, vreal b)
    vreal vafter(vreal a, vreal b)
    vreal vinterleave_low(vreal a, vreal b)
    vreal vinterleave_high(vreal a, vreal b)
    void vtranspose(vreal* rows)
    vreal vsums(vreal* vectors)
    void FORGET_LOADS()
    Py_ssize_t unknown(Py_ssize_t n)
    void copy_row(real* target, const real* source, Py_ssize_t count)

cdef enum:
    PEAK_VECTORS = 12       # at least 8: a multiply-add takes 4 cycles, and two start in each

include "shape.pxi"
include "products.pxi"
include "winograd.pxi"
include "stages.pxi"
include "gradients.pxi"
include "network.pxi"


cdef Py_ssize_t multiply_adds(Py_ssize_t rounds) noexcept nogil:
    """Run multiply-adds in registers only, to measure the peak of this build, and return their number."""
    cdef vreal acc[PEAK_VECTORS]
    cdef Py_ssize_t _
    cdef vreal total = vset(0)
    cdef int v
    for v in range(PEAK_VECTORS):
        acc[v] = vset(v)
    for _ in range(rounds):
        for v in range(PEAK_VECTORS):
            acc[v] = vmuladd(acc[v], vset(0.5), vset(1))
    for v in range(PEAK_VECTORS):
        total += acc[v]
    return rounds * PEAK_VECTORS * LANES if vsum(total) else 0


cdef extern void FILL_KERNELS(Kernels* kernels) noexcept nogil      # setup.py gives it a name in each build


cdef void FILL_KERNELS(Kernels* kernels) noexcept nogil:
    """Fill in the functions of this build."""
    fill_rows()
    fill_plane_rows()
    kernels.cpu, kernels.lanes, kernels.compiler = BUILD, LANES, COMPILED_BY
    kernels.multiply_adds = multiply_adds
    kernels.sigmoids = sigmoids
    kernels.forward_bytes = sizeof(Scratch)
    kernels.forward = forward
    kernels.softmax = softmax
    kernels.scratch_size = scratch_size
    kernels.forward_backward = forward_backward
    kernels.sgd_step = sgd_step
