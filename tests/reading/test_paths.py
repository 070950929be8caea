"""The best path through the segments of a line, and its probabilities, against all paths."""

import itertools

import numpy as np
import pytest

from lenet.reading.features import Features
from lenet.reading.fields import Field
from lenet.reading.graph import LEARNED, Graph, graph_of
from lenet.reading.paths import arc_posteriors, best_path, confidence_of, log_sums
from lenet.reading.segments import Segments
from lenet.reading.valid import most_probable

CLASSES = 3


def random_graph(rng, nodes=5):
    """Arcs of one to three pieces, a few left out at random; each piece alone is an arc."""
    arcs = [(a, b) for a in range(nodes) for b in range(a + 1, min(a + 4, nodes + 1))]
    arcs = [(a, b) for a, b in arcs if b == a + 1 or rng.random() < 0.7]
    starts, stops = np.array(arcs).T
    return Graph(starts, stops, rng.normal(0, 2, (len(arcs), CLASSES)), rng.normal(-1, 2, len(arcs)))


def all_readings(graph):
    """Each path with each labelling: its arcs, its labels and its weight."""

    def paths(node):
        if node == graph.end:
            yield []
        for arc in np.flatnonzero(graph.starts == node):
            for rest in paths(graph.stops[arc]):
                yield [int(arc), *rest]

    for path in paths(0):
        for labels in itertools.product([*range(CLASSES), None], repeat=len(path)):
            logs = [graph.other[a] if c is None else graph.digits[a, c] for a, c in zip(path, labels, strict=True)]
            yield path, list(labels), float(np.exp(sum(logs)))


@pytest.mark.parametrize("seed", range(8))
def test_the_best_path_and_all_probabilities_are_those_of_counting_all_readings(seed):
    graph = random_graph(np.random.default_rng(seed))
    readings = list(all_readings(graph))
    whole = sum(weight for *_, weight in readings)
    best = max(readings, key=lambda reading: reading[2])
    path = best_path(graph)
    assert (path.arcs, path.labels) == best[:2]
    text = [label for label in best[1] if label is not None]
    same = sum(w for _, labels, w in readings if [label for label in labels if label is not None] == text)
    assert path.confidence == pytest.approx(same / whole)
    by_piece = np.zeros((graph.end, CLASSES + 1))
    for arcs, labels, weight in readings:
        for arc, label in zip(arcs, labels, strict=True):
            by_piece[graph.starts[arc] : graph.stops[arc], CLASSES if label is None else label] += weight / whole
    for arc, label, row in zip(path.arcs, path.labels, path.probabilities, strict=True):
        pieces = by_piece[graph.starts[arc] : graph.stops[arc]]
        np.testing.assert_allclose(row, max(pieces, key=lambda piece: piece[CLASSES if label is None else label]))


def luhn(text):
    """The sum of the digits of all numbers, every second of them doubled from the right, by its published rule."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(text))]
    return sum(int(digit) for number in doubled for digit in str(number)) % 10 == 0


@pytest.mark.parametrize(
    ("rule", "is_valid"),
    [
        ({"digits": 3}, lambda text: len(text) == 3),
        ({"checksum": "luhn"}, lambda text: text != "" and luhn(text)),
        ({"digits": 4, "checksum": "luhn"}, lambda text: len(text) == 4 and luhn(text)),
        ({"digits": 6}, lambda text: False),  # there are five pieces
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_the_most_probable_value_of_a_field_is_that_of_counting_all_readings(seed, rule, is_valid):
    """A reading whose value is invalid has a hundredth of its weight."""
    graph = random_graph(np.random.default_rng(seed))
    weighed = []
    for arcs, labels, weight in all_readings(graph):
        text = "".join(str(label) for label in labels if label is not None)
        weighed.append((weight * (1 if is_valid(text) else 0.01), text, arcs, labels))
    best = max(weighed)
    arcs, labels, confidence = most_probable(graph, Field("a", cell=(0, 0), **rule))
    assert (arcs, labels) == best[2:]
    same = sum(weight for weight, text, *_ in weighed if text == best[1])
    assert confidence == pytest.approx(same / sum(weight for weight, *_ in weighed))


def test_an_invalid_value_is_kept_unless_a_valid_one_has_more_than_a_hundredth_of_its_weight():
    """By Luhn's rule, of the numbers of one digit, only 0 is valid."""
    field, hundredth = Field("a", cell=(0, 0), checksum="luhn"), np.log(0.01)
    for weight, expected in ((hundredth, 5), (np.nextafter(hundredth, 0), 0)):
        digits = np.full((1, 10), -np.inf)
        digits[0, 5], digits[0, 0] = 0.0, weight
        graph = Graph(np.array([0]), np.array([1]), digits, np.array([-np.inf]))
        arcs, labels, confidence = most_probable(graph, field)
        assert (arcs, labels) == ([0], [expected])
        assert confidence == pytest.approx(0.5)  # both have the same weight
        assert confidence <= 1


@pytest.mark.parametrize("seed", range(3))
def test_sums_of_all_paths(seed):
    graph = random_graph(np.random.default_rng(seed))
    forward, backward = log_sums(graph, graph.total)
    assert np.exp(forward[-1]) == pytest.approx(sum(weight for *_, weight in all_readings(graph)))
    assert backward[0] == pytest.approx(forward[-1])
    assert forward[0] == backward[-1] == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_an_arc_is_that_of_the_readings_that_pass_it(seed):
    graph = random_graph(np.random.default_rng(seed))
    readings = list(all_readings(graph))
    whole = sum(weight for *_, weight in readings)
    passing = [sum(weight for arcs, _, weight in readings if arc in arcs) for arc in range(len(graph.starts))]
    assert arc_posteriors(graph) == pytest.approx(np.array(passing) / whole)


def test_a_long_line_neither_overflows_nor_underflows():
    n = 2000
    graph = Graph(np.arange(n), np.arange(1, n + 1), np.tile([-50.0, -60, -70], (n, 1)), np.full(n, -80.0))
    path = best_path(graph)
    assert path.labels == [0] * n
    assert path.confidence == pytest.approx((1 / (1 + np.exp(-10) + np.exp(-20) + np.exp(-30))) ** n)


def weighed(**features):
    """The graph of one segment with these features; the others are 0."""
    values = {name: np.full(1, features.get(name, 0.0)) for name in Features.__dataclass_fields__}
    one, box, image = np.array([0]), np.zeros((1, 4), int), np.zeros((1, 28, 28), np.uint8)
    segments = Segments(None, one, one + 1, box, image, np.array([[0.7, 0.3]]), Features(**values))
    return graph_of(segments)


@pytest.mark.parametrize("name", LEARNED.as_digit)
def test_each_feature_of_a_digit_lowers_its_weight(name):
    worse = -1.0 if name in ("margin", "log_score") else 1.0
    assert (weighed(**{name: worse}).digits < weighed().digits).all()


def test_every_feature_has_a_coefficient():
    """Signs lower the digit score instead."""
    assert LEARNED.as_digit.keys() | LEARNED.as_other.keys() == Features.__dataclass_fields__.keys() - {"signs"}


def test_the_confidence_of_digits_beside_a_word_is_over_all_readings_of_the_word():
    """A word of two pieces and a digit: the weights of the word's readings are 3 + 1 for each piece, or 4 for both."""
    weights = np.array([[1.0, 2.0], [0.5, 2.5], [3.0, 0.5], [6.0, 2.0], [0.5, 0.25]])
    starts, stops, other = np.array([0, 1, 0, 2, 1]), np.array([1, 2, 2, 3, 3]), np.array([1.0, 1.0, 0.5, 2.0, 0.25])
    graph = Graph(starts, stops, np.log(weights), np.log(other))
    word = graph.without_digits_between(0, 2)
    np.testing.assert_allclose(np.exp(word.other), [4, 4, 4, 2, 0.25])
    np.testing.assert_allclose(np.exp(word.digits), [[0, 0], [0, 0], [0, 0], [6, 2], [0.5, 0.25]])
    np.testing.assert_allclose(np.exp(word.total), np.exp(graph.total))
    # Paths to node 2 weigh 4 * 4 + 4, and to the end 20 * 10 + 4 * 1; as one 0, 20 * 6 + 4 * 0.5.
    assert confidence_of([None, None, 0], word) == pytest.approx(122 / 204)
    assert confidence_of([None, None, 0], graph) == pytest.approx((6 + 2 + 1 + 3 + 6 + 0.5 + 0.25) / 204)
