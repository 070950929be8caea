"""Learn the coefficients that weigh the segments of a line: `python -m benchmarks.learn_paths`.

Rows of MNIST's validation digits, which the shipped weights were not trained on, are cut and joined in all ways. Unlike
in `lenet.reading.read`, legible digits are cut, too, for more wrong segments to learn from. The coefficients maximise
the probability of the correct path and labels, with a small L2 penalty, by L-BFGS. The command prints those of
`lenet.reading.graph.LEARNED`.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

import lenet
from benchmarks.rows import OTHER, Row, plain, varied
from lenet.reading.graph import LEARNED, Coefficients, Graph, graph_of
from lenet.reading.lines import find_lines
from lenet.reading.page import page_of
from lenet.reading.paths import log_sums
from lenet.reading.pieces import pieces_of
from lenet.reading.segments import Segments, segments_of
from lenet.reading.views import with_views
from lenet.training.splits import split

SHRINK = 1e-4
LEAST_SHARED = 0.75  # minimum fraction of a digit's ink in its segment; worse cuts are not used for training
NOT_THIS, AS_OTHER = -2, -1  # what a segment may be on the right path, besides a label
Array = NDArray[np.float64]


@dataclass
class Example:
    """A row's segments, and what each of them is on the right path: a label, `AS_OTHER` or `NOT_THIS`."""

    segments: Segments
    wanted: NDArray[np.int64]


def example(model: lenet.LeNet5, of: Row) -> Example | None:
    """Return a row's segments, or None if no way to join its pieces is right."""
    lines = find_lines(page_of(255 - of.ink))
    if len(lines) != 1 or not np.array_equal(lines[0].page.to_picture, np.eye(2, 3)):
        return None
    pieces, (left, top) = pieces_of(lines[0]), lines[0].corner
    place = slice(top, top + pieces.labels.shape[0]), slice(left, left + pieces.labels.shape[1])
    shares = np.zeros((len(pieces.boxes) + 1, len(of.labels)))  # each piece's ink of each image
    for n in range(len(of.labels)):
        np.add.at(shares[:, n], pieces.labels, np.where(of.owner[place] == n, of.ink[place], 0))
    whole = np.where(of.owner == np.arange(len(of.labels))[:, None, None], of.ink, 0).sum(axis=(1, 2), dtype=float)
    owners = shares[1:].argmax(axis=1)
    [segments] = with_views(model, segments_of(model, [pieces], n_jobs=1), n_jobs=1)
    wanted = np.full(len(segments.starts), NOT_THIS)
    for n, label in enumerate(of.labels):
        own = np.flatnonzero(owners == n)
        if label == OTHER:
            inside = [set(range(a, b)) <= set(own) for a, b in zip(segments.starts, segments.stops, strict=True)]
            wanted[inside] = AS_OTHER
            continue
        if not len(own) or np.ptp(own) + 1 != len(own):
            return None
        ink_of = shares[1 + own].sum(axis=0)
        here = (segments.starts == own[0]) & (segments.stops == own[-1] + 1)
        if not here.any() or ink_of[n] < LEAST_SHARED * (whole[n] + ink_of.sum() - ink_of[n]):
            return None
        wanted[here] = label
    return Example(replace(segments, pieces=None), wanted)  # the pages of all rows would fill the memory


def loss_and_gradient(flat: Array, examples: list[Example]) -> tuple[float, Array]:
    """Return the mean of -log(probability of the right path), shrinking included, and its gradient."""
    coefficients = unflattened(flat)
    loss, gradient = SHRINK * float(flat @ flat), 2 * SHRINK * flat
    for each in examples:
        s, graph = each.segments, graph_of(each.segments, coefficients)
        total, is_digit = graph.total, each.wanted >= 0
        right = np.where(each.wanted == AS_OTHER, graph.other, -np.inf)
        right[is_digit] = graph.digits[is_digit, each.wanted[is_digit]]
        value, passes = _sum_and_shares(graph, total)
        value_right, passes_right = _sum_and_shares(graph, right)
        loss += (value - value_right) / len(examples)
        by_label = passes[:, np.newaxis] * np.exp(graph.digits - total[:, np.newaxis])
        by_label[is_digit, each.wanted[is_digit]] -= passes_right[is_digit]
        by_other = passes * np.exp(graph.other - total) - np.where(each.wanted == AS_OTHER, passes_right, 0)
        parts = [
            [(by_label * s.log_probabilities).sum()],
            by_label.sum(axis=1) @ s.features.columns(coefficients.as_digit),
            by_other @ s.features.columns(coefficients.as_other),
        ]
        gradient += np.concatenate(parts) / len(examples)
    return loss, gradient


def _sum_and_shares(graph: Graph, weights: Array) -> tuple[float, Array]:
    """Return the logarithm of all paths' weights, and the share of those that pass each arc."""
    forward, backward = log_sums(graph, weights)
    return float(forward[-1]), np.exp(forward[graph.starts] + weights + backward[graph.stops] - forward[-1])


def flattened(c: Coefficients) -> Array:
    """Return coefficients as one vector."""
    return np.array([c.label, *c.as_digit.values(), *c.as_other.values()])


def unflattened(flat: Array) -> Coefficients:
    """Return one vector as coefficients of the features of `LEARNED`."""
    label, digit, other = np.split(flat, np.cumsum([1, len(LEARNED.as_digit)]))
    return Coefficients(float(label[0]), _named(LEARNED.as_digit, digit), _named(LEARNED.as_other, other))


def _named(names: Mapping[str, float], values: Array) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def examples_of(model: lenet.LeNet5, make: Callable[..., Row], count: int, seed: int, *digits: Any) -> list[Example]:
    """Return the examples of so many rows, except rows that cannot be joined correctly."""
    rng = np.random.default_rng(seed)
    found = (example(model, make(*digits, rng)) for _ in range(count))
    return [each for each in found if each is not None]


def main() -> None:
    """Learn and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learn_paths", description=__doc__)
    parser.add_argument("--rows", type=int, default=2000, metavar="N")
    arguments = parser.parse_args()
    data, model = lenet.data.load("mnist"), lenet.load_pretrained("mnist")
    held_out = split(data.y_train, 1 / 12, 0).validation
    digits = data.X_train[held_out], data.y_train[held_out]
    examples = [
        *examples_of(model, plain, arguments.rows, 11, *digits),
        *examples_of(model, varied, arguments.rows, 12, *digits),
    ]
    print(f"{len(examples)} of {2 * arguments.rows} rows can be read")
    result = minimize(loss_and_gradient, flattened(LEARNED), args=(examples,), jac=True, method="L-BFGS-B")
    c = unflattened(result.x)
    print(f"-log(probability) of a row: {result.fun:.4f}")
    print(f"label {c.label:.2f}")
    for name in ("as_digit", "as_other"):
        print(name, {feature: round(value, 2) for feature, value in getattr(c, name).items()})


if __name__ == "__main__":
    main()
