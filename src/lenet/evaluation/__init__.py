"""Evaluate a model on a test set, and calibrate it."""

from lenet.evaluation.calibration import calibrate, expected_calibration_error, rejection_rate, temperature, threshold
from lenet.evaluation.corruptions import corrupt
from lenet.evaluation.report import Report, classification_report, evaluate
from lenet.evaluation.robustness import RobustnessReport, robustness_report

__all__ = [
    "Report", "RobustnessReport", "calibrate", "classification_report", "corrupt", "evaluate",
    "expected_calibration_error", "rejection_rate", "robustness_report", "temperature", "threshold",
]  # fmt: skip
