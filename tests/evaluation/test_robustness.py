"""The report on corrupted images, against figures computed by hand."""

import json
import sys

import numpy as np
import pytest

import lenet
from lenet import cli
from lenet.evaluation import RobustnessReport, robustness, robustness_report

pytest.importorskip("cv2")

REPORT = RobustnessReport(
    1000, 0.995, 0.004,
    {"fog": [0.9, 0.8, 0.7, 0.6, 0.5], "shear": [1.0, 0.4, 0.75, 0.75, 0.75]},
    {"fog": [0.1, 0.1, 0.1, 0.1, 0.6], "shear": [0.0, 0.2, 0.0, 0.0, 0.3]},
)  # fmt: skip


class DarkOrLight:
    """A model with two classes that gives the first a probability of 80% for images with a mean of at most 64."""

    num_classes = 2

    def predict_proba(self, x, n_jobs=None):
        return np.where(x.mean(axis=(1, 2))[:, np.newaxis] <= 64, [0.8, 0.2], [0.2, 0.8])


def test_the_figures_of_blank_images_are_as_computed_by_hand():
    calls = []
    found = robustness_report(
        DarkOrLight(), np.zeros((3, 28, 28), np.uint8), [0, 0, 0], progress=lambda *each: calls.append(each)
    )
    assert (found.images, found.clean_accuracy) == (3, 1)
    assert found.clean_calibration_error == pytest.approx(0.2)
    assert found.accuracy["brightness"] == [1, 1, 0, 0, 0]  # 26, 51, 76, 102 and 128
    assert found.calibration_error["brightness"] == pytest.approx([0.2, 0.2, 0.8, 0.8, 0.8])
    assert found.accuracy["stripe"] == [1, 0, 0, 0, 0]  # 255 * 6 / 28 = 55, 255 * 8 / 28 = 73 and more
    for name in ("shot_noise", "glass_blur", "motion_blur", "shear", "scale", "rotate", "translate", "fog"):
        assert found.accuracy[name] == [1] * 5, "a blank image stays blank"
    summary = found.summary()
    assert (summary["worst_corruption"], summary["worst_accuracy"]) == ("stripe", pytest.approx(0.2))
    assert (len(summary["accuracies"]), calls) == (15, [(3 * k, 225) for k in range(1, 76)])


def test_the_summaries_are_means_over_severities_and_then_corruptions():
    found = json.loads(json.dumps(REPORT.as_dict()))
    assert found["accuracy"]["fog"] == [0.9, 0.8, 0.7, 0.6, 0.5]
    mean, published = found["mean"], found["published"]
    assert mean["accuracies"] == pytest.approx({"fog": 0.7, "shear": 0.73})
    assert published["accuracies"] == pytest.approx({"fog": 0.5, "shear": 0.4})  # severities 5 and 2
    assert [each["accuracy"] for each in (mean, published)] == pytest.approx([0.715, 0.45])
    assert [each["worst_accuracy"] for each in (mean, published)] == pytest.approx([0.7, 0.4])
    assert [each["worst_corruption"] for each in (mean, published)] == ["fog", "shear"]
    assert [each["calibration_error"] for each in (mean, published)] == pytest.approx([0.15, 0.4])


def test_the_text_has_the_summaries_and_a_row_for_each_corruption():
    lines = str(REPORT).splitlines()
    assert lines[0] == "clean: accuracy 99.50%, calibration error 0.40% (1,000 images)"
    assert lines[1] == "mean of all severities: accuracy 71.50%, worst 70.00% (fog), calibration error 15.00%"
    assert lines[2] == "severities of MNIST-C: accuracy 45.00%, worst 40.00% (shear), calibration error 40.00%"
    assert lines[3:5] == ["", "accuracy by corruption: mean, at the severity of MNIST-C, and at severities 1 to 5"]
    assert lines[6] == "        shear   73.00%  40.00% 100.00%  40.00%  75.00%  75.00%  75.00%"
    assert len(lines) == 7
    assert str(REPORT).endswith("%\n")
    assert lines[-2].split() == ["fog", "70.00%", "50.00%", "90.00%", "80.00%", "70.00%", "60.00%", "50.00%"]


def test_floats_are_rounded_to_bytes():
    digits, model = lenet.data.load_digits(), lenet.load_pretrained("mnist")
    images, labels = digits.X_test[:2], digits.y_test[:2]
    floats = (np.maximum(images, 0.3) - 0.3).reshape(2, 784) / 255
    assert robustness_report(model, floats, labels) == robustness_report(model, images, labels)


def test_the_command_reports_on_a_random_choice_that_is_the_same_in_each_run(capsys):
    arguments = ["evaluate", "digits", "--corruptions", "--images", "4"]
    assert cli.main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert "4 of the 359 test images, chosen at random, are used." in captured.err
    found = json.loads(captured.out)
    assert cli.main([*arguments, "--quiet"]) == 0
    captured = capsys.readouterr()
    fields = ("images", "clean_accuracy", "clean_calibration_error", "accuracy", "calibration_error")
    assert captured == (str(RobustnessReport(*(found[name] for name in fields))), "")
    assert found["images"] == 4


def test_arguments_are_validated_before_the_model_is_called(monkeypatch):
    monkeypatch.setattr(DarkOrLight, "predict_proba", None)
    image = np.zeros((1, 28, 28), np.uint8)
    with pytest.raises(lenet.errors.InputError, match="There are no images"):
        robustness_report(DarkOrLight(), image[:0], [])
    with pytest.raises(lenet.errors.InputError, match="seed is -1; expected at least 0"):
        robustness_report(DarkOrLight(), image, [0], seed=-1)
    with pytest.raises(lenet.errors.InputTypeError, match="progress is 3"):
        robustness_report(DarkOrLight(), image, [0], progress=3)
    with pytest.raises(lenet.errors.InputTypeError, match="model is 'mnist'"):
        robustness_report("mnist", image, [0])


def test_the_seed_is_that_of_the_corruptions(monkeypatch):
    seeds = []
    monkeypatch.setattr(robustness, "corrupt", lambda images, *_, seed: seeds.append(seed) or images)
    image = np.zeros((1, 28, 28), np.uint8)
    robustness_report(DarkOrLight(), image, [0])
    robustness_report(DarkOrLight(), image, [0], seed=8)
    assert seeds == [0] * 75 + [8] * 75


def test_without_opencv_the_error_comes_first_and_names_the_extra(monkeypatch):
    monkeypatch.setattr(DarkOrLight, "predict_proba", None)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(lenet.errors.MissingExtraError, match=r"OpenCV.*pip install 'lenet\[vision\]'"):
        robustness_report(DarkOrLight(), np.zeros((1, 28, 28)), [0])
