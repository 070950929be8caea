"""LeNetClassifier with scikit-learn: its estimator checks, its tools, and typical uses."""

import copy
import io
import json
import pickle
import subprocess
import sys
import threading
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest

import lenet
from lenet.errors import InputError, InputTypeError, WeightsError

sklearn = pytest.importorskip("sklearn")

from joblib.externals.loky import get_reusable_executor  # noqa: E402
from sklearn import config_context, datasets  # noqa: E402
from sklearn.base import clone  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.ensemble import VotingClassifier  # noqa: E402
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler  # noqa: E402
from sklearn.utils.estimator_checks import parametrize_with_checks  # noqa: E402

from lenet import LeNetClassifier  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # runs are short

SMALL = datasets.load_digits()  # 1,797 of 8x8, 0 to 16
X, Y = SMALL.data[:600], SMALL.target[:600]
X_TEST, Y_TEST = SMALL.data[600:], SMALL.target[600:]
NUMBERS = [[3.0, 7.0], [-1, 5]]  # labels of two classes
FEW = Y < 3  # three classes are enough for some tests


def quick(**parameters):
    """A classifier that trains very quickly, and badly."""
    return LeNetClassifier(**{"max_iter": 2, "random_state": 0, **parameters})


def learner(**parameters):
    """A classifier that learns two or three classes, in a second."""
    return quick(max_iter=150, **parameters)


@pytest.fixture(scope="module")
def fitted():
    return LeNetClassifier(random_state=0, early_stopping=True).fit(X, Y)


# ---- scikit-learn's own checks -------------------------------------------------------------------------

EXPECTED = {
    # As for SGDClassifier: a weight of 2 is a gradient twice as large, a repeated image another step.
    "check_sample_weight_equivalence_on_dense_data": "SGD: a weight is not a repetition",
}


def pass_check(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some checks pass data that lenet warns about
        check(estimator)


TWO_EPOCHS = EXPECTED | {"check_classifiers_train": "needs more epochs"}


@pytest.mark.landing
@pytest.mark.uninstrumented
@parametrize_with_checks([LeNetClassifier(max_iter=2)], expected_failed_checks=lambda estimator: TWO_EPOCHS)
def test_of_scikit_learn(estimator, check):
    pass_check(estimator, check)


@pytest.mark.release
@pytest.mark.uninstrumented
@parametrize_with_checks([LeNetClassifier(max_iter=100)], expected_failed_checks=lambda estimator: EXPECTED)
def test_of_scikit_learn_with_100_epochs(estimator, check):
    pass_check(estimator, check)


@pytest.mark.release
@parametrize_with_checks([LeNetClassifier()], expected_failed_checks=lambda estimator: EXPECTED)
def test_of_scikit_learn_with_the_defaults(estimator, check):
    pass_check(estimator, check)


# ---- learning and reading ------------------------------------------------------------------------------


@pytest.mark.release
@pytest.mark.uninstrumented
def test_it_learns_digits_with_its_defaults():
    assert LeNetClassifier(random_state=0).fit(X, Y).score(X_TEST, Y_TEST) > 0.9


@pytest.mark.uninstrumented
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


def test_log_probabilities_are_those_of_the_probabilities(fitted):
    np.testing.assert_allclose(fitted.predict_log_proba(X_TEST), np.log(fitted.predict_proba(X_TEST)), atol=1e-4)
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X_TEST)).sum(axis=1), 1, rtol=1e-5)


def test_many_rows_are_read_as_few(fitted):
    many = np.tile(X, (8, 1))  # more than are framed at once
    np.testing.assert_array_equal(fitted.predict_proba(many), np.tile(fitted.predict_proba(X), (8, 1)))


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


# ---- weights -------------------------------------------------------------------------------------------


def test_images_of_weight_0_are_left_out():
    weights = (np.arange(600) % 3 > 0).astype(float)
    part = weights > 0
    np.testing.assert_array_equal(
        quick().fit(X, Y, sample_weight=weights).model_.parameters.flat,
        quick().fit(X[part], Y[part], sample_weight=np.full(part.sum(), 7)).model_.parameters.flat,
    )


def test_heavy_images_are_learned_first():
    """Of two equal images with different labels, the heavier one determines the prediction."""
    pair = np.tile(np.eye(8).reshape(1, 64), (40, 1)), np.arange(40) % 2
    for heavy in (0, 1):
        weights = np.where(pair[1] == heavy, 3.0, 1.0)
        classifier = LeNetClassifier(random_state=0, max_iter=60).fit(*pair, sample_weight=weights)
        np.testing.assert_allclose(classifier.predict_proba(pair[0][:1])[0, heavy], 0.75, atol=0.05)


# ---- parts, and going on -------------------------------------------------------------------------------


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
    start = as_begun().parameters.flat
    np.testing.assert_allclose(
        fast.model_.parameters.flat - slow.model_.parameters.flat, 0.9 * (first - start), atol=1e-6
    )


def test_each_partial_fit_reshuffles(monkeypatch):
    seeds, train = [], lenet.train

    def spy(*arguments, seed, **options):
        seeds.append(seed)
        return train(*arguments, seed=seed, **options)

    monkeypatch.setattr("lenet.estimator.classifier.train", spy)
    classifier = quick()
    for _ in range(3):
        classifier.partial_fit(X[:50], Y[:50], classes=np.unique(Y))
    assert len(set(seeds)) == 3


def as_begun():
    """The model of quick() before its first step."""
    seed = int(np.random.RandomState(0).randint(2**31 - 1))
    return lenet.LeNet5(seed, num_classes=10)


def test_partial_fit_asks_for_classes_once():
    with pytest.raises(InputError, match="expected all labels in the first call"):
        quick().partial_fit(X, Y)
    classifier = quick().partial_fit(X[:50], Y[:50], classes=np.arange(12))
    assert classifier.predict_proba(X[:1]).shape == (1, 12)
    with pytest.raises(InputError, match="Omit it, or call fit"):
        classifier.partial_fit(X, Y, classes=np.arange(10))
    with pytest.raises(InputError, match=r"y contains \[77\], which are not among the classes"):
        classifier.partial_fit(X[:2], [3, 77])


def test_labels_of_another_kind_are_named_as_the_reason():
    for classes, labels, other_kind in (
        ([3, 4], ["3", "4"], True),
        (["3", "4"], [3, 4], True),
        (["a", "b"], ["a", "c"], False),
    ):
        classifier = quick().partial_fit(X[:2], classes, classes=classes)
        with pytest.raises(InputError, match="not among the classes") as error:
            classifier.partial_fit(X[:2], labels)
        assert ("text and numbers are different labels" in str(error.value)) == other_kind


@pytest.mark.landing
def test_warm_start_continues():
    two = Y < 2
    classifier = quick(max_iter=100, warm_start=True).fit(X[two], Y[two])
    before = classifier.loss_curve_
    classifier.fit(X[two], Y[two])
    assert classifier.loss_curve_[0] < before[0] / 2
    cold = quick().fit(X[two], Y[two])
    before = cold.loss_curve_
    assert cold.fit(X[two], Y[two]).loss_curve_ == before
    assert quick(warm_start=True).fit(X[two], Y[two]).loss_curve_ == before


def test_a_pretrained_classifier_predicts_and_continues_to_learn():
    digits = lenet.data.load_digits()
    classifier = LeNetClassifier.from_pretrained("mnist", max_iter=3, learning_rate_init=0.02, warm_start=True)
    before = classifier.score(digits.X_test, digits.y_test)
    model = lenet.load_pretrained("mnist")
    assert before == (model.predict(digits.X_test) == digits.y_test).mean() > 0.9
    np.testing.assert_array_equal(classifier.predict_proba(digits.X_test), model.predict_proba(digits.X_test))
    mean = classifier.model_.mean
    assert classifier.fit(digits.X_train, digits.y_train).score(digits.X_test, digits.y_test) > before + 0.02
    assert classifier.model_.mean == mean
    with pytest.raises(InputError, match="Fit with warm_start=False"):
        classifier.fit(digits.X_train, np.char.add("digit ", digits.y_train.astype(str)))


def test_a_pretrained_classifier_from_a_file(tmp_path):
    model = lenet.LeNet5(seed=0, num_classes=5)
    model.save(tmp_path / "own.safetensors")
    classifier = LeNetClassifier.from_pretrained(tmp_path / "own.safetensors")
    assert classifier.classes_.tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(
        InputError, match=r"'none\.safetensors' does not exist; expected a model file, a run folder or mnist"
    ):
        LeNetClassifier.from_pretrained("none.safetensors")
    with pytest.raises(InputTypeError, match="name is of type LeNet5"):
        LeNetClassifier.from_pretrained(model)


def test_fitting_a_pretrained_classifier_continues_by_default():
    digits = lenet.data.load_digits()
    images, labels = digits.X_train[:100], digits.y_train[:100]
    tuned = LeNetClassifier.from_pretrained("mnist", max_iter=1, learning_rate_init=1e-4).fit(images, labels)
    assert tuned.score(digits.X_test, digits.y_test) > 0.85
    anew = LeNetClassifier.from_pretrained("mnist", max_iter=1, warm_start=False).fit(images, labels)
    assert anew.score(digits.X_test, digits.y_test) < 0.3


def state_of(classifier):
    return pickle.dumps(classifier)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_error_leaves_a_classifier_unchanged(method):
    classifier = quick(warm_start=True).fit(X[:100], Y[:100])
    classifier.set_params(alpha=1e9)
    before = state_of(classifier)
    with pytest.raises(lenet.errors.DivergedError, match=r"learning rate \(0.1\) or the weight decay \(1e\+09\)"):
        getattr(classifier, method)(X[:100], Y[:100])
    assert state_of(classifier) == before
    unfitted = quick(alpha=1e9)
    with pytest.raises(lenet.errors.DivergedError):
        unfitted.fit(X[:100], Y[:100])
    with pytest.raises(NotFittedError):
        unfitted.predict(X[:1])
    classifier.set_params(warm_start=False)
    before = state_of(classifier)
    with pytest.raises(InputError, match="has one class"):
        classifier.fit(X[:100, :60], np.zeros(100))
    assert state_of(classifier) == before


def test_a_network_on_the_plateau_is_reported():
    with pytest.warns(ConvergenceWarning, match=r"after 2 epochs of 10 steps, its loss is 2\..*guessing: 2.29"):
        quick().fit(X[:100], Y[:100])


@pytest.mark.release
@pytest.mark.uninstrumented
@pytest.mark.parametrize("seed", [0, 1])
def test_the_usual_pipeline_learns(seed):
    """Standardised columns have extreme values if a border pixel is seldom ink."""
    pipeline = make_pipeline(StandardScaler(), LeNetClassifier(random_state=seed)).fit(X, Y)
    assert pipeline.score(X_TEST, Y_TEST) > 0.8


def test_the_plateau_is_that_of_the_weights():
    """At nine to one, guessing has a loss of 0.33 rather than 0.69: early stopping waits for a lower loss."""
    two = Y < 2
    weights = np.where(Y[two] == 0, 9, 1)
    classifier = LeNetClassifier(random_state=0, early_stopping=True, n_iter_no_change=5)
    assert classifier.fit(X[two], Y[two], sample_weight=weights).score(X[two], Y[two]) > 0.95


@pytest.mark.landing
def test_early_stopping_keeps_the_best_and_stops(fitted):
    assert len(fitted.validation_scores_) == len(fitted.loss_curve_) == fitted.n_iter_
    assert fitted.best_validation_score_ in fitted.validation_scores_
    assert fitted.best_validation_score_ > 0.85
    patient = LeNetClassifier(random_state=0, early_stopping=True, n_iter_no_change=3).fit(X, Y)
    assert patient.n_iter_ < fitted.n_iter_
    # no epoch within the last three, after the plateau, was better than the best before by more than tol
    assert max(patient.validation_scores_[-3:]) <= max(patient.validation_scores_[:-3]) + patient.tol
    without = quick().fit(X, Y)
    assert without.validation_scores_ is None
    assert without.best_validation_score_ is None


@pytest.mark.landing
def test_the_plateau_does_not_count_as_no_improvement():
    """The sigmoid network stays at chance for hundreds of steps, far longer than its patience."""
    classifier = LeNetClassifier(random_state=0, early_stopping=True, n_iter_no_change=2).fit(X, Y)
    assert np.allclose(classifier.validation_scores_[:4], classifier.validation_scores_[0], atol=0.05)
    assert classifier.best_validation_score_ > 0.5


def test_ctrl_c_keeps_the_current_weights():
    class Screen(io.StringIO):
        """The user presses Ctrl-C at the end of the second epoch."""

        def write(self, text):
            if text.startswith("Iteration 2"):
                raise KeyboardInterrupt
            return super().write(text)

    classifier = quick(max_iter=5, verbose=True)
    with redirect_stdout(Screen()), pytest.warns(UserWarning, match="interrupted") as warned:
        classifier.fit(X, Y)
    assert warned[0].filename == __file__
    assert classifier.n_iter_ == 2
    assert classifier.predict(X).shape == Y.shape


# ---- beside scikit-learn's tools -----------------------------------------------------------------------


@pytest.mark.release
@pytest.mark.uninstrumented
def test_in_a_pipeline_a_search_and_a_cross_validation():
    pipeline = make_pipeline(MinMaxScaler(), quick(max_iter=150))
    assert cross_val_score(pipeline, X, Y, cv=2).shape == (2,)
    search = GridSearchCV(pipeline, {"lenetclassifier__momentum": [0.0, 0.9]}, cv=2).fit(X, Y)
    assert search.best_params_ == {"lenetclassifier__momentum": 0.9}
    assert search.best_estimator_.predict(X).shape == Y.shape


def threads_of_ours(estimator, X, y):
    """A score: the number of threads that the classifier has started in this process."""
    estimator.predict(np.tile(X, (5, 1)))
    return float(sum(thread.name.startswith("lenet") for thread in threading.enumerate()))


@pytest.mark.landing
def test_a_search_in_two_processes_uses_two_threads():
    """Each process has one thread; if more are requested, the score shows them."""
    get_reusable_executor().shutdown()  # as its processes keep the threads of the tests before
    for n_jobs, more in ((None, False), (3, True)):
        search = GridSearchCV(
            quick(n_jobs=n_jobs), {"momentum": [0.5, 0.9]}, cv=2, n_jobs=2, scoring=threads_of_ours, refit=False
        )
        threads = search.fit(X, Y).cv_results_["mean_test_score"]
        assert (threads > 0).tolist() == [more, more]


@pytest.mark.release
@pytest.mark.uninstrumented
def test_calibrated_and_voting(fitted):
    tested = Y_TEST < 3
    calibrated = CalibratedClassifierCV(quick(max_iter="auto"), cv=2).fit(X[FEW], Y[FEW])
    np.testing.assert_allclose(calibrated.predict_proba(X_TEST).sum(axis=1), 1)
    assert calibrated.score(X_TEST[tested], Y_TEST[tested]) > 0.9
    scaled = make_pipeline(FunctionTransformer(lambda X: X / 16), LogisticRegression())
    voting = VotingClassifier([("lenet", quick(max_iter="auto")), ("line", scaled)], voting="soft").fit(X[FEW], Y[FEW])
    assert voting.score(X_TEST[tested], Y_TEST[tested]) > 0.9


@pytest.mark.parametrize("library", ["pandas", pytest.param("polars", marks=pytest.mark.landing)])
def test_data_frames(library):
    frames = pytest.importorskip(library)
    names = [f"pixel{n}" for n in range(64)]
    frame = frames.DataFrame(dict(zip(names, X.T, strict=True)))
    labels = frames.Series([f"d{label}" for label in Y])
    classifier = quick().fit(frame, labels)
    assert classifier.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(
        classifier.predict_proba(frame), quick().fit(X, np.array([f"d{label}" for label in Y])).predict_proba(X)
    )
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frames.DataFrame(dict(zip(names[::-1], X.T, strict=True))))


def test_metadata_are_routed():
    weights = (np.arange(600) % 2).astype(float)
    with config_context(enable_metadata_routing=True):
        classifier = quick().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = make_pipeline(MinMaxScaler(), classifier).fit(X, Y, sample_weight=weights)
        scores = cross_validate(classifier, X, Y, cv=2, params={"sample_weight": weights})["test_score"]
    assert scores.shape == (2,)
    scaled = MinMaxScaler().fit_transform(X)
    np.testing.assert_array_equal(
        pipeline[-1].model_.parameters.flat, quick().fit(scaled, Y, sample_weight=weights).model_.parameters.flat
    )


def test_callbacks_of_scikit_learn():
    callback = pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")
    monitor = callback.ScoringMonitor(scoring="accuracy")
    classifier = quick(max_iter=4).set_callbacks(monitor).fit(X, Y)
    log = monitor.get_logs()
    rows = [row for each in (log if isinstance(log, list) else [log]) for row in each.data]
    epochs = [row["accuracy"] for row in rows if row["task_name"] == "epoch"]
    assert len(epochs) == 4
    assert epochs[-1] == classifier.score(X, Y)


def test_a_callback_may_end_the_fit():
    pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")

    class Enough:
        def setup(self, estimator, context): ...
        def teardown(self, estimator, context): ...
        def on_fit_task_begin(self, estimator, context): ...

        def on_fit_task_end(self, estimator, context):
            return estimator.n_iter_ == 3

    assert quick(max_iter=9).set_callbacks(Enough()).fit(X, Y).n_iter_ == 3


def test_verbose_reports_each_epoch():
    out = io.StringIO()
    with redirect_stdout(out):
        classifier = quick(verbose=True, early_stopping=True).fit(X, Y)
    assert out.getvalue().splitlines() == [
        f"Iteration {n + 1}, loss = {classifier.loss_curve_[n]:.8f}, "
        f"validation score = {classifier.validation_scores_[n]:.6f}"
        for n in range(2)
    ]


# ---- copies --------------------------------------------------------------------------------------------


def again_by_joblib(value, folder):
    joblib = pytest.importorskip("joblib")
    joblib.dump(value, folder / "value.joblib")
    return joblib.load(folder / "value.joblib")


def again_by_cloudpickle(value, folder):
    cloudpickle = pytest.importorskip("cloudpickle")
    return pickle.loads(cloudpickle.dumps(value))  # noqa: S301


def again_by_skops(value, folder):
    skops = pytest.importorskip("skops.io")
    return skops.loads(skops.dumps(value), trusted=lenet.interop.SKOPS_TRUSTED)


AGAIN = {
    "pickle": lambda value, folder: pickle.loads(pickle.dumps(value)),  # noqa: S301
    "copy": lambda value, folder: copy.copy(value),
    "deepcopy": lambda value, folder: copy.deepcopy(value),
    "joblib": again_by_joblib,
    "cloudpickle": again_by_cloudpickle,
    "skops": again_by_skops,
}


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(copied, id=name, marks=pytest.mark.landing if name in ("cloudpickle", "skops") else ())
        for name, copied in AGAIN.items()
    ],
)
def test_a_classifier_and_a_model_survive_bit_for_bit(fitted, again, tmp_path):
    classifier, model = again(fitted, tmp_path), again(fitted.model_, tmp_path)
    np.testing.assert_array_equal(classifier.predict_proba(X_TEST), fitted.predict_proba(X_TEST))
    assert classifier.get_params() == fitted.get_params()
    assert classifier.validation_scores_ == fitted.validation_scores_
    np.testing.assert_array_equal(model.parameters.flat, fitted.model_.parameters.flat)
    assert (model.mean, model.std, model.metadata) == (fitted.model_.mean, fitted.model_.std, fitted.model_.metadata)
    a, b = copy.deepcopy(fitted), classifier
    for each in (a, b):
        each.partial_fit(X, Y)
    np.testing.assert_array_equal(a.model_.parameters.flat, b.model_.parameters.flat)


@pytest.mark.landing
def test_skops_trusts_only_the_required_types(fitted):
    skops = pytest.importorskip("skops.io")
    assert skops.get_untrusted_types(data=skops.dumps(fitted)) == sorted(lenet.interop.SKOPS_TRUSTED)


@pytest.mark.parametrize("what", ["LeNetClassifier", "LeNet5"])
def test_the_pickle_of_a_later_major_version_is_refused(fitted, what, monkeypatch):
    value = fitted if what == "LeNetClassifier" else fitted.model_
    home = "lenet.estimator.classifier" if what == "LeNetClassifier" else "lenet.model"
    for version, fits in (("1.0.0", False), ("0.9.0", True), (lenet.__version__, True)):
        with monkeypatch.context() as patch:
            patch.setattr(f"{home}.__version__", version)
            pickled = pickle.dumps(value)
        if fits:
            pickle.loads(pickled)  # noqa: S301
        else:
            with pytest.raises(
                WeightsError, match=f"This {what} was pickled by lenet 1.0.0; lenet {lenet.__version__} cannot"
            ):
                pickle.loads(pickled)  # noqa: S301


# ---- wrong input ---------------------------------------------------------------------------------------


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
        ({"learning_rate_init": 0}, InputError, "learning_rate_init is 0; expected a number above 0"),
        ({"learning_rate_init": "fast"}, InputTypeError, "learning_rate_init is 'fast'; expected a number"),
        ({"learning_rate_init": np.nan}, InputError, "learning_rate_init is nan"),
        ({"momentum": 1.0}, InputError, "momentum is 1.0; expected a number of at least 0 and below 1"),
        ({"alpha": -1}, InputError, "alpha is -1; expected a number of at least 0"),
        ({"tol": -1e-9}, InputError, "tol is -1e-09"),
        (
            {"validation_fraction": 1},
            InputError,
            "validation_fraction is 1; expected a number of at least 0 and below 1",
        ),
        ({"validation_fraction": 0.0}, InputError, "validation_fraction is 0.0"),
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


@pytest.mark.parametrize("weight", [1e308, 1e-308, True, 3])
def test_equal_weights_have_no_effect(weight):
    weighted = quick().fit(X, Y, sample_weight=np.full(600, weight))
    np.testing.assert_array_equal(weighted.predict_proba(X), quick().fit(X, Y).predict_proba(X))


@pytest.mark.parametrize("weights", [np.zeros(600), -np.ones(600), np.full(600, np.nan), np.ones(5), np.ones((600, 1))])
def test_weights_that_are_refused(weights):
    with pytest.raises(InputError, match="sample_weight"):
        quick().fit(X, Y, sample_weight=weights)


def test_a_column_of_labels_is_accepted_with_a_warning():
    with pytest.warns(DataConversionWarning):
        quick().fit(X, Y[:, np.newaxis])


def test_other_images_than_fitted_are_refused(fitted):
    with pytest.raises(InputError, match="images of 16x4 pixels; expected 8x8, as in fit"):
        fitted.predict(X.reshape(-1, 16, 4))
    with pytest.raises(ValueError, match="65 features"):
        fitted.predict(np.zeros((1, 65)))
    assert fitted.predict(X.reshape(-1, 8, 8)).shape == Y.shape
    with pytest.raises(NotFittedError):
        clone(fitted).predict(X)


def test_without_scikit_learn_the_error_names_the_extra():
    program = (
        "import sys, lenet\n"
        "for module in ('sklearn', 'sklearn.frozen'):\n"
        "    sys.modules[module] = None\n"
        "    try: lenet.LeNetClassifier\n"
        "    except lenet.errors.MissingExtraError as error: print(error)\n"
        "    del sys.modules[module]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"This requires scikit-learn, which is {says}. Run python -m pip install 'lenet[train]'."
        for says in ("not installed", "too old or incomplete (it lacks sklearn.frozen)")
    ]


# Files


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


def test_a_file_restores_the_names_of_columns(tmp_path):
    frames = pytest.importorskip("pandas")
    frame = frames.DataFrame(X, columns=[f"pixel {k}" for k in range(X.shape[1])])
    quick().fit(frame, Y).save(tmp_path / "classifier.safetensors")
    loaded = LeNetClassifier.load(tmp_path / "classifier.safetensors")
    assert loaded.feature_names_in_.tolist() == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame[frame.columns[::-1]])


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


def test_a_fitted_network_knows_the_labels():
    assert quick().fit(X, np.array(list("abcdefghij"))[Y]).model_.classes == tuple("abcdefghij")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record["labels"].update(values=[1, 0]), "labels is \\[1, 0\\]; expected a sorted list"),
        (lambda record: record["labels"].update(values=[0, 1, 2]), "labels has 3 values; expected 2"),
        (lambda record: record["labels"].update(values=[0, 1.5]), "expected a sorted list"),
        (lambda record: record["labels"].update(values=[0, 7]), "classes is .* expected"),
        (lambda record: record["labels"].update(kind="U999999999"), "labels has the kind"),
        (lambda record: record["labels"].update(kind="object"), "labels has the kind"),
        (lambda record: record["framing"].update(height=29), "height is too large"),
        (lambda record: record["framing"].update(high=-1), "expected a finite range"),
        (lambda record: record.update(n_features=65), "n_features is too large"),
        (lambda record: record.update(feature_names=["a"]), "feature_names is invalid"),
        (lambda record: record.update(parameters=[]), "parameters is invalid"),
        (lambda record: record.update(parameters={"verbose": {}}), "verbose is {}"),
        (lambda record: record.update(parameters={"alpha": -1}), "alpha is -1"),
        (lambda record: record.update(parameters={"color": 1}), "color"),
        (lambda record: record.update(parameters={"random_state": "x"}), "random_state|seed"),
        (lambda record: record.pop("framing"), "framing"),
        (lambda record: record.update(more=1), "more"),
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
    with pytest.raises(
        InputError,
        match=r"The labels have dtype \|S1, which cannot be saved; expected booleans, integers, floats or strings",
    ):
        mixed.save(path)
    assert not path.exists()
