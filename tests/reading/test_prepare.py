"""The picture of one digit becomes an image like MNIST's."""

import numpy as np
import pytest

import lenet
from lenet._mnist_form import pen_width
from lenet.errors import InputError
from lenet.reading import Reading, prepare, read, read_picture, single_digit

Image = pytest.importorskip("PIL.Image")
cv2 = pytest.importorskip("cv2")


def extent(image):
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def centre_of_mass(image):
    weights = image.astype(float)
    return [float((np.indices(image.shape)[axis] * weights).sum() / weights.sum()) for axis in (0, 1)]


def drawn_seven():
    """Strokes that no symmetry helps to centre."""
    page = np.zeros((90, 120), np.uint8)
    page[10:16, 30:70] = 255
    page[16:80, 62:70] = 200
    return page


# Place and size


def test_ink_and_paper_may_be_either_way_round():
    page = drawn_seven()
    light, dark = prepare(page), prepare(255 - page)
    np.testing.assert_array_equal(light, dark)
    assert light.dtype == np.uint8
    assert light.shape == (28, 28)
    assert light.max() == 255
    assert light[0].max() == 0


@pytest.mark.parametrize("picture", [drawn_seven(), drawn_seven().T, np.rot90(drawn_seven())], ids=["7", "T", "turned"])
def test_the_longest_side_is_20_and_the_centre_of_mass_in_the_middle(picture):
    image = prepare(np.ascontiguousarray(picture))
    height, width = extent(picture)  # 70 and 40, or the other way round
    assert max(extent(image)) == 20
    assert min(extent(image)) == pytest.approx(20 * min(height, width) / max(height, width), abs=1)
    assert centre_of_mass(image) == pytest.approx([14, 14], abs=0.5)  # as of MNIST's images


@pytest.mark.parametrize("level", [0, 9, 128, 255])
def test_a_blank_page_is_all_background(level):
    page = np.full((50, 40), level, np.uint8)
    page[10, 10] = abs(level - 20)  # a stain that is not ink
    np.testing.assert_array_equal(prepare(page), np.zeros((28, 28)))


def test_an_image_like_mnist_passes_unchanged():
    for image in lenet.data.load_digits().X_test[:20]:
        found = prepare(image)
        np.testing.assert_array_equal(found, image)
        assert not np.shares_memory(found, image)


def test_28x28_on_white_paper_is_prepared():
    image = lenet.data.load_digits().X_test[0]
    found = prepare(255 - image)
    assert np.abs(found.astype(int) - image).mean() < 25
    assert np.median(found) == 0


def pasted(image, scale, top, left, canvas):
    """A 28x28 image, enlarged by repeating pixels, somewhere on a black canvas."""
    page = np.zeros(canvas, np.uint8)
    large = np.kron(image, np.ones((scale, scale), np.uint8))
    page[top : top + len(large), left : left + len(large)] = large
    return page


def test_scale_and_place_on_the_page_hardly_matter():
    digit = lenet.data.load_digits().X_test[3]
    once = prepare(pasted(digit, 4, 5, 20, (150, 170))).astype(int)
    for scale, top, left in ((4, 30, 2), (7, 0, 60), (10, 120, 300)):
        again = prepare(pasted(digit, scale, top, left, (420, 600)))
        assert np.abs(once - again).mean() < 4


@pytest.mark.landing
def test_photographs_of_mnist_are_read_as_well_as_the_originals(mnist, tmp_path):
    """Enlarged 4x, inverted, shifted on a larger page, and through a JPEG file."""
    model = lenet.load_pretrained("mnist")
    X, y = mnist.X_test[:300], mnist.y_test[:300]
    rng = np.random.default_rng(0)
    found = []
    for image in X:
        top, left = rng.integers(0, 80, 2)
        large = np.zeros((200, 200), np.uint8)
        large[top : top + 112, left : left + 112] = np.asarray(Image.fromarray(image).resize((112, 112)))
        Image.fromarray(255 - large).save(tmp_path / "photo.jpg", quality=85)
        found.append(prepare(read_picture(tmp_path / "photo.jpg")))
    as_drawn, photographed = ((model.predict(each) == y).mean() for each in (X, np.stack(found)))
    assert as_drawn > 0.97
    assert photographed > as_drawn - 0.01


@pytest.mark.release
def test_mnist_enlarged_and_inverted_loses_little(mnist):
    enlarged = pytest.importorskip("benchmarks.reading").enlarged
    model = lenet.load_pretrained("mnist")
    prepared = enlarged(mnist.X_test)
    lost = (model.predict(mnist.X_test) == mnist.y_test).mean() - (model.predict(prepared) == mnist.y_test).mean()
    assert lost <= 0.002


# Invalid and extreme pictures


@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (100, 1), (2, 2)])
def test_tiny_and_narrow_pictures_do_not_crash(shape):
    assert prepare(np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)).shape == (28, 28)


@pytest.mark.parametrize("take", [prepare, read])
@pytest.mark.parametrize("shape", [(2, 201), (3_000_000, 1)])
def test_pictures_much_longer_than_wide_are_refused(take, shape):
    pixels = np.zeros(shape, np.uint8)
    with pytest.raises(InputError, match="expected sides with a ratio of at most 100"):
        take(pixels)
    if max(shape) < 10**6:
        with pytest.raises(InputError, match=f"The image has {shape[1]}x{shape[0]} pixels"):
            take(Image.fromarray(pixels))


@pytest.mark.parametrize("shape", [(100, 1), (1, 60), (60, 5), (5, 300), (4000, 60)])
def test_narrow_pictures_with_a_shadow_are_read(shape):
    page = 220 - np.add.outer(*(np.arange(side) * 100 // side for side in shape)).astype(np.uint8)
    page[tuple(slice(side // 3, 2 * side // 3 + 1) for side in shape)] = 10
    assert prepare(page).shape == (28, 28)
    assert isinstance(read(page), Reading)


@pytest.mark.parametrize("turned", [False, True])
def test_a_narrow_picture_on_uneven_paper_is_prepared(turned):
    """The estimate of the paper looks further beyond the border than the picture is wide."""
    page = np.full((49, 9), 230.0) * np.linspace(1, 0.5, 49)[:, np.newaxis]
    page[8:40, 3:6] = 30
    image = prepare((page.T if turned else page).astype(np.uint8))
    assert extent(image) == ((2, 20) if turned else (20, 2))


# Ink, specks and pens


def test_faint_ink_on_grey_paper_is_stretched():
    page = np.full((90, 120), 180, np.uint8)
    page[drawn_seven() > 0] = 100
    solid = np.where(drawn_seven() > 0, np.uint8(255), np.uint8(0))
    np.testing.assert_array_equal(prepare(page), prepare(solid))


def test_a_shadow_is_levelled():
    paper = np.tile(np.linspace(90, 240, 160), (120, 1))
    page = np.where(np.pad(drawn_seven(), ((15, 15), (20, 20))) > 0, paper * 0.4, paper).round().astype(np.uint8)
    flat = np.where(np.pad(drawn_seven(), ((15, 15), (20, 20))) > 0, 80, 200).astype(np.uint8)
    assert np.abs(prepare(page).astype(int) - prepare(flat)).mean() < 3


def test_specks_and_a_frame_are_removed():
    page = np.full((140, 140), 255, np.uint8)
    page[25:115, 10:130][drawn_seven() > 0] = 0
    alone = prepare(page)
    page[5:8, 2:138] = page[132:135, 2:138] = page[5:135, 2:5] = page[5:135, 135:138] = 0
    page[120:123, 20:23] = 0
    np.testing.assert_array_equal(prepare(page), alone)


@pytest.mark.parametrize("paper", ["light", "dark", "noisy"])
def test_digits_cropped_to_their_ink_are_prepared(paper):
    digits, rng = lenet.data.load_digits(), np.random.default_rng(0)
    images = []
    for image in digits.X_test[:200]:
        rows, columns = np.flatnonzero(image.max(axis=1) > 24), np.flatnonzero(image.max(axis=0) > 24)
        crop = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(float)
        if paper == "light":
            crop = 255 - crop
        elif paper == "noisy":
            crop = (180 + rng.normal(0, 8, crop.shape) - 0.35 * crop).clip(0, 255)
        images.append(prepare(crop.round().astype(np.uint8)))
    read = lenet.load_pretrained("mnist").predict(np.stack(images))
    assert (read == digits.y_test[:200]).mean() >= 0.9


@pytest.mark.parametrize("pen", [16, 25, 36])
def test_a_digit_of_a_thick_pen_may_be_cropped_to_its_ink(pen):
    """Just inside the border, there is more ink than paper."""
    page = np.zeros((300, 300), np.uint8)
    cv2.polylines(page, [np.array([[110, 90], [190, 90], [110, 210], [190, 210]], np.int32)], False, 255, pen)
    left, top, width, height = cv2.boundingRect(page)
    crop = page[top : top + height, left : left + width]
    for cropped in (crop, 255 - crop):
        np.testing.assert_array_equal(prepare(cropped), prepare(page))


def test_a_thin_digit_that_touches_all_borders_is_not_a_frame():
    page = np.full((120, 80), 255, np.uint8)
    cv2.polylines(page, [np.array([[2, 2], [77, 30], [2, 117], [77, 117]], np.int32)], False, 0, 5)
    alone = prepare(page)
    page[60:70, 70:79] = 0  # as large as a part of the digit that a frame might enclose
    assert np.abs(prepare(page).astype(int) - alone)[:, :12].mean() < 20


def test_a_stroke_cut_by_the_border_is_omitted():
    page = np.full((120, 100), 255, np.uint8)
    page[15:105, 10:100][drawn_seven()[:, :90] > 0] = 0
    alone = prepare(page)
    page[100:112, 92:] = 0  # a quarter of a point, which belongs to the next digit
    np.testing.assert_array_equal(prepare(page), alone)


@pytest.mark.parametrize("pen", [1, 3, 9, 24])
def test_pens_come_near_to_mnists(pen):
    page = np.zeros((240, 200), np.uint8)
    cv2.polylines(page, [np.array([[60, 40], [140, 40], [90, 200]], np.int32)], False, 255, pen)
    image = prepare(255 - page)
    assert 1.5 < pen_width(image) < 4.2


def test_the_width_of_a_pen_follows_from_area_and_edges():
    ink = np.random.default_rng(0).integers(0, 256, (13, 7), np.uint8)
    padded = np.pad(ink, 1).astype(int)
    edges = sum(np.abs(np.diff(padded, axis=axis)).sum() for axis in (0, 1)) * np.pi / 4
    assert pen_width(ink) == pytest.approx(2 * ink.sum() / edges, rel=1e-12)


def test_few_of_many_strokes_are_examined_as_frames(monkeypatch):
    """Examining each of 8,000 short diagonals, each with all others, took 20 seconds."""
    page = np.zeros((640, 640), np.uint8)
    for step in range(5):
        page[step::7, step::7] = 255
    page[280:360, 300:340] = 255
    examined, is_frame = [], single_digit._is_frame
    monkeypatch.setattr(single_digit, "_is_frame", lambda strokes, n: examined.append(n) or is_frame(strokes, n))
    assert prepare(page).any()
    assert len(examined) < 50
