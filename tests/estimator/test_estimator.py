"""LeNetClassifier learns, in one fit or in parts, and reads."""

import io
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest
from classifiers import FEW, X_TEST, Y_TEST, X, Y, quick
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import lenet
from lenet import LeNetClassifier
from lenet.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # runs are short

NUMBERS = [[3.0, 7.0], [-1, 5]]  # labels of two classes


def learner(**parameters):
    """A classifier that learns two or three classes, in a second."""
    return quick(max_iter=150, **parameters)


@pytest.fixture(scope="module")
def fitted():
    return LeNetClassifier(random_state=0, early_stopping=True).fit(X, Y)


# ---- learning and reading ------------------------------------------------------------------------------


@pytest.mark.release
def test_it_learns_digits_with_its_defaults():
    assert LeNetClassifier(random_state=0).fit(X, Y).score(X_TEST, Y_TEST) > 0.9


def test_it_learns_digits_with_early_stopping(fitted):
    assert fitted.score(X_TEST, Y_TEST) > 0.85


@pytest.mark.landing
def test_it_learns_from_a_hundred_images():
    """With a fixed number of epochs, training would end before the sigmoids begin to learn."""
    assert LeNetClassifier(random_state=0).fit(X[:100], Y[:100]).score(X_TEST, Y_TEST) > 0.75


def test_labels_of_any_type_come_back_in_order():
    names = np.array(["zero", "one", "two"])
    classifier = learner().fit(X[FEW], names[Y[FEW]])
    assert classifier.classes_.tolist() == sorted(names)
    predicted = classifier.predict(X[FEW])
    assert (predicted == names[Y[FEW]]).mean() > 0.9
    assert predicted.dtype == classifier.classes_.dtype
    np.testing.assert_array_equal(predicted, classifier.classes_[classifier.predict_proba(X[FEW]).argmax(axis=1)])


@pytest.mark.parametrize(
    "labels", [["no", "yes"], *(pytest.param(each, marks=pytest.mark.landing) for each in ([False, True], *NUMBERS))]
)
def test_two_classes(labels):
    labels = np.array(labels)
    few = Y < 2
    classifier = learner().fit(X[few], labels[Y[few]])
    assert classifier.predict_proba(X[few]).shape == (few.sum(), 2)
    assert classifier.score(X[few], labels[Y[few]]) > 0.95


def test_twenty_six_classes():
    assert quick().fit(X, np.arange(600) % 26).predict_proba(X[:5]).shape == (5, 26)


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28)])
def test_images_may_come_as_images(shape):
    images = np.random.default_rng(0).integers(0, 256, (30, 784), dtype=np.uint8)
    y = np.arange(30) % 3
    flat, square = quick().fit(images, y), quick().fit(images.reshape(30, *shape), y)
    assert square.n_features_in_ == 784
    np.testing.assert_array_equal(square.predict_proba(images.reshape(30, *shape)), flat.predict_proba(images))
    np.testing.assert_array_equal(square.predict_proba(images), flat.predict_proba(images.reshape(30, *shape)))
    np.testing.assert_array_equal(flat.predict(images.tolist()), flat.predict(images.astype(np.int32)))


def test_the_scale_of_the_pixels_is_that_of_the_fit():
    """Images that are three times as bright, also in training, give the same results."""
    bright = 3 * X
    np.testing.assert_allclose(
        quick().fit(bright, Y).predict_proba(3 * X_TEST), quick().fit(X, Y).predict_proba(X_TEST)
    )
    bytes_ = np.random.default_rng(0).integers(0, 256, (30, 784), dtype=np.uint8)
    classifier = quick().fit(bytes_, np.arange(30) % 3)
    for dtype in (np.int64, np.float64, np.float32, ">f8"):
        np.testing.assert_allclose(
            classifier.predict_proba(bytes_.astype(dtype)), classifier.predict_proba(bytes_), rtol=1e-5
        )


def test_threads_and_repetitions_give_the_same_bits():
    one, two = quick(n_jobs=1).fit(X, Y), quick(n_jobs=2).fit(X, Y)
    np.testing.assert_array_equal(one.model_.parameters.flat, two.model_.parameters.flat)
    other = quick(random_state=1).fit(X, Y)
    assert (one.model_.parameters.flat != other.model_.parameters.flat).any()
    a, b = (quick(random_state=np.random.RandomState(5)).fit(X, Y) for _ in range(2))
    np.testing.assert_array_equal(a.model_.parameters.flat, b.model_.parameters.flat)


def test_one_thread_by_default(monkeypatch):
    used = []
    monkeypatch.setattr(
        "lenet.estimator.classifier.train", lambda *a, n_jobs, **k: used.append(n_jobs) or lenet.train(*a, **k)
    )
    joblib = pytest.importorskip("joblib")
    quick().fit(X, Y)
    quick(n_jobs=2).fit(X, Y)
    with joblib.parallel_config(n_jobs=2):
        quick().fit(X, Y)
    assert used == [1, 2, 2]


def test_a_fitted_network_knows_the_labels():
    assert quick().fit(X, np.array(list("abcdefghij"))[Y]).model_.classes == tuple("abcdefghij")


# ---- weights -------------------------------------------------------------------------------------------


def test_heavy_images_are_learned_first():
    """Of two equal images with different labels, the heavier one determines the prediction."""
    pair = np.tile(np.eye(8).reshape(1, 64), (40, 1)), np.arange(40) % 2
    for heavy in (0, 1):
        weights = np.where(pair[1] == heavy, 3.0, 1.0)
        classifier = LeNetClassifier(random_state=0, max_iter=60).fit(*pair, sample_weight=weights)
        np.testing.assert_allclose(classifier.predict_proba(pair[0][:1])[0, heavy], 0.75, atol=0.05)


@pytest.mark.parametrize("weights", [*(np.full(600, weight) for weight in (1e308, 1e-308, True, 3)), 2.0])
def test_equal_weights_have_no_effect(weights):
    weighted = quick().fit(X, Y, sample_weight=weights)
    np.testing.assert_array_equal(weighted.predict_proba(X), quick().fit(X, Y).predict_proba(X))


# ---- partial_fit, warm starts and pretrained models -----------------------------------------------------


@pytest.mark.landing
def test_partial_fit_learns_in_parts():
    classifier = LeNetClassifier(random_state=0, learning_rate_init=0.05)
    for epoch in range(60):
        for start in range(0, 600, 200):
            part = slice(start, start + 200)
            classifier.partial_fit(X[part], Y[part], classes=range(10) if epoch == start == 0 else None)
    assert classifier.n_iter_ == len(classifier.loss_curve_) == 180
    assert classifier.score(X_TEST, Y_TEST) > 0.85
    assert classifier.loss_curve_[-1] < classifier.loss_curve_[0] / 5


def test_partial_fit_keeps_its_velocity():
    """Two calls with momentum differ from two calls without."""
    slow, fast = (quick(momentum=momentum, batch_size=600) for momentum in (0.0, 0.9))
    for classifier in (slow, fast):
        for _ in range(2):
            classifier.partial_fit(X, Y, classes=np.unique(Y))
    # v2 = 0.9 v1 + g2, so the second step differs by 0.9 times the first, and the first not at all
    first = quick(momentum=0.0, batch_size=600).partial_fit(X, Y, classes=np.unique(Y)).model_.parameters.flat
    seed = int(np.random.RandomState(0).randint(2**31 - 1))  # of quick()
    start = lenet.LeNet5(seed, num_classes=10).parameters.flat
    np.testing.assert_allclose(
        fast.model_.parameters.flat - slow.model_.parameters.flat, 0.9 * (first - start), atol=1e-6
    )


@pytest.mark.landing
def test_warm_start_continues():
    two = Y < 2
    classifier = quick(max_iter=200, warm_start=True).fit(X[two], Y[two])
    before = classifier.loss_curve_
    classifier.fit(X[two], Y[two])
    assert classifier.loss_curve_[0] < before[0] / 2
    cold = quick().fit(X[two], Y[two])
    before = cold.loss_curve_
    assert cold.fit(X[two], Y[two]).loss_curve_ == before
    assert quick(warm_start=True).fit(X[two], Y[two]).loss_curve_ == before


def test_a_pretrained_classifier_predicts_and_continues_to_learn():
    digits = lenet.data.load_digits()
    classifier = LeNetClassifier.from_pretrained(
        "mnist", max_iter=3, learning_rate_init=0.02, warm_start=True, random_state=0
    )
    before = classifier.score(digits.X_test, digits.y_test)
    model = lenet.load_pretrained("mnist")
    assert before == (model.predict(digits.X_test) == digits.y_test).mean() > 0.9
    np.testing.assert_array_equal(classifier.predict_proba(digits.X_test), model.predict_proba(digits.X_test))
    mean = classifier.model_.mean
    assert classifier.fit(digits.X_train, digits.y_train).score(digits.X_test, digits.y_test) > before
    assert classifier.model_.mean == mean
    with pytest.raises(InputError, match=r"Use a new LeNetClassifier\(\), pass all classes"):
        classifier.fit(digits.X_train, np.char.add("digit ", digits.y_train.astype(str)))


def test_the_score_counts_the_weights_of_images():
    """Of ten labels, the first two are wrong; the first has a weight of 3."""
    classifier, images = LeNetClassifier.from_pretrained("mnist"), lenet.data.load_digits().X_test[:10]
    labels = classifier.predict(images)
    labels[:2] = (labels[:2] + 1) % 10
    assert classifier.score(images, labels) == pytest.approx(8 / 10)
    assert classifier.score(images, labels, [3] + 9 * [1]) == pytest.approx(8 / 12)


def test_fitting_a_pretrained_classifier_continues_by_default():
    digits = lenet.data.load_digits()
    images, labels = digits.X_train[:100], digits.y_train[:100]
    tuned = LeNetClassifier.from_pretrained("mnist", max_iter=1, learning_rate_init=1e-4).fit(images, labels)
    assert tuned.score(digits.X_test, digits.y_test) > 0.85
    anew = LeNetClassifier.from_pretrained("mnist", max_iter=1, warm_start=False).fit(images, labels)
    assert anew.score(digits.X_test, digits.y_test) < 0.3


# ---- the end of training -------------------------------------------------------------------------------


def test_a_network_on_the_plateau_is_reported():
    with pytest.warns(
        ConvergenceWarning, match=r"20 steps, its loss is 2\..*guessing: 2.29.* Increase max_iter,"
    ) as warned:
        quick(batch_size=10).fit(X[:100], Y[:100])
    assert warned[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match="after 18 steps"):  # without the images held out
        quick(batch_size=10, early_stopping=True).fit(X[:100], Y[:100])


NO_WEIGHTS = "warm_start had no weights to continue from: a clone, as in cross_val_score, copies none."


def test_a_warm_start_without_weights_is_part_of_the_report():
    """Only if nothing was fitted before, as in a clone."""
    copied = clone(LeNetClassifier.from_pretrained("mnist", max_iter=1))
    for classifier, is_part in ((quick(batch_size=10), False), (copied, True), (copied, False)):
        with pytest.warns(ConvergenceWarning, match='"For classes of your own" in docs/interop.md') as warned:
            classifier.fit(X[:100], Y[:100])
        assert str(warned[0].message).endswith(NO_WEIGHTS) == is_part


def test_a_pipeline_may_end_with_weights_for_classes_of_your_own(tmp_path):
    """It does not clone its last step."""
    digits = lenet.data.load_digits()
    names = np.array(["even", "odd"])[digits.y_train[:500] % 2]
    start = lenet.training.transfer(lenet.load_pretrained("mnist"), sorted(set(names)), seed=0)
    start.save(tmp_path / "start.safetensors")
    classifier = LeNetClassifier.from_pretrained(
        tmp_path / "start.safetensors", learning_rate_init=0.1, max_iter=10, random_state=0
    )
    whole = make_pipeline(FunctionTransformer(), classifier).fit(digits.X_train[:500], names)
    assert whole.score(digits.X_test, np.array(["even", "odd"])[digits.y_test % 2]) > 0.9


def test_the_plateau_is_that_of_the_weights():
    """At nine to one, guessing has a loss of 0.33 rather than 0.69: early stopping waits for a lower loss."""
    two = Y < 2
    weights = np.where(Y[two] == 0, 9, 1)
    classifier = LeNetClassifier(random_state=0, early_stopping=True, n_iter_no_change=5)
    assert classifier.fit(X[two], Y[two], sample_weight=weights).score(X[two], Y[two]) > 0.95


class Screen(io.StringIO):
    """The user presses Ctrl-C at the end of the second epoch."""

    def write(self, text):
        if text.startswith("Iteration 2"):
            raise KeyboardInterrupt
        return super().write(text)


def test_ctrl_c_keeps_the_current_weights():
    classifier = quick(max_iter=5, verbose=True, early_stopping=True)
    with redirect_stdout(Screen()), pytest.warns(UserWarning, match="interrupted") as warned:
        classifier.fit(X, Y)
    assert warned[0].filename == __file__
    assert classifier.n_iter_ == len(classifier.validation_scores_) == 2
    assert classifier.best_validation_score_ == classifier.validation_scores_[-1]
    assert classifier.predict(X).shape == Y.shape


@pytest.mark.parametrize(("verbose", "category"), [(True, UserWarning), (False, ConvergenceWarning)])
def test_a_warning_that_is_an_error_does_not_undo_the_training(verbose, category):
    classifier = quick(max_iter=2, verbose=verbose)
    with redirect_stdout(Screen()), warnings.catch_warnings(action="error"), pytest.raises(category):
        classifier.fit(X, Y)
    assert classifier.n_iter_ == 2


def test_one_class_has_no_plateau():
    digits = lenet.data.load_digits()
    threes = digits.y_train == 3
    classifier = LeNetClassifier.from_pretrained("mnist", max_iter=1, learning_rate_init=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        classifier.fit(digits.X_train[threes], digits.y_train[threes])
