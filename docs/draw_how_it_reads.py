"""Draw the figures of docs/how_it_reads.md: `python -m docs.draw_how_it_reads` writes docs/images/how_it_reads.

They show real activations of the shipped weights for one of scikit-learn's digits, computed by
tests/helpers/reference.py, and five training runs on the training digits (half a minute).
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

import lenet
from tests.helpers import reference

OUT = Path(__file__).parent / "images" / "how_it_reads"
DIGIT = 9  # of the test images
MAP, ROW, COLUMN = 4, 24, 12  # the pixel of C1 that the first figure computes
# The first row and column, and the size, of the field of a unit near the middle, in the padded image.
FIELDS = {"C1": (13, 5), "S2": (12, 6), "C3": (8, 14), "S4": (8, 16), "C5": (0, 32)}
COLOURS = {"C1": "#c1272d", "S2": "#e08214", "C3": "#1a7f37", "S4": "#2166ac", "C5": "#762a83"}
RUNS = {
    "pixels in [0, 1]": {"standardise": False},
    "standardised": {},
    "standardised, learning rate 0.5": {"lr": 0.5},
    "standardised, momentum": {"momentum": 0.9},
    "standardised, momentum, one cycle": {"momentum": 0.9, "schedule": "one_cycle"},
}
EPOCHS = 120
Array = np.ndarray[Any, np.dtype[Any]]


def show(ax: Any, values: Array, title: str = "", **options: Any) -> None:
    """Show an image or a map: white is its minimum."""
    ax.imshow(values, **{"cmap": "gray_r", **options})
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)


def draw_kernel(x: Array, weights: dict[str, Array], c1: Array) -> None:
    """Draw one window of the digit, times a kernel, and the map with the result."""
    kernel, bias = weights["c1.weight"][MAP, 0], weights["c1.bias"][MAP]
    window = reference.pad(x, 2)[0, 0, ROW : ROW + 5, COLUMN : COLUMN + 5]
    products = window * kernel
    figure, axes = plt.subplots(2, 3, figsize=(7.2, 5.1), layout="constrained")
    show(axes[0, 0], x[0, 0], "the digit and a window of 5x5")
    axes[0, 0].add_patch(Rectangle((COLUMN - 2.5, ROW - 2.5), 5, 5, fill=False, color=COLOURS["C1"], linewidth=2))
    total = products.sum() + bias
    axes[0, 1].axis("off")
    text = (
        f"sum of the products\n{products.sum():.1f}\n\n"
        f"plus the bias\n{products.sum():.1f} {'-' if bias < 0 else '+'} {abs(bias):.1f} = {total:.1f}\n\n"
        f"sigmoid\n{reference.sigmoid(total):.2f}"
    )
    axes[0, 1].text(0.5, 0.5, text, ha="center", va="center", fontsize=10, linespacing=1.4)
    show(axes[0, 2], c1[0, MAP], f"map {MAP} of C1 and the result", vmin=0, vmax=1)
    axes[0, 2].add_patch(Rectangle((COLUMN - 0.5, ROW - 0.5), 1, 1, fill=False, color=COLOURS["C1"], linewidth=2))
    limit = np.abs(products).max()
    for ax, values, title in zip(
        axes[1], (window, kernel, products), ("the window", "times the kernel", "the products"), strict=True
    ):
        show(ax, values, title, cmap="RdBu_r", vmin=-limit, vmax=limit)
        for row, column in np.ndindex(5, 5):
            value = values[row, column]
            colour = "white" if abs(value) > 0.6 * limit else "black"
            ax.text(column, row, f"{value:.1f}", ha="center", va="center", fontsize=9, color=colour)
    figure.savefig(OUT / "kernel.png", dpi=150)


def draw_fields(x: Array) -> None:
    """Draw what one unit of each stage sees of the padded digit."""
    figure, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    show(ax, reference.pad(x, 2)[0, 0])
    for name, (start, size) in FIELDS.items():
        corner = (start - 0.5, start - 0.5)
        label = f"a unit of {name} sees {size}x{size}"
        ax.add_patch(
            Rectangle(corner, size, size, fill=False, color=COLOURS[name], linewidth=2.5, clip_on=False, label=label)
        )
    figure.legend(loc="outside center right", fontsize=10, frameon=False)
    figure.savefig(OUT / "fields.png", dpi=150)


def draw_stages(x: Array, out: dict[str, Array]) -> None:
    """Draw the output of every stage."""
    figure = plt.figure(figsize=(7.2, 9.4), layout="constrained")
    parts = figure.subfigures(7, 1, height_ratios=(1.3, 1.25, 2.3, 2.2, 0.8, 0.75, 1.5))
    for part, name, rows in zip(parts, ("c1", "s2", "c3", "s4"), (1, 1, 2, 2), strict=False):
        maps = out[name][0]
        with_digit = name == "c1"
        axes = part.subplots(rows, len(maps) // rows + with_digit, squeeze=False).ravel()
        if with_digit:
            show(axes[0], x[0, 0], "input")
        for ax, values in zip(axes[with_digit:], maps, strict=True):
            show(ax, values, vmin=0, vmax=1)
        part.suptitle(f"{name.upper()}: {len(maps)} maps of {maps.shape[1]}x{maps.shape[2]}", fontsize=10)
    for part, name, rows in ((parts[4], "c5", 3), (parts[5], "f6", 2)):
        show(part.subplots(), out[name].reshape(rows, -1), vmin=0, vmax=1)
        part.suptitle(f"{name.upper()}: {out[name].size} units", fontsize=10)
    ax = parts[6].subplots()
    ax.bar(range(10), np.exp(reference.log_softmax(out["output"]))[0], color="#2166ac")
    ax.set(xticks=range(10), ylim=(0, 1), ylabel="probability")
    parts[6].suptitle("output: a probability for each class, by softmax", fontsize=10)
    figure.savefig(OUT / "stages.png", dpi=150)


def draw_plateau(X: Array, y: Array) -> None:
    """Draw the training loss of the five runs."""
    figure, ax = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    for name, changes in RUNS.items():
        recipe = lenet.training.Recipe("plateau", **{"epochs": EPOCHS, "batch_size": 32, "lr": 0.05, **changes})
        losses = [epoch.loss for epoch in lenet.train(lenet.LeNet5(seed=0), X, y, recipe, seed=0).history]
        left = next((epoch for epoch, loss in enumerate(losses, 1) if loss < 2), None)
        print(f"{name}: the loss is below 2 after {left} epochs, and {losses[-1]:.3f} after {EPOCHS}")
        ax.plot(range(1, EPOCHS + 1), losses, label=name, linewidth=1.8)
    ax.axhline(np.log(10), color="grey", linestyle=":", label="ln 10")
    ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, 2.6))
    figure.legend(loc="outside upper center", ncols=2, fontsize=9, frameon=False)
    figure.savefig(OUT / "plateau.png", dpi=150)


def main() -> None:
    """Write the figures."""
    OUT.mkdir(parents=True, exist_ok=True)
    model, digits = lenet.load_pretrained("mnist"), lenet.data.load_digits()
    x = digits.X_test[DIGIT][np.newaxis, np.newaxis] / 255
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    weights = model.state_dict()
    out = reference.lenet(weights, x)
    draw_kernel(x, weights, out["c1"])
    draw_fields(x)
    draw_stages(x, out)
    draw_plateau(digits.X_train, digits.y_train)


if __name__ == "__main__":
    main()
