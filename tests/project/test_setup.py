"""setup.py chooses the builds, the compiler and the ABI of each platform; nothing is compiled here."""

import os
import platform
import runpy
import shutil
import subprocess
import sys
import sysconfig
import types
from pathlib import Path

import pytest

SETUP = Path(__file__).parents[2] / "setup.py"
if not SETUP.exists():
    pytest.skip("needs the source tree", allow_module_level=True)
pytestmark = pytest.mark.landing
setuptools = pytest.importorskip("setuptools")
build = pytest.importorskip("Cython.Build")


@pytest.fixture
def read(monkeypatch):
    """Run setup.py as if on another platform; return its names and the arguments of `setup`."""

    def read(machine, system="linux", implementation="cpython", **environment):
        given = {}
        for name in ("_PYTHON_HOST_PLATFORM", "ARCHFLAGS", "CC"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for name in ("_PYTHON_HOST_PLATFORM", "ARCHFLAGS"):  # so that the changes of setup.py are undone
            monkeypatch.setenv(name, "")
        monkeypatch.setattr(build, "cythonize", lambda *_, **__: [])
        monkeypatch.setattr(setuptools, "setup", lambda **arguments: given.update(arguments))
        monkeypatch.setattr(sysconfig, "get_platform", lambda: os.environ["_PYTHON_HOST_PLATFORM"] or machine)
        monkeypatch.setattr(sysconfig, "get_config_var", lambda _: None)
        monkeypatch.setattr(sys, "platform", system)
        monkeypatch.setattr(
            sys, "implementation", types.SimpleNamespace(**vars(sys.implementation) | {"name": implementation})
        )
        monkeypatch.chdir(SETUP.parent)
        return types.SimpleNamespace(**runpy.run_path(str(SETUP))), given

    return read


def lanes(setup):
    """The lanes of each build of the network."""
    return {build.cpu: build.lanes for build in setup.builds()}


@pytest.mark.parametrize("machine", ["linux-x86_64", "win-amd64", "macosx-10.15-x86_64"])
def test_x86_64_has_three_builds_everywhere(read, machine):
    assert lanes(read(machine)[0]) == {"x86-64-v2": 4, "x86-64-v3": 8, "x86-64-v4": 16}


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="needs a compiler for x86-64")
@pytest.mark.parametrize("cflags", [(), ("-mavx2", "-mfma"), ("-mavx512f",)])
def test_cflags_do_not_lengthen_the_vectors_of_a_build(read, cflags):
    """simd.h defines operations for the longest vectors that the compiler's macros allow."""
    compiler = shutil.which("gcc") or pytest.skip("needs gcc")
    longest = {}
    for build in read("linux-x86_64")[0].builds():
        command = [compiler, *cflags, *build.flags, "-dM", "-E", "-xc", os.devnull]
        macros = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        longest[build.lanes] = 16 if " __AVX512F__ " in macros else 8 if " __AVX__ " in macros else 4
    assert longest == {4: 4, 8: 8, 16: 16}


@pytest.mark.parametrize("machine", ["linux-aarch64", "win-arm64", "macosx-11.0-arm64"])
def test_aarch64_has_one_build_everywhere(read, machine):
    assert lanes(read(machine)[0]) == {"aarch64": 4}


@pytest.mark.parametrize(("cpu", "builds"), [("x86_64", 3), ("arm64", 1)])
def test_a_universal_python_builds_for_this_cpu_only(read, monkeypatch, cpu, builds):
    monkeypatch.setattr(platform, "machine", lambda: cpu)
    assert len(lanes(read("macosx-10.15-universal2", "darwin")[0])) == builds
    assert os.environ["ARCHFLAGS"] == f"-arch {cpu}"
    assert os.environ["_PYTHON_HOST_PLATFORM"] == f"macosx-10.15-{cpu}"


@pytest.mark.parametrize(
    ("system", "environment", "compiler"),
    [("win32", {"CC": "gcc"}, "mingw32"), ("win32", {}, None), ("linux", {"CC": "clang"}, None)],
)
def test_on_windows_cc_chooses_gcc_or_clang(read, system, environment, compiler):
    _, given = read("win-amd64", system, **environment)
    assert given["options"]["build_ext"].get("compiler") == compiler


@pytest.mark.parametrize(("implementation", "stable"), [("cpython", True), ("pypy", False)])
def test_pypy_has_no_stable_abi(read, implementation, stable):
    setup, given = read("linux-x86_64", implementation=implementation)
    assert {each.py_limited_api for each in setup.extensions()} == {stable}
    assert ("py_limited_api" in given["options"]["bdist_wheel"]) == stable


def command(setup, compiler):
    """A build_ext whose compiler is of that kind, and which compiles nothing."""
    made = setup.BuildExt(setuptools.Distribution())
    made.extensions, made.build_temp = setup.extensions(), "build"
    macros = {}
    made.compiler = types.SimpleNamespace(
        compiler_type=compiler,
        compiler_so=[sys.executable],
        define_macro=lambda name, value=None: macros.__setitem__(name, value),
        include_dirs=[],
        compile=lambda _, output_dir, macros, **__: [(output_dir, dict(macros)["LANES"], dict(macros)["FILL_KERNELS"])],
    )
    made.check_headers = lambda: None
    return made, macros


def fused(made):
    """Return the objects that are linked into the extension, and the functions that fill in its tables."""
    (found,) = made.extensions
    return found.extra_objects, dict(found.define_macros)["FILL_KERNELS"]


def test_one_extension_contains_the_kernels_of_all_builds(read, monkeypatch):
    monkeypatch.setattr(setuptools.command.build_ext.build_ext, "build_extensions", lambda _: None)
    made, _ = command(read("linux-x86_64")[0], "unix")
    made.build_extensions()
    objects, functions = fused(made)
    assert objects == [
        (str(Path("build", "x86-64-v2")), "4", "lenet_x86_64_v2"),
        (str(Path("build", "x86-64-v3")), "8", "lenet_x86_64_v3"),
        (str(Path("build", "x86-64-v4")), "16", "lenet_x86_64_v4"),
    ]
    assert functions == "lenet_x86_64_v2,lenet_x86_64_v3,lenet_x86_64_v4"


@pytest.mark.parametrize(
    ("system", "is_gcc", "unaligned"),
    [("win32", True, True), ("win32", False, False), ("linux", True, False)],
)
def test_gcc_for_windows_moves_vectors_unaligned(read, monkeypatch, system, is_gcc, unaligned):
    monkeypatch.setattr(setuptools.command.build_ext.build_ext, "build_extensions", lambda _: None)
    made, _ = command(read("win-amd64" if system == "win32" else "linux-x86_64", system)[0], "unix")
    made.is_gcc = lambda: is_gcc
    made.build_extensions()
    for each in made.extensions:
        assert ("-Wa,-muse-unaligned-vector-move" in each.extra_compile_args) == unaligned


def test_msvc_builds_the_baseline_only(read, monkeypatch):
    monkeypatch.setattr(setuptools.command.build_ext.build_ext, "build_extensions", lambda _: None)
    made, _ = command(read("win-amd64", "win32")[0], "msvc")
    made.build_extensions()
    assert fused(made) == ([(str(Path("build", "x86-64-v2")), "1", "lenet_x86_64_v2")], "lenet_x86_64_v2")
    assert {tuple(each.extra_compile_args) for each in made.extensions} == {("/O2",)}


@pytest.mark.parametrize(
    ("named", "stable", "linked"),
    [
        (["python311"], True, ["python3"]),
        (["python311"], False, ["python311"]),
        (["python314t"], True, ["python314t"]),
        ([], True, []),
    ],
)
def test_the_library_of_the_stable_abi_is_linked(read, monkeypatch, named, stable, linked):
    setup = read("win-amd64", "win32", implementation="cpython" if stable else "pypy")[0]
    monkeypatch.setattr(setuptools.command.build_ext.build_ext, "get_libraries", lambda *_: named)
    monkeypatch.setattr(sys, "version_info", types.SimpleNamespace(major=3, minor=11))
    assert command(setup, "mingw32")[0].get_libraries(setup.extensions()[0]) == linked
