"""Files of LeNetClassifier: saved and loaded classifiers, pretrained models and damaged records."""

import json

import numpy as np
import pytest
from classifiers import X, Y, quick
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import lenet
from lenet import LeNetClassifier
from lenet.errors import InputError, InputTypeError, WeightsError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # runs are short

LABELS = {
    "int64": np.array([3, 5]),
    "uint8": np.array([3, 5], np.uint8),
    "bool": np.array([False, True]),
    "float": np.array([-1.0, 1e9]),
    "text": np.array(["cat", "dog \u732b"]),
    "object": np.array(["cat", "dog"], object),
    "no names": np.array(["", "a\nb"]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_a_file_restores_labels_framing_and_parameters(kind, tmp_path):
    two = Y < 2
    labels = LABELS[kind][Y[two]]
    saved = quick(random_state=7, alpha=np.float64(1e-4), image_shape=(8, 8)).fit(X[two], labels)
    saved.save(tmp_path / "classifier.safetensors")
    loaded = LeNetClassifier.load(tmp_path / "classifier.safetensors")
    assert loaded.classes_.dtype == LABELS[kind].dtype
    assert loaded.classes_.tolist() == LABELS[kind].tolist()
    assert loaded.get_params() == saved.get_params()
    assert loaded.framing_ == saved.framing_
    assert clone(loaded).get_params() == saved.get_params()
    np.testing.assert_array_equal(loaded.predict_proba(X), saved.predict_proba(X))
    np.testing.assert_array_equal(loaded.predict(X), saved.predict(X))
    model = lenet.load(tmp_path / "classifier.safetensors")
    assert model.classes == (("0", "1") if kind == "no names" else tuple(map(str, LABELS[kind].tolist())))
    images = saved.framing_.images(X[:3])
    np.testing.assert_array_equal(model.predict_proba(images), saved.predict_proba(X[:3]))
    loaded.set_params(warm_start=True).fit(X[two], labels)  # continues


def test_a_loaded_classifier_has_no_history_and_continues_with_partial_fit(tmp_path):
    quick().fit(X[:60], Y[:60]).save(tmp_path / "classifier.safetensors")
    loaded = LeNetClassifier.load(tmp_path / "classifier.safetensors")
    assert (loaded.n_iter_, loaded.loss_curve_) == (0, [])
    loaded.partial_fit(X[:60], Y[:60])
    assert loaded.n_iter_ == len(loaded.loss_curve_) == 1


def test_a_file_restores_the_names_of_columns(tmp_path):
    frames = pytest.importorskip("pandas")
    frame = frames.DataFrame(X, columns=[f"pixel {k}" for k in range(X.shape[1])])
    quick().fit(frame, Y).save(tmp_path / "classifier.safetensors")
    loaded = LeNetClassifier.load(tmp_path / "classifier.safetensors")
    assert loaded.feature_names_in_.tolist() == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame[frame.columns[::-1]])


def test_a_pretrained_classifier_from_a_file(tmp_path):
    model = lenet.LeNet5(seed=0, num_classes=5)
    model.save(tmp_path / "own.safetensors")
    classifier = LeNetClassifier.from_pretrained(tmp_path / "own.safetensors")
    assert classifier.classes_.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(
        InputError, match=r"none\.safetensors does not exist; expected a model file, a run folder or mnist"
    ):
        LeNetClassifier.from_pretrained("none.safetensors")
    with pytest.raises(InputError, match="An empty name does not exist"):  # it would be the current folder
        LeNetClassifier.from_pretrained("")
    with pytest.raises(InputTypeError, match="name is of type LeNet5"):
        LeNetClassifier.from_pretrained(model)


def test_fine_tuning_does_not_undo_the_training():
    """At the rate for random weights, one call of partial_fit lowered the accuracy on other images by a third.

    The shipped weights already read these digits, so that it may fall by 2 percentage points.
    """
    digits = lenet.data.load_digits()
    X, y = digits.X_train[:300].reshape(300, -1), digits.y_train[:300]
    classifier = LeNetClassifier.from_pretrained(random_state=0)
    before = classifier.score(digits.X_test.reshape(-1, 784), digits.y_test)
    assert (classifier.learning_rate_init, LeNetClassifier().learning_rate_init) == (0.002, 0.1)
    classifier.partial_fit(X, y)
    assert classifier.score(digits.X_test.reshape(-1, 784), digits.y_test) > before - 0.02


def test_a_file_of_a_model_becomes_a_classifier_of_its_names(tmp_path):
    digits = lenet.data.load_digits()
    model = lenet.load_pretrained("mnist")
    model.classes = names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    model.save(tmp_path / "words.safetensors")
    expected = [names[label] for label in model.predict(digits.X_test)]
    for made in (LeNetClassifier.load, LeNetClassifier.from_pretrained):
        classifier = made(tmp_path / "words.safetensors")
        assert classifier.classes_.tolist() == sorted(names)
        assert classifier.model_.classes == tuple(sorted(names))
        assert classifier.predict(digits.X_test).tolist() == expected
        assert classifier.score(digits.X_test, np.array(names)[digits.y_test]) > 0.9


def test_pretrained_from_a_file_of_a_classifier_keeps_its_labels_and_pixels(tmp_path):
    saved = quick(alpha=1e-3).fit(X, Y + 10)
    saved.save(tmp_path / "classifier.safetensors")
    loaded = LeNetClassifier.from_pretrained(tmp_path / "classifier.safetensors")
    assert loaded.alpha == 0
    np.testing.assert_array_equal(loaded.predict(X), saved.predict(X))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record["labels"].update(values=[0, 7]), "classes is .* expected"),
        (lambda record: record.update(parameters={"verbose": {}}), "verbose is {}"),
        (lambda record: record.update(parameters={"alpha": -1}), "alpha is -1"),
        (lambda record: record.update(parameters={"color": 1}), "color"),
        (lambda record: record.update(parameters={"n_jobs": 0}), "n_jobs == 0"),
        (lambda record: record.update(parameters={"tol": -1}), "tol is -1"),
        (lambda record: record.update(parameters={"random_state": "x"}), "random_state|seed"),
        (lambda record: record.pop("framing"), "framing"),
    ],
)
def test_a_damaged_record_is_an_error_of_one_line(change, message, tmp_path):
    path = tmp_path / "classifier.safetensors"
    two = Y < 2
    quick().fit(X[two], Y[two]).save(path)
    model = lenet.load(path)
    record = json.loads(model.metadata["classifier"])
    change(record)
    model.metadata["classifier"] = json.dumps(record)
    model.save(path)
    with pytest.raises(WeightsError, match=message) as caught:
        LeNetClassifier.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", "[" * 100_000, '{"labels": 3}'])
def test_an_invalid_record_is_an_error(text, tmp_path):
    model = lenet.LeNet5(seed=0)
    model.metadata["classifier"] = text
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="has a damaged classifier record"):
        LeNetClassifier.load(tmp_path / "model.safetensors")


def test_content_that_does_not_fit_in_a_file_is_refused_and_leaves_no_file(tmp_path):
    path, two = tmp_path / "classifier.safetensors", Y < 2
    with pytest.raises(NotFittedError):
        quick().save(path)
    with pytest.raises(
        InputError, match=r"random_state is RandomState.*, which cannot be saved; expected a number, a string or None"
    ):
        quick(random_state=np.random.RandomState(0)).fit(X[two], Y[two]).save(path)
    mixed = quick().fit(X[two], Y[two])
    mixed.classes_ = np.array([b"a", b"b"])
    with pytest.raises(InputError, match=r"The labels have dtype \|S1, which cannot be saved; expected booleans, int"):
        mixed.save(path)
    assert not path.exists()


def test_the_network_of_1998_keeps_the_order_of_its_classes(tmp_path):
    model, path = lenet.LeNet1998(seed=0), tmp_path / "old.safetensors"
    model.classes = tuple("0123456789")
    model.save(path)
    assert LeNetClassifier.load(path).classes_.tolist() == list("0123456789")
    model.classes = tuple("9876543210")
    model.save(path)
    with pytest.raises(WeightsError, match="expected them sorted, as the outputs of LeNet1998"):
        LeNetClassifier.load(path)
