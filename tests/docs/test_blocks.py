"""Run every code block of the README and the pages, except those listed here with a reason."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from code_blocks import blocks, fenced
from commands import succeeds
from served import serving

import lenet
from lenet.reading.results import Cell, Reading
from lenet.training import RECIPES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# c: the prototypes of digits.h, which tests/interop/test_c.py compiles; json: responses, in
# tests/serving/test_serving.py; py and cython: quoted from the sources, which test_documentation.py compares; text:
# output of the block above
LANGUAGES = {"python", "sh", "c", "json", "py", "cython", "text"}

# The lines that are not run here: what they begin with, and why. A block of Python with one is left out as a whole.
NOT_RUN = {
    "pip ": "the network; nox installs all of it",
    "nox ": "a minute to an hour; .ci/run and .ci/release",
    "python3 -m venv": "the network; .ci/run runs the README's",
    "install -": "root",
    "systemctl": "root",
    "docker": "an engine; tests/docs/test_hosting.py reads what it would build and run",
    "PROMETHEUS_MULTIPROC_DIR=": "runs until it is told to end: tests/docs/test_hosting.py",
    "gunicorn": "runs until it is told to end: tests/docs/test_hosting.py",
    "tritonserver": "Triton",
    "python examples/serving/triton/client.py": "Triton; tests/docs/test_hosting.py runs it against lenet",
    "python examples/serving/mlflow_model.py": "MLflow",
    "mlflow": "MLflow",
    "lenet score /shared": "a cluster: tests/scale/test_scoring.py",
    "lenet score 's3:": "an object store: tests/scale/test_inputs.py",
    "tensorboard --logdir": "runs until it is told to end",
    "import mlflow": "MLflow: tests/docs/test_watching.py",
    "import wandb": "a server: tests/docs/test_watching.py",
    "import dask.array": "tests/docs/test_scaling_page.py",
    "from pyspark": "Spark: tests/docs/test_scaling_page.py",
    "import ray": "Ray: tests/docs/test_scaling_page.py",
    'with Client("tcp://head': "a cluster: examples/dask_search.py",
    "mpiexec": "MPI: tests/training/test_mpi.py",
    "pyinstaller": "half a minute: tests/docs/test_examples.py",
    "du -b dist": "what PyInstaller makes",
    "pytest": "a minute to an hour; .ci/run and .ci/release",
    "python -m benchmarks.soak": "minutes; .ci/release makes fewer requests",
}

PRINTING = {"how_it_reads.md", "mathematics.md", "notebook.md", "seed.md"}  # pages that show their complete output

# Packages that the blocks of a page in a language require besides scikit-learn.
WANTED = {
    "README.md python": ("PIL", "cv2"),
    "README.md sh": ("PIL", "cv2", "matplotlib"),
    "hosting.md sh": ("onnx",),
    "interop.md python": ("onnx", "onnxruntime", "torch"),
    "own_data.md python": ("PIL", "cv2", "matplotlib"),
    "own_data.md sh": ("PIL", "cv2", "matplotlib", "pandas", "pyarrow"),
    "reading.md python": ("PIL", "cv2"),
    "reading.md sh": ("PIL", "cv2", "matplotlib"),
    "scaling.md python": ("distributed", "pyarrow", "zarr"),
    "scaling.md sh": ("distributed", "pyarrow", "zarr"),
    "serving.md python": ("tritonclient.http", "uvicorn"),
    "serving.md sh": ("uvicorn", "PIL", "cv2"),
    "usage.md sh": ("PIL", "cv2", "matplotlib", "onnx", "shtab"),
    "watching.md sh": ("matplotlib", "tensorboardX"),
}
LINK = shutil.copytree if sys.platform == "win32" else os.symlink  # there, links are for administrators
MARKS = {
    "README.md sh": [pytest.mark.landing],
    "README.md python": [pytest.mark.landing],
    "embedding.md python": [pytest.mark.landing],
    "hosting.md sh": [pytest.mark.landing],
    "interop.md python": [pytest.mark.landing],
    "own_data.md python": [pytest.mark.landing],
    "own_data.md sh": [pytest.mark.release],  # trains four times
    "paper.md python": [pytest.mark.release],  # trains for seconds, as in tests/test_model_1998.py
    "paper.md sh": [pytest.mark.landing],  # trains once
    "reading.md sh": [pytest.mark.landing],  # trains once
    "scaling.md python": [pytest.mark.landing],
    "scaling.md sh": [pytest.mark.landing],
    "serving.md python": [pytest.mark.landing],
    "serving.md sh": [pytest.mark.landing],
    "usage.md sh": [pytest.mark.release],  # trains four times
    "watching.md sh": [pytest.mark.release],  # trains three times
}


def is_left_out(line):
    return line.startswith(tuple(NOT_RUN))


def serves(line):
    return "lenet serve" in line and not is_left_out(line)


def to_run(page, language):
    """The blocks of a page in a language that are run, in order, without those that start servers."""
    if language == "python":
        return [text for kind, text in blocks(page) if kind == language and not any(map(is_left_out, text.split("\n")))]
    lines = [[line for line in text.splitlines() if line] for kind, text in blocks(page) if kind == language]
    kept = ([line for line in block if not (is_left_out(line) or serves(line))] for block in lines)
    return ["\n".join(block) for block in kept if block]


def having(language):
    """The pages with something to run, for parametrize."""
    return [
        pytest.param(page, id=page.name, marks=MARKS.get(f"{page.name} {language}", []))
        for page in PAGES
        if to_run(page, language)
    ]


SERVERS = sorted({line.partition("  #")[0].strip() for page in PAGES for _, text in blocks(page)
                  for line in text.splitlines() if serves(line)})  # fmt: skip


@pytest.fixture
def user(files, tmp_path, monkeypatch):
    """A folder with the files that the pages name; training in Python has few steps."""
    for name in ("small", "transfer"):
        monkeypatch.setitem(RECIPES, name, RECIPES[name].with_changes(epochs=2))
    monkeypatch.setattr("lenet.estimator.classifier._MIN_STEPS", 100)
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LENET_DATA", str(tmp_path / "mnist"))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    for name in ("docs", "examples"):
        LINK(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with the files that the pages name, but few images for MNIST's."""
    pytest.importorskip("sklearn")
    folder = tmp_path_factory.mktemp("files")
    with contextlib.chdir(folder):
        write_files(lenet.data.load_digits())
    return folder


def write_files(data):
    """Write arrays, tables and pictures into the current folder."""
    for name in ("mnist", "in", "glyphs"):
        Path(name).mkdir()
    for part, X, y in (("train", data.X_train[:200], data.y_train[:200]), ("t10k", data.X_test, data.y_test)):
        for kind, array in (("images-idx3", X), ("labels-idx1", y.astype(np.uint8))):
            head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            Path(f"mnist/{part}-{kind}-ubyte").write_bytes(head + array.tobytes())
    np.save("in/few.npy", data.X_test[:20])
    np.savez("mine.npz", X=data.X_test, y=data.y_test)
    tables(data)
    with contextlib.suppress(ImportError):
        from pyarrow import parquet, table

        parquet.write_table(table({"pixels": [image.tobytes() for image in data.X_test[:20]]}), "scans.parquet")
    pictures(data)


def tables(data):
    """Write tables like Kaggle's."""
    pixels = data.X_test.reshape(-1, 784)
    columns = [f"pixel{n}" for n in range(784)]
    np.savetxt("test.csv", pixels, "%d", ",", header=",".join(columns), comments="")
    rows = np.column_stack([data.y_test, pixels])
    np.savetxt("train.csv", rows, "%d", ",", header=",".join(["label", *columns]), comments="")


def pictures(data):
    """Draw dark digits on white, and symbols, if the required packages are installed."""
    with contextlib.suppress(ImportError):
        from PIL import Image

        line = np.hstack([np.pad(255 - image, 10, constant_values=255) for image in data.X_test[183:187]])
        seven = np.pad(255 - data.X_test[data.y_test == 7][0], 10, constant_values=255)
        for name, picture in (("photo.png", seven), ("seven.jpg", seven), ("photo.jpg", line), ("page.jpg", line)):
            Image.fromarray(picture).save(name)
        for label in range(10):
            Path(f"glyphs/{label}").mkdir()
            for n, image in enumerate(data.X_test[data.y_test == label][:10]):
                Image.fromarray(255 - image).save(f"glyphs/{label}/{n}.jpg")
        from benchmarks.drawings import write_symbols
        from docs.draw_reading import fields_of_the_guide, photograph_of_a_form

        values = {
            "card": "5457316390772033",
            "book": "9780306406157",
            "staff": "731645",
            "total": "9817",
            "points": "3",
        }
        Image.fromarray(photograph_of_a_form(values, np.random.default_rng(0))).save("form.jpg")
        Path("fields.json").write_text(fields_of_the_guide())
        write_symbols(Path("symbols"), 15, 0)
        write_symbols(Path("drawn"), 5, 1)
        shutil.copytree("drawn/star", "scans")
        from pyarrow import parquet, table

        drawn = [
            {"label": path.parent.name, "image": {"bytes": path.read_bytes(), "path": path.name}}
            for path in sorted(Path("drawn").rglob("*.png"))
        ]
        parquet.write_table(
            table({name: [row[name] for row in drawn] for name in ("label", "image")}), "drawings.parquet"
        )


def runs(*names):
    """Finished training runs."""
    for name in names:
        Path("runs", name).mkdir(parents=True)
        lenet.load_pretrained().save(Path("runs", name, "best.safetensors"))


@contextlib.contextmanager
def addressed(texts):
    """The texts, with the address of this test's server instead of the pages'."""
    if not any("127.0.0.1:8000" in text for text in texts):
        yield texts
        return
    with serving("--model", "mnist", "--model", "receipts=mnist") as server:
        yield [text.replace("127.0.0.1:8000", f"{server.host}:{server.port}") for text in texts]


def import_all(page, language):
    for package in WANTED.get(f"{page.name} {language}", ()):
        pytest.importorskip(package)


def test_all_blocks_are_known():
    assert {language for page in PAGES for language, _ in blocks(page)} == LANGUAGES
    lines = [line for page in PAGES for _, text in blocks(page) for line in text.splitlines()]
    assert [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)] == []
    for page in PAGES:  # none is missed by its indentation or its fence
        assert len(re.findall(r"^ *(?:```|~~~)", page.read_text("utf-8"), re.MULTILINE)) == 2 * len(fenced(page)), page


@pytest.mark.filterwarnings("ignore:The network has hardly begun")
@pytest.mark.parametrize("page", having("python"))
def test_python(page, user, capsys):
    """Each block of a page continues from the one before; the blocks of a program are joined."""
    import_all(page, "python")
    with addressed(to_run(page, "python")) as texts:
        if "__main__" in "".join(texts):
            Path("program.py").write_text("\n".join(texts))
            subprocess.run([sys.executable, "program.py"], check=True)
            return
        names = {"__name__": "__main__"}
        for text in texts:
            exec(compile(text, page.name, "exec"), names)  # noqa: S102
    printed = capsys.readouterr().out
    if page.name in PRINTING:
        shown = page.read_text("utf-8")
        assert [line for line in printed.splitlines() if f"\n    {line}\n" not in shown] == []


@pytest.mark.filterwarnings("ignore:The network has hardly begun")
def test_few_pictures_of_each_class_suffice_for_the_code_in_python(user):
    import_all(ROOT / "docs/own_data.md", "python")
    shutil.rmtree("symbols")
    shutil.copytree("drawn", "symbols")
    [text] = [text for _, text in blocks(ROOT / "docs/own_data.md") if 'load("symbols")' in text]
    names = {}
    exec(text, names)  # noqa: S102
    assert np.bincount(names["data"].y_train).tolist() == [4] * 8


def test_a_model_is_calibrated_on_a_folder_that_lacks_a_digit(user):
    pytest.importorskip("cv2")
    for path in list(Path("glyphs/0").iterdir()):
        shutil.copy(path, f"glyphs/0/again-{path.name}")
    shutil.rmtree("glyphs/3")
    [text] = [text for _, text in blocks(ROOT / "docs/reading.md") if "calibrate(" in text]
    names = {"lenet": lenet, "model": lenet.load_pretrained("mnist")}
    exec(text, names)  # noqa: S102
    assert (names["model"].predict(names["own"].X_test) == names["own"].y_test).mean() > 0.9


def test_a_table_with_missing_cells_is_printed_in_columns(capsys):
    cells = [Cell(0, row, column, (0, 0, 1, 1), text) for row, column, text in ((0, 1, "7"), (1, 0, "3"), (1, 2, ""))]
    [text] = [text for _, text in blocks(ROOT / "docs/reading.md") if "found.cells" in text]
    exec(text, {"read": lambda _: Reading(cells=(*cells, Cell(1, 0, 0, (5, 5, 6, 6), "9")))})  # noqa: S102
    assert capsys.readouterr().out == ". | 7 | .\n3 | . | .\n"


@pytest.mark.parametrize("page", having("sh"))
def test_shell(page, user):
    import_all(page, "sh")
    with addressed(to_run(page, "sh")) as texts:
        for text in texts:
            shutil.rmtree("runs", ignore_errors=True)  # the first run of each block is train-1
            if not re.search(r"lenet train (?!--resume)", text):
                runs(*set(re.findall(r"runs/(train-\d)", text)))
            text = re.sub(r"^lenet train (?!--resume)(?!.*--epochs)", r"\g<0>--epochs 2 ", text, flags=re.MULTILINE)
            for command in ["bash", *re.findall(r"(?:^|\$\()(curl|lenet|openssl)\b", text, re.MULTILINE)]:
                if shutil.which(command) is None:
                    pytest.skip(f"needs {command}")
            done = subprocess.run(["bash", "-euc", text], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert '"error"' not in done.stdout  # curl does not fail for an error status


def test_the_readme_shows_the_actual_output(user, capsys):
    """The photograph is read as docs/draw_sample.py wrote it, by the shell's line and by Python's."""
    import_all(ROOT / "README.md", "python")
    languages, texts = zip(*blocks(ROOT / "README.md"), strict=True)
    shown = texts[languages.index("text")]
    assert succeeds(capsys, *texts[languages.index("sh")].split()[1:]) == shown
    assert Path("reading.png").stat().st_size > 0
    exec(compile(texts[languages.index("python")], "README.md", "exec"), {})  # noqa: S102
    lines = [line.rsplit(" ", 1) for line in capsys.readouterr().out.splitlines()]
    assert (
        "".join(f"docs/images/sample.jpg: {text} ({int(100 * float(sure)) / 100:.2f})\n" for text, sure in lines)
        == shown
    )
    assert [text for text, _ in lines] == ["80331", "020 7946 0153", "12 750"]


@pytest.mark.landing
@pytest.mark.parametrize("line", SERVERS)
def test_a_server(line, user):
    for package in ("httptools", "starlette", "prometheus_client", "python_multipart", "orjson", "PIL", "cv2"):
        pytest.importorskip(package)
    for command in ("lenet", "openssl"):
        if shutil.which(command) is None:
            pytest.skip(f"needs {command}")
    runs(*re.findall(r"runs/(train-\d)", line))
    with serving(command=("bash", "-c", line.replace("lenet serve", "exec lenet serve --port 0"))) as server:
        assert server.ask("GET", "/v2/health/ready")[0] == 200
