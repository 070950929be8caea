"""Write and print the results of a run of `lenet train`: the weights, the figures and the report on the test set."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from lenet.cli.output import quoted, say, standard_output, warn
from lenet.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lenet.data import Dataset
    from lenet.evaluation.report import Report
    from lenet.model import LeNet5
    from lenet.training.runs import Run
    from lenet.training.state import State

REPORT = "report.txt"  # written last


def write_results(
    folder: "Run", model: "LeNet5", data: "Dataset", state: "State", held_out: "NDArray[np.int64]", n_jobs: int | None
) -> "Report":
    """Calibrate and test the best weights, write the figures and the report, and return the report."""
    from lenet import plots
    from lenet.evaluation.calibration import MIN_IMAGES, calibrate
    from lenet.evaluation.report import classification_report
    from lenet.loading import BEST
    from lenet.losses import softmax

    folder.write("results.png", plots.learning_curves([asdict(row) for row in state.history], folder.folder.name))
    folder.write("filters.png", plots.filters(model.parameters["c1.weight"]))
    model.metadata = folder.metadata(state.history[state.best_epoch - 1])
    if len(held_out) >= MIN_IMAGES:
        try:
            calibrate(model, data.X_train[held_out], data.y_train[held_out], n_jobs=n_jobs)
        except InputError:
            warn("The model was not calibrated, so it cannot reject images: it misreads too many validation images.")
    logits = model.logits(data.X_test, n_jobs=n_jobs)
    report = classification_report(logits, data.y_test, model.classes)
    model.metadata["test_accuracy"] = str(report.accuracy)
    model.save(folder.folder / BEST)
    folder.write("confusion_matrix.png", plots.confusion_matrix(report.confusion_matrix, model.classes))
    worst = plots.worst(data.X_test, data.y_test, logits.argmax(axis=1), softmax(logits), model.classes)
    folder.write("worst.png", worst)
    folder.write(REPORT, str(report))
    return report


def print_report(report: "Report", folder: "Run", data: "Dataset", state: "State", held_out: int) -> None:
    """Print the results on the test set, advice, and how to use the weights."""
    import numpy as np

    from lenet._mnist_form import BOX
    from lenet.data.box import ink_form
    from lenet.data.dataset import are_dark_on_light
    from lenet.evaluation.calibration import MIN_FOR_NON_DIGITS, MIN_IMAGES
    from lenet.training.plateau import Plateau

    with standard_output():
        print(f"\nTest set, with the weights of epoch {state.best_epoch}:\n{report}")
    guessing = np.bincount(data.y_test).max() / len(data.y_test)
    row = state.history[state.best_epoch - 1]
    loss = row.loss if row.val_loss is None else row.val_loss
    is_on_plateau = "network" not in folder.args and Plateau(data.y_test, None).includes(loss)
    if is_on_plateau or report.accuracy < guessing + (1 - guessing) / 10:
        reason = "Sigmoid networks start on a plateau: pass --from mnist, or increase --epochs."
        if "from" in folder.args:
            reason = "Increase --epochs."
        if report.loss > 1.5 * np.log(len(report.classes)):  # the logarithm is the loss of equal probabilities
            reason = "The loss is higher than that of equal probabilities: lower --lr."
        say(f"This is hardly better than guessing. {reason}")
    advice = "To enable this, train on more images, or call lenet.evaluation.calibrate with other images."
    if held_out < MIN_IMAGES:
        say(
            f"The model cannot reject images: calibration requires at least {MIN_IMAGES} validation images; "
            f"{held_out} were held out. {advice}"
        )
    elif held_out < MIN_FOR_NON_DIGITS:
        say(
            "The model cannot reject pictures that resemble none of its classes: calibration requires at least "
            f"{MIN_FOR_NON_DIGITS:,} validation images for this; {held_out} were held out. {advice}"
        )
    if not folder.args.get("raw"):
        size, offset = ink_form(data.X_train)
        if are_dark_on_light(data.X_train):
            say(
                "Most training images look dark on light. `lenet predict` converts pictures to light on dark, so the "
                "model misreads them: train on 255 - X."
            )
        elif max(abs(size - BOX), offset) > 2:
            say(
                "The training images are not in MNIST's format: 20 pixels high or wide, and centred. `lenet predict` "
                "converts pictures to it, except those of 28x28 pixels that are light on dark. To classify other "
                "pictures, train on lenet.reading.as_mnist(X)."
            )
    say(f"{folder.folder} contains the weights, the figures and the history. To use the weights:")
    say(f"lenet predict PICTURE --model {quoted(folder.folder)}")
