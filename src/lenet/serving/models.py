"""The models that a server has, by name, and how they are replaced while requests run."""

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lenet.errors import InputError, InputTypeError, NotServedError
from lenet.loading import load
from lenet.model import LeNet5
from lenet.rejection import RejectionRule

Source = str | os.PathLike[str] | LeNet5
Loader = Callable[[str], LeNet5]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Served:
    """A model under its name; never changed, but replaced by another one."""

    name: str
    model: LeNet5

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of all that the model computes by."""
        facts = [self.model.mean, self.model.std, sorted(self.model.metadata.items())]
        digest = hashlib.sha256(json.dumps(facts).encode())
        digest.update(self.model.parameters.flat.tobytes())
        return digest.hexdigest()[:12]


class Models:
    """Models by name.

    A request takes a `Served` once and keeps it, so that a model may be replaced at any time: requests that run end
    with the one that they began with. A file that cannot be loaded replaces nothing. All methods may be called by any
    thread. A LeNet5 that is served may not be changed: train a copy of it, and serve that.

    Parameters
    ----------
    sources : mapping of str to path-like or LeNet5
        At least one; the first is the one that `/predict` and the page use unless told otherwise.
    loader : callable, optional
        Makes a model of a path; `lenet.load` by default.

    Raises
    ------
    InputError
        If there is none, or a name has other characters than letters, digits, "_", "-" and ".".
    InputTypeError
        If a source is neither a path nor a model.
    WeightsError, OSError
        If a file cannot be loaded.

    Examples
    --------
    >>> models = Models({"untrained": LeNet5(seed=0)})
    >>> len(models.get("untrained").version)
    12
    """

    def __init__(self, sources: Mapping[str, Source], loader: Loader = load):
        if not sources:
            raise InputError("There is no model to serve: give at least one.")
        self._sources = dict(sources)
        self._loader = loader
        self._loading, self._changing = threading.Lock(), threading.Lock()  # reading needs none
        self._seen: dict[str, object] = {}
        self._served: dict[str, Served] = {}  # never changed, but replaced by another one
        for name, source in self._sources.items():
            if not _NAME.fullmatch(name) or name == "stats":  # /v2/models/stats is another thing
                raise InputError(
                    f"{name!r} is no name for a model: use letters, digits, _, - and ., at most 100, and not stats."
                )
            if not isinstance(source, str | os.PathLike | LeNet5):
                raise InputTypeError(f"{name} is a {type(source).__name__}, and a path or a LeNet5 is wanted.")
            self.reload(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def ready(self) -> list[Served]:
        """Return the models that are ready, in the order of their names at the start.

        Returns
        -------
        list of Served
        """
        served = self._served
        return [served[name] for name in self._sources if name in served]

    def get(self, name: str | None = None, version: str | None = None) -> Served:
        """Return a model that is ready, by default the first.

        Parameters
        ----------
        name : str, optional
        version : str, optional
            Any by default, or if it is empty.

        Returns
        -------
        Served
            With the attributes `name`, `model` and `version`.

        Raises
        ------
        NotServedError
            If there is none of that name, or not in that version.
        """
        name = next(iter(self._sources)) if name is None else name
        served = self._served.get(name)
        if served is None:
            state = "unloaded" if name in self._sources else "unknown"
            raise NotServedError(f"The model {name!r} is {state}; ready: {', '.join(self._served) or 'none'}.")
        if version not in (None, "", served.version):
            raise NotServedError(f"The model {name!r} has no version {version!r}; it has {served.version}.")
        return served

    def reload(self, name: str) -> bool:
        """Load a model from its source once more; return whether it is another one now.

        Parameters
        ----------
        name : str

        Returns
        -------
        bool

        Raises
        ------
        NotServedError
            If no such model was named at the start.
        WeightsError, OSError
            If the file cannot be loaded; the model that was ready goes on.
        """
        if name not in self._sources:
            raise NotServedError(f"The model {name!r} is unknown; there are: {', '.join(self._sources)}.")
        with self._loading:
            source = self._sources[name]
            self._seen[name] = _stamp(source)  # before it is read: what is written meanwhile makes it another one
            model = source if isinstance(source, LeNet5) else self._loader(os.fspath(source))
            RejectionRule.from_metadata(model.metadata)  # every answer needs it: reject damaged metadata now
            now = Served(name, model)
            with self._changing:
                before, self._served = self._served.get(name), {**self._served, name: now}
        return before is None or before.version != now.version

    def unload(self, name: str) -> None:
        """Make a model unavailable until it is loaded again.

        Parameters
        ----------
        name : str

        Raises
        ------
        NotServedError
            If it is not ready.
        """
        self.get(name)
        with self._changing:
            self._served = {other: served for other, served in self._served.items() if other != name}

    def changed(self) -> list[str]:
        """Return the names of those ready whose file is another one than when it was last read.

        Returns
        -------
        list of str
        """
        return [name for name in self._served if _stamp(self._sources[name]) not in (None, self._seen[name])]


def _stamp(source: Source) -> tuple[int, int, int] | None:
    """Return what changes when a file is written; None where there is no file."""
    if isinstance(source, LeNet5):
        return None
    path = Path(source)
    try:
        facts = (path / "best.safetensors" if path.is_dir() else path).stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino
