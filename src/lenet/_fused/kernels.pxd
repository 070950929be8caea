# What a build of the kernels consists of: its functions, called through pointers by lenet5.pyx.

ctypedef float real

cdef struct Images:
    # A row is SIDE bytes from 0 to 255, or SIDE numbers of type `real` in [0, 1], seen as bytes.
    const unsigned char* pixels     # [N, SIDE, row_bytes]
    Py_ssize_t row_bytes
    bint per_image                  # whether each image is standardised by its own mean and deviation
    real mean, std                  # used if not `per_image`

cdef struct Kernels "lenet_kernels":
    const char* cpu                 # as in LENET_CPU
    int lanes                       # of a vector
    const char* compiler
    Py_ssize_t (*multiply_adds)(Py_ssize_t rounds) noexcept nogil
    void (*sigmoids)(real* x, Py_ssize_t n) noexcept nogil
    size_t forward_bytes            # of work in forward: 93 KB
    void (*forward)(const real* parameters, const Images* x, Py_ssize_t N, Py_ssize_t classes,
                    real* out, real* work) noexcept nogil
    void (*softmax)(Py_ssize_t N, Py_ssize_t classes, real* x) noexcept nogil
    Py_ssize_t (*scratch_size)(Py_ssize_t classes) noexcept nogil
    void (*forward_backward)(const real* parameters, const Images* x, Py_ssize_t N, const long long* labels,
                             const real* targets, const real* shares, Py_ssize_t classes, real* logits, real* exp_sums,
                             real* target_logits, real* gradient, real* work) noexcept nogil
    void (*sgd_step)(Py_ssize_t n, real* w, const real* g, real* v, real lr, real momentum,
                     real weight_decay) noexcept nogil
