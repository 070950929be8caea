"""LeNet-5 in one pass: the logits of images, the gradients of a batch, and the SGD step.

`lenet.layers` computes the same numbers layer by layer and is easier to read; one test holds the two together.

Every kernel takes C-contiguous arrays, fills its outputs and releases the GIL. It neither validates nor allocates:
`lenet._fused.batches` does both, and passes `work`, scratch memory of the length that `learn_work` returns.

setup.py compiles this file once for each CPU level, and `lenet._fused.dispatch` chooses a build. `real` is float, and
`vreal` a vector of LANES of them (see simd.h). In float64, `lenet._layerwise` takes the place of a build.

N is the number of images. A `d` before a name is the gradient of the loss with respect to it. The order of every sum
is independent of N and of an image's place in the batch, so results do not depend on how a batch is cut.
"""
from libc.math cimport sqrtf
from libc.string cimport memset

cdef extern from "simd.h" nogil:
    ctypedef float real
    ctypedef float vreal
    const char* BUILD       # the name of its CPU, as in LENET_CPU
    const char* COMPILED_BY
    enum:
        LANES
        # the sizes of tiles
        VECTORS, C1_VECTORS, DOT_ROWS, C3_ROWS, C3_COLUMNS, C3_VECTORS, C3_WEIGHT_ROWS, S2_VECTORS, C1_WEIGHT_MAPS
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
    void vtranspose(vreal* rows)
    vreal vsums(vreal* vectors)
    void FORGET_LOADS()
    void copy_row(real* target, const real* source, Py_ssize_t count)

cdef enum:
    PEAK_VECTORS = 12       # at least 8: a multiply-add takes 4 cycles, and two start in each

include "shape.pxi"
include "products.pxi"
include "stages.pxi"
include "gradients.pxi"
include "network.pxi"


def build() -> dict:
    """Return the CPU, the lanes of a vector and the compiler of this build."""
    return {"cpu": BUILD.decode(), "lanes": LANES, "compiler": COMPILED_BY.decode()}


def multiply_adds(Py_ssize_t rounds, /) -> int:
    """Run multiply-adds in registers only, to measure the peak of this build, and return their number."""
    cdef vreal acc[PEAK_VECTORS]
    cdef Py_ssize_t _
    cdef vreal total = vset(0)
    cdef int v
    with nogil:
        for v in range(PEAK_VECTORS):
            acc[v] = vset(v)
        for _ in range(rounds):
            for v in range(PEAK_VECTORS):
                acc[v] = vmuladd(acc[v], vset(0.5), vset(1))
        for v in range(PEAK_VECTORS):
            total += acc[v]
    return rounds * PEAK_VECTORS * LANES if vsum(total) else 0


def view(real[::1] vector, /):
    """Return the vector as a Cython memoryview, which the kernels accept faster than an array."""
    return vector
