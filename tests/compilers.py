"""Test the kernels built by clang and built as plain C11, and read them as MSVC would.

    python -m tests.compilers    # on Linux, with gcc and clang; some two minutes on one core

MSVC knows none of gcc's extensions. LENET_PLAIN has our headers do without them, to the letter of C11; a planted one
has to be refused first. (Python's C API is not C11 to the letter, in its pointers to functions: the rest is only built
as C11.) What the headers have for MSVC alone is read by clang, which takes MSVC's C when told to.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutation.building import Change, build, changed, copy_tree, environment

TESTS = ["tests/layers/test_conv.py", "tests/fused/test_network.py", "tests/layers/test_layers.py"]
PLAIN = ["-std=c11", "-DLENET_PLAIN"]
TO_THE_LETTER = [*PLAIN, "-pedantic-errors", "-Wall", "-Werror", "-Wno-unused-function", "-fsyntax-only"]
EXTENSION = Change("_fused/cpu.h", "    return 2;\n#else", "    return ({ 2; });\n#else")
AS_MSVC = [
    "-U__clang__",  # our headers give clang for Windows vectors
    "--target=x86_64-pc-windows-msvc",
    "-ffreestanding",
    "-fsyntax-only",
    "-pedantic-errors",
    "-Werror",
    "-Wno-unused-function",
]
HEADERS = '#include "simd.h"\n#include "cpu.h"\n'
STRING_H = "void *memcpy(void *, const void *, size_t);\n"  # of all of the C library, what the headers call


def test(root: Path, compiler: str) -> None:
    """Test the extension in the copy, and that this compiler built them: its name and its lanes."""
    show = "from lenet._compiled import BUILDS; facts = [*BUILDS.values()][0].build()"
    show += "; print(facts['compiler'].split()[0], facts['lanes'], end='')"
    found = subprocess.run(
        [sys.executable, "-c", show], cwd=root, env=environment(root), check=True, capture_output=True, text=True
    )
    if found.stdout != compiler:
        raise SystemExit(f"The build is by {found.stdout}, and not by {compiler}.")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not release", *TESTS]
    if subprocess.run(command, cwd=root, env=environment(root), check=False).returncode:
        raise SystemExit(f"The tests failed on the build by {compiler}.")


def read(root: Path, command: list[str], more: str = "") -> str:
    """Let a compiler read lenet's headers, and more; return its complaints."""
    file = root / "headers.c"
    file.write_text(HEADERS + more)
    command = [*command, "-DLANES=4", "-Isrc/lenet/_fused", str(file)]
    done = subprocess.run(command, cwd=root, check=False, stderr=subprocess.PIPE, text=True)
    return done.stderr if done.returncode else ""


def read_headers(root: Path) -> None:
    """Check that the headers are C11 for gcc and clang, and MSVC's C, and that other code is rejected."""
    (root / "string.h").write_text("#include <stddef.h>\n" + STRING_H)
    gnu = "#ifdef __GNUC__\n#error GNU\n#endif\n"
    for command, more in (
        (["gcc", *TO_THE_LETTER], ""),
        (["clang", *TO_THE_LETTER], ""),
        (["clang", *AS_MSVC, f"-I{root}"], gnu),
    ):
        if said := read(root, command, more):
            raise SystemExit(said)
        with changed(root, EXTENSION):
            if "({ 2; })" not in read(root, command, more):
                raise SystemExit(f"A planted extension was not refused by {' '.join(command)}.")
    print("Our headers are C11 for gcc and clang, and for MSVC; a planted extension was refused.", flush=True)


def main() -> None:
    """Run all; each build has its own copy, so that none contains parts of another."""
    with tempfile.TemporaryDirectory() as folder:
        root = copy_tree(Path(folder, "plain"))
        read_headers(root)
        build(root, flags=PLAIN)
        test(root, "gcc 1")
        root = copy_tree(Path(folder, "clang"))
        build(root, env={"CC": "clang"})
        test(root, "clang 4")


if __name__ == "__main__":
    main()
