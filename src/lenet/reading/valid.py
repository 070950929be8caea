"""Find the most probable value of a field, given its number of digits and its checksum.

The weight of an invalid value is divided by a hundred. The best valid value is found by dynamic programming over the
nodes of the graph, from right to left. The states are the number of digits so far and the remainder of their checksum.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lenet.reading.fields import CHECKSUMS, MAX_DIGITS, Checksum, Field
from lenet.reading.graph import Graph
from lenet.reading.paths import best_path, log_sum_of, log_sums
from lenet.reading.strokes import Floats, Ints

_INVALID = np.log(0.01)  # the weight of an invalid value relative to that of a valid one


def most_probable(graph: Graph, field: Field) -> tuple[list[int], list[int | None], float]:
    """Return the arcs and labels of the most probable value of a field, and the value's probability.

    Examples
    --------
    Two strokes are most probably 8 and 2, but fail the mod 11 check. 8 and 6 pass it: 2 * 8 + 6 is 22.

    >>> digits = np.log(np.full((2, 10), 0.01))
    >>> digits[0, 8], digits[1, 2], digits[1, 6] = np.log([0.9, 0.6, 0.3])
    >>> graph = Graph(np.array([0, 1]), np.array([1, 2]), digits, np.full(2, -9.0))
    >>> most_probable(graph, Field("row", cell=(0, 0)))[1]
    [8, 2]
    >>> most_probable(graph, Field("row", cell=(0, 0), checksum="mod11"))[1]
    [8, 6]
    """
    path = best_path(graph)
    if field.digits is None and field.checksum is None:
        return path.arcs, path.labels, path.confidence
    states = _States.of(field, graph)
    best, sums = states.totals(np.max), states.totals(_log_sum)
    all_weights = log_sums(graph, graph.total)[0][-1]
    valid_weights = np.logaddexp.reduce(sums[0], axis=None)
    total = np.logaddexp(valid_weights + np.log1p(-np.exp(_INVALID)), all_weights + _INVALID)
    arcs, labels, prior = path.arcs, path.labels, _INVALID
    if best[0].max() > _weight(graph, arcs, labels) + _INVALID:
        arcs, labels = states.traced(best)
        prior = 0.0
    return arcs, labels, float(np.exp(min(0.0, log_sum_of(labels, graph) + prior - total)))


def _weight(graph: Graph, arcs: list[int], labels: list[int | None]) -> float:
    pairs = zip(arcs, labels, strict=True)
    return float(sum(graph.other[arc] if label is None else graph.digits[arc, label] for arc, label in pairs))


def _log_sum(weights: Floats, axis: int) -> Floats:
    """Return the logarithms of sums, like `np.logaddexp.reduce`, which takes several times as long."""
    largest = weights.max(axis=axis)
    scale = np.where(largest > -np.inf, largest, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(scale + np.log(np.exp(weights - scale).sum(axis=axis)))


@dataclass(frozen=True)
class _States:
    """The states before each arc, by number of digits and remainder."""

    graph: Graph
    origins: Ints  # (num_classes, digits, remainders): the remainder before each further digit
    is_valid: NDArray[np.bool_]  # (digits + 1, remainders)

    @classmethod
    def of(cls, field: Field, graph: Graph) -> "_States":
        """Return the states of a field."""
        count = min(graph.end, MAX_DIGITS) if field.digits is None else field.digits
        checksum = Checksum(1, lambda digit, place: 0) if field.checksum is None else CHECKSUMS[field.checksum]
        remainders = np.arange(checksum.modulus)
        terms = [[checksum.term(digit, place) for place in range(count)] for digit in range(graph.digits.shape[1])]
        is_valid = np.zeros((count + 1, checksum.modulus), bool)
        is_valid[1 if field.digits is None else count :, 0] = True
        return cls(graph, (remainders - np.array(terms)[:, :, np.newaxis]) % checksum.modulus, is_valid)

    def before(self, arc: int, after: Floats) -> Floats:
        """Return the weights of the states before an arc for each of its labels; the last label is a non-digit."""
        places = np.arange(len(after) - 1)[:, np.newaxis]
        weights = np.full((len(self.origins) + 1, *after.shape), -np.inf)
        weights[:-1, 1:] = after[places, self.origins] + self.graph.digits[arc][:, np.newaxis, np.newaxis]
        weights[-1] = after + self.graph.other[arc]
        return weights

    def totals(self, add: Callable[..., Floats]) -> Floats:
        """Return the weights of the states at each node, added over all paths to the last; at the first, if valid."""
        totals = np.full((self.graph.end + 1, *self.is_valid.shape), -np.inf)
        totals[-1, 0, 0] = 0.0
        for node in np.unique(self.graph.starts)[::-1]:
            arcs = np.flatnonzero(self.graph.starts == node)
            weights = [self.before(arc, totals[self.graph.stops[arc]]) for arc in arcs.tolist()]
            totals[node] = add(np.concatenate(weights), axis=0)
        totals[0, ~self.is_valid] = -np.inf
        return totals

    def traced(self, best: Floats) -> tuple[list[int], list[int | None]]:
        """Return the arcs and labels of the best valid path."""
        node, (count, remainder) = 0, np.unravel_index(best[0].argmax(), best[0].shape)
        arcs: list[int] = []
        labels: list[int | None] = []
        while node < self.graph.end:
            leaving = np.flatnonzero(self.graph.starts == node)
            weights = np.array(
                [self.before(arc, best[self.graph.stops[arc]])[:, count, remainder] for arc in leaving.tolist()]
            )
            which, label = np.unravel_index(weights.argmax(), weights.shape)
            arcs.append(int(leaving[which]))
            labels.append(int(label) if label < len(self.origins) else None)
            if label < len(self.origins):
                count, remainder = count - 1, self.origins[label, count - 1, remainder]
            node = int(self.graph.stops[arcs[-1]])
        return arcs, labels
