"""The habits of the house, each by one name: `nox -s tests`. What stands behind `--` goes to the command.

A session makes an environment and runs the one command that does the thing; .ci/run needs none of them.
"""

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.reuse_existing_virtualenvs = True

BUILD = ["setuptools>=77", "Cython>=3.2"]  # for what builds the kernels in a copy of the tree


def install(session: nox.Session, *what: str, groups: str = "") -> None:
    """Install packages, and groups of pyproject.toml, by a pip that knows groups."""
    session.install("-q", "-U", "pip")
    session.install("-q", *what, *(part for group in groups.split() for part in ("--group", group)))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests."""
    install(session, ".[train,serve]", groups="test")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Look at the style of Python and Cython, and at the workflows."""
    install(session, groups="lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("cython-lint", "src/lenet", *session.posargs)
    session.run("zizmor", "--offline", ".github/workflows")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types."""
    install(session, "numpy", groups="lint")
    session.run("mypy", *session.posargs)


@nox.session
def audit(session: nox.Session) -> None:
    """Look for what the sources never do."""
    install(session, groups="audit")
    session.run(".ci/audit", external=True)


@nox.session
def vulnerabilities(session: nox.Session) -> None:
    """Ask PyPI, over the network, for known faults of the packages that lenet brings."""
    install(session, ".[train,serve,onnx]", "pip-audit>=2.7")
    session.run("pip-audit", "--skip-editable", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Give inputs that nobody would think of: `-- idx --seconds 60`."""
    install(session, ".[train,serve,onnx,torch]", groups="test fuzz")
    session.run("python", "-m", "tests.fuzz", *(session.posargs or ["--all", "--seconds", "60"]))


@nox.session
def sanitizers(session: nox.Session) -> None:
    """Run the tests on kernels that watch themselves: `-- address`, `checked`, `memcheck` or `thread`."""
    watch, *rest = session.posargs or ["address"]
    install(session, ".[train,serve]", *BUILD, groups="test watched")
    if watch == "checked":  # which also demands that what is tested beside other packages has run
        install(session, ".[skl2onnx,torch,dask,mpi]", "mpich", "onnxruntime", groups="ecosystem")
    command = ["tests.sanitizers.thread"] if watch == "thread" else ["tests.sanitizers", watch]
    session.run("python", "-m", *command, *rest)


@nox.session
def mutation(session: nox.Session) -> None:
    """See whether the tests notice changes: `-- core`, `-- kernels` or `-- seeded`."""
    install(session, ".[train,serve]", "mutmut>=3.8", *BUILD, groups="test watched")
    subject, *rest = session.posargs or ["core"]
    session.run("python", "-m", f"tests.mutation.{subject}", *rest)


@nox.session
def compilers(session: nox.Session) -> None:
    """Test the kernels as clang builds them, and in plain C11, as MSVC takes it."""
    install(session, ".[train]", *BUILD, groups="test")
    session.run("python", "-m", "tests.compilers")


@nox.session(venv_backend="none")
def wheels(session: nox.Session) -> None:
    """Build the sdist and the wheel, and check and install them."""
    session.run(".ci/wheels", *session.posargs)


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Build the documentation."""
    session.run(".ci/docs", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measure, beside other libraries."""
    install(session, ".[bench]")
    session.run("python", "-m", "benchmarks", *session.posargs)
