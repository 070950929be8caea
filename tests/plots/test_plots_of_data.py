"""Scales, ticks, limits and line widths of the figures of data, computed by hand."""

import numpy as np
import pytest

from lenet import plots
from lenet.errors import InputError, InputTypeError
from lenet.plots import confusion, curves, kernels, mistakes, style

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.backends.backend_agg")
pytest.importorskip("matplotlib.colors")
pytest.importorskip("matplotlib.figure")

INK, PALE = "#222222", "#dddddd"


def rows(losses, accuracies):
    return [{"epoch": n, "loss": a, "accuracy": b} for n, (a, b) in enumerate(zip(losses, accuracies, strict=True), 1)]


def ticks_in_view(axis):
    low, high = sorted(axis.get_view_interval())
    return [tick for tick in axis.get_majorticklocs() if low <= tick <= high]


def assert_gridlines(axis):
    line = axis.get_major_ticks()[0].gridline
    assert (line.get_visible(), line.get_color(), line.get_linewidth()) == (True, PALE, 0.6)


# Curves


@pytest.mark.parametrize(
    ("last", "step"), [(2, 1), (10, 1), (11, 2), (19, 2), (20, 5), (46, 5), (47, 10), (91, 10), (92, 20)]
)
def test_epochs_are_labelled_in_the_smallest_steps_of_1_2_or_5_that_divide_their_axis_into_at_most_ten(last, step):
    """The margins make the axis a tenth longer than the span of the epochs."""
    ax = matplotlib.figure.Figure().subplots()
    ax.plot([1, last], [0, 0])
    curves._finish(ax, np.array([1.0, last]), "loss")
    low = 1 - 0.05 * (last - 1)
    assert ticks_in_view(ax.xaxis) == [tick for tick in range(0, last + 1, step) if tick >= low]


def test_curves_have_a_thin_grid_and_margins_as_high_as_the_values_of_a_single_epoch():
    history = [{"epoch": 4, "loss": 0.5, "val_loss": 0.75, "accuracy": 0.5, "val_accuracy": 0.25}]
    loss, accuracy = curves._learning_curves_figure(history, "$\\frac").axes
    assert loss.get_ylim() == pytest.approx((0.25, 1))
    assert accuracy.get_ylim() == pytest.approx((0, 75))
    assert loss.get_xlim() == accuracy.get_xlim() == (3, 5)
    assert loss.get_xticks().tolist() == [4]
    assert_gridlines(loss.xaxis)
    assert_gridlines(loss.yaxis)
    assert not loss.get_figure()._suptitle.get_parse_math()


@pytest.mark.parametrize(
    ("losses", "scale"),
    [((1, 0.05), "log"), ((1, 0.0500001), "linear"), ((1, 0), "linear"), ((0, 0), "linear"), ((2, 2), "linear")],
)
def test_losses_that_span_a_factor_of_20_have_a_logarithmic_axis(losses, scale):
    history = rows(losses, (0.5, 0.5))
    for figure in (curves._learning_curves_figure(history, ""), curves._comparison_figure({"one": history})):
        assert figure.axes[0].get_yscale() == scale


@pytest.mark.parametrize(
    ("errors", "ticks"),
    [
        ((90, 4), [5, 10, 20, 50, 100]),
        ((90, 5), None),
        ((20, 0), [0, 1, 2, 5, 10, 20]),
        ((19, 0), None),
        ((0, 0), None),
    ],
)
def test_errors_that_span_a_factor_of_20_above_1_percent_have_ticks_at_1_2_and_5(errors, ticks):
    history = rows((1, 1), [1 - error / 100 for error in errors])
    ax = curves._comparison_figure({"one": history}).axes[1]
    assert ax.get_yscale() == ("symlog" if ticks else "linear")
    if ticks:
        assert ticks_in_view(ax.yaxis) == pytest.approx(ticks)
        assert ax.yaxis.get_transform().linthresh == 1
        assert [ax.yaxis.get_major_formatter()(tick, None) for tick in (0.5, 20.0)] == ["0.5", "20"]
        assert ax.yaxis.get_minor_formatter()(20.0, None) == ""


def test_the_legend_of_a_comparison_is_of_9_points_and_takes_names_as_text():
    [legend] = curves._comparison_figure({"$\\frac$": rows((1, 2), (0, 1)), "b": rows((1,), (0,))}).legends
    assert [(text.get_text(), text.get_fontsize(), text.get_parse_math()) for text in legend.get_texts()] == [
        ("$\\frac$", 9, False), ("b", 9, False),
    ]  # fmt: skip


@pytest.mark.parametrize("history", [3, [{"epoch": 1}, 3], {"epoch": 1}, iter([{"epoch": 1}])])
def test_a_history_is_a_sequence_of_mappings(history):
    with pytest.raises(InputTypeError, match="expected a sequence of mappings"):
        plots.learning_curves(history)


@pytest.mark.parametrize("history", [[], [{"epoch": 1}, {}], [{"epoch": float("nan")}]])
def test_each_epoch_has_its_number(history):
    with pytest.raises(InputError, match="empty or lacks epochs"):
        plots.learning_curves(history)


def test_a_title_is_text():
    with pytest.raises(InputTypeError, match="title is 3; expected a string"):
        plots.learning_curves(rows((1,), (1,)), 3)


# Confusion matrices


def test_a_mistake_on_the_only_image_of_a_class_is_100_percent():
    ax, _ = confusion._confusion_matrix_figure(np.array([[0, 1], [1, 3]])).axes
    np.testing.assert_allclose(ax.images[0].get_array().filled(-1), [[-1, 100], [25, -1]])


@pytest.mark.parametrize(("digits", "written"), [(12, True), (13, False)])  # 36 points for each cell
def test_counts_are_written_in_4_points_or_more(digits, written):
    ax = confusion._confusion_matrix_figure(np.full((10, 10), 10 ** (digits - 1))).axes[0]
    assert [text.get_fontsize() for text in ax.texts] == [4] * 100 * written
    assert len(ax.get_xticklabels()) == len(ax.get_xticks()) > 0


def test_counts_of_one_digit_are_no_higher_than_their_cells():
    counts = np.zeros((140, 140), int)
    counts[3, 4] = 9
    figure = confusion._confusion_matrix_figure(counts)
    assert figure.get_size_inches() == pytest.approx((28 + 2 + 0.08, 28 + 1.2 + 0.08))
    [text] = figure.axes[0].texts
    assert text.get_position() == (4, 3)
    assert text.get_fontsize() == pytest.approx(72 * 28 / 140 / 1.5)


@pytest.mark.parametrize(("name", "degrees"), [("aaa", 0), ("aaaa", 90)])
def test_names_of_more_than_three_characters_are_rotated_below_a_matrix(name, degrees):
    ax = confusion._confusion_matrix_figure(np.eye(2, dtype=int), (name, "b")).axes[0]
    assert [label.get_rotation() for label in ax.get_xticklabels()] == [degrees] * 2
    assert [label.get_rotation() for label in ax.get_yticklabels()] == [0] * 2
    assert not any(label.get_parse_math() for label in (*ax.get_xticklabels(), *ax.get_yticklabels()))


# Mistakes


def arguments(labels, predictions, num_classes=3):
    n = len(labels)
    return np.zeros((n, 28, 28), np.uint8), labels, predictions, np.full((n, num_classes), 0.25)


@pytest.mark.parametrize(("labels", "predictions"), [([0], [0]), ([2], [0]), ([2, 2], [2, 2]), ([], [])])
def test_mistakes_may_be_of_the_first_and_the_last_class(labels, predictions):
    labels, predictions = np.array(labels, int), np.array(predictions, int)
    assert plots.worst(*arguments(labels, predictions))[1:4] == b"PNG"


@pytest.mark.parametrize(("label", "found"), [(-1, "from -1 to 2"), (3, "from 2 to 3")])
@pytest.mark.parametrize("name", ["labels", "predictions"])
def test_classes_of_mistakes_are_checked(label, found, name):
    bad, good = np.array([2, label]), np.array([0, 1])
    with pytest.raises(InputError, match=f"^{name} range {found}; expected 0 to 2"):
        plots.worst(*arguments(*((bad, good) if name == "labels" else (good, bad))))


@pytest.mark.parametrize("name", ["labels", "predictions"])
def test_classes_of_mistakes_are_integers(name):
    bad, good = np.array([0.0, 1.0]), np.array([0, 1])
    with pytest.raises(InputTypeError, match=f"^{name} has dtype float64; expected integers"):
        plots.worst(*arguments(*((bad, good) if name == "labels" else (good, bad))))


def test_images_of_mistakes_are_numbers():
    images, *others = arguments(np.array([0]), np.array([1]))
    with pytest.raises(InputTypeError, match=r"images has dtype .*; expected numbers"):
        plots.worst(images.astype(str), *others)


@pytest.mark.parametrize("shape", [(), (2,), (2, 28), (2, 28, 27), (2, 27, 28), (1, 28, 28), (2, 1, 28, 28)])
def test_images_of_mistakes_have_a_shape(shape):
    _, *others = arguments(np.array([0, 1]), np.array([1, 1]))
    with pytest.raises(InputError, match=r"expected \(n, 28, 28\)"):
        plots.worst(np.zeros(shape, np.uint8), *others)


def test_mistakes_have_thin_frames_and_a_title_a_tenth_of_an_inch_below_the_edge():
    figure = mistakes._worst_figure(*arguments(np.array([0, 1]), np.array([1, 1])), None)
    [frame] = figure.axes[0].patches
    assert (frame.get_fill(), frame.get_linewidth(), frame.get_edgecolor()) == (
        False, 0.8, matplotlib.colors.to_rgba(PALE),
    )  # fmt: skip
    x, y = figure._suptitle.get_position()
    assert (x, (1 - y) * figure.get_size_inches()[1]) == pytest.approx((0.5, 0.1))
    assert not figure.axes[0].axison
    assert not any(text.get_parse_math() for text in figure.axes[0].texts)


@pytest.mark.parametrize(
    ("confidence", "text"),
    [
        (0, "0.0%"), (0.99949, "99.9%"), (0.9995, ">99.9%"), (np.nextafter(1, 0), ">99.9%"), (1, "100.0%"),
        (1 + 1e-7, "100.0%"),
    ],
)  # fmt: skip
def test_only_a_probability_of_one_is_written_as_100_percent(confidence, text):
    assert mistakes._rounded(float(confidence)) == text


# Kernels and style


def test_filters_have_a_title_and_may_be_as_large_as_float32_allows():
    largest = np.finfo(np.float32).max
    assert plots.filters(np.full((1, 1, 2, 2), largest))[1:4] == b"PNG"
    with pytest.raises(InputError, match="not finite in float32"):
        plots.filters(np.full((1, 1, 2, 2), 1.001 * float(largest)))
    figure = kernels._filters_figure(np.ones((3, 2, 2)))
    assert figure.get_suptitle() == "C1: the 3 kernels of the first convolution"


def test_figures_have_a_tenth_of_an_inch_around_them_and_bars_shorter_than_their_axes():
    figure = style.new_figure(4, 3)
    layout = figure.get_layout_engine().get()
    assert (layout["w_pad"], layout["h_pad"], figure.dpi) == (0.1, 0.1, 150)
    ax = figure.subplots()
    style.color_bar(ax.imshow(np.eye(2)), [ax], "weight")
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure).draw()
    [_, bar] = figure.axes
    assert bar.get_position().height == pytest.approx(0.9 * ax.get_position().height)
    assert bar._colorbar_info["pad"] == 0.03
    assert {spine.get_edgecolor() for spine in bar.spines.values()} == {matplotlib.colors.to_rgba(PALE)}


def test_axes_are_white_with_grey_ticks_and_dark_labels():
    ax = matplotlib.figure.Figure().subplots()
    ax.set_facecolor("black")
    style.restyle(ax)
    assert ax.get_facecolor() == (1, 1, 1, 1)
    for tick in (*ax.xaxis.get_major_ticks(), *ax.yaxis.get_major_ticks()):
        assert (tick.tick1line.get_color(), tick.label1.get_color()) == ("#666666", INK)


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_widths_of_texts_grow_with_their_size_and_take_dollars_as_letters(weight):
    width = style.text_width("$x$", 8, weight)
    assert width == pytest.approx(2 * style.text_width("$", 8, weight) + style.text_width("x", 8, weight), rel=0.1)
    assert style.text_width("$x$", 16, weight) == pytest.approx(2 * width, rel=0.01)
    assert style.text_width("xxxx", 8, weight) > 3 * style.text_width("x", 8, weight)
