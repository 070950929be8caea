"""Build lenet for Linux on aarch64 by a cross compiler, and test it under qemu.

    python -m tests.platforms.aarch64    # on Debian, as root, which debootstrap requires

Processes that a test starts would need the kernel's help (binfmt_misc), so only tests in one process are run.
"""

import os
import sys
import tempfile
from pathlib import Path

from tests.platforms import tools

PYTHON = "3.13"  # of Debian 13
CC = "aarch64-linux-gnu-gcc"
MANYLINUX = ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64", "manylinux_2_17_aarch64"]
SYSTEM = ["python3", "python3-dev", f"libpython{PYTHON}", "ca-certificates"]


def system(folder: Path) -> Path:
    """Unpack Debian with Python for aarch64, of which nothing is run."""
    root = folder / "debian"
    options = ["--arch=arm64", "--foreign", "--variant=minbase", f"--include={','.join(SYSTEM)}"]
    tools.run("debootstrap", *options, "trixie", root)
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        tools.subprocess.run(["dpkg", "-x", package, root], check=True)
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


def main() -> None:
    """Build and test in a temporary folder."""
    tools.require(CC, "qemu-aarch64-static", "debootstrap", packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross "
                  "qemu-user-static debootstrap")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = system(folder)
        site = root / "site"
        tools.install(site, PYTHON, MANYLINUX, ["numpy", *tools.PACKAGES])
        tools.unpack(build(folder, root / "usr/include"), site)
        environment = {"PYTHONPATH": site, "PYTHONDONTWRITEBYTECODE": 1, "OPENBLAS_CORETYPE": "ARMV8"}
        python = ["qemu-aarch64-static", "-cpu", "max,sve=off", "-L", root]
        python += [part for name, value in environment.items() for part in ("-E", f"{name}={value}")]
        python += [root / f"usr/bin/python{PYTHON}"]
        tree = folder / "tree"
        tools.run(*python, tools.HERE / "check.py", tools.expected(folder), cwd=folder)
        # NumPy's products under qemu set the flags of floating-point errors that did not happen.
        options = ["-q", "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning", "--timeout=900"]
        for file in sys.argv[1:] or tools.KERNEL_TESTS:
            tools.run(*python, "-m", "pytest", *options, file, cwd=tree)


if __name__ == "__main__":
    main()
