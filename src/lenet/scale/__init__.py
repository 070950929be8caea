"""More images than one process should read, and trainings of several processes, on engines that are there already.

`score` runs on a Dask cluster (`pip install 'lenet[dask]'`); `lenet.training.mpi.Ranks` shares a training out among the
ranks of `mpiexec` (`pip install 'lenet[mpi]'`). docs/scaling.md says when it is worth it.
"""

from lenet.scale.scoring import score

__all__ = ["score"]
