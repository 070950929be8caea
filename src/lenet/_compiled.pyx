"""All functions that are compiled, in one extension, so that the wheel contains Cython's memoryviews only once."""

include "_fused/shape.pxi"
include "_fused/lenet5.pyx"
include "_conv.pyx"
include "training/augment/_distort.pyx"
