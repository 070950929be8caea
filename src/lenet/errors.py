"""Exceptions. Each also derives from the built-in exception that fits its cause."""


class LenetError(Exception):
    """Base class of all exceptions that lenet raises on purpose."""


class InputError(LenetError, ValueError):
    """An argument has the wrong shape, size or value."""


class InputTypeError(LenetError, TypeError):
    """An argument has the wrong type."""


class ConfigurationError(LenetError, ValueError):
    """An environment variable is invalid, or the system does not provide what lenet requires, such as an address."""


class DataError(LenetError, ValueError):
    """A file of images or labels is missing, damaged, mislabelled or in an unsupported format."""


class WeightsError(LenetError, ValueError):
    """A weights file, checkpoint or state dict is damaged or does not fit the model."""


class DivergedError(LenetError, ArithmeticError):
    """The training loss is no longer finite."""


class DownloadError(LenetError, OSError):
    """A data set could not be downloaded."""


class SaveError(LenetError, OSError, ValueError):
    """A file or folder could not be written; the message says which files were changed."""


class MissingExtraError(LenetError, ImportError):
    """A feature requires a package that is missing, too old or broken."""


class NotServedError(LenetError, LookupError):
    """A server does not have the requested model or version."""


class WorkerError(LenetError, RuntimeError):
    """Worker processes failed, even after retries."""
