"""The checks of the project, one session each: `nox -l` lists them, `nox -s NAME` runs one.

.ci/run runs the sessions that main must pass; .ci/release also runs the long ones. Most sessions pass arguments after
`--` to their command. Sessions that need all optional packages share the environment .nox/everything.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.10.14"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
PYTEST = ("python", "-m", "pytest", "-q", "-n", "2")
REINSTALL = "--reinstall-package=lenet"  # uv would keep another build of the same version
MAX_WHEEL_BYTES = 665_000
KERNEL_TESTS = ["tests/layers/test_conv.py", "tests/fused/test_network.py", "tests/training/test_distortions.py"]
MODEL_TESTS = [f"tests/test_{name}.py" for name in ("model", "gradients", "model_input", "model_state")]


def git(*arguments: str) -> str:
    """Return what a git command prints; nothing outside a clone."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()


COMMIT = git("rev-parse", "HEAD")
IS_CLEAN = bool(COMMIT) and not git("status", "--porcelain")


def wheel_of_commit() -> Path | None:
    """Return the wheel that `nox -s wheel` built from this commit, if the working tree has no changes."""
    return next(Path("dist", COMMIT).glob("*.whl"), None) if IS_CLEAN else None


def required_wheel(session: nox.Session) -> Path:
    """Return the wheel of this commit, or end the session."""
    return wheel_of_commit() or session.error("There is no wheel of this commit. Run `nox -s wheel` first.")


def install(session: nox.Session, *packages: str, extras: str = "", groups: str = "") -> None:
    """Install lenet with extras, if any are given, and packages and groups of pyproject.toml."""
    lenet = [f"{wheel_of_commit() or '.'}[{extras}]"] if extras else []
    session.install("-q", REINSTALL, *lenet, *packages, *(f"--group={name}" for name in groups.split()))


@functools.cache
def everything() -> Path:
    """Install all optional packages and tools into one environment, once per commit; return the folder of commands."""
    folder = Path(".nox/everything").resolve()
    installed = folder / "commit"
    if installed.exists() and installed.read_text() == COMMIT and IS_CLEAN:
        return folder / "bin"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--allow-existing", "--python", sys.executable, folder], check=True)
    lenet = f"{wheel_of_commit() or '.'}[train,serve,onnx,skl2onnx,torch,dask,mpi,tensorboard,completion]"
    groups = [f"--group={name}" for name in ("test", "docs", "fuzz", "ecosystem", "serving", "embedding")]
    tools = ["setuptools>=77", "Cython>=3.3", "mpich", "onnxruntime"]
    subprocess.run([*uv, "pip", "install", "-q", "--python", folder, REINSTALL, lenet, *groups, *tools], check=True)
    installed.write_text(COMMIT if IS_CLEAN else "")
    return folder / "bin"


def run(session: nox.Session, command: str, *arguments: str, env: dict[str, str] | None = None, **options: bool) -> Any:
    """Run a command in the environment that has all optional packages."""
    commands = everything()
    path = os.pathsep.join([str(commands), os.environ["PATH"]])
    return session.run(str(commands / command), *arguments, env={"PATH": path} | (env or {}), external=True, **options)


# ---- run by .ci/run ------------------------------------------------------------------------------


@nox.session
def tests(session: nox.Session) -> None:
    """Run the quick tests, as the README's command does."""
    install(session, extras="train,serve", groups="test")
    session.run("python", "-m", "pytest", *(session.posargs or ["-n", "2"]))


@nox.session(venv_backend="none")
def landing(session: nox.Session) -> None:
    """Run the tests that take longer or need optional packages."""
    run(session, *PYTEST, "-m", "landing", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check the style of Python and Cython, and the workflows."""
    install(session, groups="lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    sources = (str(path) for kind in ("pyx", "pxd", "pxi") for path in Path("src").rglob(f"*.{kind}"))
    session.run("cython-lint", *sources)
    workflows = map(str, Path(".github/workflows").iterdir())
    session.run("check-jsonschema", "-q", "--builtin-schema=vendor.github-workflows", *workflows)
    session.run("zizmor", "--offline", "--quiet", ".github/workflows")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types with mypy."""
    install(session, extras="train,serve", groups="lint")
    session.run("mypy", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Check the source with the rules in .ci/semgrep.yml."""
    install(session, groups="audit")
    session.run("semgrep", "scan", "--config=.ci/semgrep.yml", "--metrics=off", "--disable-version-check", "--quiet",
                "--error", ".")  # fmt: skip


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Build the documentation into build/docs, with warnings as errors, and check its links."""
    for folder in ("build/docs", "docs/generated"):
        shutil.rmtree(folder, ignore_errors=True)
    one_thread = {"LENET_NUM_THREADS": "1"}  # two threads would compete with the tests for the cores
    sphinx = ["-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-b", "html", "docs", "build/docs"]
    run(session, "python", *sphinx, env=one_thread)
    run(session, "python", "docs/check_links.py", "build/docs")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the sdist and the wheel from the last commit into dist/COMMIT, and check them."""
    install(session, groups="wheels")
    dist = Path("dist", COMMIT).resolve()
    built = build_wheel(session, dist)
    size = built.stat().st_size
    session.log(f"The wheel has {size:,} bytes; expected at most {MAX_WHEEL_BYTES:,}.")
    if size > MAX_WHEEL_BYTES:
        session.error("The wheel is too large.")
    libc = re.search(r"manylinux_2_(\d+)_", session.run("auditwheel", "show", str(built), silent=True))
    if libc is None or int(libc[1]) > 17:
        session.error("The wheel requires a newer libc than manylinux2014's.")
    session.run("abi3audit", "--strict", str(built))
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    session.run("check-wheel-contents", str(built))


def build_wheel(session: nox.Session, dist: Path) -> Path:
    """Build an sdist from the last commit, and from it a wheel, compressed well; return the path of the wheel."""
    epoch = session.run("git", "log", "-1", "--format=%ct", external=True, silent=True).strip()
    env = {"LDFLAGS": "-Wl,--strip-all,--build-id=none", "SOURCE_DATE_EPOCH": epoch}
    with tempfile.TemporaryDirectory() as source:
        session.run("git", "clone", "-q", ".", source, external=True)
        session.run("python", "-m", "build", "--no-isolation", "-o", str(dist), source, env=env, silent=True)
    built = next(dist.glob("*.whl"))
    session.run("python", ".ci/recompress", str(built))
    return built


@nox.session(venv_backend="none")
def sanitizers(session: nox.Session) -> None:
    """Run tests on instrumented kernels: `-- address`, `checked` or `memcheck`; by default a short run of address."""
    run(session, "python", "-m", "tests.sanitizers", *(session.posargs or ["address", *KERNEL_TESTS]))


@nox.session(venv_backend="none")
def fuzz(session: nox.Session) -> None:
    """Fuzz the parsers and the kernels: `-- --all --seconds 300 --jobs 2`; by default four targets, for 10 s each."""
    targets = ["idx", "weights", "http", "kernels", "--seconds", "10", "--jobs", "2"]
    run(session, "python", "-m", "tests.fuzz", *(session.posargs or targets))


# ---- not run by .ci/run --------------------------------------------------------------------------


@nox.session
def core(session: nox.Session) -> None:
    """Run the tests of the kernels and the model without optional packages, which some platforms lack."""
    install(session, ".", "--only-binary=numpy", groups="test")  # some Pythons lack wheels of the newest NumPy
    session.run(*PYTEST, *KERNEL_TESTS, *MODEL_TESTS, *session.posargs)


@nox.session
def audit_rules(session: nox.Session) -> None:
    """Test that each rule in .ci/semgrep.yml finds its example."""
    install(session, extras="train", groups="audit test")
    session.run("python", "-m", "pytest", "-q", "-m", "release", "tests/project/test_audit.py")


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Run the quick tests on every Python."""
    install(session, extras="train,serve", groups="test")
    session.run(*PYTEST, *session.posargs)


@nox.session(python=PYTHONS[:1])
def lowest(session: nox.Session) -> None:
    """Run the quick tests with the lowest version of each dependency that pyproject.toml allows."""
    install(session, groups="test")
    direct = ["--extra=train", "--extra=serve", "-r", "pyproject.toml"]
    options = ["--upgrade", "--resolution=lowest-direct", "--only-binary=:all:"]
    pyparsing = "pyparsing==3.2.*"  # 3.3 deprecates names that matplotlib used before 3.11
    session.install("-q", *options, *direct, pyparsing)
    session.install("-q", "--no-deps", REINSTALL, str(wheel_of_commit() or "."))
    session.run(*PYTEST, *session.posargs)


@nox.session
def scikit_learn(session: nox.Session) -> None:
    """Run the tests of the estimator and the data with each release of scikit-learn before the newest."""
    files = ["tests/estimator", "tests/data"]
    for version in ("1.6", "1.7", "1.8"):
        install(session, f"scikit-learn=={version}.*", extras="train,vision", groups="test")
        session.run("python", "-m", "pytest", "-q", *files, *session.posargs)


@nox.session(python=PYTHONS)
def installed(session: nox.Session) -> None:
    """Install the wheel of `nox -s wheel` without a compiler, and use it outside the source tree."""
    built = required_wheel(session)
    session.install("-q", REINSTALL, "--only-binary=:all:", f"{built}[train,vision]")
    session.run("python", "-I", "tests/installed.py")


@nox.session
def reproducible(session: nox.Session) -> None:
    """Build the wheel of `nox -s wheel` again in another folder, and compare the files byte by byte."""
    built = required_wheel(session)
    install(session, groups="wheels")
    again = build_wheel(session, Path(session.create_tmp(), "dist"))  # create_tmp also sets TMPDIR
    session.run("cmp", str(built), str(again), external=True)


@nox.session(venv_backend="none")
def release(session: nox.Session) -> None:
    """Run the tests that take minutes or test the tooling; set LENET_DATA for those that need MNIST."""
    run(session, *PYTEST, "-m", "release", *session.posargs)


@nox.session
def clusters(session: nox.Session) -> None:
    """Run the pages' programs for Dask, Spark, Ray and MLflow; requires Java 17 or newer."""
    install(session, "pyspark>=4", "ray>=2.40", "mlflow-skinny>=3", extras="train,dask", groups="test")
    files = ["tests/docs/test_scaling_page.py", "tests/docs/test_watching.py"]
    session.run("python", "-m", "pytest", "-q", "-m", "landing or release", *files)


@nox.session(venv_backend="none")
def builds(session: nox.Session) -> None:
    """Run the tests of the network, without long training runs, on all builds for this CPU but the fastest."""
    show = "from lenet._fused.dispatch import available; print(*list(available())[1:])"
    files = [*MODEL_TESTS, "tests/training/test_training.py"]
    for cpu in run(session, "python", "-c", show, silent=True).split():
        run(session, *PYTEST, "-m", "not release", *files, env={"LENET_CPU": cpu})


@nox.session(venv_backend="none")
def threads(session: nox.Session) -> None:
    """Run the thread tests under ThreadSanitizer."""
    run(session, "python", "-m", "tests.sanitizers.thread", *session.posargs)


@nox.session(venv_backend="none")
def mutation(session: nox.Session) -> None:
    """Plant faults and count those that the tests catch: `-- drawn` or `kernels`."""
    subject, *rest = session.posargs or ["drawn"]
    run(session, "python", "-m", f"tests.mutation.{subject}", *rest)


@nox.session(venv_backend="none")
def compilers(session: nox.Session) -> None:
    """Test the kernels built by clang, and built from plain C11, as for MSVC."""
    run(session, "python", "-m", "tests.compilers")


@nox.session
def aarch64(session: nox.Session) -> None:
    """Cross-build for Linux on aarch64, and run predictions, training and the tests of the core under qemu."""
    platform(session, "aarch64")


@nox.session
def windows(session: nox.Session) -> None:
    """Build for Windows with gcc, and run predictions, training and the quick tests with its Python under wine."""
    platform(session, "windows")


@nox.session
def cross(session: nox.Session) -> None:
    """Build the wheels for other platforms into dist/cross, and check their symbols and libraries."""
    install(session, "wheel", "ziglang", groups="wheels")
    session.run("python", "-m", "tests.platforms.wheels", "dist/cross", *session.posargs)


def platform(session: nox.Session, name: str) -> None:
    """Build for another platform, and test there; arguments are other test files."""
    install(session, "pip", "setuptools>=77", "Cython>=3.3", "wheel", extras="train")
    session.run("python", "-m", f"tests.platforms.{name}", *session.posargs)


@nox.session
def vulnerabilities(session: nox.Session) -> None:
    """Look up known vulnerabilities in the dependencies; requires network access."""
    session.install("-q", "pip-audit>=2.7", "--extra=train", "--extra=serve", "--extra=onnx", "-r", "pyproject.toml")
    session.run("pip-audit", "--strict", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Compare the speed of lenet with that of other libraries; `-- --quick` only compares results."""
    install(session, extras="bench,serve,dask,mpi,train")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(venv_backend="none")
def load(session: nox.Session) -> None:
    """Count instructions, and watch memory over many predictions, requests and Dask tasks."""
    run(session, "python", "setup.py", "-q", "build_ext", "--inplace")  # a wheel does not name the kernels
    run(session, "python", "-m", "benchmarks.instructions", env={"PYTHONPATH": "src"})
    run(session, "python", "-m", "benchmarks.soak", "--predictions", "200000", "--requests", "200000")
    run(session, "python", "-m", "benchmarks.scale", "--images", "100000", "--repetitions", "1", "--epochs", "1")
