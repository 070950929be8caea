# The kernels once more, with the flags and constants that setup.py sets for this CPU.
include "_conv.pyx"
