"""How fast lenet is, beside the libraries that its users would take otherwise. Run `python -m benchmarks --help`."""
