"""From segments to the reading of a line: the best path through the graph of its segments, and how sure that is.

The gaps between pieces are the nodes of a graph, segments its arcs, as in the paper's heuristic over-segmentation
(section V). An arc has a weight for each digit that it may be, and one for its being something else; a path weighs
the product of its arcs. A reading's probability is its share in the weight of all paths with all their labels, which
the paper calls forward scoring (section VI.D). What counts how much was learnt so that the right readings of MNIST's
validation digits, set side by side, become as probable as possible: `python -m benchmarks.learn_paths`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.reading.segments import Segments


@dataclass(frozen=True)
class Coefficients:
    """What counts how much in the logarithm of an arc's weight.

    Parameters
    ----------
    label : float
        The logarithm of the label's probability.
    by_label : ndarray of float64, shape (10,)
        Being each digit: that a segment looks like a 1 or a 7 says less than that it looks like an 8.
    as_digit, as_other : ndarray of float64, shapes (10,) and (6,)
        The columns of `Segments.as_digit` and `Segments.as_other`.
    """

    label: float
    by_label: NDArray[np.float64]
    as_digit: NDArray[np.float64]
    as_other: NDArray[np.float64]


LEARNT = Coefficients(
    1.25,
    np.array([0.18, -0.99, -0.77, -1.06, -1.02, 0.37, -0.91, -1.08, -0.02, -0.05]),
    np.array([-7.87, -0.93, -6.85, -6.65, -8.38, -2.16, -1.69, -2.43, 0.2, 1.27]),
    np.array([-1.6, -3.8, -4.23, -1.69, -3.91, 1.06]),
)


@dataclass
class Graph:
    """Arcs from node to node, and the logarithms of their weights.

    Parameters
    ----------
    starts, stops : ndarray of int64, shape (n,)
        An arc leads from a node to a later one; the first node is 0, and the last one the greatest of `stops`.
    digits : ndarray of float64, shape (n, num_classes)
        As each digit.
    other : ndarray of float64, shape (n,)
        As something else.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    digits: NDArray[np.float64]
    other: NDArray[np.float64]

    @property
    def end(self) -> int:
        """The last node."""
        return int(self.stops.max())


@dataclass
class Path:
    """A reading of a line.

    Parameters
    ----------
    arcs : list of int
        From left to right.
    labels : list of int or None
        What each is: a digit, or something else.
    probabilities : ndarray of float64, shape (len(arcs), num_classes + 1)
        That a segment is there and is each digit or, in the last column, something else.
    confidence : float
        The probability of the digits, however they are cut.
    """

    arcs: list[int]
    labels: list[int | None]
    probabilities: NDArray[np.float64]
    confidence: float


def graph_of(segments: Segments, coefficients: Coefficients = LEARNT) -> Graph:
    """Weigh the segments of a line."""
    num_classes, by_label = segments.log_probabilities.shape[1], coefficients.by_label
    if num_classes != len(by_label):  # other glyphs than digits
        by_label = np.full(num_classes, by_label.mean())
    as_digit = segments.as_digit @ coefficients.as_digit
    return Graph(
        segments.starts,
        segments.stops,
        coefficients.label * segments.log_probabilities + by_label + as_digit[:, np.newaxis],
        segments.as_other @ coefficients.as_other,
    )


def best_path(graph: Graph, must_be_digit: NDArray[np.bool_] | None = None) -> Path:
    """Return the path of the greatest weight.

    Parameters
    ----------
    graph : Graph
    must_be_digit : ndarray of bool, shape (n,), optional
        The arcs that this path may not take as something else; all probabilities count that possibility all the same.

    Examples
    --------
    Two pieces are a 0 and a 1, or together a 1 with a third of the weight.

    >>> weights = np.log([[0.9, 0.1], [0.1, 0.9], [0.03, 0.27]])
    >>> graph = Graph(np.array([0, 1, 0]), np.array([1, 2, 2]), weights, np.full(3, -np.inf))
    >>> path = best_path(graph)
    >>> path.labels, round(path.confidence, 3)  # of 1 and 0.3 in all
    ([0, 1], 0.623)
    """
    other = graph.other if must_be_digit is None else np.where(must_be_digit, -np.inf, graph.other)
    best = np.maximum(graph.digits.max(axis=1), other)
    weight, back = np.full(graph.end + 1, -np.inf), np.zeros(graph.end + 1, np.int64)
    weight[0] = 0.0
    for node, arcs in enumerate(_by_stop(graph.stops, graph.end)):
        if len(arcs):
            here = weight[graph.starts[arcs]] + best[arcs]
            back[node] = arcs[here.argmax()]
            weight[node] = here.max()
    path: list[int] = []
    node = graph.end
    while node:
        path.append(int(back[node]))
        node = int(graph.starts[path[-1]])
    path.reverse()
    labels = [None if other[arc] >= graph.digits[arc].max() else int(graph.digits[arc].argmax()) for arc in path]
    text = [label for label in labels if label is not None]
    total = total_of(graph)
    forward = log_sums(graph.starts, graph.stops, total, graph.end)
    backward = log_sums(graph.end - graph.stops, graph.end - graph.starts, total, graph.end)[::-1]
    around = forward[graph.starts[path]] + backward[graph.stops[path]] - forward[-1]
    own = np.column_stack([graph.digits[path], graph.other[path]])
    confidence = float(np.exp(_log_sum_of(text, graph) - forward[-1]))
    return Path(path, labels, np.exp(own + around[:, np.newaxis]), confidence)


def total_of(graph: Graph) -> NDArray[np.float64]:
    """Return each arc's weight in all that it may be."""
    return np.asarray(np.logaddexp(np.logaddexp.reduce(graph.digits, axis=1), graph.other))


def log_sums(
    starts: NDArray[np.int64], stops: NDArray[np.int64], weights: NDArray[np.float64], end: int
) -> NDArray[np.float64]:
    """Return the sums of the weights of all paths from node 0 to each node, all as logarithms."""
    sums = np.full(end + 1, -np.inf)
    sums[0] = 0.0
    for node, arcs in enumerate(_by_stop(stops, end)):
        if len(arcs):
            sums[node] = np.logaddexp.reduce(sums[starts[arcs]] + weights[arcs])
    return sums


def _log_sum_of(text: list[int], graph: Graph) -> float:
    """Return the sum of the weights of all paths that read as a text."""
    sums = np.full((graph.end + 1, len(text) + 1), -np.inf)  # by node, and by digits read before it
    sums[0, 0] = 0.0
    for node, arcs in enumerate(_by_stop(graph.stops, graph.end)):
        if len(arcs):
            before = sums[graph.starts[arcs]]
            sums[node] = np.logaddexp.reduce(before + graph.other[arcs, np.newaxis])
            read = np.logaddexp.reduce(before[:, :-1] + graph.digits[arcs][:, text])
            sums[node, 1:] = np.logaddexp(sums[node, 1:], read)
    return float(sums[-1, -1])


def _by_stop(stops: NDArray[np.int64], end: int) -> list[NDArray[np.int64]]:
    """Return the arcs that lead to each node."""
    order = np.argsort(stops, kind="stable")
    return np.split(order, np.searchsorted(stops[order], np.arange(1, end + 1)))
