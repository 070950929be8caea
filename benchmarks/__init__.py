"""Compare the speed of lenet with that of alternative libraries. Run `python -m benchmarks --help`."""
