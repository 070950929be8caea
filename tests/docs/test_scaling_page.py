"""The programs for Dask, Spark and Ray in docs/scaling.md, run as a user would."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from code_blocks import blocks

import lenet

pytest.importorskip("sklearn")
PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
X = lenet.data.load_digits().X_test[:100]
DIGITS = lenet.load_pretrained("mnist").predict(X).tolist()


def run(line, result):
    """Run the block of the page that contains a line; return the value of an expression evaluated after it."""
    (block,) = [text for language, text in blocks(PAGE) if language == "python" and line in text.split("\n")]
    program = f"{block}\nimport json\nprint(json.dumps({result}))\n"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=250, check=False,
        env={**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.landing
def test_dask_predicts_each_block(folder):
    pytest.importorskip("dask.array")
    zarr = pytest.importorskip("zarr")
    zarr.create_array(folder / "in.zarr", data=X, chunks=(30, 28, 28))
    assert run("import dask.array as da", "digits.compute().tolist()") == DIGITS


@pytest.mark.release
def test_spark_predicts_each_data_frame(folder):
    pytest.importorskip("pyspark")
    pytest.importorskip("pandas")
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    if shutil.which("java") is None:
        pytest.skip("there is no Java")
    table = pa.table({"id": range(100), "image": [image.tobytes() for image in X]})
    pq.write_table(table, folder / "in.parquet", row_group_size=30)
    found = dict(run("from pyspark.sql import SparkSession", "[list(row) for row in digits.collect()]"))
    assert [found[number] for number in range(100)] == DIGITS


@pytest.mark.release
def test_ray_predicts_each_batch(folder):
    pytest.importorskip("ray.data")
    (folder / "in").mkdir()
    np.save(folder / "in" / "a.npy", X)
    found = run("import ray", "[int(row['digit']) for row in digits.take_all()]")
    assert sorted(found) == sorted(DIGITS)
