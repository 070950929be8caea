"""LeNet-5 in one pass: the compiled network that `lenet.model` runs, built for each kind of CPU."""
