"""The models of a server, which can be replaced while requests run."""

import errno
import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from lenet import _checks
from lenet._lazy import cached_property
from lenet.class_names import KEY
from lenet.errors import InputError, InputTypeError, NotServedError
from lenet.interop.loading import load_any
from lenet.loading import BEST, load
from lenet.model import LeNet5
from lenet.rejection import LEAD_SCALE, TINY, RejectionRule
from lenet.serving.logs import LOG

Source = str | os.PathLike[str] | LeNet5
Loader = Callable[[str], LeNet5]
# Errors of reading a file that may pass.
_TRANSIENT = {
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ETIMEDOUT, errno.EINTR, errno.EAGAIN,
    getattr(errno, "ESTALE", errno.EIO),
}  # fmt: skip
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True)
class Served:
    """A model and its name; immutable."""

    name: str
    model: LeNet5

    @cached_property
    def version(self) -> str:
        """The first 12 hexadecimal digits of the SHA-256 of the weights and metadata."""
        settings = [self.model.mean, self.model.std, sorted(self.model.metadata.items())]
        digest = hashlib.sha256(json.dumps(settings).encode())
        digest.update(self.model.parameters.flat.tobytes())
        return digest.hexdigest()[:12]

    @cached_property
    def rule_at(self) -> Callable[[float | None], RejectionRule]:
        """The function that returns the rule for a `reject_at`; it caches some, since validating takes long."""
        return lru_cache(16)(partial(RejectionRule.from_metadata, self.model.metadata))

    @cached_property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of the classes; None if they have only numbers."""
        return self.model.classes if KEY in self.model.metadata else None

    def accepted_label(self, probabilities: list[float]) -> int:
        """Return the label of one image, or -1 if it does not look like a digit; NumPy takes ten times as long."""
        logs = [math.log(max(each, TINY)) for each in probabilities]
        score = max(0.0, -math.expm1((sum(logs) / len(logs) - max(logs)) / LEAD_SCALE))
        is_digit = score >= self.rule_at(None).min_digit_score
        return probabilities.index(max(probabilities)) if is_digit else -1


class Models:
    """The models of a server, by name.

    A model can be replaced at any time: each request uses one model from start to end. All methods are thread-safe. Do
    not change a LeNet5 that is served; train a copy of it, and serve the copy.

    Parameters
    ----------
    sources : mapping of str to path-like or LeNet5
        At least one model; the first is the default of ``/predict`` and the page. A name has 1 to 100 ASCII letters,
        digits, "_", "-" and ".", starts with a letter or digit, and is not "stats".
    loader : callable, optional
        Returns the model of a path. By default, a path may be that of a .safetensors, .onnx or .pt file or of a run
        folder, or be the name of a pre-trained model, such as "mnist", which takes precedence: write
        ./mnist for a folder of that name.
    kept : path-like, optional
        A folder to which `keep` has saved models: a model whose file cannot be loaded is loaded from it.

    Raises
    ------
    InputError
        If there is no model, a name is invalid, a path does not exist, or the metadata of a model is damaged.
    InputTypeError
        If a name is not a string, or a source is neither a path nor a model.
    WeightsError, OSError
        If a file cannot be loaded.

    Examples
    --------
    >>> models = Models({"untrained": LeNet5(seed=0)})
    >>> len(models.get("untrained").version)
    12
    """

    def __init__(
        self, sources: Mapping[str, Source], loader: Loader = load_any, *, kept: str | os.PathLike[str] | None = None
    ):
        if not isinstance(sources, Mapping):
            raise InputTypeError(f"models is {_checks.short_repr(sources)}; expected a mapping of names to models.")
        if not sources:
            raise InputError("models is empty; expected at least one model.")
        if not callable(loader):
            raise InputTypeError(f"loader is {_checks.short_repr(loader)}; expected a function.")
        self._sources = dict(sources)
        self._loader = loader
        self._loading, self._changing = threading.Lock(), threading.Lock()  # reading needs no lock
        self._seen: dict[str, object] = {}
        self._served: dict[str, Served] = {}  # replaced as a whole, never changed
        for name, source in self._sources.items():
            if not isinstance(name, str):
                raise InputTypeError(f"models has the name {_checks.short_repr(name)}; expected a string.")
            if not _NAME.fullmatch(name) or name == "stats":  # /v2/models/stats is another route
                raise InputError(
                    f"{name!r} is not a valid model name. Use at most 100 letters, digits, _, - and ., but not stats."
                )
            if not isinstance(source, str | os.PathLike | LeNet5):
                raise InputTypeError(f"{name} is of type {type(source).__name__}; expected a path or a LeNet5.")
            try:
                self.reload(name)
            except Exception as error:  # also from a custom loader
                if kept is None:
                    raise
                LOG.error("Model %s was not loaded from its file; the last good one is used. %s", name, error)
                self._served = {**self._served, name: Served(name, load(kept_file(kept, name)))}

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def ready(self) -> list[Served]:
        """Return the models that are ready, in the order of `sources`.

        Returns
        -------
        list of Served
            As for `get`.
        """
        served = self._served
        return [served[name] for name in self._sources if name in served]

    def get(self, name: str | None = None, version: str | None = None) -> Served:
        """Return a model that is ready.

        Parameters
        ----------
        name : str, optional
            By default, the first of `sources`.
        version : str, optional
            The version that the model must have; by default, or if empty, any version.

        Returns
        -------
        Served
            With the attributes `name`, `model` and `version`, the first 12 hexadecimal digits of a SHA-256.

        Raises
        ------
        NotServedError
            If no model of that name and version is ready.
        """
        name = next(iter(self._sources)) if name is None else name
        served = self._served.get(name)
        if served is None:
            state = "unloaded" if name in self._sources else "unknown"
            loaded = ", ".join(self._served) or "all are unloaded"
            raise NotServedError(f"Model {name!r} is {state}; expected a loaded model ({loaded}).")
        if version not in (None, "", served.version):
            raise NotServedError(f"Model {name!r} has no version {version!r}; expected {served.version}.")
        return served

    def reload(self, name: str, *, only_if_ready: bool = False) -> bool:
        """Load a model from its source again; after an error, the previous model stays in use.

        If the classes of the new model differ from those of the previous one, a warning is logged.

        Parameters
        ----------
        name : str
            One of `sources`.
        only_if_ready : bool, default False
            Whether to leave a model unloaded that is not ready, or is unloaded while its file is read.

        Returns
        -------
        bool
            Whether the model changed, or was not ready before.

        Raises
        ------
        NotServedError
            If `sources` has no such model, or `only_if_ready` leaves it unloaded.
        WeightsError, InputError, OSError
            If the file cannot be loaded, or its metadata is damaged.
        """
        if name not in self._sources:
            raise NotServedError(f"Model {name!r} is unknown; expected one of {', '.join(self._sources)}.")
        with self._loading:
            source = self._sources[name]
            self._seen[name] = _stamp(source)  # before loading, so that a write during loading is noticed
            try:
                model = source if isinstance(source, LeNet5) else self._loader(os.fspath(source))
            except (OSError, MemoryError) as error:
                if isinstance(error, MemoryError) or error.errno in _TRANSIENT:
                    self._seen[name] = None  # reading it again may succeed
                raise
            loaded = Served(name, model)
            _ = loaded.rule_at(None), loaded.class_names  # damaged metadata is an error now, not in a response
            with self._changing:
                previous = self._served.get(name)
                if only_if_ready and previous is None:
                    raise NotServedError(f"Model {name!r} was unloaded; expected a loaded model.")
                self._served = {**self._served, name: loaded}
        if previous is not None and previous.model.classes != loaded.model.classes:
            before, after = previous.model.classes, loaded.model.classes
            LOG.warning(
                "Model %s was reloaded with other classes: %d (%s) instead of %d (%s). Its responses have changed.",
                name, len(after), ", ".join(after), len(before), ", ".join(before),
            )  # fmt: skip
        return previous is None or previous.version != loaded.version

    def keep(self, folder: str | os.PathLike[str]) -> None:
        """Save the models that are ready, for another process that gets the folder as `kept`.

        Parameters
        ----------
        folder : path-like
            An existing folder.

        Raises
        ------
        OSError
            If a file cannot be written.
        """
        for served in self.ready():
            served.model.save(kept_file(folder, served.name))

    def unload(self, name: str) -> None:
        """Make a model unavailable until it is loaded again.

        Parameters
        ----------
        name : str
            One of the models that are ready.

        Raises
        ------
        NotServedError
            If the model is not ready.
        """
        self.get(name)
        with self._changing:
            self._served = {other: served for other, served in self._served.items() if other != name}

    def changed(self) -> list[str]:
        """Return the names of the ready models whose files have changed, or were removed, since they were loaded.

        Returns
        -------
        list of str
        """
        return [name for name in self._served if _stamp(self._sources[name]) != self._seen[name]]


def kept_file(folder: str | os.PathLike[str], name: str) -> Path:
    """Return the file of a model that `keep` has saved."""
    return Path(folder, f"{name}.safetensors")


def _stamp(source: Source) -> tuple[int, ...] | None:
    """Return values that change when a file is written; None if there is no file."""
    if isinstance(source, LeNet5):
        return None
    path = Path(source)
    try:
        status = (path / BEST if path.is_dir() else path).stat()
    except OSError:
        return None
    # On POSIX, the change time reveals an overwritten file with its old modification time, as after `cp -p`.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
