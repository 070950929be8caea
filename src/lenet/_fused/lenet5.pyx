"""LeNet-5 in one pass: the logits of images, the gradients of a batch, and the SGD step.

`lenet.layers` computes the same numbers layer by layer and is easier to read; a test compares the two.

Every method takes C-contiguous arrays, fills its outputs and releases the GIL. It neither validates nor allocates,
except for the scratch memory of `logits`, which may not fit on the stack of a thread. `lenet._fused.batches` does
both, and passes `work`, scratch memory of the length that `scratch_size` returns.

The computation is in kernels.pyx, which setup.py compiles once for each CPU level and links to `lenet._compiled`.
`lenet._fused.dispatch` chooses a build. In float64, `lenet._layerwise` takes the place of a build.
"""
from libc.stdlib cimport free, malloc

from lenet._fused.kernels cimport Images, Kernels, real

cdef extern from "cpu.h":
    int lenet_x86_64_level()

cdef extern from *:
    """
    struct lenet_kernels;
    typedef void Fill(struct lenet_kernels *);
    extern Fill FILL_KERNELS;   /* the functions of this name in all builds, the oldest CPU first */
    static Fill *const fill_kernels[] = {FILL_KERNELS};
    """
    void (*fill_kernels[])(Kernels*) noexcept nogil


cdef Images images_of(const unsigned char[:, :, ::1] x, mean, std):
    """Return images from Python as a struct; a mean of None stands for the mean of each image."""
    cdef Images x_
    x_.pixels, x_.row_bytes, x_.per_image = &x[0, 0, 0], x.shape[2], mean is None
    x_.mean, x_.std = 0, 1
    if not x_.per_image:
        x_.mean, x_.std = mean, std
    return x_


cdef class Build:
    """The kernels, compiled for a CPU."""

    cdef Kernels kernels

    def __cinit__(self, int number, /):
        fill_kernels[number](&self.kernels)

    def build(self) -> dict:
        """Return the CPU, the lanes of a vector and the compiler of this build."""
        return {"cpu": self.kernels.cpu.decode(), "lanes": self.kernels.lanes,
                "compiler": self.kernels.compiler.decode()}

    def multiply_adds(self, Py_ssize_t rounds, /) -> int:
        """Run multiply-adds in registers only, to measure the peak of this build, and return their number."""
        with nogil:
            rounds = self.kernels.multiply_adds(rounds)
        return rounds

    def offsets(self, Py_ssize_t classes, /) -> list:
        """Return where each parameter begins in the flat vector, in the vector's order, and the vector's length."""
        cdef Py_ssize_t[11] begin = [
            C1_WEIGHT, C1_BIAS, C3_WEIGHT, C3_BIAS, C5_WEIGHT, C5_BIAS, F6_WEIGHT, F6_BIAS,
            OUTPUT_WEIGHT, output_bias(classes), output_bias(classes) + classes,
        ]
        return begin

    def view(self, real[::1] vector, /):
        """Return the vector as a Cython memoryview, which the kernels accept faster than an array."""
        return vector

    def sigmoid(self, real[::1] x, /):
        """Replace the elements of x by their sigmoids."""
        if x.shape[0]:
            with nogil:
                self.kernels.sigmoids(&x[0], x.shape[0])

    def logits(self, const real[::1] parameters, const unsigned char[:, :, ::1] x, mean, std, real[:, ::1] out, /):
        """out[N, classes] = the logits of N images; x, mean and std are as for images_of."""
        cdef Images images
        cdef real* work
        if x.shape[0] == 0:
            return
        images = images_of(x, mean, std)
        work = <real*> malloc(self.kernels.forward_bytes)
        if not work:
            raise MemoryError
        with nogil:
            self.kernels.forward(&parameters[0], &images, x.shape[0], out.shape[1], &out[0, 0], work)
        free(work)

    def softmax(self, real[:, ::1] x, /):
        """x[N, classes] = the softmax of each row."""
        if x.shape[0]:
            with nogil:
                self.kernels.softmax(x.shape[0], x.shape[1], &x[0, 0])

    def scratch_size(self, Py_ssize_t classes, /) -> int:
        """Return the length of the work of forward_backward: zeros at first, to which nothing else may write."""
        return self.kernels.scratch_size(classes)

    def forward_backward(self, const real[::1] parameters, const unsigned char[:, :, ::1] x, mean, std, y,
                         const real[::1] shares, real[:, ::1] logits, real[::1] exp_sums, real[::1] target_logits,
                         real[::1] gradient, real[::1] work, /):
        """Add to `gradient` that of the sum of shares[N] times the cross-entropies of N images.

        x, mean and std are as for images_of; y is labels[N] or probabilities[N, classes]. logits[N, classes] is
        filled; the loss of image n is log(exp_sums[n]) - target_logits[n], both of the logits less the largest one.
        """
        cdef const long long[::1] labels
        cdef const real[:, ::1] targets
        cdef const long long* label = NULL
        cdef const real* target = NULL
        cdef Images images
        if x.shape[0] == 0:
            return
        images = images_of(x, mean, std)
        if y.ndim == 1:
            labels = y
            label = &labels[0]
        else:
            targets = y
            target = &targets[0, 0]
        with nogil:
            self.kernels.forward_backward(
                &parameters[0], &images, x.shape[0], label, target, &shares[0], logits.shape[1], &logits[0, 0],
                &exp_sums[0], &target_logits[0], &gradient[0], &work[0])

    def sgd_step(self, real[::1] parameters, const real[::1] gradient, real[::1] velocity, double lr, double momentum,
                 double weight_decay, /):
        """velocity = momentum velocity + gradient + weight_decay parameters; parameters -= lr velocity."""
        if parameters.shape[0]:
            with nogil:
                self.kernels.sgd_step(parameters.shape[0], &parameters[0], &gradient[0], &velocity[0], lr, momentum,
                                      weight_decay)


cdef list runnable():
    """Return the builds that this CPU runs, the best last: the only one, or those from x86-64-v2 on."""
    cdef int level = lenet_x86_64_level(), number
    return [Build(number) for number in range(level - 1 if level else 1)]


BUILDS = {build.build()["cpu"]: build for build in runnable()}      # by their names for LENET_CPU
