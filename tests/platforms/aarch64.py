"""Build lenet for Linux on aarch64 by a cross compiler, and test it under qemu.

    python -m tests.platforms.aarch64    # on Debian, as root, which debootstrap requires
    python -m tests.platforms.aarch64 tests/layers/test_layers.py    # other test files

Computations take 10 to 20 times as long as here, so by default only some files are run.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.platforms import suite, tools

PYTHON = "3.13"  # of Debian 13
CC = "aarch64-linux-gnu-gcc"
MANYLINUX = ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64", "manylinux_2_17_aarch64"]
CORE = (
    "test_model.py", "test_gradients.py", "test_model_input.py", "test_model_state.py", "test_losses.py",
    "test_init.py", "test_files.py", "test_class_names.py", "layers", "fused/test_network.py",
    "weights/test_weights.py", "weights/test_bounds.py", "training/test_distortions.py", "training/test_optim.py",
    "training/test_ranks.py", "training/test_splits.py", "data/test_box.py", "reading/test_paths.py",
    "security/test_threat_model.py",
)  # fmt: skip
SYSTEM = ["python3", "python3-dev", f"libpython{PYTHON}", "ca-certificates"]


def system(folder: Path) -> Path:
    """Unpack Debian's Python for aarch64 without running it."""
    root = folder / "debian"
    options = ["--arch=arm64", "--foreign", "--variant=minbase", f"--include={','.join(SYSTEM)}"]
    tools.run("debootstrap", *options, "trixie", root)
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, root], check=True)
    return root


def build(folder: Path, headers: Path) -> Path:
    """Build a wheel as setup.py does; `headers` is the folder that holds Python's."""
    environment = os.environ | {
        "CC": CC, "LDSHARED": f"{CC} -shared", "CFLAGS": f"-isystem {headers}", "LDFLAGS": "-Wl,--strip-all",
        "_PYTHON_HOST_PLATFORM": "linux-aarch64",
    }  # fmt: skip
    tree = tools.copy(folder)
    tools.run(sys.executable, "setup.py", "-q", "bdist_wheel", "-d", folder, cwd=tree, env=environment)
    return next(folder.glob("lenet-*.whl"))


def interpreter(root: Path, site: Path) -> Path:
    """Write a script that runs Python under qemu; programs that tests start by `sys.executable` run by it, too."""
    script = root / "python"
    python = f"qemu-aarch64-static -cpu max,sve=off -L {root} -E OPENBLAS_CORETYPE=ARMV8 {root}/usr/bin/python{PYTHON}"
    script.write_text(f'#!/bin/sh\nexec {python} "$@"\n', "utf-8")
    script.chmod(0o755)
    (site / "qemu.pth").write_text(f"import sys; sys.executable = {str(script)!r}\n", "utf-8")
    return script


def main() -> None:
    """Build and test in a temporary folder."""
    tools.require(CC, "qemu-aarch64-static", "debootstrap", packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross "
                  "qemu-user-static debootstrap")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = system(folder)
        site = root / "usr/lib/python3/dist-packages"
        tools.install(site, PYTHON, MANYLINUX, tools.packages())
        shutil.unpack_archive(build(folder, root / "usr/include"), site, "zip")
        python = interpreter(root, site)
        environment = tools.environment()
        tools.run(python, tools.HERE / "check.py", tools.expected(folder), cwd=folder, env=environment)
        # NumPy's products under qemu set the flags of floating-point errors that did not happen.
        options = ["-W", "ignore::RuntimeWarning", "--timeout=1200"]
        files = sys.argv[1:] or [f"tests/{name}" for name in CORE]
        suite.run(python, "-m", "pytest", *options, *files, folder=folder / "tree", environment=environment)


if __name__ == "__main__":
    main()
