"""A short test of an installed lenet, run outside the source tree by each supported Python.

python tests/installed.py    # with lenet[train,vision]
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import lenet


def lenet_command(*arguments: str | Path, folder: Path) -> str:
    """Return what the installed command prints."""
    command = [Path(sys.executable).with_name("lenet"), *arguments]
    return subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Predict, read a picture and train, and compare with the labels that the images came with."""
    assert "site-packages" in lenet.__file__, f"not the installed package: {lenet.__file__}"
    *_, X, y = lenet.data.load_digits()
    assert np.mean(lenet.load_pretrained("mnist").predict(X) == y) > 0.9
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seven = X[y == 7][0]
        Image.fromarray(255 - seven).resize((280, 280)).save(folder / "seven.png")  # dark ink on light paper
        said = lenet_command("predict", "seven.png", folder=folder)
        assert "7" in said.replace("seven.png", "").split(), said
        said = lenet_command("train", "digits", "--epochs", "1", folder=folder)
        assert (folder / "runs" / "train-1" / "best.safetensors").stat().st_size > 240_000, said
    lenet.show_config()


if __name__ == "__main__":
    main()
