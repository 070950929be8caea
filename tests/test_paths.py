"""The best path through a line's segments, and its probabilities, against all paths one by one."""

import itertools

import numpy as np
import pytest

from lenet.reading.paths import Graph, best_path, graph_of, log_sums, total_of
from lenet.reading.segments import AS_DIGIT, AS_OTHER, Segments

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
    for place, arc in enumerate(path.arcs):
        for column, label in enumerate([*range(CLASSES), None]):
            passing = sum(w for arcs, labels, w in readings if (arc, label) in zip(arcs, labels, strict=True))
            assert path.probabilities[place, column] == pytest.approx(passing / whole)


@pytest.mark.parametrize("seed", range(3))
def test_sums_of_all_paths(seed):
    graph = random_graph(np.random.default_rng(seed))
    sums = log_sums(graph.starts, graph.stops, total_of(graph), graph.end)
    assert np.exp(sums[-1]) == pytest.approx(sum(weight for *_, weight in all_readings(graph)))
    assert sums[0] == 0


def test_a_long_line_neither_overflows_nor_underflows():
    n = 2000
    graph = Graph(np.arange(n), np.arange(1, n + 1), np.tile([-50.0, -60, -70], (n, 1)), np.full(n, -80.0))
    path = best_path(graph)
    assert path.labels == [0] * n
    assert path.confidence == pytest.approx((1 / (1 + np.exp(-10) + np.exp(-20) + np.exp(-30))) ** n)


def test_weights_are_what_the_columns_say():
    segments = Segments(
        np.array([0]), np.array([1]), np.zeros((1, 4), int), np.log([[0.7, 0.3]]),
        np.zeros((1, len(AS_DIGIT))), np.zeros((1, len(AS_OTHER))),
    )  # fmt: skip
    graph = graph_of(segments)
    assert graph.other[0] == 0
    assert graph.digits[0, 0] > graph.digits[0, 1]
    for column, name in enumerate(AS_DIGIT):
        worse = np.zeros((1, len(AS_DIGIT)))
        worse[0, column] = -1 if "logarithm" in name else 1
        changed = graph_of(Segments(*[*vars(segments).values()][:4], worse, segments.as_other)).digits
        assert (changed < graph.digits).all(), name  # each of them speaks against a digit
