"""Files of scores, without a cluster: they are complete, and replace nothing."""

import numpy as np
import pytest

from lenet.errors import InputError
from lenet.scale.outputs import score_dtype, written


def test_a_file_created_in_the_meantime_is_left_unchanged(tmp_path):
    out, dtype = tmp_path / "scores.npy", score_dtype(10, np.float32, probabilities=False)

    def score():
        with written(out, dtype) as write:
            write(np.zeros(3, dtype))
            out.write_bytes(b"by another process")

    with pytest.raises(InputError, match=r"scores\.npy already exists"):
        score()
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npy"]
    assert out.read_bytes() == b"by another process"


def test_the_suffix_may_be_in_capitals(tmp_path):
    dtype = score_dtype(10, np.float32, probabilities=False)
    with written(tmp_path / "SCORES.NPY", dtype) as write:
        write(np.zeros(3, dtype))
    assert np.load(tmp_path / "SCORES.NPY").shape == (3,)
