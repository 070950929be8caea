"""Build the extension, with the kernels of the fused network once for each CPU level, and the page.

Everything else about the package is in pyproject.toml. LENET_BOUNDSCHECK=1 builds with bounds checks. On Windows,
CC=gcc (mingw-w64) or CC=clang builds with vector instructions; MSVC, which has no vector types, builds plain loops.
"""

import functools
import os
import platform
import re
import runpy
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

CHECKED = os.environ.get("LENET_BOUNDSCHECK") == "1"
if sysconfig.get_platform().endswith("universal2"):  # python.org's Python for macOS; LANES depends on the CPU
    os.environ["ARCHFLAGS"] = f"-arch {platform.machine()}"
    os.environ["_PYTHON_HOST_PLATFORM"] = sysconfig.get_platform().replace("universal2", platform.machine())
MACHINE = sysconfig.get_platform().rpartition("-")[2].replace("arm64", "aarch64")
SOURCES = [str(path) for path in Path("src/lenet").rglob("*") if path.suffix in {".pyx", ".pxd", ".pxi", ".h"}]
X86_64 = MACHINE in ("x86_64", "amd64")
# The stable ABI of Python 3.11: one wheel serves it and every later version, except free-threaded ones and PyPy.
STABLE_ABI = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
BUILD_EXT = {"parallel": os.cpu_count()}
if sys.platform == "win32" and "CC" in os.environ:
    BUILD_EXT["compiler"] = "mingw32"  # setuptools' name for gcc and clang; otherwise it ignores CC on Windows

# Disable inlining, cloning and automatic vectors, except where the source requests them: each copy enlarges the wheel.
# Padding and a second scheduling of instructions enlarge it too, and do not make the kernels faster.
SMALL = ["-O2", "-g0", "-fno-plt", "-fno-inline", "-fno-asynchronous-unwind-tables", "-fno-schedule-insns2"]
SMALL += ["-fno-tree-vectorize", *(f"-falign-{each}=1" for each in ("functions", "loops", "jumps", "labels"))]
SMALL += ["-Wno-ignored-optimization-argument"]  # clang ignores some of these
SMALL += ["-fno-math-errno"]  # a root is one instruction, and needs no libm
FAST = [*SMALL, "-O3", "-fno-ipa-cp"]
# gcc would split loops, repeat them for special cases, unroll those whose length the size of an array limits, and
# replace loops by calls of memset.
GCC_FAST = ["-fno-split-loops", "-fno-unswitch-loops", "-fno-version-loops-for-strides", "-fno-tree-loop-distribution"]
GCC_FAST += ["-fno-tree-loop-distribute-patterns", "-fno-aggressive-loop-optimizations"]

# Windows aligns the stack to 16 bytes, and gcc does not realign it for longer vectors (gcc bug 54412).
UNALIGNED = "-Wa,-muse-unaligned-vector-move"

Options.docstrings = False  # nobody reads those of the kernels, and every build would contain them
# A default rather than a directive, because Cython's own memoryviews follow only the defaults.
Options.get_directive_defaults()["auto_pickle"] = False
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "wraparound": False,
    "initializedcheck": CHECKED,
    "cdivision": True,
    "freethreading_compatible": True,
    "binding": False,  # the functions need no signatures of their own, which would be an eighth of the extension
}


class Build(NamedTuple):
    """The kernels of the fused network for a CPU, a vector register of which holds `lanes` numbers."""

    cpu: str
    lanes: int
    flags: tuple[str, ...] = ()

    @property
    def function(self) -> str:
        """The name of the only function that lenet5.pyx sees: FILL_KERNELS of kernels.pyx."""
        return f"lenet_{self.cpu.replace('-', '_')}"


def builds() -> list[Build]:
    """List the builds, the oldest CPU first."""
    flags = ("-ffp-contract=off", "-fvisibility=hidden", "-Wno-psabi", "-Wno-unused-function")
    if not X86_64:
        return [Build(MACHINE, 4, flags)]
    # Enable only what cpu.h checks: a missing instruction may silently do something else (lzcnt runs as bsr).
    v2 = (*flags, "-march=x86-64-v2", "-mno-avx")  # CFLAGS may contain -mavx2, for which simd.h has longer vectors
    v3 = (*v2, "-mavx2", "-mfma", "-mno-avx512f")
    v4 = (*v3, "-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512")
    return [Build("x86-64-v2", 4, v2), Build("x86-64-v3", 8, v3), Build("x86-64-v4", 16, v4)]


def extension(name: str) -> Extension:
    stable = [("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else []
    plain = [("CYTHON_COMPRESS_STRINGS", "0")]  # the wheel as a whole is compressed, and better
    return Extension(
        f"lenet.{name}",
        [f"src/lenet/{name.replace('.', '/')}.pyx"],
        include_dirs=["src/lenet/_fused"],
        depends=SOURCES,
        define_macros=[*stable, *plain],
        py_limited_api=STABLE_ABI,
    )


def extensions() -> list[Extension]:
    """List the extension and the kernels, which are compiled once for each CPU and linked into it."""
    return [extension("_compiled"), extension("_fused.kernels")]


def compiled_to_c() -> list[Extension]:
    """Write the C code with Cython every time, so that no checked build leaks into the next.

    simd.h forces inline functions to be inlined. Cython declares its helpers inline too; they become plain functions
    here, as their copies would be a sixth of the extension. The kernels need no Python module: the compiler drops the
    one that Cython adds, since nothing uses it.
    """
    found = cythonize(extensions(), compiler_directives=DIRECTIVES, force=True)
    for path in (Path(each.sources[0]) for each in found):
        code = path.read_text("utf-8")
        code = re.sub("^(extern )?int (?=__pyx_module_is_main)", "static int ", code, flags=re.MULTILINE)
        if path.stem == "kernels":
            code = code.replace("__Pyx_PyMODINIT_FUNC PyInit_", "static PyObject *PyInit_")
        code = re.sub("^static CYTHON_INLINE (?!.*__pyx_f_)", "static CYTHON_UNUSED ", code, flags=re.MULTILINE)
        path.write_text(code, "utf-8")
    return found


class BuildExt(build_ext):
    """Add the compiler's flags, and explain what to install if Python's headers are missing."""

    def build_extensions(self) -> None:
        self.builds = builds()
        compiled, kernels = self.extensions
        if self.compiler.compiler_type == "msvc":
            self.builds = [Build(self.builds[0].cpu, 1)]
            for each in self.extensions:  # simd.h sets LANES to 1
                each.extra_compile_args = ["/O2"]
        else:
            if sys.platform == "win32":
                self.compiler.define_macro("MS_WIN64")  # which Python's headers define for MSVC only
            is_gcc = self.is_gcc()
            moves = [UNALIGNED] if is_gcc and X86_64 and sys.platform == "win32" else []
            compiled.extra_compile_args[:0] = SMALL + moves
            kernels.extra_compile_args[:0] = (FAST + GCC_FAST if is_gcc else FAST) + moves
        self.check_headers()
        self.add_kernels(kernels, compiled)
        self.extensions = [compiled]
        super().build_extensions()

    def add_kernels(self, kernels: Extension, compiled: Extension) -> None:
        """Compile the builds of the kernels in parallel, and link them into `compiled`."""
        with ThreadPoolExecutor() as pool:
            compiled.extra_objects += pool.map(functools.partial(self.compile, kernels), self.builds)
        compiled.define_macros.append(("FILL_KERNELS", ",".join(each.function for each in self.builds)))

    def compile(self, kernels: Extension, build: Build) -> str:
        """Compile the kernels for a CPU, and return the object."""
        macros = [("BUILD", f'"{build.cpu}"'), ("LANES", str(build.lanes)), ("FILL_KERNELS", build.function)]
        (compiled,) = self.compiler.compile(
            kernels.sources,
            output_dir=str(Path(self.build_temp, build.cpu)),
            macros=[*kernels.define_macros, *macros],
            include_dirs=kernels.include_dirs,
            extra_postargs=[*kernels.extra_compile_args, *build.flags],
        )
        return compiled

    def get_libraries(self, ext: Extension) -> list[str]:
        """Link Windows' library of the stable ABI; setuptools names that of one version, except for MSVC."""
        version = f"python{sys.version_info.major}{sys.version_info.minor}"
        return ["python3" if STABLE_ABI and each == version else each for each in super().get_libraries(ext)]

    def is_gcc(self) -> bool:
        command = [*self.compiler.compiler_so, "--version"]
        version = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        return "Free Software Foundation" in version.stdout

    def check_headers(self) -> None:
        folder = sysconfig.get_path("include")
        if not any(Path(each, "Python.h").exists() for each in [folder, *self.compiler.include_dirs]):
            raise SystemExit(
                f"Python.h is not in {folder}, and lenet's kernels are compiled against it: install your "
                "Python's headers first (Debian and Ubuntu: sudo apt install python3-dev)."
            )


class BuildPy(build_py):
    """Put the page into the wheel as one file, which is half as large as its parts, compressed one by one."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            page = Path("src/lenet/serving/page")
            # The package cannot be imported before it is built.
            assembled = runpy.run_path(str(page / "assembly.py"))["assembled"]  # nosemgrep: no-code-from-text
            built = Path(self.build_lib, "lenet", "serving", "page", "page.html")
            built.write_text(assembled(page / "parts"), "utf-8")


setup(
    ext_modules=compiled_to_c(),
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy},
    options={
        "bdist_wheel": {"py_limited_api": "cp311"} if STABLE_ABI else {},
        "build_ext": BUILD_EXT,
    },
)
