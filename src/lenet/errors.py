"""The exceptions of lenet, each also of the built-in type that Python users would catch."""

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
    """Base class of everything that lenet raises on purpose."""


class InputError(LenetError, ValueError):
    """An array or a number that a function was given has a wrong shape, size or value."""


class InputTypeError(LenetError, TypeError):
    """An array or an argument is of a type that the function does not take."""


class ConfigurationError(LenetError, ValueError):
    """A setting from the environment cannot be followed."""


class DataError(LenetError, ValueError):
    """A file of images or labels is damaged, mislabelled or of another format."""


class WeightsError(LenetError, ValueError):
    """A file of weights, or a state dict, does not fit the model."""


class DivergedError(LenetError, ArithmeticError):
    """The loss of a training is no longer a finite number."""


class DownloadError(LenetError, OSError):
    """A data set could not be fetched."""


class SaveError(LenetError, OSError, ValueError):
    """A file or a folder could not be written; the message says what is there now."""


class MissingExtraError(LenetError, ImportError):
    """A feature needs a package that is not installed."""


class NotServedError(LenetError, LookupError):
    """A model or a version that a server was asked for is not there."""


class WorkerError(LenetError, RuntimeError):
    """Other processes could not do their part of the work, though it was tried again."""
