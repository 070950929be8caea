"""Positions, sizes, limits and colours of what the figures contain, computed by hand."""

import io

import numpy as np
import pytest

from lenet import plots
from lenet._files import PNG_MARK
from lenet.plots import confusion, curves, diagram, kernels, mistakes, style

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.colors")
pytest.importorskip("matplotlib.image")

# Okabe and Ito's palette, and three greys.
BLUE, VERMILLION, GREEN, PALE_BLUE = "#0072b2", "#d55e00", "#009e73", "#cfe3f1"
INK, GREY, PALE = "#222222", "#666666", "#dddddd"


def rgb(colour):
    return pytest.approx(matplotlib.colors.to_rgb(colour))


def pixels(figure):
    return tuple(round(150 * side) for side in figure.get_size_inches())


# The architecture: 1600 x 640 pixels; the middle of all stages is 355 from below, and a pixel of a map is 4.3 wide.


@pytest.fixture(scope="module")
def card():
    return diagram._architecture_figure(10).axes[0]


def test_the_card_is_white_with_a_digit_on_its_input(card):
    figure = card.get_figure()
    assert (*figure.get_size_inches(), figure.dpi) == (16, 6.4, 100)
    assert card.get_xlim() == (0, 1600)
    assert card.get_ylim() == (0, 640)
    assert card.get_position().bounds == (0, 0, 1, 1)
    assert not card.axison
    corners = card.patches[0]
    assert (corners.get_x(), corners.get_y(), corners.get_width(), corners.get_height()) == (2, 2, 1596, 636)
    assert (corners.get_facecolor()[:3], corners.get_edgecolor()[:3]) == (rgb("white"), rgb(PALE))
    assert (corners.get_boxstyle().rounding_size, corners.get_boxstyle().pad) == (24, 0)
    [two] = [patch for patch in card.patches if isinstance(patch, matplotlib.patches.PathPatch)]
    vertices = (two.get_path().vertices - [42, 355 - 60.2]) / 120.4
    arc = [(0.28, 0.68), (0.34, 0.95), (0.76, 0.92), (0.68, 0.62)]
    neck, foot = [(0.62, 0.44), (0.42, 0.34), (0.26, 0.19)], [(0.76, 0.22)]
    assert vertices == pytest.approx(np.array([*arc, *neck, *foot]))
    path = matplotlib.path.Path
    assert two.get_path().codes.tolist() == [path.MOVETO, *6 * [path.CURVE4], path.LINETO]
    assert (two.get_linewidth(), two.get_fill(), two.get_edgecolor()[:3]) == (7, False, rgb(INK))


def test_two_lines_end_at_each_unit(card):
    """The unit of C1 is a fifth of the side from the left of the front map, the last of six with steps of 9."""
    ends = [tuple(line.get_xydata()[-1]) for line in card.lines]
    assert ends[::3] == ends[1::3] == ends[2::3]
    left = 42 + 120.4 + 105 + 45
    assert ends[0] == pytest.approx((left + 0.2 * 120.4, 355 - 165.4 / 2 + 120.4 - 0.25 * 120.4))
    assert ends[-1] == pytest.approx((1504.5, 355 + 200 / 2 - 2.5 * 20))


def test_the_architecture_has_ten_classes_by_default(monkeypatch):
    monkeypatch.setattr(diagram, "png", lambda figure: {text.get_text() for text in figure.axes[0].texts})
    assert plots.architecture() == plots.architecture(10)
    assert {"156", "none", "2,416", "48,120", "10,164", "850", "61,706 in all", "softmax"} <= plots.architecture()
    assert {"28×28", "6 @ 28×28", "6 @ 14×14", "16 @ 10×10", "16 @ 5×5", "120", "84"} <= plots.architecture()  # noqa: RUF001


def test_corners_of_the_architecture_are_transparent_and_other_figures_are_white():
    card = matplotlib.image.imread(io.BytesIO(plots.architecture()))
    assert card[0, 0, 3] == 0
    assert card[625, 1200].tolist() == [1, 1, 1, 1]
    content = plots.confusion_matrix([[5, 1], [0, 6]])
    assert matplotlib.image.imread(io.BytesIO(content))[0, 0].tolist() == [1, 1, 1, 1]
    assert PNG_MARK in content[:200]


@pytest.mark.parametrize(("classes", "height", "cell"), [(2, 40, 20), (15, 300, 20), (16, 210, None), (200, 310, None)])
def test_columns_of_other_numbers_of_classes(classes, height, cell):
    ax = diagram._architecture_figure(classes).axes[0]
    boxes = [patch for patch in ax.patches if patch.get_window_extent().width and hasattr(patch, "get_xy")]
    column = next(box for box in boxes if box.get_xy()[0] == pytest.approx(1504.5) and box.get_facecolor()[3])
    assert (column.get_height(), column.get_y()) == pytest.approx((height, 355 - height / 2))
    numbers = [
        text for text in ax.texts if text.get_position()[0] == pytest.approx(1516.5) and text.get_va() == "center"
    ]
    assert len(numbers) == (classes if cell else 0)
    assert all(text.get_fontsize() == cell / 2 for text in numbers)


def test_the_network_of_1998_has_its_own_operations():
    ax = diagram._architecture_figure(10, "1998").axes[0]
    words = [text.get_text() for text in ax.texts]
    assert words.count("tanh") == 6
    assert words.count("subsampling") == 2
    assert "padding 2" not in words
    assert {"by Table I", "radial", "basis", "functions", "156", "12", "1,516", "32", "48,120", "10,164"} <= set(words)
    assert {"32×32", "6 @ 28×28", "6 @ 14×14", "16 @ 10×10", "16 @ 5×5", "60,000 in all"} <= set(words)  # noqa: RUF001


# The other figures: 150 pixels per inch


@pytest.mark.parametrize(
    ("num_classes", "names", "size", "font"),
    [
        (10, None, (1050, 930), 10),  # half an inch for each class; 2 and 1.2 inches around
        (2, None, (810, 690), 10),  # 3.4 inches for all
        (3, None, (810, 690), 10),
        (3, ("abcde", "b", "c"), (846, 726), 10),  # and 0.08 inches for each character above two
    ],
)
def test_sizes_of_confusion_matrices(num_classes, names, size, font):
    figure = confusion._confusion_matrix_figure(np.full((num_classes, num_classes), 7), names)
    assert pixels(figure) == size
    ax = figure.axes[0]
    written = len(ax.texts)
    assert written == num_classes**2 * (num_classes <= 70)
    if font and written:
        assert {text.get_fontsize() for text in ax.texts} == {font}
        assert {(each.get_ha(), each.get_va(), each.get_color()) for each in ax.texts} == {("center",) * 2 + ("black",)}


@pytest.mark.parametrize(("largest", "font"), [(99, 10), (999_999, 8), (9_999_999, 72 * 0.5 / (0.75 * 7))])
def test_fonts_of_counts_fit_their_cells(largest, font):
    ax = confusion._confusion_matrix_figure(np.full((10, 10), largest)).axes[0]
    assert [text.get_fontsize() for text in ax.texts] == pytest.approx([font] * 100)


def test_a_confusion_matrix_with_more_numbers_than_can_be_drawn_has_none(monkeypatch):
    assert confusion.MAX_NUMBERS == 5000
    monkeypatch.setattr(confusion, "MAX_NUMBERS", 5)
    assert len(confusion._confusion_matrix_figure(np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0]])).axes[0].texts) == 5
    ax = confusion._confusion_matrix_figure(np.array([[1, 1, 1], [1, 1, 1], [0, 0, 0]])).axes[0]
    assert not ax.texts
    assert len(ax.get_xticks()) == 3


def test_the_grid_of_a_confusion_matrix_runs_between_its_cells():
    figure = confusion._confusion_matrix_figure(np.array([[3, 1, 0], [0, 4, 0], [2, 0, 2]]), ("aa", "bb", "cc"))
    ax, bar = figure.axes
    assert ax.get_xticks(minor=True).tolist() == ax.get_yticks(minor=True).tolist() == [-0.5, 0.5, 1.5, 2.5]
    assert ax.get_xticks().tolist() == ax.get_yticks().tolist() == [0, 1, 2]
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {0}
    lines = [tick.gridline for tick in ax.xaxis.get_minor_ticks()]
    assert {(line.get_color(), line.get_linewidth(), line.get_visible()) for line in lines} == {(PALE, 0.5, True)}
    assert ax.xaxis.get_minor_ticks()[0].tick1line.get_markersize() == 0
    image = ax.images[0]
    assert image.get_clim() == (0, 50)
    assert image.cmap(0.0)[:3] == rgb("white")
    assert image.cmap(1.0)[:3] == rgb(VERMILLION)
    assert image.cmap.get_bad()[:3] == rgb(PALE_BLUE)
    assert bar.get_ylabel() == "mistakes, % of the true class"
    assert {label.get_rotation() for label in confusion_of_long_names().get_xticklabels()} == {90}


def confusion_of_long_names():
    return confusion._confusion_matrix_figure(np.eye(3, dtype=int), ("aaaa", "b", "c")).axes[0]


def mistaken(n, classes=10):
    labels, predictions = np.zeros(n, int), np.ones(n, int)
    return np.zeros((n, 28, 28), np.uint8), labels, predictions, np.tile(np.linspace(0, 0.9, classes), (n, 1))


@pytest.mark.parametrize(
    ("n", "names", "size", "bottoms"),
    [
        (1, None, (1350, 345), [2.2]),  # 0.75 inches and 1.55 for each row of six
        (6, None, (1350, 345), [2.2]),
        (7, None, (1350, 578), [2.2, 3.75]),
        (7, ["abc", *"bcdefghij"], (1350, 622), [2.35, 4.05]),  # 1.7 for names in a line of their own
        (7, ["ab", *"bcdefghij"], (1350, 578), [2.2, 3.75]),
    ],
)
def test_places_of_mistakes(n, names, size, bottoms):
    figure = mistakes._worst_figure(*mistaken(n), names)
    assert pixels(figure) == size
    [ax] = figure.axes
    assert ax.get_position().bounds == (0, 0, 1, 1)
    lefts = [0.15, 1.65, 3.15, 4.65, 6.15, 7.65]
    places = [(left, left + 1.2, bottom, bottom - 1.2) for bottom in bottoms for left in lefts][:n]
    np.testing.assert_allclose([image.get_extent() for image in ax.images], places)
    np.testing.assert_allclose([frame.get_bbox().extents[[0, 2, 3, 1]] for frame in ax.patches], places)
    np.testing.assert_allclose([*ax.get_xlim(), *ax.get_ylim()], [0, 9, size[1] / 150, 0], atol=0.005)
    for image in ax.images:
        assert image.get_clim() == (0, 255)
        assert image.get_cmap().name == "gray_r"


def test_no_mistakes_have_a_title_only():
    figure = mistakes._worst_figure(*mistaken(0), None)
    assert pixels(figure) == (1350, 180)
    assert (figure._suptitle.get_fontsize(), figure._suptitle.get_position()[1]) == (14, 0.6)


@pytest.mark.parametrize(
    ("names", "fonts", "places"),
    [
        (None, [10, 10], [(0.15, 0.95), (1, 0)]),  # 0.05 inches above an image; at the end of the first text
        (["ab", *"bcdefghij"], [8, 8], [(0.15, 0.95), (1, 0)]),
        (["abc", *"bcdefghij"], [8, 8], [(0.15, 0.95), (0.15, 1.1)]),
    ],
)
def test_texts_of_mistakes(names, fonts, places):
    [ax] = mistakes._worst_figure(*mistaken(1), names).axes
    assert [text.get_fontsize() for text in ax.texts] == fonts
    np.testing.assert_allclose([getattr(text, "xy", text.get_position()) for text in ax.texts], places)
    assert [text.get_weight() for text in ax.texts] == ["bold", "normal"]
    assert [text.get_color() for text in ax.texts] == [VERMILLION, INK]
    assert {text.get_va() for text in ax.texts} == {"bottom"}


def test_long_texts_of_mistakes_are_85_points_wide():
    [ax] = mistakes._worst_figure(*mistaken(1), ["W" * 20, *"bcdefghij"]).axes
    sizes = [text.get_fontsize() for text in ax.texts]
    assert sizes[0] == 8
    assert style.text_width(ax.texts[1].get_text(), sizes[1], "normal") == pytest.approx(85, rel=0.01)


@pytest.mark.parametrize(("kernels_", "size"), [(6, (1500, 338)), (7, (1500, 600)), (1, (1500, 338))])
def test_sizes_of_filters(kernels_, size):
    weight = np.zeros((kernels_, 5, 5))
    weight[0, 2, 2], weight[0, 0, 0] = -3, 2
    figure = kernels._filters_figure(weight)
    assert pixels(figure) == size
    *axes, bar = figure.axes
    assert [ax.get_title() for ax in axes] == [str(k) for k in range(kernels_)]
    assert {ax.title.get_fontsize() for ax in axes} == {10}
    assert {ax.images[0].get_clim() for ax in axes} == {(-3, 3)}
    assert [ax.get_subplotspec().rowspan.start for ax in axes] == [k // 6 for k in range(kernels_)]
    assert [ax.get_subplotspec().colspan.start for ax in axes] == [k % 6 for k in range(kernels_)]
    assert all(len(ax.get_xticks()) == len(ax.get_yticks()) == 0 for ax in axes)
    assert [axes[0].images[0].cmap(place)[:3] for place in (0.0, 1.0)] == [rgb(BLUE), rgb(VERMILLION)]
    assert bar.get_ylabel() == "weight"
    assert kernels._filters_figure(np.zeros((1, 5, 5))).axes[0].images[0].get_clim() == (-1, 1)


def rows(losses):
    return [{"epoch": n, "loss": loss, "accuracy": 1 - loss, "val_loss": loss} for n, loss in enumerate(losses, 1)]


def test_curves_have_their_style():
    figure = curves._learning_curves_figure(rows([0.5, 0.25, 0.75]), "")
    assert pixels(figure) == (1500, 690)
    assert figure.get_suptitle() == ""
    for ax in figure.axes:
        training, *_ = ax.get_lines()
        assert (training.get_linestyle(), training.get_color(), training.get_linewidth()) == ("--", BLUE, 1.5)
        assert (training.get_marker(), training.get_markersize()) == ("o", 4)
        assert ax.get_axisbelow() is True
        assert ax.get_xlabel() == "epoch"
        assert ax.get_xlim() != (0, 2)
        legend = ax.get_legend()
        assert (legend._ncols, legend._loc, legend.get_frame_on()) == (3, 9, False)
        anchor = legend.get_bbox_to_anchor().transformed(ax.transAxes.inverted())
        assert (anchor.x0, anchor.y0) == pytest.approx((0.5, -0.16))
        assert {text.get_fontsize() for text in legend.get_texts()} == {9}
    loss, accuracy = figure.axes
    validation = loss.get_lines()[1]
    assert (validation.get_linestyle(), validation.get_color(), validation.get_linewidth()) == ("-", VERMILLION, 1.5)
    *_, upright, ring = accuracy.get_lines()
    assert upright.get_xdata() == [2, 2]
    assert (upright.get_linestyle(), upright.get_color(), upright.get_linewidth()) == (":", GREY, 0.8)
    assert (ring.get_marker(), ring.get_markersize(), ring.get_markeredgewidth(), ring.get_zorder()) == (
        "o",
        10,
        1.5,
        3,
    )
    assert (ring.get_markerfacecolor(), ring.get_markeredgecolor()) == ("none", INK)


@pytest.mark.parametrize(("count", "marker"), [(40, "o"), (41, "")])
def test_more_than_40_epochs_have_no_markers(count, marker):
    history = rows(np.linspace(0.9, 0.5, count))
    training, *_ = curves._learning_curves_figure(history, "").axes[0].get_lines()
    assert training.get_marker() in {marker or "None", marker}
    for runs in ((rows([0.5, 0.4]), history), (history, rows([0.5, 0.4]))):  # the longest run counts
        both = curves._comparison_figure(dict(zip(("one", "two"), runs, strict=True))).axes[0]
        assert {line.get_marker() for line in both.get_lines()} <= {marker or "None", marker}


@pytest.mark.parametrize(
    ("losses", "ticks"),
    [([1, 0.02], [0.02, 0.05, 0.1, 0.2, 0.5, 1]), ([1, 0.001], [0.001, 0.01, 0.1, 1]), ([1, 0.0011], [0.5])],
)
def test_a_logarithmic_axis_has_ticks_at_1_2_and_5_below_three_decades(losses, ticks):
    ax = curves._learning_curves_figure(rows(losses), "").axes[0]
    low, high = ax.get_ylim()
    found = [tick for tick in ax.get_yticks() if low <= tick <= high]
    assert found == pytest.approx(ticks) if len(ticks) > 1 else 0.5 in np.round(found, 9)
    assert ax.yaxis.get_major_formatter()(0.05, None) == "0.05"
    assert ax.yaxis.get_minor_formatter()(0.05, None) == ""


def test_the_comparison_has_its_title_in_the_legend():
    figure = curves._comparison_figure({"one": rows([0.5]), "two": rows([0.25, 0.125])})
    assert pixels(figure) == (1500, 690)
    [legend] = figure.legends
    assert legend.get_title().get_text().startswith("Solid lines: validation")
    assert (legend._ncols, legend.get_title().get_fontsize(), legend.get_frame_on()) == (2, 9, False)
    assert [ax.get_title() for ax in figure.axes] == ["loss", "error, %"]
    assert [line.get_color() for line in figure.axes[0].get_lines()] == [BLUE, BLUE, VERMILLION, VERMILLION]


@pytest.mark.parametrize(("name", "shown"), [("x" * 20, "x" * 20), ("a" * 10 + "b" * 11, "aaaaaaaaa…bbbbbbbbb")])
def test_names_above_20_characters_lose_their_middle(name, shown):
    assert style.drawable([name]) == [shown]


def test_axes_have_pale_frames():
    ax = curves._learning_curves_figure(rows([0.5]), "").axes[0]
    assert {spine.get_edgecolor()[:3] for spine in ax.spines.values()} == {matplotlib.colors.to_rgb(PALE)}
    assert ax.get_facecolor()[:3] == (1, 1, 1)
    assert style.DISTINCT == (BLUE, VERMILLION, GREEN, "#cc79a7", "#e69f00", "#56b4e9", INK)
