"""Choose the build of the kernels for this CPU, and report it."""

import functools
import os
import platform
import sys

import numpy as np

from lenet import __version__, _compiled
from lenet.errors import ConfigurationError


def available() -> dict[str, _compiled.Build]:
    """Return the builds that this CPU can run, best first: {name for LENET_CPU: build}."""
    builds = dict(reversed(_compiled.BUILDS.items()))
    if not builds:
        raise ConfigurationError(
            "This CPU lacks x86-64-v2 (SSE4.2, since 2009), which lenet and NumPy require. Use a newer CPU."
        )
    return builds


def chosen() -> str:
    """Return the name of the build to run: LENET_CPU if it is set, otherwise the best."""
    builds = available()
    wanted = os.environ.get("LENET_CPU")
    if not wanted:
        return next(iter(builds))
    if wanted in builds:
        return wanted
    raise ConfigurationError(
        f"LENET_CPU is {wanted!r}; expected one of {', '.join(builds)}, the builds that this CPU can run. "
        "Unset it to use the best."
    )


@functools.cache
def kernels() -> _compiled.Build:
    """Return the kernels for this CPU, which compute in float32."""
    return available()[chosen()]


def show_config() -> None:
    """Print the versions, the build of the kernels in use, its compiler, and the default number of threads.

    The environment variable LENET_CPU selects a build. LENET_NUM_THREADS sets the default number of threads.

    Raises
    ------
    ConfigurationError
        If LENET_CPU names a build that does not exist or that this CPU cannot run, LENET_NUM_THREADS is not a positive
        integer, or lenet does not support this CPU.

    Examples
    --------
    >>> import lenet
    >>> lenet.show_config()  # doctest: +ELLIPSIS
    lenet ...
    kernels  ...
    """
    from lenet._fused.threads import resolve_n_jobs

    chosen()  # raises an error if LENET_CPU is invalid, even if it was set after the kernels had been chosen
    build = kernels().build()
    forced = " (LENET_CPU)" if os.environ.get("LENET_CPU") == build["cpu"] else ""
    print(f"lenet    {__version__}, Python {platform.python_version()}, numpy {np.__version__}, {sys.platform}")
    lanes = f"{build['lanes']} lane{'s' if build['lanes'] > 1 else ''}"
    print(f"kernels  {build['cpu']}{forced}: float32, {lanes}; float64: layer by layer")
    print(f"compiler {build['compiler']}")
    if build["lanes"] == 1:
        print('         built without vector instructions; see "Windows" in docs/environments.md')
    print(f"choice   {', '.join(available())}")
    print(f"threads  {resolve_n_jobs(None)}")
