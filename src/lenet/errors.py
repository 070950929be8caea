"""Exceptions. Each also derives from the built-in exception that fits its cause."""

__all__ = [
    "ConfigurationError",
    "DataError",
    "DivergedError",
    "DownloadError",
    "InputError",
    "InputTypeError",
    "LenetError",
    "MissingExtraError",
    "NotServedError",
    "SaveError",
    "WeightsError",
    "WorkerError",
]


class LenetError(Exception):
    """Base class of all exceptions that lenet raises on purpose."""


class InputError(LenetError, ValueError):
    """An argument has the wrong shape, size or value."""


class InputTypeError(LenetError, TypeError):
    """An argument has the wrong type."""


class ConfigurationError(LenetError, ValueError):
    """An environment variable has an invalid value."""


class DataError(LenetError, ValueError):
    """A file of images or labels is damaged, mislabelled or in an unsupported format."""


class WeightsError(LenetError, ValueError):
    """A weights file or a state dict does not fit the model."""


class DivergedError(LenetError, ArithmeticError):
    """The training loss is no longer finite."""


class DownloadError(LenetError, OSError):
    """A data set could not be downloaded."""


class SaveError(LenetError, OSError, ValueError):
    """A file or folder could not be written; the message says what it contains now."""


class MissingExtraError(LenetError, ImportError):
    """A feature requires a package that is not installed."""


class NotServedError(LenetError, LookupError):
    """A server does not have the requested model or version."""


class WorkerError(LenetError, RuntimeError):
    """Worker processes failed, even after retries."""
