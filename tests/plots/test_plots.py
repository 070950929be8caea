import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from lenet import plots
from lenet.errors import InputError, InputTypeError
from lenet.plots import confusion, curves, diagram, kernels, mistakes

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
    loss, ax = curves._learning_curves_figure(rows, "").axes
    assert [line.get_xdata() for line in loss.get_lines() if line.get_linestyle() == ":"] == [[epoch, epoch]]
    label = f"kept: 99.34% at epoch {epoch}"
    np.testing.assert_allclose(lines(ax)[label].get_xydata(), [[epoch, 99.34]])
    assert label in [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_best_epoch_without_an_accuracy_is_marked_by_its_number():
    rows = [row | {"val_accuracy": None} for row in history(3)]
    best = 1 + int(np.argmin([row["val_loss"] for row in rows]))
    ax = curves._learning_curves_figure(rows, "").axes[1]
    assert ax.get_legend().get_texts()[-1].get_text() == f"kept: epoch {best}"
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
    np.testing.assert_array_equal(np.ma.getmaskarray(shares), np.diag([True, False, True]))
    np.testing.assert_allclose(shares.filled(-1), [[-1, 10, 0], [0, 0, 0], [2.5, 0, -1]])
    assert ax.images[0].get_clim() == (0, 10)
    assert ax.get_title() == "Confusion matrix: 95.00% of 300 correct"


def test_matrix_without_mistakes_or_images():
    [ax] = confusion._confusion_matrix_figure(np.diag([3, 4])).axes  # no bar
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


def luminance(colour):
    """The relative luminance of WCAG 2.1."""
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in matplotlib.colors.to_rgb(colour)]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


def test_counts_have_the_contrast_of_wcag_on_every_colour():
    ax = confusion._confusion_matrix_figure(np.array([[1, 1], [0, 2]])).axes[0]
    darkest = min(luminance(ax.images[0].cmap(x)[:3]) for x in (0.0, 1.0, np.ma.masked))
    assert all((darkest + 0.05) / (luminance(text.get_color()) + 0.05) >= 4.5 for text in ax.texts)


@pytest.mark.parametrize(("num_classes", "size"), [(10, 10), (62, 28)])
def test_the_title_and_the_labels_grow_with_the_matrix(num_classes, size):
    """62 classes take 28 inches; scaled to a screen of 9 inches, its labels have 9 points."""
    ax, bar = confusion._confusion_matrix_figure(np.ones((num_classes, num_classes), int)).axes
    labels = ax.xaxis.label, ax.yaxis.label, bar.yaxis.label
    assert [text.get_fontsize() for text in (ax.title, *labels)] == pytest.approx([1.2 * size, *3 * [size]])


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
    assert [label.get_text() for label in ax.get_xticklabels()] == ["one", "#1"]
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


@pytest.mark.parametrize(("num_classes", "output", "total"), [(2, "170", "61,026"), (26, "2,210", "63,066")])
def test_architecture_follows_the_number_of_classes(num_classes, output, total):
    (ax,) = diagram._architecture_figure(num_classes).axes
    assert {str(num_classes), output, f"{total} in all"} <= set(texts(ax))


@pytest.mark.parametrize("arguments", [(2,), (10,), (26,), (1000,), (10, "1998")])
def test_no_text_of_the_architecture_overlaps_or_leaves_the_card(arguments):
    figure = diagram._architecture_figure(*arguments)
    renderer = draw(figure)
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert_apart(boxes)
    assert min(min(box.x0, box.y0) for box in boxes) > 10
    assert max(box.x1 for box in boxes) < 1590
    assert max(box.y1 for box in boxes) < 630


def test_architecture_refuses_one_class():
    with pytest.raises(InputError, match="num_classes is 1"):
        plots.architecture(1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_colours_do_not_depend_on_the_type_of_the_counts(dtype):
    ax = confusion._confusion_matrix_figure(np.array([[90, 10], [5, 195]], dtype)).axes[0]
    np.testing.assert_allclose(ax.images[0].get_array().filled(-1), [[-1, 10], [2.5, -1]])
