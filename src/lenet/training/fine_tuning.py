"""Start training from the weights of a trained model, for the same or other classes."""

from collections.abc import Sequence

from lenet import _checks, class_names
from lenet.model import LeNet5


def transfer(model: LeNet5, classes: Sequence[str], *, seed: int | None = None) -> LeNet5:
    """Return a new model for other classes, with the weights of a trained model up to the output layer.

    With few images per class, training from these weights is far more accurate than from random ones, because the
    strokes of one script resemble those of another.

    Parameters
    ----------
    model : LeNet5
        The trained model; it is not changed.
    classes : sequence of str
        The names of the new classes. If they equal those of `model`, in the same order, the output layer is copied too.
    seed : int, optional
        Seed of the new output layer, at least 0; by default, fresh entropy.

    Returns
    -------
    LeNet5
        A model of the same class and dtype. Its metadata has only the names of the classes. Train it before use, with
        the recipe `transfer`, or `adapt` if the classes are those of `model`.

    Raises
    ------
    InputError, InputTypeError
        If `classes` are not at least two distinct, printable strings of 1 to 100 characters.

    Examples
    --------
    >>> import lenet
    >>> model = transfer(lenet.load_pretrained("mnist"), ["circle", "square"], seed=0)
    >>> model.num_classes, model.parameters["output.weight"].shape
    (2, (2, 84))
    """
    _checks.model(model)
    names = class_names.checked(classes)
    new = type(model)(seed, model.dtype, len(names))
    new.classes = names
    same = new.classes == model.classes
    for name, value in model.parameters.items():
        if same or not name.startswith("output."):
            new.parameters[name] = value
    new.mean, new.std = model.mean, model.std
    return new
