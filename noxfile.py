"""Every check of the project, one session each: `nox -l` lists them, `nox -s NAME` runs one.

.ci/run runs the sessions that main must pass, .ci/release the long ones. Arguments after `--` go to the command.
A session installs the wheel in dist/ if there is one of this commit (`nox -s wheel`), otherwise it builds the package.
"""

import os
import subprocess
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "venv"

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
EVERYTHING = ".nox/everything"  # the environment of the sessions that need all optional packages
GIT = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
COMMIT = GIT.stdout.strip()
MAX_WHEEL_BYTES = 700_000
KERNEL_TESTS = ["tests/test_conv.py", "tests/test_network.py", "tests/test_distortions.py"]


def install(session: nox.Session, *packages: str, extras: str = "", groups: str = "") -> None:
    """Install lenet with these extras, if any, and packages and groups of pyproject.toml."""
    session.install("-q", "-U", "pip")  # Debian's knows no groups
    wheel = next(iter(Path("dist", COMMIT).glob("*.whl")), ".")
    lenet = [f"{wheel}[{extras}]"] if extras else []
    session.install("-q", *lenet, *packages, *(part for group in groups.split() for part in ("--group", group)))


def install_everything(session: nox.Session) -> None:
    """Install all optional packages and tools into one environment."""
    install(
        session, "setuptools>=77", "Cython>=3.2", "mpich", "onnxruntime",
        extras="train,serve,onnx,skl2onnx,torch,dask,mpi",
        groups="test lint docs fuzz ecosystem serving embedding",
    )  # fmt: skip


# ---- what .ci/run runs ---------------------------------------------------------------------------------


@nox.session
def tests(session: nox.Session) -> None:
    """Run the quick tests, as the README's command does."""
    install(session, extras="train,serve", groups="test")
    session.run("python", "-m", "pytest", *(session.posargs or ["-n", "2"]))


@nox.session(venv_location=EVERYTHING)
def landing(session: nox.Session) -> None:
    """Run the tests that take longer or need optional packages."""
    install_everything(session)
    session.run("python", "-m", "pytest", "-q", "-n", "2", "-m", "landing", *session.posargs)


@nox.session(venv_location=EVERYTHING)
def lint(session: nox.Session) -> None:
    """Check the style of Python and Cython, and the workflows."""
    install(session, groups="lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("cython-lint", *map(str, Path("src").rglob("*.p[yx][xi]")))
    session.run("zizmor", "--offline", "--quiet", ".github/workflows")


@nox.session(venv_location=EVERYTHING)
def types(session: nox.Session) -> None:
    """Check the types."""
    install_everything(session)
    session.run("mypy", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Check the rules in .ci/semgrep.yml: no pickles, no shell, no network."""
    install(session, groups="audit")
    session.run("semgrep", "scan", "--config=.ci/semgrep.yml", "--metrics=off", "--disable-version-check", "--quiet",
                "--error", ".")  # fmt: skip


@nox.session(venv_location=EVERYTHING)
def docs(session: nox.Session) -> None:
    """Build the documentation into build/docs, with warnings as errors, and follow its internal links."""
    install_everything(session)
    session.run("python", "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-b", "html", "docs", "build/docs")
    session.run("python", "docs/check_links.py", "build/docs")


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the sdist and the wheel of the last commit into dist/COMMIT, and check them."""
    install(session, groups="wheels")
    dist = Path("dist", COMMIT).resolve()
    built = build_wheel(session, dist)
    size = built.stat().st_size
    session.log(f"{size:,} bytes, of at most {MAX_WHEEL_BYTES:,}")
    if size > MAX_WHEEL_BYTES:
        session.error("The wheel is too large.")
    if "manylinux_2_17_" not in session.run("auditwheel", "show", str(built), silent=True):
        session.error("The wheel needs a libc newer than manylinux2014's.")
    session.run("abi3audit", "--strict", str(built))
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    session.run("check-wheel-contents", str(built))


def build_wheel(session: nox.Session, dist: Path) -> Path:
    """Build the sdist of the last commit and a wheel from it; return the wheel's path."""
    epoch = session.run("git", "log", "-1", "--format=%ct", external=True, silent=True).strip()
    env = {"LDFLAGS": "-Wl,--strip-all", "SOURCE_DATE_EPOCH": epoch}
    with tempfile.TemporaryDirectory() as source:
        session.run("git", "clone", "-q", ".", source, external=True)
        session.run("python", "-m", "build", "-o", str(dist), source, env=env, silent=True)
    return next(dist.glob("*.whl"))


@nox.session(venv_location=EVERYTHING)
def sanitizers(session: nox.Session) -> None:
    """Run tests on instrumented kernels: `-- address`, `checked` or `memcheck`; by default a short run of address."""
    install_everything(session)
    session.run("python", "-m", "tests.sanitizers", *(session.posargs or ["address", *KERNEL_TESTS]))


@nox.session(venv_location=EVERYTHING)
def fuzz(session: nox.Session) -> None:
    """Fuzz the parsers and the kernels: `-- --all --seconds 1200 --jobs 2`; by default for 15 s each."""
    install_everything(session)
    targets = ["idx", "weights", "http", "kernels", "--seconds", "15", "--jobs", "2"]
    session.run("python", "-m", "tests.fuzz", *(session.posargs or targets))


# ---- what .ci/release runs besides ---------------------------------------------------------------------


@nox.session(python=PYTHONS)
def pythons(session: nox.Session) -> None:
    """Run the quick tests on every Python."""
    install(session, extras="train,serve", groups="test")
    session.run("python", "-m", "pytest", "-q", "-n", "2", *session.posargs)


@nox.session(python=PYTHONS)
def installed(session: nox.Session) -> None:
    """Install the wheel of `nox -s wheel` without a compiler, and use it outside of the tree."""
    built = next(Path("dist", COMMIT).glob("*.whl"))
    session.install("-q", "-U", "pip")
    session.install("-q", "--only-binary", ":all:", f"{built}[train,vision]")
    session.run("python", "-I", "tests/installed.py")


@nox.session
def reproducible(session: nox.Session) -> None:
    """Build the wheel of `nox -s wheel` again in another folder, and compare the bytes."""
    install(session, groups="wheels")
    built = next(Path("dist", COMMIT).glob("*.whl"))
    again = build_wheel(session, Path(session.create_tmp(), "a-longer-name"))
    session.run("cmp", str(built), str(again), external=True)


@nox.session(venv_location=EVERYTHING)
def release(session: nox.Session) -> None:
    """Run the tests that take minutes, or that test the tooling; MNIST from LENET_DATA, semgrep from `nox -s audit`."""
    install_everything(session)
    path = os.pathsep.join([*(session.bin_paths or []), os.environ["PATH"], str(Path(".nox/audit/bin").resolve())])
    session.run("python", "-m", "pytest", "-q", "-n", "2", "-m", "release", *session.posargs, env={"PATH": path})


@nox.session(venv_location=EVERYTHING)
def builds(session: nox.Session) -> None:
    """Run the tests of the network on every build of the kernels that this CPU runs, but for the best."""
    install_everything(session)
    show = "from lenet._fused.dispatch import available; print(*list(available())[1:])"
    for cpu in session.run("python", "-c", show, silent=True).split():
        files = ["tests/test_model.py", "tests/test_training.py"]
        session.run("python", "-m", "pytest", "-q", "-n", "2", "-m", "", *files, env={"LENET_CPU": cpu})


@nox.session(venv_location=EVERYTHING)
def threads(session: nox.Session) -> None:
    """Run the thread tests under ThreadSanitizer."""
    install_everything(session)
    session.run("python", "-m", "tests.sanitizers.thread", *session.posargs)


@nox.session(venv_location=EVERYTHING)
def mutation(session: nox.Session) -> None:
    """Plant faults and count those that the tests catch: `-- seeded`, `kernels` or `core`."""
    install_everything(session)
    subject, *rest = session.posargs or ["seeded"]
    if subject == "core":
        session.install("-q", "mutmut>=3.8")
    session.run("python", "-m", f"tests.mutation.{subject}", *rest)


@nox.session(venv_location=EVERYTHING)
def compilers(session: nox.Session) -> None:
    """Test the kernels as clang builds them, and in plain C11, as for MSVC."""
    install_everything(session)
    session.run("python", "-m", "tests.compilers")


@nox.session
def vulnerabilities(session: nox.Session) -> None:
    """Look up known vulnerabilities of the dependencies; needs the network."""
    install(session, "pip-audit>=2.7", extras="train,serve,onnx")
    session.run("pip-audit", "--skip-editable", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure lenet beside other libraries: `-- --quick` checks only that all compute the same."""
    install(session, extras="bench,serve,dask,mpi,train")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(venv_location=EVERYTHING)
def load(session: nox.Session) -> None:
    """Count instructions, and watch memory over many predictions, requests and Dask tasks."""
    install_everything(session)
    session.run("python", "-m", "benchmarks.instructions")
    session.run("python", "-m", "benchmarks.soak", "--predictions", "200000", "--requests", "200000")
    session.run("python", "-m", "benchmarks.scale", "--images", "100000", "--repetitions", "1", "--epochs", "1")
