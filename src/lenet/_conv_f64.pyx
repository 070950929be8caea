# The kernels once more, in float64, with the constants that setup.py sets.
include "_conv.pyx"
