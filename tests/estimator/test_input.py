"""LeNetClassifier rejects invalid parameters, images, labels and weights."""

import pickle
import warnings

import numpy as np
import pytest
from classifiers import X, Y, quick
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError

import lenet
from lenet.errors import InputError, InputTypeError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # runs are short


@pytest.mark.parametrize(
    ("parameters", "error", "says"),
    [
        ({"max_iter": 0}, InputError, "max_iter is 0; expected at least 1"),
        ({"max_iter": 1.5}, InputTypeError, "max_iter is 1.5"),
        ({"max_iter": "many"}, InputError, "max_iter is 'many'; expected 'auto' or an integer"),
        ({"learning_rate": ["constant"]}, InputError, "expected one of constant, one_cycle, paper_steps"),
        ({"learning_rate": 0.01}, InputError, "learning_rate is 0.01; expected one of constant"),
        ({"early_stopping": "no"}, InputTypeError, "early_stopping is 'no'; expected True or False"),
        ({"warm_start": 1}, InputTypeError, "warm_start is 1; expected True or False"),
        ({"distortions": None}, InputTypeError, "distortions is None; expected True or False"),
        ({"n_jobs": "two"}, InputTypeError, "n_jobs is 'two'"),
        ({"n_jobs": True}, InputTypeError, "n_jobs is True"),
        ({"batch_size": 0}, InputError, "batch_size is 0"),
        ({"batch_size": "all"}, InputError, "batch_size is 'all'"),
        ({"n_iter_no_change": 0}, InputError, "n_iter_no_change is 0"),
        ({"n_iter_no_change": "auto"}, InputTypeError, "n_iter_no_change is 'auto'"),
        ({"learning_rate_init": 0}, InputError, "learning_rate_init is 0; expected a finite number above 0"),
        ({"learning_rate_init": "fast"}, InputTypeError, "learning_rate_init is 'fast'; expected a number"),
        ({"learning_rate_init": np.nan}, InputError, "learning_rate_init is nan"),
        ({"momentum": 1.0}, InputError, "momentum is 1; expected a number of at least 0 and below 1"),
        ({"alpha": -1}, InputError, "alpha is -1; expected a finite number of at least 0"),
        ({"tol": -1e-9}, InputError, "tol is -1e-09"),
        (
            {"validation_fraction": 1},
            InputError,
            "validation_fraction is 1; expected a number of at least 0 and below 1",
        ),
        ({"validation_fraction": 0.0}, InputError, "To hold out no images, set early_stopping to False."),
        ({"learning_rate": "adaptive"}, InputError, "learning_rate is 'adaptive'; expected one of constant, one_cycle"),
        ({"image_shape": (28, 28)}, InputError, "images of 64 pixels; expected 28x28, as in image_shape"),
        ({"n_jobs": 0}, ValueError, "n_jobs == 0"),
    ],
)
def test_parameters_out_of_range(parameters, error, says):
    classifier = quick(**parameters)
    with pytest.raises(error) as caught:
        classifier.fit(X, Y)
    assert says in str(caught.value)
    assert not hasattr(classifier, "model_")


def test_numbers_of_numpy_are_numbers():
    quick(max_iter=np.int64(1), batch_size=np.int32(60), learning_rate_init=np.float32(0.1), tol=np.float64(0)).fit(
        X, Y
    )


@pytest.mark.parametrize(
    ("X", "y", "says"),
    [
        (X, np.zeros(600), "y has one class, 0.0; expected at least two"),
        (X, Y[:-1], "inconsistent numbers of samples"),
        (X, Y + 0.5, "Unknown label type"),
        (np.where(X == 16, np.nan, X), Y, "NaN"),
        (X[0], Y[:1], "Reshape your data"),
        (
            np.zeros((4, 3, 28, 28)),
            [0, 1, 0, 1],
            "expected (4, 1, height, width), one channel. Convert colours to grey",
        ),
        (np.zeros((4, 32, 32)), [0, 1, 0, 1], "1024 pixels per image, 32x32"),
        (np.zeros((0, 28, 28)), [], "minimum of 1"),
    ],
)
def test_data_that_are_refused(X, y, says):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        quick().fit(X, y)
    assert says in str(error.value)


@pytest.mark.parametrize("weights", [np.zeros(600), -np.ones(600), np.full(600, np.nan), np.ones(5), np.ones((600, 1))])
def test_weights_that_are_refused(weights):
    with pytest.raises(InputError, match="sample_weight"):
        quick().fit(X, Y, sample_weight=weights)


def test_a_column_of_labels_is_accepted_with_a_warning():
    with pytest.warns(DataConversionWarning):
        quick().fit(X, Y[:, np.newaxis])


@pytest.mark.parametrize("learn", [lambda X: quick().fit(X, Y), lambda X: quick().partial_fit(X, Y, range(10))])
def test_columns_that_are_not_a_square_warn_where_the_data_are_passed(learn):
    with pytest.warns(
        UserWarning, match="X has 60 columns, which is not a square number. They are read as images of 8x8"
    ) as warned:
        learn(X[:, :60])
    assert (warned[0].filename, warned[0].lineno) == (__file__, learn.__code__.co_firstlineno)
    quick(image_shape=(10, 6)).fit(X[:, :60], Y)


def test_other_images_than_fitted_are_refused():
    fitted = quick().fit(X, Y)
    with pytest.raises(InputError, match="images of 16x4 pixels; expected 8x8, as in fit"):
        fitted.predict(X.reshape(-1, 16, 4))
    with pytest.raises(ValueError, match="65 features"):
        fitted.predict(np.zeros((1, 65)))
    assert fitted.predict(X.reshape(-1, 8, 8)).shape == Y.shape
    with pytest.raises(NotFittedError):
        clone(fitted).predict(X)


def test_one_image_is_no_batch():
    classifier = lenet.LeNetClassifier.from_pretrained("mnist")
    image = np.zeros((28, 28), np.uint8)
    for one in (image, image.tolist()):
        with pytest.raises(InputError, match=r"^X has shape \(28, 28\), that of an image; .* Pass X\[np\.newaxis\]\.$"):
            classifier.predict(one)
    assert classifier.predict(image[np.newaxis]).shape == (1,)
    with pytest.raises(ValueError, match="X has 28 features"):
        classifier.predict(image[:20])
    rows = quick(image_shape=(1, 16)).fit(X[:, 16:32], Y)
    assert rows.predict(X[:1, 16:32]).shape == (1,)


def test_partial_fit_asks_for_classes_once():
    with pytest.raises(InputError, match="expected all labels in the first call"):
        quick().partial_fit(X, Y)
    classifier = quick().partial_fit(X[:50], Y[:50], classes=np.arange(12))
    assert classifier.predict_proba(X[:1]).shape == (1, 12)
    with pytest.raises(InputError, match="Omit it, or call fit"):
        classifier.partial_fit(X, Y, classes=np.arange(10))
    with pytest.raises(InputError, match=r"y contains \[77\], which are not among the classes"):
        classifier.partial_fit(X[:2], [3, 77])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_error_leaves_a_classifier_unchanged(method):
    classifier = quick(warm_start=True, batch_size=10).fit(X[:100], Y[:100])
    classifier.set_params(alpha=1e9)
    before = pickle.dumps(classifier)
    with pytest.raises(lenet.errors.DivergedError, match=r"learning rate \(0.1\) or the weight decay \(1e\+09\)"):
        getattr(classifier, method)(X[:100], Y[:100])
    assert pickle.dumps(classifier) == before
    unfitted = quick(alpha=1e9)
    with pytest.raises(lenet.errors.DivergedError):
        unfitted.fit(X[:100], Y[:100])
    with pytest.raises(NotFittedError):
        unfitted.predict(X[:1])
    classifier.set_params(warm_start=False)
    before = pickle.dumps(classifier)
    with pytest.raises(InputError, match="has one class"):
        classifier.fit(X[:100, :49], np.zeros(100))
    assert pickle.dumps(classifier) == before


def test_extreme_numbers_fit_a_classifier_without_a_warning():
    classifier = lenet.LeNetClassifier(max_iter=1, random_state=0, image_shape=(4, 5))
    table, y = np.array([[1e200, -1e200] * 10, [-1e200, 1e200] * 10] * 5), [0, 1] * 5
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", message="The network has hardly begun to learn")
        classifier.fit(table, y)
    assert (classifier.framing_.low, classifier.framing_.high) == (-1e200, 1e200)
