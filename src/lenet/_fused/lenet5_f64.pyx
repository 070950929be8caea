# LeNet-5 compiled for float64; setup.py sets the constants.
include "lenet5.pyx"
