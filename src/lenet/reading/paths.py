"""Find the best path through the graph of a line, and its probability.

The weight of a path is the product of the weights of its arcs. The probability of a reading is its share of the weight
of all paths with all labels, which the paper calls forward scoring (section VI.C).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.reading.graph import Graph
from lenet.reading.strokes import Floats, Ints


@dataclass(frozen=True)
class Path:
    """A reading of a line."""

    arcs: list[int]  # from left to right
    labels: list[int | None]  # the digit of each arc; None for a non-digit
    # (len(arcs), num_classes + 1): the probability of each digit and (last column) of a non-digit, over all ways to cut
    # the line, for the piece of the arc whose label is the most certain.
    probabilities: Floats
    confidence: float  # the probability of the digits, over all ways to cut them


def best_path(graph: Graph, must_be_digit: NDArray[np.bool_] | None = None) -> Path:
    """Return the path with the greatest weight.

    On this path, arcs that must be digits are not read as non-digits; the probabilities do not depend on this.

    Examples
    --------
    Two pieces are a 0 and a 1, or together a 1 with a third of the weight.

    >>> weights = np.log([[0.9, 0.1], [0.1, 0.9], [0.03, 0.27]])
    >>> starts, stops = np.array([0, 1, 0]), np.array([1, 2, 2])
    >>> graph = Graph(starts, stops, weights, np.full(3, -np.inf))
    >>> path = best_path(graph)
    >>> path.labels, round(path.confidence, 3)  # 0.9 * 0.9 / (1 + 0.3)
    ([0, 1], 0.623)
    """
    other = graph.other if must_be_digit is None else np.where(must_be_digit, -np.inf, graph.other)
    path = _best_arcs(graph, np.maximum(graph.digits.max(axis=1), other))
    labels = [None if other[arc] >= graph.digits[arc].max() else int(graph.digits[arc].argmax()) for arc in path]
    by_piece, surest = _piece_posteriors(graph), []
    for arc, label in zip(path, labels, strict=True):
        pieces = slice(graph.starts[arc], graph.stops[arc])
        surest.append(pieces.start + by_piece[pieces, -1 if label is None else label].argmax())
    return Path(path, labels, by_piece[surest], confidence_of(labels, graph))


def confidence_of(labels: Sequence[int | None], graph: Graph) -> float:
    """Return the probability of a line's digits, over all ways to cut them and any non-digits between them."""
    total = _log_sums_to(graph.starts, graph.stops, graph.total, graph.end)[-1]
    return float(np.exp(log_sum_of(labels, graph) - total))


def log_sums(graph: Graph, weights: Floats) -> tuple[Floats, Floats]:
    """Return the log-sums of the weights of all paths from the first node to each, and from each to the last."""
    forward = _log_sums_to(graph.starts, graph.stops, weights, graph.end)
    return forward, _log_sums_to(graph.end - graph.stops, graph.end - graph.starts, weights, graph.end)[::-1]


def _piece_posteriors(graph: Graph) -> Floats:
    """Return the probability of each digit and (last column) of a non-digit for each piece, from all paths."""
    posteriors = np.exp(np.column_stack([graph.digits, graph.other]) + _log_shares(graph)[:, np.newaxis])
    changes = np.zeros((graph.end + 1, posteriors.shape[1]))  # from each piece to the next
    np.add.at(changes, graph.starts, posteriors)
    np.subtract.at(changes, graph.stops, posteriors)
    return np.asarray(changes.cumsum(axis=0)[:-1].clip(0, 1))


def arc_posteriors(graph: Graph) -> Floats:
    """Return the probability that the right path passes each arc, shape (n,), from the weights of all paths."""
    return np.asarray(np.exp(graph.total + _log_shares(graph)))


def _log_shares(graph: Graph) -> Floats:
    """Return the logarithm of the share that the paths through each arc would have if its own weight were 1."""
    forward, backward = log_sums(graph, graph.total)
    return np.asarray(forward[graph.starts] + backward[graph.stops] - forward[-1])


def _log_sums_to(starts: Ints, stops: Ints, weights: Floats, end: int) -> Floats:
    sums = [0.0] + [-math.inf] * end  # Python's numbers: NumPy takes longer for a few arcs
    arriving: list[list[tuple[int, float]]] = [[] for _ in sums]
    for start, stop, weight in zip(starts.tolist(), stops.tolist(), weights.tolist(), strict=True):
        arriving[stop].append((start, weight))
    for node, arcs in enumerate(arriving):
        terms = [sums[start] + weight for start, weight in arcs]
        highest = max(terms, default=-math.inf)
        if highest > -math.inf:
            sums[node] = highest + math.log(sum(math.exp(term - highest) for term in terms))
    return np.array(sums)


def _best_arcs(graph: Graph, weights: Floats) -> list[int]:
    """Return the arcs of the path with the greatest weight (Viterbi)."""
    best, arrival = np.full(graph.end + 1, -np.inf), np.zeros(graph.end + 1, np.int64)
    best[0] = 0.0
    for node, arcs in enumerate(_by_stop(graph.stops, graph.end)):
        if len(arcs):
            here = best[graph.starts[arcs]] + weights[arcs]
            arrival[node] = arcs[here.argmax()]
            best[node] = here.max()
    path: list[int] = []
    node = graph.end
    while node:
        path.append(int(arrival[node]))
        node = int(graph.starts[path[-1]])
    return path[::-1]


def log_sum_of(labels: Sequence[int | None], graph: Graph) -> float:
    """Return the logarithm of the sum of the weights of all paths with the same digits as the labels."""
    text = [label for label in labels if label is not None]
    sums = np.full((graph.end + 1, len(text) + 1), -np.inf)  # by node, and by the number of digits before it
    sums[0, 0] = 0.0
    for node, arcs in enumerate(_by_stop(graph.stops, graph.end)):
        if len(arcs):
            before = sums[graph.starts[arcs]]
            sums[node] = np.logaddexp.reduce(before + graph.other[arcs, np.newaxis])
            read = np.logaddexp.reduce(before[:, :-1] + graph.digits[arcs][:, text])
            sums[node, 1:] = np.logaddexp(sums[node, 1:], read)
    return float(sums[-1, -1])


def _by_stop(stops: Ints, end: int) -> list[Ints]:
    """Return the arcs that lead to each node."""
    order = np.argsort(stops, kind="stable")
    return np.split(order, np.searchsorted(stops[order], np.arange(1, end + 1)))
