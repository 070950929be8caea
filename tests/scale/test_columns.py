"""Images from the columns of Arrow tables, without a cluster."""

import io

import numpy as np
import pytest

from lenet.errors import DataError, InputError
from lenet.scale import columns

pytestmark = pytest.mark.landing
pytest.importorskip("cv2")
pa = pytest.importorskip("pyarrow")
pd = pytest.importorskip("pandas")
pil = pytest.importorskip("PIL.Image")

PIXELS = [f"pixel{k}" for k in range(784)]
ROWS = np.random.default_rng(0).integers(0, 256, (9, 784), np.uint8)
ROWS[:, :2] = 0, 255


def batch(column, name="image"):
    return pa.RecordBatch.from_arrays([column], [name])


def wide(rows, kinds=(None,)):
    """A batch with a column for each pixel, whose types alternate."""
    arrays = [pa.array(column, kinds[k % len(kinds)]) for k, column in enumerate(np.asarray(rows, object).T.tolist())]
    return pa.RecordBatch.from_arrays(arrays, PIXELS)


def png(image):
    pil.fromarray(image).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def pictures(encoded):
    return batch(pa.array([{"path": "x.png", "bytes": each} for each in encoded]))


@pytest.mark.parametrize(
    ("names", "column", "expected"),
    [
        (["label", "image"], None, [1]),
        (["image", *PIXELS], None, [0]),
        (["id", "label", *PIXELS], None, list(range(2, 786))),
        (PIXELS, None, list(range(784))),
        (["label", *PIXELS, "scan"], "scan", [785]),
        (["image", "scan"], "scan", [1]),
    ],
)
def test_images_are_in_the_named_column_or_in_image_or_in_784_pixel_columns(names, column, expected):
    assert columns.image_columns(names, "t", column) == expected


@pytest.mark.parametrize(
    ("names", "column", "message"),
    [
        (["a", "b"], None, "t has no column image; expected one of a, b, or 784 columns of pixels."),
        (PIXELS, "scan", f"t has no column scan; expected one of {', '.join(PIXELS[:10])}."),
    ],
)
def test_the_error_for_a_missing_column_lists_at_most_ten_names(names, column, message):
    with pytest.raises(DataError) as caught:
        columns.image_columns(names, "t", column)
    assert str(caught.value) == message


PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.mark.parametrize(
    "kind",
    [
        pa.binary(), pa.large_binary(), pa.binary(784), PICTURE, pa.list_(pa.uint8()), pa.list_(pa.float32()),
        pa.large_list(pa.int64()), pa.list_(pa.uint16(), 784),
    ],
    ids=str,
)  # fmt: skip
def test_types_of_a_column_of_images(kind):
    columns.check_types(pa.schema([("image", kind)]), "t")


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.int64(), pa.float32(), pa.list_(pa.string()), pa.struct([("path", pa.string())])], ids=str
)
def test_types_that_cannot_be_images(kind):
    with pytest.raises(DataError) as caught:
        columns.check_types(pa.schema([("scan", kind)]), "t")
    assert str(caught.value) == (
        f"t has type {kind} in column scan; expected 784 bytes or numbers per row, or a struct with the bytes of a "
        "picture."
    )


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.list_(pa.uint8()), pa.null()], ids=str)
def test_several_columns_must_be_numbers(kind):
    columns.check_types(pa.schema([("a", pa.uint8()), ("b", pa.float64()), ("c", pa.int64())]), "t")
    with pytest.raises(DataError) as caught:
        columns.check_types(pa.schema([("a", pa.uint8()), ("b", kind), ("c", kind)]), "t")
    assert str(caught.value) == f"t has type {kind} in column b; expected numbers."


def test_the_error_shows_80_characters_of_a_type():
    kind = pa.struct([(f"field{k}", pa.int8()) for k in range(30)])
    with pytest.raises(DataError) as caught:
        columns.check_types(pa.schema([("image", kind)]), "t")
    assert f"has type {str(kind)[:80]} in column" in str(caught.value)


def test_fewer_pictures_than_arrays_are_unpacked_at_once():
    assert columns.rows_at_once(pa.schema([("image", PICTURE)])) == columns.PICTURES_AT_ONCE
    assert columns.rows_at_once(pa.schema([("image", pa.binary())])) == columns.AT_ONCE
    assert columns.rows_at_once(pa.schema([("a", pa.uint8()), ("image", PICTURE)])) == columns.AT_ONCE
    assert columns.PICTURES_AT_ONCE < columns.AT_ONCE


IN_BYTES = [row.tobytes() for row in ROWS]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(IN_BYTES),
        pa.array(IN_BYTES, pa.large_binary()),
        pa.array(IN_BYTES, pa.binary(784)),
        pa.array(list(ROWS), pa.list_(pa.uint8())),
        pa.array(list(ROWS), pa.large_list(pa.int64())),
        pa.array(list(ROWS), pa.list_(pa.int16(), 784)),
    ],
    ids=lambda column: str(column.type),
)
def test_bytes_and_lists_of_integers_become_bytes(column):
    found = columns.images_of(batch(column), "t", 0)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, ROWS)
    np.testing.assert_array_equal(columns.images_of(batch(column[4:7]), "t", 0), ROWS[4:7])


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
def test_lists_of_floats_keep_their_type(kind):
    floats = (ROWS / 255).astype(kind.to_pandas_dtype())
    found = columns.images_of(batch(pa.array(list(floats), pa.list_(kind))), "t", 0)
    assert found.dtype == floats.dtype
    np.testing.assert_array_equal(found, floats)


@pytest.mark.parametrize("kinds", [(pa.uint8(),), (pa.int64(),), (pa.uint8(), pa.uint64(), pa.int16())], ids=str)
def test_columns_of_integers_become_bytes(kinds):
    found = columns.images_of(wide(ROWS, kinds), "t", 0)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, ROWS)


def test_columns_are_floats_if_one_of_them_has_floats():
    rows = np.zeros((3, 784))
    rows[:, 1::2] = np.random.default_rng(0).random((3, 392))
    found = columns.images_of(wide(rows, (pa.int8(), pa.float64())), "t", 0)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, rows)


def with_pixel(row, place, value):
    rows = ROWS.astype(object)
    rows[row, place] = value
    return rows


def in_lists(rows):
    return batch(pa.array([list(row) for row in rows], pa.list_(pa.int64())))


@pytest.mark.parametrize("form", [lambda rows: wide(rows, (pa.int64(),)), in_lists], ids=["columns", "lists"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "a pixel is missing; expected 784 numbers"),
        (-1, "a pixel is out of range; expected integers from 0 to 255"),
        (256, "a pixel is out of range; expected integers from 0 to 255"),
    ],
)
def test_the_error_for_a_pixel_names_the_first_wrong_row(form, value, why):
    with pytest.raises(InputError) as caught:
        columns.images_of(form(with_pixel([3, 7], [700, 2], value)), "t", 1234)
    assert str(caught.value) == f"t, row 1,238: {why}."


@pytest.mark.parametrize("value", [256, 2**64 - 1])
def test_an_unsigned_pixel_above_255_is_an_error(value):
    with pytest.raises(InputError, match=r"^t, row 4: a pixel is out of range"):
        columns.images_of(wide(with_pixel(3, 5, value), (pa.uint64(),)), "t", 0)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (IN_BYTES, pa.binary(), "bytes"),
        (IN_BYTES, pa.large_binary(), "bytes"),
        (ROWS.tolist(), pa.list_(pa.uint8()), "numbers"),
    ],
    ids=["binary", "large_binary", "list"],
)
@pytest.mark.parametrize("change", [lambda row: row[:-1], lambda row: row + row[:1], lambda row: None])
def test_the_error_for_a_row_of_another_length_names_it(values, kind, expected, change):
    column = pa.array([*values[:5], change(values[5]), *values[6:], change(values[0])], kind)
    with pytest.raises(InputError) as caught:
        columns.images_of(batch(column), "t", 20)
    assert str(caught.value) == f"t, row 26: it is not an image; expected 784 {expected}."


def test_pictures_in_the_form_of_mnist_are_unchanged():
    digits = np.zeros((3, 28, 28), np.uint8)
    digits[:, 4:24, 12:16] = 255
    digits[1, 4:8, 9:19] = 255
    digits[2, 20:24, 9:19] = 255
    found = columns.images_of(pictures(map(png, digits)), "t", 0)
    assert (found.shape, found.dtype) == ((3, 28, 28), np.uint8)
    np.testing.assert_array_equal(found, digits)


@pytest.mark.parametrize("content", [None, b""])
def test_the_error_for_a_missing_picture_names_its_row(content):
    encoded = [png(np.eye(28, dtype=np.uint8) * 255)] * 2
    with pytest.raises(DataError, match=r"^t, row 1,003 is empty; expected a picture"):
        columns.images_of(pictures([*encoded, content]), "t", 1000)


def test_a_data_frame_is_unpacked_in_parts_without_its_index(monkeypatch):
    monkeypatch.setattr(columns, "AT_ONCE", 4)
    frame = pd.DataFrame({"image": IN_BYTES}, index=[f"row {k}" for k in range(9)])
    found = list(columns.images_of_frame("t", frame))
    assert [len(each) for each in found] == [4, 4, 1]
    np.testing.assert_array_equal(np.concatenate(found), ROWS)
    frame.iloc[6, 0] = b"short"
    with pytest.raises(InputError, match=r"^t, row 7: it is not an image"):
        list(columns.images_of_frame("t", frame))


def test_a_data_frame_without_rows_has_no_images():
    assert list(columns.images_of_frame("t", pd.DataFrame({"image": []}))) == []


def test_a_data_frame_of_something_else_is_an_error():
    with pytest.raises(InputError, match=r"^t is not a table of images \(.+\); expected 784 numbers per row\.$"):
        list(columns.images_of_frame("t", pd.DataFrame({"image": list(ROWS.reshape(-1, 28, 28))})))
    with pytest.raises(DataError, match=r"^t has type (large_)?string in column image"):
        list(columns.images_of_frame("t", pd.DataFrame({"image": ["text"]})))
