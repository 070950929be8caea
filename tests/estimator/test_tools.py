"""LeNetClassifier with scikit-learn's checks and tools, data frames, callbacks and copies."""

import copy
import pickle
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from classifiers import FEW, X_TEST, Y_TEST, X, Y, quick
from joblib.externals.loky import get_reusable_executor
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import lenet
from lenet import LeNetClassifier
from lenet.errors import WeightsError

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # runs are short


# ---- scikit-learn's own checks -------------------------------------------------------------------------

EXPECTED = {
    # As for SGDClassifier: a weight of 2 is a gradient twice as large, a repeated image another step.
    "check_sample_weight_equivalence_on_dense_data": "SGD: a weight is not a repetition",
}
TWO_EPOCHS = EXPECTED | {"check_classifiers_train": "needs more epochs"}


def pass_check(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some checks pass data that lenet warns about
        check(estimator)


@pytest.mark.landing
@parametrize_with_checks([LeNetClassifier(max_iter=2)], expected_failed_checks=lambda estimator: TWO_EPOCHS)
def test_of_scikit_learn(estimator, check):
    pass_check(estimator, check)


@pytest.mark.release
@parametrize_with_checks([LeNetClassifier(max_iter=100)], expected_failed_checks=lambda estimator: EXPECTED)
def test_of_scikit_learn_with_100_epochs(estimator, check):
    pass_check(estimator, check)


@pytest.mark.release
@parametrize_with_checks([LeNetClassifier()], expected_failed_checks=lambda estimator: EXPECTED)
def test_of_scikit_learn_with_the_defaults(estimator, check):
    pass_check(estimator, check)


# ---- beside scikit-learn's tools -----------------------------------------------------------------------


@pytest.mark.release
@pytest.mark.parametrize("seed", [0, 1])
def test_the_usual_pipeline_learns(seed):
    """Standardised columns have extreme values if a border pixel is seldom ink."""
    pipeline = make_pipeline(StandardScaler(), LeNetClassifier(random_state=seed)).fit(X, Y)
    assert pipeline.score(X_TEST, Y_TEST) > 0.8


@pytest.mark.release
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
def test_calibrated_and_voting():
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


class Callback:
    """The methods that scikit-learn requires."""

    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...


def test_a_callback_may_end_the_fit():
    pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")

    class Enough(Callback):
        def on_fit_task_end(self, estimator, context):
            return estimator.n_iter_ == 3

    assert quick(max_iter=9).set_callbacks(Enough()).fit(X, Y).n_iter_ == 3


def test_a_callback_learns_of_the_end_of_each_epoch_and_of_the_fit():
    pytest.importorskip("sklearn.callback", reason="new in scikit-learn 1.9")
    ended = []

    class Recorder(Callback):
        def on_fit_task_end(self, estimator, context):
            ended.append((context.task_name, estimator.n_iter_))

    quick().set_callbacks(Recorder()).fit(X, Y)
    assert ended == [("epoch", 1), ("epoch", 2), ("fit", 2)]


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


# ---- copies --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    return quick(early_stopping=True).fit(X, Y)


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
