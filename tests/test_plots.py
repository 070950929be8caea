import io
import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lenet import plots
from lenet.errors import InputError, InputTypeError
from lenet.plots import confusion, curves, diagram, kernels, mistakes, style

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.image")
pytest.importorskip("matplotlib.style")
pytest.importorskip("matplotlib.backends.backend_agg")


def history(epochs, validation=True):
    rows = []
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "learning_rate": 0.1, "loss": 1 / (1 + epoch), "accuracy": 1 - 0.5 / epoch}
        row |= {"val_loss": 1.5 / (1 + epoch), "val_accuracy": 1 - 0.6 / epoch} if validation else {"val_loss": None}
        rows.append(row)
    return rows


def mistaken(n=50, num_classes=10):
    """Images numbered by their pixels; odd ones are misclassified, later ones with more confidence."""
    labels = np.arange(n) % num_classes
    predictions = (labels + np.arange(n) % 2) % num_classes
    probabilities = np.full((n, num_classes), 1e-3)
    probabilities[np.arange(n), predictions] = np.linspace(0.3, 0.9, n)
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None], (n, 28, 28))
    return images, labels, predictions, probabilities


def draw(figure):
    canvas = matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.get_renderer()


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def texts(ax):
    return [text.get_text() for text in ax.texts]


EVERY = {
    "learning_curves": lambda: plots.learning_curves(history(3), "a title"),
    "comparison": lambda: plots.comparison({"one": history(3), "two": history(5)}),
    "confusion_matrix": lambda: plots.confusion_matrix([[5, 1, 0], [0, 6, 0], [1, 2, 3]]),
    "worst": lambda: plots.worst(*mistaken(5)),
    "filters": lambda: plots.filters(np.linspace(-1, 1, 150).reshape(6, 1, 5, 5)),
    "architecture": plots.architecture,
}
OTHER = {
    "learning_curves": lambda: plots.learning_curves(history(4), "a title"),
    "comparison": lambda: plots.comparison({"one": history(3), "two": history(4)}),
    "confusion_matrix": lambda: plots.confusion_matrix([[5, 0, 1], [0, 6, 0], [1, 2, 3]]),
    "worst": lambda: plots.worst(*mistaken(4)),
    "filters": lambda: plots.filters(np.linspace(1, -1, 150).reshape(6, 1, 5, 5)),
    "architecture": lambda: plots.architecture(11),
}
SIZES = {
    "learning_curves": (690, 1500),
    "comparison": (690, 1500),
    "worst": (None, 1350),
    "filters": (None, 1500),
    "architecture": (640, 1600),
}


@pytest.fixture(scope="module")
def drawn():
    """Each figure as a PNG, by its name."""
    return {name: figure() for name, figure in EVERY.items()}


def test_every_figure_is_listed():
    assert sorted(plots.__all__) == sorted(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_is_a_png_of_the_documented_size_that_depends_on_the_data(name, drawn):
    pixels = matplotlib.image.imread(io.BytesIO(drawn[name]))
    height, width = SIZES.get(name, (None, None))
    assert pixels.shape[0] == (height or pixels.shape[0])
    assert pixels.shape[1] == (width or pixels.shape[1])
    assert pixels.shape[2] == 4
    assert np.ptp(pixels[..., :3]) > 0.5
    assert drawn[name] != OTHER[name]()


@pytest.mark.parametrize("name", EVERY)
def test_looks_the_same_under_a_dark_style(name, drawn):
    with matplotlib.rc_context():
        matplotlib.rcParams.update(matplotlib.style.library["dark_background"])
        assert EVERY[name]() == drawn[name]


def test_threads_may_draw_at_once(drawn):
    with ThreadPoolExecutor(4) as pool:
        assert dict(zip(EVERY, pool.map(lambda name: EVERY[name](), EVERY), strict=True)) == drawn


def test_matplotlib_is_imported_only_to_draw_and_pyplot_never():
    program = (
        "import sys; from lenet import plots; assert 'matplotlib' not in sys.modules;"
        "plots.architecture(); plots.confusion_matrix([[1, 2], [3, 4]]); plots.filters([[[[1.0]]]]);"
        "assert 'matplotlib' in sys.modules; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Learning curves


def test_curves_show_the_history():
    rows = history(5)
    loss, accuracy = curves._learning_curves_figure(rows, "run 7").axes
    for ax, key, scale in ((loss, "loss", 1), (accuracy, "accuracy", 100)):
        for label, prefix in (("training", ""), ("validation", "val_")):
            line = lines(ax)[label]
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4, 5])
            np.testing.assert_allclose(line.get_ydata(), [scale * row[prefix + key] for row in rows])
    assert loss.get_figure().get_suptitle() == "run 7"
    assert "loss" in loss.get_title()
    assert "accuracy" in accuracy.get_title()


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [((0.5, 0.2, 0.3, 0.4), 2), ((0.5, 0.3, 0.2, 0.4), 3), ((0.5, 0.2, 0.2, 0.4), 2), ((0.5, np.nan, 0.2, 0.4), 3)],
)
def test_best_epoch_is_the_one_that_training_keeps(losses, epoch):
    rows = history(4)
    for row, accuracy, loss in zip(rows, (0.9, 0.9934, 0.9934, 0.9940), losses, strict=True):
        row |= {"val_accuracy": accuracy, "val_loss": loss}
    ax = curves._learning_curves_figure(rows, "").axes[1]
    label = f"best: 99.34% at epoch {epoch}"
    np.testing.assert_allclose(lines(ax)[label].get_xydata(), [[epoch, 99.34]])
    assert label in [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_best_epoch_without_an_accuracy_is_marked_by_its_number():
    rows = [row | {"val_accuracy": None} for row in history(3)]
    best = 1 + int(np.argmin([row["val_loss"] for row in rows]))
    ax = curves._learning_curves_figure(rows, "").axes[1]
    assert ax.get_legend().get_texts()[-1].get_text() == f"best: epoch {best}"
    (legend,) = curves._comparison_figure({"one": rows}).legends
    assert [text.get_text() for text in legend.get_texts()] == [f"one: epoch {best}"]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_without_validation_only_the_training_curve_is_drawn_and_no_epoch_is_best(missing):
    rows = [row | {"val_loss": missing, "val_accuracy": missing} for row in history(3, validation=False)]
    loss, accuracy = curves._learning_curves_figure(rows, "").axes
    assert list(lines(loss)) == list(lines(accuracy)) == ["training"]


def test_a_diverged_loss_leaves_a_gap():
    rows = history(3)
    rows[1]["loss"] = float("inf")
    loss = curves._learning_curves_figure(rows, "").axes[0]
    np.testing.assert_array_equal(np.isnan(lines(loss)["training"].get_ydata()), [False, True, False])
    draw(loss.get_figure())


def test_a_history_without_one_finite_value_can_be_drawn():
    plots.learning_curves([{"epoch": 1, "loss": float("nan"), "accuracy": None}])


@pytest.mark.parametrize(("last", "scale"), [(0.06, "linear"), (0.04, "log"), (0.0, "linear")])
def test_loss_axis_is_logarithmic_when_the_loss_falls_far(last, scale):
    rows = [{"epoch": 1, "loss": 1.0, "accuracy": 0.5}, {"epoch": 2, "loss": last, "accuracy": 0.6}]
    assert curves._learning_curves_figure(rows, "").axes[0].get_yscale() == scale


def test_one_epoch_is_one_marked_point_over_a_whole_number():
    for ax in curves._learning_curves_figure(history(1), "").axes:
        assert lines(ax)["validation"].get_marker() == "o"
        assert list(ax.get_xticks()) == [1]


def test_300_epochs_are_lines_without_markers():
    for ax in curves._learning_curves_figure(history(300), "").axes:
        assert lines(ax)["training"].get_marker() in ("", "None")


@pytest.mark.parametrize("epochs", [2, 3, 300])
def test_the_axis_of_epochs_has_whole_numbers(epochs):
    figure = curves._learning_curves_figure(history(epochs), "")
    draw(figure)
    for ax in figure.axes:
        assert all(tick == int(tick) for tick in ax.get_xticks())


@pytest.mark.parametrize("rows", [[], [{"loss": 1.0, "accuracy": 0.5}], [{"epoch": None}]])
def test_a_history_without_rows_or_epochs_is_refused(rows):
    with pytest.raises(InputError, match="at least one row"):
        plots.learning_curves(rows)


# Comparison of runs


def test_each_run_has_its_colour_solid_for_validation_and_dashed_for_training():
    runs = {"one": history(3), "two": history(5)}
    figure = curves._comparison_figure(runs)
    loss, error = figure.axes
    colours = [line.get_color() for line in loss.get_lines()[::2]]
    assert len(set(colours)) == 2
    for ax, value in ((loss, lambda row, p: row[p + "loss"]), (error, lambda row, p: 100 - 100 * row[p + "accuracy"])):
        pairs = zip(ax.get_lines()[::2], ax.get_lines()[1::2], strict=True)
        for (training, validation), rows, colour in zip(pairs, runs.values(), colours, strict=True):
            for line, dashes, prefix in ((training, "--", ""), (validation, "-", "val_")):
                assert (line.get_color(), line.get_linestyle()) == (colour, dashes)
                np.testing.assert_array_equal(line.get_xdata(), range(1, len(rows) + 1))
                np.testing.assert_allclose(line.get_ydata(), [value(row, prefix) for row in rows])
    (legend,) = figure.legends
    assert [line.get_color() for line in legend.get_lines()] == colours
    assert [text.get_text() for text in legend.get_texts()] == ["one: 20.00% at epoch 3", "two: 12.00% at epoch 5"]


def test_the_legend_has_the_error_of_the_epoch_with_the_lowest_validation_loss():
    rows = [row | {"val_loss": loss} for row, loss in zip(history(3), (0.5, 0.2, 0.3), strict=True)]
    (legend,) = curves._comparison_figure({"one": rows, "two": history(1, validation=False)}).legends
    assert [text.get_text() for text in legend.get_texts()] == ["one: 30.00% at epoch 2", "two"]


@pytest.mark.parametrize(
    ("errors", "scale"), [((90, 4), "symlog"), ((90, 5), "linear"), ((19, 0), "linear"), ((21, 0), "symlog")]
)
def test_the_error_axis_is_logarithmic_down_to_1_percent_when_the_error_falls_far(errors, scale):
    rows = [{"epoch": n, "loss": 1.0, "accuracy": 1 - error / 100} for n, error in enumerate(errors, 1)]
    loss, error = curves._comparison_figure({"one": rows}).axes
    assert (loss.get_yscale(), error.get_yscale()) == ("linear", scale)


def test_seven_runs_with_long_names_of_any_characters_fit():
    names = ["$\\frac$", "\u4e00", *(f"{n}{'W' * 100}" for n in range(5))]
    figure = curves._comparison_figure(dict.fromkeys(names, history(50)))
    renderer = draw(figure)
    (legend,) = figure.legends
    assert len({line.get_color() for line in legend.get_lines()}) == 7
    box, width = legend.get_window_extent(renderer), figure.get_window_extent().width
    assert box.x0 >= 0
    assert box.x1 <= width
    assert figure.axes[0].get_window_extent().height > 250


def test_a_comparison_of_one_epoch_has_whole_numbers():
    for ax in curves._comparison_figure({"one": history(1), "two": history(1)}).axes:
        assert list(ax.get_xticks()) == [1]


@pytest.mark.parametrize("number", [0, 8])
def test_a_comparison_has_a_colour_for_each_run(number):
    with pytest.raises(InputError, match=f"{number} runs were given; expected 1 to 7"):
        plots.comparison({str(n): history(2) for n in range(number)})


@pytest.mark.parametrize("runs", [[history(2)], {1: history(2)}], ids=["list", "number"])
def test_a_comparison_needs_the_names_of_runs(runs):
    with pytest.raises(InputTypeError, match="expected a mapping of names to histories"):
        plots.comparison(runs)


# Confusion matrix


@pytest.mark.parametrize("num_classes", [2, 10, 30])
def test_matrix_shows_each_count_in_its_cell(num_classes):
    counts = np.random.default_rng(num_classes).integers(0, 4, (num_classes, num_classes))
    ax = confusion._confusion_matrix_figure(counts).axes[0]
    shown = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in ax.texts}
    assert shown == {(i, j): str(counts[i, j]) for i, j in np.argwhere(counts)}
    assert [tick.get_text() for tick in ax.get_xticklabels()] == [str(k) for k in range(num_classes)]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")


def test_colour_shows_the_fraction_of_the_row_except_on_the_diagonal():
    ax = confusion._confusion_matrix_figure(np.array([[90, 10, 0], [0, 0, 0], [5, 0, 195]])).axes[0]
    shares = ax.images[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shares), np.eye(3, dtype=bool))
    np.testing.assert_allclose(shares.filled(-1), [[-1, 10, 0], [0, -1, 0], [2.5, 0, -1]])
    assert ax.images[0].get_clim() == (0, 10)
    assert ax.get_title() == "Confusion matrix: 95.00% of 300 correct"


def test_matrix_without_mistakes_or_images():
    ax = confusion._confusion_matrix_figure(np.diag([3, 4])).axes[0]
    assert texts(ax) == ["3", "4"]
    assert ax.images[0].get_clim() == (0, 1)
    assert "100.00% of 7" in ax.get_title()
    assert "no images" in confusion._confusion_matrix_figure(np.zeros((2, 2), int)).axes[0].get_title()


@pytest.mark.parametrize(
    ("num_classes", "count"), [(2, 10**6), (10, 10**7), pytest.param(26, 99_999, marks=pytest.mark.landing)]
)
def test_counts_fit_into_their_cells(num_classes, count):
    figure = confusion._confusion_matrix_figure(np.full((num_classes, num_classes), count))
    renderer = draw(figure)
    ax = figure.axes[0]
    cell = ax.get_window_extent().width / num_classes
    assert max(text.get_window_extent(renderer).width for text in ax.texts) < 0.95 * cell


def test_500_classes_are_an_image_of_bounded_size_without_text():
    figure = confusion._confusion_matrix_figure(np.ones((500, 500), int))
    assert not figure.axes[0].texts
    assert max(figure.get_size_inches()) < 32


@pytest.mark.parametrize("classes", [("triangle", "rectangle", "star"), ("$x", "$\\undefined$", "x" * 100)])
def test_class_names_label_both_axes_and_do_not_shrink_the_cells(classes):
    counts = np.full((3, 3), 10**5)
    figure = confusion._confusion_matrix_figure(counts, classes)
    draw(figure)
    ax = figure.axes[0]
    expected = [name if len(name) < 100 else "xxxxxxxxx\u2026xxxxxxxxx" for name in classes]
    for axis in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in axis] == expected
    plain = confusion._confusion_matrix_figure(counts)
    draw(plain)
    assert ax.get_window_extent().width > 0.9 * plain.axes[0].get_window_extent().width


def test_a_name_that_the_font_cannot_show_becomes_a_number(recwarn):
    ax = confusion._confusion_matrix_figure(np.eye(2, dtype=int), ("one", "\u4e00")).axes[0]
    draw(ax.get_figure())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["one", "1"]
    assert not recwarn


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ([[1, 2, 3], [4, 5, 6]], r"\(2, 3\)"),
        ([[1]], r"\(1, 1\)"),
        ([1, 2], r"\(2,\)"),
        ([[1, -1], [0, 1]], "contains -1; expected counts"),
        ([[0.5, 0.5], [0, 1]], "float64"),
        ([[True, False], [False, True]], "bool"),
    ],
)
def test_invalid_confusion_matrices_are_refused(matrix, message):
    with pytest.raises(InputError, match=message):
        plots.confusion_matrix(matrix)


# The worst mistakes


def test_worst_shows_only_mistakes_the_most_confident_first():
    images, labels, predictions, probabilities = mistaken(20)
    figure = mistakes._worst_figure(images, labels, predictions, probabilities)
    expected = [19, 17, 15, 13, 11, 9, 7, 5, 3, 1]
    (ax,) = figure.axes
    assert [int(image.get_array()[0, 0]) for image in ax.images] == expected
    assert "".join(texts(ax)[:2]) == "0, not 9 · 90.0%"
    assert "".join(texts(ax)[2:4]) == "8, not 7 · 83.7%"
    assert ax.texts[0].get_color() != ax.texts[1].get_color()
    assert figure.get_suptitle().startswith("10 mistakes among 20 images")
    assert "predicted class, not true class" in figure.get_suptitle()


@pytest.mark.parametrize("classes", [("triangle", "rectangle", "star"), ("$x", "$\\undefined$", "W" * 100)])
def test_worst_names_the_classes_within_their_columns(classes):
    figure = mistakes._worst_figure(*mistaken(40, 3), classes)
    renderer = draw(figure)
    (ax,) = figure.axes
    assert texts(ax)[0] == classes[1]  # the 40th image is of class 0
    assert texts(ax)[1] == f"not {classes[0]} \u00b7 90.0%"
    assert_mistakes_are_apart(figure, renderer)


def assert_mistakes_are_apart(figure, renderer):
    """Images are square, within the figure and wider than 100 pixels; neither they nor texts touch each other."""
    (ax,) = figure.axes
    images = [image.get_window_extent(renderer) for image in ax.images]
    assert_apart([*images, *(text.get_window_extent(renderer) for text in [*ax.texts, figure._suptitle])], slack=1)
    for box in images:
        assert box.width == pytest.approx(box.height)
        assert box.width > 100
        assert min(box.x0, box.y0, figure.bbox.width - box.x1) > 5


def test_worst_names_classes_of_one_letter_in_one_line():
    figure = mistakes._worst_figure(*mistaken(4, 3), ("A", "B", "C"))
    assert "".join(texts(figure.axes[0])[:2]) == "B, not A \u00b7 90.0%"


def test_worst_refuses_other_classes():
    with pytest.raises(InputError, match="classes has 2 names; expected 10"):
        plots.worst(*mistaken(5), ["a", "b"])


def test_worst_shows_at_most_36_and_states_the_total():
    figure = mistakes._worst_figure(*mistaken(100))
    assert len(figure.axes[0].images) == 36
    assert figure.get_suptitle().startswith("The 36 most confident of 50 mistakes among 100 images")


def test_worst_with_one_mistake_and_with_none():
    assert mistakes._worst_figure(*mistaken(2)).get_suptitle().startswith("1 mistake among 2 images")
    nothing = mistakes._worst_figure(*mistaken(1))
    assert not nothing.axes
    assert nothing.get_suptitle() == "No mistakes among 1 images"
    empty = np.zeros((0, 28, 28), np.uint8), np.zeros(0, int), np.zeros(0, int), np.zeros((0, 10))
    assert plots.worst(*empty).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("confidence", "shown"), [(0.99949, "99.9%"), (0.9996, ">99.9%"), (1.0, "100.0%"), (0.5, "50.0%")]
)
def test_rounding_does_not_create_certainty(confidence, shown):
    images, labels, predictions, _ = mistaken(2)
    figure = mistakes._worst_figure(images, labels, predictions, np.full((2, 10), confidence))
    assert texts(figure.axes[0])[1].endswith(f" · {shown}")


@pytest.mark.parametrize("num_classes", [10, 100])
def test_titles_of_neighbours_do_not_touch(num_classes):
    images, labels, predictions, _ = mistaken(120, num_classes)
    figure = mistakes._worst_figure(images, labels, predictions, np.full((120, num_classes), 0.9999))
    assert_mistakes_are_apart(figure, draw(figure))


@pytest.mark.parametrize(
    ("place", "array"), [(0, np.zeros((5, 784))), (1, np.zeros(4)), (2, np.zeros((5, 1))), (3, np.zeros((4, 10)))]
)
def test_worst_refuses_arrays_that_do_not_fit(place, array):
    arguments = list(mistaken(5))
    arguments[place] = array
    with pytest.raises(InputError, match=r"expected \(n, 28, 28\)"):
        plots.worst(*arguments)


@pytest.mark.parametrize("prediction", [-1, 10])
def test_worst_refuses_predictions_that_are_not_classes(prediction):
    images, labels, _, probabilities = mistaken(3)
    with pytest.raises(InputError, match=f"predictions.*{prediction}.*expected 0 to 9"):
        plots.worst(images, labels, np.full(3, prediction), probabilities)
    with pytest.raises(InputError, match=f"labels.*{prediction}.*expected 0 to 9"):
        plots.worst(images, np.full(3, prediction), labels, probabilities)


# The kernels of C1


def test_filters_share_one_scale_about_zero():
    drawn = np.random.default_rng(0).normal(size=(6, 5, 5)).astype(np.float32)
    drawn[3, 1, 2] = -7.5
    figure = kernels._filters_figure(drawn)
    assert len(figure.axes) == 7  # and the colour bar
    for ax, kernel in zip(figure.axes, drawn, strict=False):
        np.testing.assert_array_equal(ax.images[0].get_array(), kernel)
        assert ax.images[0].get_clim() == (-7.5, 7.5)
    low, middle, high = (figure.axes[0].images[0].cmap(value) for value in (0.0, 0.5, 1.0))
    assert low[2] > low[0]  # blue
    assert min(middle) > 0.97  # white
    assert high[0] > high[2]  # vermillion


def test_filters_of_zeros_have_a_scale():
    assert kernels._filters_figure(np.zeros((6, 5, 5))).axes[0].images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize("shape", [(6, 1, 5), (16, 6, 5, 5), (0, 1, 5, 5)])
def test_filters_refuse_other_shapes(shape):
    with pytest.raises(InputError, match=r"\(6, 1, 5, 5\)"):
        plots.filters(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_filters_refuse_values_without_a_colour(value):
    with pytest.raises(InputError, match="not finite in float32"):
        plots.filters(np.full((6, 1, 5, 5), value))


# The network


def assert_apart(boxes, slack=0):
    for k, one in enumerate(boxes):
        for other in boxes[:k]:
            width = min(one.x1, other.x1) - max(one.x0, other.x0)
            height = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert min(width, height) <= slack, (one, other)


def test_architecture_states_the_network():
    (ax,) = diagram._architecture_figure(10).axes
    written = [text.replace("\N{MULTIPLICATION SIGN}", "x") for text in texts(ax)]
    for expected in ["Input", "28x28", "C1", "6 @ 28x28", "S2", "6 @ 14x14", "C3", "16 @ 10x10", "S4", "16 @ 5x5"]:
        assert expected in written
    for expected in ["C5", "120", "F6", "84", "Output", "10", *"0123456789"]:
        assert expected in written
    counts = [6 * 26, 16 * (6 * 25 + 1), 120 * (16 * 25 + 1), 84 * 121, 10 * 85]
    assert [text for text in written if text in {f"{n:,}" for n in counts}] == [f"{n:,}" for n in counts]
    assert f"{sum(counts):,} in all" in written
    assert "61,706 in all" in written


@pytest.mark.parametrize(("num_classes", "output", "total"), [(2, "170", "61,026"), (26, "2,210", "63,066")])
def test_architecture_follows_the_number_of_classes(num_classes, output, total):
    (ax,) = diagram._architecture_figure(num_classes).axes
    assert {str(num_classes), output, f"{total} in all"} <= set(texts(ax))


def test_architecture_draws_every_plane_to_scale():
    (ax,) = diagram._architecture_figure(10).axes
    unit = diagram._UNIT
    sides = [
        round(patch.get_width() / unit)
        for patch in ax.patches
        if isinstance(patch, matplotlib.patches.Rectangle) and abs(patch.get_width() - patch.get_height()) < 1e-6
    ]
    # Input and C1; S2; C3; S4 with the patches that C1, C3 and C5 see; what S2 and S4 see.
    assert [sides.count(side) for side in (28, 14, 10, 5, 2)] == [1 + 6, 6, 16, 16 + 3, 2]


PLANES = [1, 6, 6, 16, 16, 1, 1, 1]  # of the input and of each stage; a column is one rectangle


def parts_of(num_classes):
    """The filled rectangles of each stage, the outlined fields, and the axes of a diagram."""
    (ax,) = diagram._architecture_figure(num_classes).axes
    boxes = [patch for patch in ax.patches if isinstance(patch, matplotlib.patches.Rectangle)]
    filled = iter([patch.get_bbox() for patch in boxes if patch.get_facecolor()[3]])
    stages = [[next(filled) for _ in range(count)] for count in PLANES]
    assert not list(filled)
    black = matplotlib.colors.to_rgba(style.INK)
    fields = [each.get_bbox() for each in boxes if not each.get_facecolor()[3] and each.get_edgecolor() == black]
    return stages, fields, ax


def edges(stage):
    return min(box.x0 for box in stage), max(box.x1 for box in stage)


@pytest.mark.parametrize("num_classes", [2, 10, 1000])
def test_the_stages_of_the_architecture_are_in_a_row(num_classes):
    stages, _, ax = parts_of(num_classes)
    middles = [(min(box.y0 for box in stage) + max(box.y1 for box in stage)) / 2 for stage in stages]
    np.testing.assert_allclose(middles, middles[0])
    gaps = [(edges(left)[1], edges(right)[0]) for left, right in itertools.pairwise(stages)]
    assert all(80 < right - left < 150 for left, right in gaps)
    operations = [text for text in ax.texts if text.get_text() in ("convolution", "average", "connection")]
    np.testing.assert_allclose([text.get_position()[0] for text in operations], [sum(gap) / 2 for gap in gaps])
    named = [text for text in ax.texts if text.get_text() in ("Input", "C1", "S2", "C3", "S4", "C5", "F6", "Output")]
    np.testing.assert_allclose([text.get_position()[0] for text in named], [sum(edges(stage)) / 2 for stage in stages])


def test_the_planes_of_the_architecture_are_behind_each_other():
    for stage in parts_of(10)[0][1:5]:  # drawn from the back, which is the upper left, to the front
        shifts = np.diff([[box.x0, box.y0] for box in stage], axis=0)
        np.testing.assert_allclose(shifts[:, 0], -shifts[:, 1])
        np.testing.assert_allclose(shifts, np.broadcast_to(shifts[0], shifts.shape))
        assert 4 < shifts[0, 0] < 15


def test_the_columns_of_the_architecture_are_to_scale():
    heights = [stage[0].height for stage in parts_of(10)[0][5:]]
    np.testing.assert_allclose(heights, [2.5 * 120, 2.5 * 84, 20 * 10])
    assert parts_of(1000)[0][7][0].height == 310
    assert {stage[0].width for stage in parts_of(10)[0][5:]} == {24}


@pytest.mark.parametrize("num_classes", [2, 10])
def test_the_architecture_draws_what_a_unit_sees(num_classes):
    stages, fields, ax = parts_of(num_classes)
    fronts = [stage[-1] for stage in stages]
    unit = fronts[0].width / 28
    np.testing.assert_allclose([[box.width, box.height] for box in fields], [[unit * n] * 2 for n in (5, 2, 5, 2, 5)])
    # The field of a unit is in the stage before, at the same place in each plane; a column is seen as a whole.
    for field, front in zip(fields, fronts, strict=False):
        assert front.x0 <= field.x0 < field.x1 <= front.x1
        assert front.y0 <= field.y0 < field.y1 <= front.y1
        if field.width < front.width:
            assert (field.x0 - front.x0) / (front.width - field.width) == pytest.approx(0.55)
            assert (front.y1 - field.y1) / (front.height - field.height) == pytest.approx(0.6)
    lines = [line.get_xydata() for line in ax.lines]
    for seen, front, (upper, lower, dot) in zip(
        [*fields, *fronts[5:7]], fronts[1:], zip(lines[::3], lines[1::3], lines[2::3], strict=True), strict=True
    ):
        np.testing.assert_allclose(upper[0], [seen.x1, seen.y1])
        np.testing.assert_allclose(lower[0], [seen.x1, seen.y0])
        np.testing.assert_allclose([upper[1], lower[1]], [dot[0]] * 2)
        assert_a_unit_of(front, dot[0], unit)


def assert_a_unit_of(front, dot, unit):
    """A dot is within the front plane of a stage, or at the left edge of a unit of a column, near a quarter of it."""
    x, y = dot
    if front.width > 24 or front.width == front.height:
        assert [(x - front.x0) / front.width, (front.y1 - y) / front.height] == pytest.approx([0.2, 0.25])
    else:
        assert x == front.x0
        assert (front.y1 - y) / front.height == pytest.approx(0.27, abs=0.03)


@pytest.mark.parametrize("arguments", [(2,), (10,), (26,), (1000,), (10, "1998")])
def test_no_text_of_the_architecture_overlaps_or_leaves_the_card(arguments):
    figure = diagram._architecture_figure(*arguments)
    renderer = draw(figure)
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert_apart(boxes)
    assert min(min(box.x0, box.y0) for box in boxes) > 10
    assert max(box.x1 for box in boxes) < 1590
    assert max(box.y1 for box in boxes) < 630


def test_architecture_is_a_white_card_with_transparent_corners():
    pixels = matplotlib.image.imread(io.BytesIO(plots.architecture()))
    assert pixels[0, 0, 3] == pixels[-1, -1, 3] == 0
    np.testing.assert_array_equal(pixels[10, 800], 1)


def test_architecture_refuses_one_class():
    with pytest.raises(InputError, match="num_classes is 1"):
        plots.architecture(1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_colours_do_not_depend_on_the_type_of_the_counts(dtype):
    ax = confusion._confusion_matrix_figure(np.array([[90, 10], [5, 195]], dtype)).axes[0]
    np.testing.assert_allclose(ax.images[0].get_array().filled(-1), [[-1, 10], [2.5, -1]])
