"""Random generators for comparisons of the same random choices in two implementations."""

import numpy as np


def choosing(*values):
    """Return a class of generators whose single random numbers are among `values`: the limits of the code under test.

    A probability that is compared with < or > then differs from one that is compared with <= or >=.
    """

    class Probabilities(np.random.Generator):
        def random(self, size=None, dtype=np.float64):
            return self.choice(values) if size is None else super().random(size, dtype)

    return Probabilities
