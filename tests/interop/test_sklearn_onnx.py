"""Pipelines with LeNetClassifier, converted by skl2onnx and run by onnxruntime."""

import numpy as np
import pytest

import lenet

skl2onnx = pytest.importorskip("skl2onnx")
runtime = pytest.importorskip("onnxruntime")

from sklearn.datasets import load_digits  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from lenet.interop import register_skl2onnx  # noqa: E402

IGNORED = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # models train for few epochs
pytestmark = [pytest.mark.landing, IGNORED]

SMALL = load_digits()
X, Y = SMALL.data.astype(np.float32), SMALL.target
NAMES = np.array([f"digit {n}" for n in range(10)])


@pytest.fixture(scope="module", autouse=True)
def _registered():
    register_skl2onnx()
    register_skl2onnx()  # twice does no harm


def run(estimator, X, **options):
    model = skl2onnx.to_onnx(estimator, X[:1], target_opset=13, options={"zipmap": False, **options})
    return runtime.InferenceSession(model.SerializeToString()).run(None, {"X": X})


def learner():
    return lenet.LeNetClassifier(random_state=0)


def pipeline():
    return make_pipeline(StandardScaler(), learner())


@pytest.fixture(scope="module")
def fitted():
    """A pipeline that ends in a classifier with string labels."""
    return pipeline().fit(X[:300], NAMES[Y[:300]])


def check(estimator, X):
    """Check that a converted estimator predicts the same as the original; return the labels."""
    label, probabilities = run(estimator, X)
    np.testing.assert_array_equal(label, estimator.predict(X))
    np.testing.assert_allclose(probabilities, estimator.predict_proba(X), atol=1e-5)
    return label


def test_names_as_labels(fitted):
    scaler, classifier = fitted
    assert len(np.unique(check(classifier, scaler.transform(X)))) > 1


def test_a_pipeline(fitted):
    assert len(np.unique(check(fitted, X))) > 1


@pytest.mark.release
@pytest.mark.parametrize("labels", [Y, Y == 0], ids=["int", "bool"])
def test_a_pipeline_of_other_labels(labels):
    assert len(np.unique(check(pipeline().fit(X[:300], labels[:300]), X))) > 1


@pytest.mark.parametrize("shape", [(28, 28), (24, 21), (8, 4), (5,), (783,), (730,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.filterwarnings("ignore:X has")
def test_images_of_any_shape_and_type(shape, dtype):
    images = (255 * np.random.default_rng(0).random((40, int(np.prod(shape))))).astype(dtype)
    estimator = lenet.LeNetClassifier(random_state=0, max_iter=1).fit(images, np.arange(40) % 3)
    check(estimator, images - 20)  # some are outside the fitted range


def test_images_as_they_come():
    images = X.reshape(-1, 8, 8)
    check(lenet.LeNetClassifier(random_state=0, max_iter=2).fit(images[:300], Y[:300]), images)


def test_bytes():
    check(lenet.LeNetClassifier.from_pretrained("mnist"), lenet.data.load_digits().X_test.reshape(-1, 784))


def test_labels_that_are_whole_floats_become_numbers():
    estimator = lenet.LeNetClassifier(random_state=0, max_iter=2).fit(X[:300], Y[:300] + 0.0)
    assert check(estimator, X).dtype == np.int64


def test_the_pretrained_classifier_and_the_option_zipmap():
    digits = lenet.data.load_digits()
    estimator = lenet.LeNetClassifier.from_pretrained("mnist")
    images = digits.X_test.reshape(-1, 784).astype(np.float32)
    label, probabilities = run(estimator, images, zipmap=True)
    np.testing.assert_array_equal(label, estimator.predict(images))
    assert probabilities[0].keys() == set(range(10))
    assert probabilities[0][3] == pytest.approx(estimator.predict_proba(images)[0, 3], abs=1e-5)


def test_the_options_columns_and_output_class_labels(fitted):
    classifier, images = fitted[-1], fitted[0].transform(X[:5])
    label, *columns = run(classifier, images, zipmap="columns")
    np.testing.assert_array_equal(label, classifier.predict(images))
    np.testing.assert_allclose(np.transpose(columns), classifier.predict_proba(images), atol=1e-5)
    assert run(classifier, images, output_class_labels=True)[2].tolist() == classifier.classes_.tolist()
    assert len(run(classifier, images, output_class_labels=False, nocl=False)) == 2


def test_the_option_nocl_gives_numbers(fitted):
    label, _ = run(fitted, X, nocl=True)
    np.testing.assert_array_equal(NAMES[label], fitted.predict(X))
