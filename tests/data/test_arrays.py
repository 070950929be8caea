"""Arrays in files: their headers, shapes, levels and names, by hand."""

import io
import struct
import zipfile

import numpy as np
import pytest

from lenet.data import load_csv, load_npy_folder, load_npz, npz
from lenet.data.box import fit_into_box
from lenet.errors import DataError, InputTypeError


@pytest.mark.parametrize("load", [load_csv, load_npz, load_npy_folder])
def test_hold_out_is_a_boolean(load, tmp_path):
    with pytest.raises(InputTypeError, match=r"^hold_out is 1; expected"):
        load(tmp_path / "missing", hold_out=1)


def levels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (28, 28, 1), (784,)])
@pytest.mark.parametrize("n", [1, 3])
def test_images_of_28_pixels_are_unchanged(n, shape):
    X = levels(n, *shape)
    found = npz._as_images(X, "mine")
    np.testing.assert_array_equal(found, X.reshape(n, 28, 28))
    np.testing.assert_array_equal(npz._as_images(X / 255, "mine"), found)
    np.testing.assert_array_equal(npz._as_images(X.astype(np.int32), "mine"), found)
    assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("shape", "size"),
    [((3, 4, 4), (4, 4)), ((3, 4, 9), (4, 9)), ((3, 1, 9, 4), (9, 4)), ((3, 30, 20), (30, 20)), ((3, 1, 4, 5), (4, 5)),
     ((3, 28, 27), (28, 27)), ((1, 5, 6), (5, 6)), ((1, 4, 4096), (4, 4096)),
     ((3, 9, 4, 1), (9, 4)), ((3, 1, 4, 4), (4, 4))],
)  # fmt: skip
def test_other_images_are_fitted_into_the_box(shape, size):
    X = levels(*shape)
    np.testing.assert_array_equal(npz._as_images(X, "mine"), fit_into_box(X.reshape(-1, *size)))


@pytest.mark.parametrize(
    ("size", "margins", "noted"),
    [((32, 32), (4, 4), True), ((32, 32), (3, 4), False), ((32, 32), (4, 3), False), ((30, 50), (5, 5), True),
     ((30, 50), (4, 5), False), ((28, 28), (9, 9), False), ((8, 8), (0, 1), False), ((8, 8), (1, 1), True)],
)  # fmt: skip
def test_blank_margins_of_a_tenth_of_the_longer_side_are_noted(caplog, size, margins, noted):
    """Except a few faint pixels; images of 28x28 keep their size."""
    inside = tuple(slice(margin, side - margin) for side, margin in zip(size, margins, strict=True))
    X = np.zeros((3, *size), np.uint8)
    X[:, *inside] = 200
    X[0, 0, 0] = 1
    with caplog.at_level("INFO", "lenet.data"):
        npz._as_images(X, "mine")
    said = "mine: the images have blank margins, which are scaled with the digits. Crop them."
    assert [each.getMessage() for each in caplog.records] == [said] * noted


@pytest.mark.parametrize(
    "shape",
    [(3, 3, 9), (3, 9, 3), (3, 1, 3, 9), (3, 2, 9, 9), (3, 9, 9, 2), (3, 9, 3, 1), (3, 785), (3, 1, 784),
     (3, 784, 1), (784,), (3,), (3, 1, 4), (1, 4, 4097), (1, 1, 1, 5, 5), (28, 28), ()],
)  # fmt: skip
def test_images_have_two_sides_of_at_least_four_pixels(shape):
    with pytest.raises(DataError) as caught:
        npz._as_images(levels(*shape), "mine")
    assert str(caught.value) == (
        f"mine has images of shape {shape}; expected (n, height, width), perhaps with an axis of one channel, or "
        "(n, 784). Sides have 4 to 4,096 pixels."
    )


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0, 0.5, 0.002], [0, 255, 128, 1]),
        ([0, 255, 1, 2], [0, 255, 1, 2]),
        ([0.0, 1.0, 1.0, 0.0], [0, 255, 255, 0]),
    ],
)
def test_levels_are_integers_to_255_or_floats_to_1(values, expected):
    X = np.repeat(np.array(values), 196).reshape(1, 28, 28)
    assert npz._as_images(X, "mine").ravel()[::196].tolist() == expected


@pytest.mark.parametrize("values", [(0, 256), (-1, 255), (-0.001, 1.0), (0.0, 1.001), (np.nan, 1.0), (0.0, np.inf)])
def test_levels_out_of_range_are_errors(values):
    X = np.repeat(np.array(values), 392).reshape(1, 28, 28)
    with pytest.raises(DataError, match=r"^mine has (floating-point )?pixels "):
        npz._as_images(X, "mine")


@pytest.mark.parametrize(
    "y",
    [np.zeros((3, 1), int), np.zeros(()), np.zeros(3, bool), np.array([b"a"]), np.array([["a"]]), np.zeros(1_000_001)],
)
def test_labels_are_numbers_or_text_in_one_dimension(y):
    with pytest.raises(
        DataError, match=r"^mine has labels of shape .* integers or text of shape \(n,\), n at most 1,0"
    ):
        npz._as_labels([y], "mine")
    labels, classes = npz._as_labels([np.array([3, 1], np.uint16)], "mine")
    assert (labels.dtype, classes) == (np.int64, None)
    assert len(npz._as_labels([np.zeros(1_000_000)], "mine")[0]) == 1_000_000


@pytest.mark.parametrize("kind", ["f2", ">f4", "f8", "g"])
def test_labels_may_be_floats_without_fractions(kind):
    labels, classes = npz._as_labels([np.array([3, 1, 0], kind), np.array([2])], "mine")
    assert (labels.tolist(), labels.dtype, classes) == ([3, 1, 0, 2], np.int64, None)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("y", "wrong"),
    [([1, 0.5], "0.5"), ([np.nan], "nan"), ([np.inf], "inf"), ([2.0**63], "9.22"), (np.array([2**64 - 1]), "18446")],
)
def test_other_numbers_are_no_labels(y, wrong):
    with pytest.raises(DataError, match=rf"^mine has the label {wrong}\S*; expected integers from 0, or names\.$"):
        npz._as_labels([np.array(y)], "mine")


def test_labels_of_text_are_numbered_in_both_parts_alike():
    parts = [np.array(["b", "d", "b"]), np.array(["caf\u00e9", "cafe\u0301", "b"], ">U5")]
    labels, classes = npz._as_labels(parts, "mine")
    assert (labels.tolist(), classes) == ([0, 2, 0, 1, 1, 0], ("b", "caf\u00e9", "d"))
    for numbers in (np.array([1, 10]), np.array([1.0, 10.0])):
        labels, classes = npz._as_labels([np.array(["10", "2"]), numbers], "mine")
        assert (labels.tolist(), classes) == ([10, 2, 1, 10], None)


def test_codes_that_are_not_characters_are_an_error():
    with pytest.raises(DataError, match=r"^mine has labels that are not valid text\. Save it again with NumPy\.$"):
        npz._as_labels([np.array([97, 0x110000], ">u4").view(">U1")], "mine")
    labels, classes = npz._as_labels([np.array([97, 0x10FFFF], ">u4").view(">U2")], "mine")
    assert (labels.tolist(), classes) == ([0], ("a\U0010ffff",))


def header_of(shape="(2, 3)", order="False", kind="<u2", version=b"\x01\x00", end=", }"):
    text = f"{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}{end}"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (header_of(), ((2, 3), "C", "<u2")), (header_of(order="True"), ((2, 3), "F", "<u2")),
        (header_of("(5,)", kind=">f8"), ((5,), "C", ">f8")), (header_of("()"), ((), "C", "<u2")),
        (header_of("(1000000, 784)", kind="|u1"), ((1_000_000, 784), "C", "|u1")),
        (header_of("(784000000,)", kind="|i1"), ((784_000_000,), "C", "|i1")),
        (header_of(end="}"), ((2, 3), "C", "<u2")),
        (header_of("(1, 1)"), ((1, 1), "C", "<u2")),
        (header_of("(196000000,)", kind="<f4"), ((196_000_000,), "C", "<f4")),
    ],
)  # fmt: skip
def test_a_header_has_a_shape_an_order_and_a_type(header, expected):
    shape, order, kind = expected
    stream = io.BytesIO(header + b"data")
    assert npz._read_header(stream, "mine") == (shape, order, np.dtype(kind))
    assert stream.read() == b"data"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (header_of("(784000001,)", kind="|u1"), "has shape (784000001,) and dtype uint8; expected no dimension of 0"),
        (header_of("(392000001,)"), "has shape (392000001,)"),
        (header_of(version=b"\x01\x01"), "is not a plain array of numbers"),
        (header_of(kind="<U0"), "is not a plain array of numbers or text"),
        (header_of(kind="|O"), "contains Python objects"),
    ],
)
def test_other_headers_are_errors(header, message):
    with pytest.raises(DataError) as caught:
        npz._read_header(io.BytesIO(header), "mine")
    assert str(caught.value).startswith(f"mine {message}")


def test_the_names_of_arrays_are_those_of_four_parts_or_of_two():
    four, two = ("x_train", "y_train", "x_test", "y_test"), ("x", "y")
    assert npz._complete(dict.fromkeys(four + two)) == four
    assert npz._complete(dict.fromkeys((*four[:3], *two))) == two
    assert npz._complete(dict.fromkeys(("x", "y_train", "y_test", "x_test"))) is None
    assert npz._by_name([("X", 1), ("Other", 2)], lambda pair: pair[0], "mine") == {"x": ("X", 1)}


def archive(*names):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name in names:
            made.writestr(name, b"")
    return content


@pytest.mark.parametrize(("count", "listed"), [(9, 9), (10, 10), (11, 10)])
def test_at_most_ten_other_arrays_are_listed(tmp_path, count, listed):
    path = tmp_path / "mine.npz"
    path.write_bytes(archive(*(f"a{n:02}.npy" for n in reversed(range(count)))).getvalue())
    with pytest.raises(DataError) as caught:
        load_npz(path)
    assert f"contains {', '.join(f'a{n:02}' for n in range(listed))}; expected X and y" in str(caught.value)


def test_the_directory_of_an_archive_has_at_most_65536_bytes():
    content = archive("x.npy").getvalue()
    assert npz._opened(io.BytesIO(content), "mine").namelist() == ["x.npy"]
    with pytest.raises(zipfile.BadZipFile, match="no end record"):
        npz._opened(io.BytesIO(content + b"\0"), "mine")
    with pytest.raises(zipfile.BadZipFile, match="no end record"):
        npz._opened(io.BytesIO(content[:-1] + b"\1"), "mine")
    for length, error in ((65536, zipfile.BadZipFile), (65537, DataError), (2**24, DataError)):
        changed = content[:-10] + struct.pack("<I", length) + content[-6:]
        with pytest.raises(error):
            npz._opened(io.BytesIO(changed), "mine")
    with pytest.raises(DataError, match=r"^mine has too many members"):
        npz._opened(io.BytesIO(content[:-22] + b"PK\6\7" + bytes(16) + content[-22:]), "mine")
