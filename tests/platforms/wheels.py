"""Build the wheels of all platforms that a Linux machine can compile for, and check them without running them.

    python -m tests.platforms.wheels dist                     # into that folder, by gcc's and zig's cross compilers
    python -m tests.platforms.wheels dist macosx-11.0-arm64   # that one only

Each wheel is opened: the extension has to export its initialisation only, to need no library but those named here,
and to use only the stable ABI of Python 3.11 (abi3audit). On Linux, the C library has to be as old as manylinux2014's.
Windows' wheel comes from `python -m tests.platforms.windows`, which leaves it in dist/cross.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from tests.platforms import tools

PYTHON = "python{}.{}".format(*sys.version_info)
ZIG = f"{sys.executable} -m ziglang cc"
BUILD = rb"(?<=\0)(?:x86-64-v\d|aarch64)(?=\0)"
# What Cython, musl and Apple's linker export too.
OTHERS = r"__Pyx_\w+|_init|_fini|_mh_dylib_header|__dso_handle"


class Target(NamedTuple):
    """A platform: its compiler, the libraries that the extension may need, and the builds for its CPU."""

    compiler: str
    libraries: str
    builds: int
    link: str = "-shared"
    flags: str = ""


TARGETS = {
    "manylinux_2_17-x86_64": Target("gcc", r"libc\.so\.6", 3),
    "manylinux_2_17-aarch64": Target("aarch64-linux-gnu-gcc", r"libc\.so\.6|ld-linux-aarch64\.so\.1", 1),
    "musllinux_1_2-x86_64": Target("musl-gcc", r"libc\.so", 3, "-shared -L/usr/lib/x86_64-linux-musl"),
    "macosx-11.0-arm64": Target(
        f"{ZIG} -target aarch64-macos.11.0", r"/usr/lib/libSystem\.B\.dylib", 1, "-shared -undefined dynamic_lookup"
    ),
    "win-amd64": Target("", r"python3\.dll|KERNEL32\.dll|msvcrt\.dll", 3),
}


def headers(folder: Path) -> Path:
    """Copy Python's headers, for any CPU with 64 bits: Debian's include that of the architecture by its path."""
    include = Path(shutil.copytree(sysconfig.get_path("include"), folder / "include"))
    for debian in Path("/usr/include").glob(f"*-linux-gnu/{PYTHON}/pyconfig.h"):
        shutil.copy(debian, include)
    return include


def build(name: str, folder: Path, include: Path, dist: Path) -> Path:
    """Build a wheel by setup.py into `dist`; return its path."""
    target = TARGETS[name]
    environment = os.environ | {
        "CC": target.compiler, "LDSHARED": f"{target.compiler} {target.link}", "_PYTHON_HOST_PLATFORM": name,
        "CFLAGS": f"-I{include}", "LDFLAGS": "-Wl,--strip-all",
    }  # fmt: skip
    if name.startswith("mac"):
        environment["LDFLAGS"] = "-s"
    tree = tools.copy(folder / name)
    tools.run(sys.executable, "setup.py", "-q", "bdist_wheel", "-d", "dist", cwd=tree, env=environment)
    (built,) = tree.glob("dist/*.whl")
    return tools.keep(built, dist)


def output(*command: str | Path) -> str:
    """Return what a command prints."""
    return subprocess.run([str(each) for each in command], check=True, capture_output=True, text=True).stdout


def check(wheel: Path, target: Target, folder: Path) -> str:
    """Check the extension of a wheel; return a line about it."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith((".so", ".pyd")))
        path = Path(archive.extract(name, folder))
    assert len(set(re.findall(BUILD, path.read_bytes()))) == target.builds
    needed = output("llvm-readobj", "--needed-libs", path).partition("NeededLibraries [")[2]
    lines = {line.strip() for line in needed.splitlines()} - {"", "]"}
    libraries = {line for line in lines if not line.endswith(path.name)}  # Apple's linker lists the extension too
    exported = exports(path)
    assert "PyInit__compiled" in exported, f"{name} does not export its initialisation"
    more = exported - {"PyInit__compiled"}
    assert all(re.fullmatch(OTHERS, each) for each in more), more
    if path.suffix == ".pyd":  # gcc's stack may be less aligned than these moves require
        aligned = re.search(r"\bvmov(aps|apd|dqa\w*)\b.*%[yz]mm", output("llvm-objdump", "-d", path))
        assert aligned is None, f"{name} has an aligned move: {aligned[0]}"
    assert newest_libc(path) <= (2, 17), f"{name} needs libc {newest_libc(path)}"
    assert all(re.fullmatch(target.libraries, each) for each in libraries), libraries
    output("abi3audit", "--strict", wheel)
    return f"{wheel.name}: {wheel.stat().st_size:,} bytes, needs {', '.join(sorted(libraries)) or 'nothing'}"


def newest_libc(path: Path) -> tuple[int, int]:
    """Return the version of the GNU C library that an extension needs, (0, 0) without it."""
    found = re.findall(r"GLIBC_(\d+)\.(\d+)", output("llvm-readobj", "--version-info", path))
    return max(((int(major), int(minor)) for major, minor in found), default=(0, 0))


def exports(path: Path) -> set[str]:
    """Return the symbols that an extension offers."""
    if path.suffix == ".pyd":
        return set(re.findall(r"Name: (\w+)", output("llvm-readobj", "--coff-exports", path)))
    options = ["-D"] if "Format: elf" in output("llvm-readobj", "--file-headers", path) else ["-g"]
    printed = output("llvm-nm", *options, "--defined-only", "--format=just-symbols", path)
    return {name.removeprefix("_") if options == ["-g"] else name for name in printed.split()}


def main() -> None:
    """Build and check all wheels but Windows', and check that if it is in the folder."""
    dist = Path(sys.argv[1]).resolve()
    tools.require("musl-gcc", "aarch64-linux-gnu-gcc", "llvm-readobj", packages="musl-tools gcc-aarch64-linux-gnu llvm")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        include = headers(folder)
        targets = sys.argv[2:] or [target for target in TARGETS if not target.startswith("win")]
        wheels = [(target, build(target, folder, include, dist)) for target in targets]
        wheels += [("win-amd64", wheel) for wheel in dist.glob("*win_amd64.whl")]
        for target, wheel in wheels:
            print(check(wheel, TARGETS[target], folder / f"opened-{target}"), flush=True)


if __name__ == "__main__":
    main()
