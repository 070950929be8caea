# LeNet-5 compiled for x86-64-v3; setup.py sets the flags and constants.
include "lenet5.pyx"
