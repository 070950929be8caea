"""The report on corrupted images: accuracy and calibration error for each corruption and severity."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lenet import _checks
from lenet._extras import require
from lenet.evaluation.calibration import expected_calibration_error
from lenet.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from lenet.model import LeNet5

CASES = [(name, severity) for name in CORRUPTIONS for severity in range(1, SEVERITIES + 1)]


@dataclass(frozen=True)
class RobustnessReport:
    """The accuracy and the calibration error of a model on corrupted images.

    As a string, the report is a table.

    Parameters
    ----------
    images : int
        Number of test images.
    clean_accuracy, clean_calibration_error : float
        Without corruption, in [0, 1].
    accuracy, calibration_error : dict of str to list of float
        At severities 1 to 5 of each corruption, in [0, 1].

    Examples
    --------
    >>> scores = {"fog": [1.0, 0.9, 0.8, 0.7, 0.6], "shear": [1.0, 1.0, 1.0, 0.9, 0.9]}
    >>> RobustnessReport(100, 1.0, 0.0, scores, scores).summary()["worst_corruption"]
    'fog'
    """

    images: int
    clean_accuracy: float
    clean_calibration_error: float
    accuracy: dict[str, list[float]]
    calibration_error: dict[str, list[float]]

    def summary(self, *, published: bool = False) -> dict[str, Any]:
        """Return the means over the severities and the corruptions.

        Parameters
        ----------
        published : bool, default False
            Use only the severity of MNIST-C for each corruption.

        Returns
        -------
        dict
            "accuracy" and "calibration_error", the means over the corruptions; "worst_corruption" and
            "worst_accuracy"; and "accuracies", the accuracy by corruption.
        """
        used = {name: each.published - 1 if published else slice(None) for name, each in CORRUPTIONS.items()}
        accuracies, errors = (
            {name: float(np.mean(levels[used[name]])) for name, levels in scores.items()}
            for scores in (self.accuracy, self.calibration_error)
        )
        worst = min(accuracies, key=accuracies.__getitem__)
        return {
            "accuracy": float(np.mean([*accuracies.values()])),
            "worst_corruption": worst,
            "worst_accuracy": accuracies[worst],
            "calibration_error": float(np.mean([*errors.values()])),
            "accuracies": accuracies,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the report as a dict for JSON.

        Returns
        -------
        dict
            The fields by name, and the summaries as "mean" and "published".
        """
        return {**vars(self), "mean": self.summary(), "published": self.summary(published=True)}

    def __str__(self) -> str:
        mean, published = self.summary(), self.summary(published=True)
        lines = [
            f"clean: accuracy {self.clean_accuracy:.2%}, calibration error {self.clean_calibration_error:.2%} "
            f"({self.images:,} images)",
            *(
                f"{title}: accuracy {each['accuracy']:.2%}, "
                f"worst {each['worst_accuracy']:.2%} ({each['worst_corruption']}), "
                f"calibration error {each['calibration_error']:.2%}"
                for title, each in (("mean of all severities", mean), ("severities of MNIST-C", published))
            ),
            "",
            "accuracy by corruption: mean, at the severity of MNIST-C, and at severities 1 to 5",
        ]
        for name, levels in self.accuracy.items():
            row = [mean["accuracies"][name], published["accuracies"][name], *levels]
            lines.append(f"{name:>13} " + "".join(f"{each:>8.2%}" for each in row))
        return "\n".join(lines) + "\n"


def robustness_report(
    model: LeNet5,
    X: ArrayLike,
    y: ArrayLike,
    *,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> RobustnessReport:
    """Return the report on images under the 15 corruptions of MNIST-C at five severities.

    Parameters
    ----------
    model : LeNet5
    X, y : array_like
        As for `lenet.LeNet5.loss_and_gradients`; y has labels. 10,000 images take about 1 minute on one core of an AMD
        EPYC (Zen 5).
    seed : int, default 0
        As for `corrupt`.
    n_jobs : int, optional
        As for `lenet.LeNet5.loss_and_gradients`.
    progress : callable, optional
        Called as ``progress(done, total)`` with the numbers of corrupted images.

    Returns
    -------
    RobustnessReport

    Raises
    ------
    InputError, InputTypeError
        If an argument is invalid, or there are no images.
    MissingExtraError
        If OpenCV is not installed.

    Examples
    --------
    >>> import lenet
    >>> digits, model = lenet.data.load_digits(), lenet.load_pretrained("mnist")
    >>> outcome = robustness_report(model, digits.X_test[:20], digits.y_test[:20])
    >>> outcome.summary()["accuracy"] < outcome.clean_accuracy
    True
    """
    _checks.model(model)
    images = _checks.images(X)
    labels = _checks.labels(y, len(images), model.num_classes)
    _checks.not_empty(images)
    seed = _checks.whole(seed, "seed", at_least=0)
    _checks.callback(progress, "progress")
    require("cv2", "vision")  # before the corruptions that do not require it
    if images.dtype != np.uint8:
        images = np.round(255 * images).astype(np.uint8)

    def scores(images: ArrayLike) -> tuple[float, float]:
        probabilities = model.predict_proba(images, n_jobs=n_jobs)
        right = probabilities.argmax(axis=1) == labels
        return float(right.mean()), expected_calibration_error(probabilities, labels)

    clean = scores(images)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in CORRUPTIONS}
    for done, (name, severity) in enumerate(CASES, start=1):
        found[name].append(scores(corrupt(images, name, severity, seed=seed)))
        if progress is not None:
            progress(done * len(images), len(CASES) * len(images))
    accuracy, error = ({name: [pair[k] for pair in pairs] for name, pairs in found.items()} for k in (0, 1))
    return RobustnessReport(len(images), *clean, accuracy, error)
