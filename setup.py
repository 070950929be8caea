"""Build the compiled kernels: one source, `src/lenet/_conv.pyx`, once for each CPU level and number type.

Everything else about the package is in pyproject.toml. LENET_BOUNDSCHECK=1 builds with bounds checks.
"""

import os
import re
import sys
import sysconfig
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

CHECKED = os.environ.get("LENET_BOUNDSCHECK") == "1"
MACHINE = sysconfig.get_platform().rpartition("-")[2].replace("arm64", "aarch64")
SOURCES = [str(path) for path in Path("src/lenet").iterdir() if path.suffix in {".pyx", ".pxi", ".h"}]
SHARED = "_cython"  # what Cython would put into each extension, such as its memoryviews: once, in a file that it writes
X86_64 = MACHINE in ("x86_64", "amd64")
# The stable ABI of Python 3.11: one wheel serves it and every later version, except free-threaded ones.
STABLE_ABI = not sysconfig.get_config_var("Py_GIL_DISABLED")

# No function is there twice: neither inline, but those that ask for it, nor once for each of its constants.
FAST = ["-O3", "-g0", "-fno-inline", "-fno-ipa-cp", "-Wno-ignored-optimization-argument"]  # clang knows no ipa-cp
SMALL = ["-Os", "-g0", "-fno-inline", "-fno-asynchronous-unwind-tables"]  # of what is in no backtrace of a kernel

Options.docstrings = False  # nobody sees those of the kernels, which each build would have
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": CHECKED,
    "wraparound": False,
    "initializedcheck": CHECKED,
    "cdivision": True,
    "freethreading_compatible": True,
    "binding": False,  # the functions need no signatures of their own, which would be an eighth of the extensions
}


def kernels(name: str, cpu: str, lanes: int, *flags: str, double: bool = False) -> Extension:
    """One build of the kernels; `lanes` numbers fit a vector register of that CPU."""
    macros = [("BUILD", f'"{cpu}"'), ("LANES", str(lanes))]
    if double:
        macros.append(("LENET_DOUBLE", "1"))
    return extension(name, macros, [*flags, "-ffp-contract=off", "-Wno-psabi"])


def extension(name: str, macros=(), flags=()) -> Extension:
    stable = [("Py_LIMITED_API", "0x030B0000")] if STABLE_ABI else []
    return Extension(
        f"lenet.{name}",
        [f"src/lenet/{name}{'.c' if name == SHARED else '.pyx'}"],
        depends=SOURCES,
        define_macros=[*macros, *stable],
        extra_compile_args=list(flags),
        py_limited_api=STABLE_ABI,
    )


def extensions() -> list[Extension]:
    if sys.platform == "win32":  # MSVC has no vectors, and _cpu.h finds no more than the baseline there
        baseline = "x86-64-v2" if X86_64 else MACHINE
        builds = [kernels("_conv", baseline, 1), kernels("_conv_f64", baseline, 1, double=True)]
    elif not X86_64:
        builds = [kernels("_conv", MACHINE, 4), kernels("_conv_f64", MACHINE, 2, double=True)]
    else:
        # Of a level no more than _cpu.h looks for: an instruction that is not there need not even fail (lzcnt).
        v3 = ["-march=x86-64-v2", "-mavx2", "-mfma"]
        v4 = [*v3, "-mavx512f", "-mavx512bw", "-mavx512cd", "-mavx512dq", "-mavx512vl", "-mprefer-vector-width=512"]
        builds = [
            kernels("_conv", "x86-64-v2", 4, "-march=x86-64-v2"),
            kernels("_conv_v3", "x86-64-v3", 8, *v3),
            kernels("_conv_v4", "x86-64-v4", 16, *v4),
            kernels("_conv_f64", "x86-64-v2", 2, "-march=x86-64-v2", double=True),
        ]
    return [extension(SHARED), extension("_cpu"), extension("_distort"), *builds]


def compiled_to_c() -> list[Extension]:
    """Have Cython write the C code of all extensions, always anew: a checked build must not leave its own to the next.

    Its helpers are declared as our inline functions are, which _simd.h makes the compiler obey. They stay functions
    here: their copies would be a sixth of the extensions.
    """
    found = cythonize(
        extensions(),
        compiler_directives=DIRECTIVES,
        force=True,
        shared_utility_qualified_name=f"lenet.{SHARED}",
    )
    for path in (Path(each.sources[0]) for each in found):
        code = path.read_text("utf-8")
        code = re.sub("^static CYTHON_INLINE (?!.*__pyx_f_)", "static CYTHON_UNUSED ", code, flags=re.MULTILINE)
        path.write_text(code, "utf-8")
    return found


class BuildExt(build_ext):
    """Add the flags of the compiler at hand, and say what to do when Python's headers are missing."""

    def build_extensions(self) -> None:
        if self.compiler.compiler_type == "msvc":
            for each in self.extensions:
                each.extra_compile_args = ["/O2"]
        else:
            for each in self.extensions:
                each.extra_compile_args[:0] = SMALL if each.name in (f"lenet.{SHARED}", "lenet._cpu") else FAST
        self.check_headers()
        super().build_extensions()

    def check_headers(self) -> None:
        folder = sysconfig.get_path("include")
        if not any(Path(each, "Python.h").exists() for each in [folder, *self.compiler.include_dirs]):
            raise SystemExit(
                f"Python.h is not in {folder}, and lenet's kernels are compiled against it: install your "
                "Python's headers first (Debian and Ubuntu: sudo apt install python3-dev)."
            )


setup(
    ext_modules=compiled_to_c(),
    cmdclass={"build_ext": BuildExt},
    options={
        "bdist_wheel": {"py_limited_api": "cp311"} if STABLE_ABI else {},
        "build_ext": {"parallel": os.cpu_count()},
    },
)
