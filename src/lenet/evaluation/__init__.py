"""Evaluation: the report on a test set, and calibration."""

from lenet.evaluation.calibration import calibrate, expected_calibration_error, rejection_rate, temperature, threshold
from lenet.evaluation.report import Report, classification_report, evaluate

__all__ = [
    "Report", "calibrate", "classification_report", "evaluate", "expected_calibration_error", "rejection_rate",
    "temperature", "threshold",
]  # fmt: skip
