"""Train LeNet-5 on digits recorded with a pen: `python -m benchmarks.pen_digits START MODEL UNIPEN PENDIGITS`.

START is the file of the model to begin with, made by `python -m benchmarks.distil`. The result is saved as MODEL.
UNIPEN is the folder train_r01_v07 of the UNIPEN data (Guyon et al., "UNIPEN project of on-line data exchange and
recognizer benchmarks", 1994; https://doi.org/10.5281/zenodo.1195803): its isolated digits are by writers of many
countries. PENDIGITS is the folder with pendigits-orig.tra and pendigits-orig.tes (Alpaydin and Alimoglu, 1998;
https://doi.org/10.24432/C5MG6K): digits by writers from Turkey. Both record the path of a pen.

Eight networks start from the same weights and train on the recorded digits, whose labels they learn, and on the images
of the recipe `drawn`, for which they learn the probabilities of the starting network, so that they do not forget
them (Li and Hoiem, "Learning without forgetting", 2016). Their mean (Wortsman et al., "Model soups", 2022) is rounded
and calibrated.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import lenet
from benchmarks.rounding import save_rounded
from lenet.training import RECIPES
from lenet.training.augment.distortions import random_distortions
from lenet.training.augment.drawn_digits import pen_strokes
from lenet.training.training_set import TrainingSet

Images = NDArray[np.uint8]
Stroke = NDArray[np.float64]  # (n, 2): the columns of its points, and their rows from below

RECIPE = RECIPES["drawn"]  # of the images, and of training
VARIANTS, EPOCHS, RATE, NETWORKS = 4, 4, 0.012, 8
HEIGHT = 90  # pixels of the longer side of a drawn digit
SEGMENT = re.compile(r'\.SEGMENT\s+\w+\s+(\d+)(?:-(\d+))?\s+\S+\s+"(\d)"')  # first component, last component, label


def digits_in(file: Path, include: Path) -> Iterator[tuple[int, list[Stroke]]]:
    """Yield the labels and strokes of the digits in a UNIPEN file, which may include the strokes from another file."""
    text = file.read_text("latin-1")
    included = [include / name for name in re.findall(r"^\.INCLUDE\s+(\S+)", text, re.MULTILINE)]
    components = [part for path in [file, *included] if path.is_file() for part in components_in(path)]
    for match in SEGMENT.finditer(text):
        first, last = int(match[1]), int(match[2] or match[1])
        strokes = [points for is_down, points in components[first : last + 1] if is_down]
        if strokes:
            yield int(match[3]), strokes


def components_in(file: Path) -> Iterator[tuple[bool, Stroke]]:
    """Yield the movements of the pen in a UNIPEN file: whether it is down, and its positions."""
    for part in re.split(r"^\.(?=PEN_)", file.read_text("latin-1"), flags=re.MULTILINE)[1:]:
        lines = part.partition("\n.")[0].splitlines()
        points = [line.split()[:2] for line in lines[1:] if line.strip()]
        if points:  # UNIPEN does not count components without points
            yield part.startswith("PEN_DOWN"), np.array(points, np.float64)


def recorded_digits(unipen: Path, pendigits: Path) -> list[tuple[int, list[Stroke]]]:
    """Return the digits of both data sets, except those wider than 1.3 times their height, which are fragments."""
    files = sorted(path for path in (unipen / "data" / "1a").rglob("*") if path.is_file())
    files += [pendigits / "pendigits-orig.tra", pendigits / "pendigits-orig.tes"]
    digits = [digit for file in files for digit in digits_in(file, unipen / "include")]
    sizes = [np.ptp(np.concatenate(strokes), axis=0) for _, strokes in digits]
    return [digit for digit, (width, height) in zip(digits, sizes, strict=True) if width < 1.3 * height]


def drawn(strokes: list[Stroke], rng: np.random.Generator) -> Images:
    """Draw a recorded digit with a random slant, width and pen."""
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    shape = np.array([[rng.uniform(0.85, 1.1), 0], [rng.normal(0, 0.15), -1]]) * HEIGHT / (high - low).max()
    return pen_strokes([(stroke - (low + high) / 2) @ shape for stroke in strokes], rng)


def training_images(
    start: lenet.LeNet5, X: Images, y: NDArray[np.int64], recorded: list[tuple[int, list[Stroke]]], seed: int
) -> tuple[Images, NDArray[np.float32]]:
    """Return distorted images of all kinds, and target probabilities.

    Each variant has half of the recorded digits. It omits the 0s that the starting model misreads, since most of them
    have a slash.
    """
    data, images, targets = TrainingSet.prepare(X, y, None, start, RECIPE, 0), [], []
    for variant in range(VARIANTS):
        rng = np.random.default_rng([seed, variant])
        half = recorded[variant % 2 :: 2]
        pen, labels = np.stack([drawn(strokes, rng) for _, strokes in half]), np.array([label for label, _ in half])
        known = (labels != 0) | (start.predict(pen) == 0)
        data = data.with_images_of(variant + 1, RECIPE, seed)
        part = np.concatenate([data.batch(data.members)[0], pen[known]])
        distortions = random_distortions(
            len(part), rng, distort=RECIPE.distort, vary=RECIPE.vary, defects=RECIPE.defects
        )
        images.append(part if distortions is None else distortions.apply(part))
        targets.append(start.predict_proba(images[-1]))
        targets[-1][len(data.members) :] = np.eye(10)[labels[known]]
    return np.concatenate(images), np.concatenate(targets)


def main() -> None:
    """Train the networks, and save their mean."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pen_digits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in ("start", "model", "unipen", "pendigits"):
        parser.add_argument(name, type=Path, metavar=name.upper())
    options = parser.parse_args()
    if options.model.suffix != ".safetensors" or not options.model.parent.is_dir():
        parser.error(f"MODEL is {options.model}; expected a .safetensors file in a folder that exists")
    pen_files = [options.pendigits / f"pendigits-orig.{part}" for part in ("tra", "tes")]
    for path in (options.unipen / "data" / "1a", options.unipen / "include", *pen_files):
        if not path.exists():
            parser.error(f"{path} does not exist; download and unpack the data named above")
    X, y, _, _ = lenet.data.load("mnist")
    model = lenet.load(options.start)
    recorded = recorded_digits(options.unipen, options.pendigits)
    recipe = RECIPE.with_changes(
        epochs=EPOCHS, lr=RATE, distort=False, vary=False, defects=0, drawn_digits=0, non_digits=0, validation=0
    )
    parameters = []
    for seed in range(1, NETWORKS + 1):
        network = lenet.load(options.start)
        images, targets = training_images(network, X, y, recorded, seed)
        state = lenet.train(network, images, targets, recipe, seed=seed)
        parameters.append(network.parameters.flat.astype(np.float64))
        print(f"network {seed} of {NETWORKS}: {len(images):,} images, loss {state.history[-1].loss:.4f}", flush=True)
    model.parameters.flat[...] = np.mean(parameters, axis=0)
    for name in ("seed", "epoch"):  # of the starting model
        model.metadata.pop(name, None)
    save_rounded(model, options.model, RECIPE, {"recipe": f"{RECIPE.name}, distilled, with pen digits"})


if __name__ == "__main__":
    main()
