"""All compiled functions except the kernels, in one module, so that the wheel contains Cython's memoryviews only once.

setup.py compiles the kernels (_fused/kernels.pyx) once for each CPU, and links them into the same extension.
"""

include "_fused/shape.pxi"
include "_fused/lenet5.pyx"
include "_conv.pyx"
include "training/augment/_distort.pyx"
