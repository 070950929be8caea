"""Scoring of tables, encoded pictures, Dask data frames, and files at addresses of fsspec."""

import gzip
import http.server
import io
import re
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import lenet
from lenet.errors import DataError, InputError, InputTypeError, MissingExtraError
from lenet.scale import columns, score, sources

pytest_plugins = ["scale_fixture"]
pytestmark = pytest.mark.landing
pytest.importorskip("cv2")
pytest.importorskip("sklearn")
dask = pytest.importorskip("dask")
dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")
fsspec = pytest.importorskip("fsspec")
pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pil = pytest.importorskip("PIL.Image")
pq = pytest.importorskip("pyarrow.parquet")
zarr = pytest.importorskip("zarr")

N = 150
X = lenet.data.load_digits().X_test[:N]
ROWS = X.reshape(N, 784)
FLOATS = (ROWS / np.float32(255)).astype(np.float32)
MODEL = lenet.load_pretrained("mnist")
EXPECTED = MODEL.predict_proba(X, n_jobs=1)
NAMES = [f"pixel{k}" for k in range(784)]


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Parts and batches of few rows, in an empty folder."""
    monkeypatch.setattr(sources, "ROWS", 64)
    monkeypatch.setattr(columns, "AT_ONCE", 40)
    monkeypatch.setattr(columns, "PICTURES_AT_ONCE", 7)
    monkeypatch.chdir(tmp_path)


def scores(client, images, **options):
    """Score images, and return the rows."""
    out = Path("out.npy")
    out.unlink(missing_ok=True)
    count = score(images, out, client=client, **options)
    rows = np.load(out)
    assert len(rows) == count
    return rows


def check(rows, expected=EXPECTED):
    np.testing.assert_array_equal(rows["digit"], expected.argmax(axis=1))
    np.testing.assert_array_equal(rows["probability"], expected.max(axis=1))


def csv_of(rows=ROWS):
    return pd.DataFrame(rows, columns=NAMES).assign(label=0).to_csv(index=False).encode()


def npy_of(array):
    np.save(file := io.BytesIO(), array)
    return file.getvalue()


def parquet_of(table, **options):
    pq.write_table(table, file := io.BytesIO(), **options)
    return file.getvalue()


def wide(rows=ROWS, kind=None):
    """A table of 784 columns, with a number and a label for each row."""
    pixels = {name: pa.array(column, kind) for name, column in zip(NAMES, np.asarray(rows).T, strict=True)}
    return pa.table({"id": range(len(rows)), "label": ["seven"] * len(rows), **pixels})


def png(image, mode="L"):
    pil.fromarray(image).convert(mode).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def pictures(encoded, name="image"):
    """A column as Hugging Face's `datasets` writes it."""
    return pa.table({"label": [0] * len(encoded), name: [{"bytes": each, "path": "x.png"} for each in encoded]})


# ---- tables of pixels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [pa.uint8(), pa.int64(), pa.uint64()])
def test_a_wide_table_of_parquet(client, kind):
    pq.write_table(wide(kind=kind), "wide.parquet", row_group_size=90)
    check(scores(client, "wide.parquet"))


def test_a_wide_table_of_decimals(client):
    table = wide(FLOATS, pa.float32())
    first = FLOATS[:, 0].astype(int)  # a column of zeros, which other programs write as integers
    table = table.set_column(table.schema.get_field_index("pixel0"), "pixel0", pa.array(first))
    pq.write_table(table, "wide.parquet")
    check(scores(client, "wide.parquet"), MODEL.predict_proba(FLOATS, n_jobs=1))


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", csv_of()), ("a.csv.gz", gzip.compress(csv_of())), ("a.TSV", csv_of())]
)
def test_a_csv_file(client, name, content):
    Path(name).write_bytes(content)
    check(scores(client, name))


def test_files_of_all_kinds_in_order(client):
    np.save("1.npy", X[:100])
    Path("2.csv").write_bytes(csv_of(ROWS[100:120]))
    pq.write_table(wide(ROWS[120:140]), "3.parquet")
    pq.write_table(pictures([png(image) for image in X[140:]]), "4.parquet")
    check(scores(client, "[0-9].*"))


def test_a_named_column_is_never_replaced_by_the_pixels(client):
    pq.write_table(wide(), "wide.parquet")
    with pytest.raises(DataError, match=r"has no column digits; expected one of id, label, .*pixel7\.$"):
        score("wide.parquet", "out.npy", client=client, column="digits")


def test_a_csv_file_that_is_wrong(client):
    Path("bad.csv").write_bytes(csv_of().replace(b"pixel0,", b""))
    with pytest.raises(DataError, match=r"^bad\.csv"):
        score("bad.csv", "out.npy", client=client)


# ---- encoded pictures ----------------------------------------------------------------------------------


def test_pictures_in_the_form_of_mnist_get_the_scores_of_their_pixels(client):
    pq.write_table(pictures([png(image) for image in X]), "hf.parquet", row_group_size=60)
    check(scores(client, "hf.parquet"))


def test_other_pictures_are_prepared_as_for_predict(client):
    large = [np.pad(255 - image, 30, constant_values=255) for image in X[:20]]
    encoded = [png(image, "RGB") for image in large]
    pq.write_table(pictures(encoded, "scan"), "scans.parquet")
    prepared = np.stack([lenet.reading.prepare(each) for each in encoded])
    check(scores(client, "scans.parquet", column="scan"), MODEL.predict_proba(prepared, n_jobs=1))


@pytest.mark.parametrize(
    ("encoded", "why"),
    [
        (b"GIF87a", r"^bad\.parquet, row 12 is (not|a damaged) "),
        (b"", r"^bad\.parquet, row 12 is empty; expected a picture"),
        (None, r"^bad\.parquet, row 12 is empty; expected a picture"),
        (png(X[0])[:60], r"^bad\.parquet, row 12 is a damaged picture"),
        (b"P5 9000 9000 255 ", r"^bad\.parquet, row 12 has 9000x9000 pixels; expected at most 64 million"),
    ],
)
def test_the_error_for_a_damaged_picture_names_its_row(client, encoded, why):
    each = [png(image) for image in X[:20]]
    each[11] = encoded
    pq.write_table(pictures(each), "bad.parquet", row_group_size=8)
    with pytest.raises(DataError, match=why):
        score("bad.parquet", "out.npy", client=client)


def test_a_row_without_a_picture_never_opens_its_path(client):
    Path("x.png").write_bytes(png(X[0]))
    table = pa.table({"image": pa.array([None, {"bytes": None, "path": "x.png"}], pictures([b""])["image"].type)})
    for rows in (table, table[1:]):
        pq.write_table(rows, "bad.parquet")
        with pytest.raises(DataError, match="row 1 is empty; expected a picture"):
            score("bad.parquet", "out.npy", client=client)


# ---- Dask data frames ----------------------------------------------------------------------------------


def in_partitions(frame):
    """As a Dask data frame with an empty partition, in which bytes stay bytes."""
    cuts = [(0, 0), (0, 70), (70, 71), (71, len(frame))]
    with dask.config.set({"dataframe.convert-string": False}):
        return dd.from_delayed([dask.delayed(frame.iloc[start:stop]) for start, stop in cuts], meta=frame.iloc[:0])


def frames():
    numbers = pd.DataFrame(ROWS, columns=range(784))
    return {
        "wide": pd.DataFrame(ROWS, columns=NAMES).assign(label="x"),
        "numbered": numbers.astype("int64"),
        "nullable": numbers.set_axis(NAMES, axis=1).astype("UInt8"),
        "bytes": pd.DataFrame({"image": [row.tobytes() for row in ROWS]}),
        "lists": pd.DataFrame({"image": list(ROWS), "label": 0}),
        "pictures": pictures([png(image) for image in X]).to_pandas(),
    }


@pytest.mark.parametrize("kind", frames())
def test_a_dask_data_frame(client, kind):
    check(scores(client, in_partitions(frames()[kind])))


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of dask on pandas 3.1
def test_a_dask_data_frame_read_from_parquet(client):
    pq.write_table(wide(), "wide.parquet", row_group_size=40)
    pq.write_table(pictures([png(image) for image in X]), "hf.parquet")
    check(scores(client, dd.read_parquet("wide.parquet", split_row_groups=True)))
    check(scores(client, dd.read_parquet("hf.parquet")))


def test_a_dask_data_frame_that_is_wrong(client):
    frame = frames()["wide"]
    with pytest.raises(DataError, match=r"^The data frame has no column image; expected one of pixel0"):
        score(in_partitions(frame.drop(columns="pixel3")), "out.npy", client=client)
    frame = frame.astype(dict.fromkeys(NAMES, "int64"))
    frame.loc[75, "pixel3"] = 999
    with pytest.raises(InputError, match=r"^Partition 4 of the data frame, row 5: a pixel is out of range"):
        score(in_partitions(frame), "out.npy", client=client)
    with pytest.raises(InputError, match=r"^Partition 2 of the data frame is not a table of images"):
        score(in_partitions(pd.DataFrame({"image": list(X)})), "out.npy", client=client)
    with pytest.raises(InputTypeError, match="images is a Dask Series; expected a Dask array or data frame"):
        score(in_partitions(frame)["pixel3"], "out.npy", client=client)


def test_the_error_for_a_float_in_a_dask_data_frame_names_the_row_in_the_partition(client):
    floats = FLOATS.copy()
    floats[75, 3] = 1.5
    with pytest.raises(InputError, match=r"^Partition 4 of the data frame, row 5: x has floating-point pixels"):
        score(in_partitions(pd.DataFrame({"image": list(floats)})), "out.npy", client=client)


# ---- addresses -----------------------------------------------------------------------------------------


FILES = {
    "a.npy": npy_of(X),
    "floats.npy": npy_of(FLOATS),
    "bytes.parquet": parquet_of(pa.table({"image": [row.tobytes() for row in ROWS]}), row_group_size=70),
    "wide.parquet": parquet_of(wide(), row_group_size=70),
    "pictures.parquet": parquet_of(pictures([png(image) for image in X])),
    "a.csv": csv_of(),
    "a.csv.gz": gzip.compress(csv_of()),
}


def expected_of(name):
    return MODEL.predict_proba(FLOATS, n_jobs=1) if "floats" in name else EXPECTED


@pytest.mark.parametrize("name", FILES)
def test_a_file_in_memory(client, memory, name):
    memory.pipe(f"/in/{name}", FILES[name])
    check(scores(client, f"memory://in/{name}"), expected_of(name))


def test_a_zarr_store_in_memory(client, memory):
    zarr.create_array("a.zarr", data=X, chunks=(50, 28, 28))
    memory.put("a.zarr", "/a.zarr", recursive=True)
    check(scores(client, "memory://a.zarr"))


def test_a_pattern_in_memory(client, memory):
    for number, part in enumerate(np.split(X, 3)):
        memory.pipe(f"/in/{number}.npy", npy_of(part))
    check(scores(client, "memory://in/*.npy"))
    np.save("last.npy", X[:9])
    rows = scores(client, ["last.npy", "memory://in/2.npy"])
    check(rows, np.concatenate([EXPECTED[:9], EXPECTED[100:]]))


@pytest.mark.parametrize(
    ("address", "error", "why"),
    [
        ("memory://in/shape.npy", InputError, r"^memory://in/shape\.npy has shape \(3, 9\)"),
        ("memory://in/cut.parquet", DataError, r"^memory://in/cut\.parquet is not a complete Parquet file"),
        ("memory://in/cut.csv.gz", DataError, r"^memory://in/cut\.csv\.gz is not a table of numbers"),
        ("nowhere://in/a.npy", DataError, r"^nowhere://in/a\.npy cannot be read .ValueError: Protocol not known"),
        ("http://127.0.0.1:1/a.npy", InputError, r"^http://127\.0\.0\.1:1/a\.npy matches no file"),
    ],
)
def test_an_address_that_cannot_be_scored(client, memory, address, error, why):
    for name, content in {
        "shape.npy": npy_of(X[0, :3, :9]),
        "cut.parquet": FILES["wide.parquet"][:-100],
        "cut.csv.gz": FILES["a.csv.gz"][:-100],
    }.items():
        memory.pipe(f"/in/{name}", content)
    with pytest.raises(error, match=why):
        score(address, "out.npy", client=client)
    assert not Path("out.npy").exists()


def test_a_package_that_fsspec_lacks_is_named(client, monkeypatch):
    def url_to_fs(address):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", url_to_fs)
    with pytest.raises(MissingExtraError, match=r"^s3://a/b\.npy requires another package .Install s3fs to access S3"):
        score("s3://a/b.npy", "out.npy", client=client)


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Answers requests for ranges of bytes, as web servers do, and logs nothing."""

    answers_ranges = True

    def send_head(self):
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if not (asked and self.answers_ranges and path.is_file()):
            return super().send_head()
        size = path.stat().st_size
        start, stop = int(asked[1]), min(int(asked[2]) + 1, size)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        return io.BytesIO(path.read_bytes()[start:stop])

    def log_message(self, *_):
        pass


class WithoutRanges(Ranges):
    answers_ranges = False


@pytest.fixture
def web(request):
    """The address of a server of the files in the current folder."""
    pytest.importorskip("aiohttp")
    Path("web").mkdir()
    for name, content in FILES.items():
        Path("web", name).write_bytes(content)
    handler = partial(getattr(request, "param", Ranges), directory="web")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", FILES)
def test_a_file_on_a_web_server(client, web, name):
    query = "" if name == next(iter(FILES)) else "?signature=1"  # as of a presigned address
    check(scores(client, f"{web}/{name}{query}"), expected_of(name))


def test_a_pattern_on_a_web_server(client, web):
    assert len(scores(client, f"{web}/*.parquet")) == 3 * N


def test_a_file_that_a_web_server_lacks(client, web):
    with pytest.raises(InputError, match=r"/no\.npy matches no file"):
        score(f"{web}/no.npy", "out.npy", client=client)


@pytest.mark.parametrize("web", [WithoutRanges], indirect=True)
def test_a_web_server_without_ranges_requires_a_download(client, web):
    for name in ("wide.parquet", "a.npy"):
        with pytest.raises(DataError, match=r"cannot be read .* simplecache:: before it to download the file first"):
            score(f"{web}/{name}", "none.npy", client=client)
        check(scores(client, f"simplecache::{web}/{name}"))


def test_processes_read_a_web_server_themselves(web):
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        check(scores(client, [f"{web}/wide.parquet"]))
