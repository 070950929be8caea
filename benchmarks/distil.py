"""Distil LeNet-5: a larger network learns from MNIST, and LeNet-5 learns from it.

    python -m benchmarks.distil MODEL

The larger network, the teacher, has 280,682 parameters and is trained with PyTorch (the extra `torch`). It learns from
the images of the recipe `drawn`: distorted digits, drawn digits and non-digits. LeNet-5 then trains with the same
recipe, but on the teacher's probabilities for each distorted image, at a temperature of 1.3 (Hinton, Vinyals and Dean,
"Distilling the knowledge in a neural network", 2015). The command rounds the weights, calibrates LeNet-5 on the
validation split, and saves it as MODEL. It saves the teacher beside it, with the suffix `.pt`, and after each epoch a
checkpoint of LeNet-5, with the suffix `.checkpoint`. If interrupted, the same command continues from these files.
"""

import argparse
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import lenet
from benchmarks.rounding import save_rounded
from lenet import _checks
from lenet._files import atomic_write
from lenet.losses import softmax
from lenet.training import RECIPES, Recipe, State
from lenet.training.augment.distortions import random_distortions
from lenet.training.checkpoint import checkpoint_bytes, read_checkpoint
from lenet.training.training_set import TrainingSet

Images = NDArray[np.uint8]
BATCH, PEAK, WARM_UP = 128, 0.1, 0.15  # images per step, learning rate, and the fraction of the steps before its peak
TEMPERATURE = 1.3  # of the teacher: its logits are divided by it


class Teacher(nn.Module):
    """A convolutional network with batch normalisation, for images of shape (n, 1, 28, 28)."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            *convolution(1, 32, 5, pool=True),
            *convolution(32, 64, 3),
            *convolution(64, 64, 3, pool=True),
            *convolution(64, 128, 3),
            *convolution(128, 128, 3),
        )
        self.dropout, self.output = nn.Dropout(0.3), nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits; the mean and the maximum of each map enter the output layer."""
        maps = self.maps(x)
        logits: torch.Tensor = self.output(self.dropout(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)))
        return logits


def convolution(inputs: int, outputs: int, size: int, pool: bool = False) -> list[nn.Module]:
    """Return the layers of one stage."""
    pooling = [nn.MaxPool2d(2)] if pool else []
    return [
        nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False), *pooling,
        nn.BatchNorm2d(outputs), nn.ReLU(inplace=True),
    ]  # fmt: skip


def standardised(images: Images) -> torch.Tensor:
    """Return images with mean 0 and standard deviation 1 each, in PyTorch's fastest memory layout."""
    x = torch.from_numpy(images).float().unsqueeze(1)
    x = (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True, unbiased=False).clamp_min(1)
    return x.to(memory_format=torch.channels_last)


def logits_of(network: nn.Module, images: Images) -> torch.Tensor:
    """Return the logits, computed in bfloat16 where PyTorch considers it safe."""
    with torch.autocast("cpu", torch.bfloat16):
        logits: torch.Tensor = network(standardised(images))
    return logits.float()


def rate_of(steps: int) -> Callable[[int], float]:
    """Return the learning rate as a fraction of its peak: a linear rise, and then a fall to 0 as a half cosine."""

    def rate(step: int) -> float:
        progress = min(1.0, (step + 1) / steps)
        return min(progress / WARM_UP, 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))))

    return rate


def targets_of(labels: NDArray[np.int64]) -> torch.Tensor:
    """Return target probabilities: uniform for the label -1 of non-digits."""
    return torch.from_numpy(_checks.probabilities_of(labels, 10, np.float32))


def train_teacher(X: Images, y: NDArray[np.int64], recipe: Recipe, epochs: int) -> Teacher:
    """Train a teacher by SGD with Nesterov momentum; print the loss of each epoch."""
    torch.manual_seed(1)
    teacher = Teacher().to(memory_format=torch.channels_last)
    data = TrainingSet.prepare(X, y, None, lenet.LeNet5(seed=0), recipe, 0)  # with the student's split
    optimizer = torch.optim.SGD(teacher.parameters(), PEAK, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate_of(epochs * math.ceil(len(data.members) / BATCH)))
    teacher.train()
    for epoch in range(1, epochs + 1):
        rng, began, total = np.random.default_rng([1, epoch]), time.perf_counter(), 0.0
        data = data.with_images_of(epoch, recipe, 1)
        order = rng.permutation(data.members)
        distortions = random_distortions(
            len(order), rng, distort=recipe.distort, vary=recipe.vary, defects=recipe.defects
        )
        for start in range(0, len(order), BATCH):
            batch = slice(start, start + BATCH)
            images, _, labels, _ = data.batch(order[batch])
            images = images if distortions is None else distortions[batch].apply(images)
            loss = nn.functional.cross_entropy(logits_of(teacher, images), targets_of(labels))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += len(labels) * loss.item()
        print(f"teacher, epoch {epoch}: loss {total / len(order):.4f}, {time.perf_counter() - began:.0f} s", flush=True)
    return teacher.eval()


def train_student(
    X: Images, y: NDArray[np.int64], recipe: Recipe, teacher: nn.Module, saved: Path
) -> tuple[lenet.LeNet5, State]:
    """Train LeNet-5 on the probabilities of a teacher; print each epoch, and save the state to resume from."""

    def part(images: Images) -> NDArray[np.float32]:
        with torch.inference_mode():
            return softmax(logits_of(teacher, images).numpy() / TEMPERATURE)

    def probabilities(images: Images) -> NDArray[np.float32]:
        return np.concatenate([*pool.map(part, np.array_split(images, cores))])

    def report(state: State) -> None:
        atomic_write(saved, checkpoint_bytes(state, arguments))
        row = state.history[-1]
        print(f"LeNet-5, epoch {row.epoch}: loss {row.loss:.4f}, held-out accuracy {row.val_accuracy:.2%}, "
              f"{row.seconds:.0f} s", flush=True)  # fmt: skip

    torch.set_num_threads(1)  # PyTorch's own threads are slower for the few images of a step
    model, cores, arguments = lenet.LeNet5(seed=0), os.cpu_count() or 1, {"seed": 0, "recipe": asdict(recipe)}
    state = read_checkpoint(saved, model, recipe, arguments) if saved.exists() else None
    with ThreadPoolExecutor(cores) as pool:
        state = lenet.train(model, X, y, recipe, seed=0, teacher=probabilities, state=state, on_epoch=report)
    return model, state


def main() -> None:
    """Train both networks, and save them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.distil", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="the file to save LeNet-5 in, such as mnist.safetensors")
    parser.add_argument("--teacher-epochs", type=int, default=14, metavar="N", help="default: 14")
    options = parser.parse_args()
    if options.model.suffix in (".pt", ".checkpoint") or not options.model.parent.is_dir():
        parser.error(f"MODEL is {options.model}; expected a .safetensors file in a folder that exists")
    X, y, _, _ = lenet.data.load("mnist")
    recipe = RECIPES["drawn"]
    saved = options.model.with_suffix(".pt")
    if saved.exists():
        teacher = Teacher().to(memory_format=torch.channels_last).eval()
        teacher.load_state_dict(torch.load(saved, weights_only=True))
    else:
        options.model.with_suffix(".checkpoint").unlink(missing_ok=True)  # of a student of another teacher
        teacher = train_teacher(X, y, recipe, options.teacher_epochs)
        torch.save(teacher.state_dict(), saved)
    model, state = train_student(X, y, recipe, teacher, options.model.with_suffix(".checkpoint"))
    metadata = {"recipe": f"{recipe.name}, distilled", "seed": "0", "epoch": str(state.best_epoch)}
    save_rounded(model, options.model, recipe, metadata)


if __name__ == "__main__":
    main()
