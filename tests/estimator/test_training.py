"""What LeNetClassifier passes to a training run and records of it, with a run that only reports epochs."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
from classifiers import X, Y, quick
from sklearn.base import clone

import lenet
from lenet import LeNetClassifier
from lenet.errors import InputError
from lenet.estimator.framing import Framing
from lenet.training.state import Epoch, State

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # nothing is learned

SEEDS = np.random.RandomState(0).randint(2**31 - 1, size=2).tolist()  # of quick(): of the weights, and of the run


@pytest.fixture
def runs(monkeypatch):
    """Training runs that change nothing but the velocity, which counts them: their arguments."""
    found = []

    def train(model, images, labels, recipe, *, state, on_epoch, **options):
        weights = model.parameters.flat
        given = None if state is None else (state.mean, state.std, state.velocity[0])
        found.append(SimpleNamespace(images=images, labels=labels, recipe=recipe, state=given, model=model, **options))
        if state is None:
            state = State(weights, np.zeros_like(weights), weights.copy(), 0.0, 1.0)
        state = State(weights, state.velocity + 1, weights.copy(), state.mean, state.std, best_epoch=2)
        for n in range(recipe.epochs):
            scores = (1.0, 0.25 * n) if recipe.validation else (None, None)
            state.history.append(Epoch(n + 1, 0.1, 2 - n / 8, 0.5, *scores, 1.0, 1.0))
            if on_epoch is not None:
                on_epoch(state)
        return state

    monkeypatch.setattr("lenet.estimator.classifier.train", train)
    return found


DEFAULTS = {
    "learning_rate_init": 0.1, "batch_size": "auto", "max_iter": "auto", "momentum": 0.9, "alpha": 0,
    "learning_rate": "one_cycle", "warm_start": False, "early_stopping": False, "validation_fraction": 0.1,
    "n_iter_no_change": 10, "tol": 1e-4, "random_state": None, "verbose": False, "n_jobs": None, "distortions": False,
    "image_shape": "auto",
}  # fmt: skip


def test_the_defaults_are_those_in_the_documentation():
    assert LeNetClassifier().get_params() == DEFAULTS
    text = inspect.getdoc(LeNetClassifier)
    for name, value in DEFAULTS.items():
        assert f"\n{name} : " in text
        line = text.partition(f"\n{name} : ")[2].partition("\n")[0]
        assert line.endswith(f"default {value!r}".replace("'", '"').replace("0.0001", "1e-4"))


# ---- recipes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "classes", "batch_size", "epochs"),
    [
        (3, 2, 1, 2000),
        (20, 2, 5, 1500),
        (127, 10, 26, 1200),  # five steps, since four would need 32 images, more than a quarter
        (256, 10, 64, 1500),
        (900, 10, 60, 400),  # 15 equal steps, rather than 14 of 64 images and one of 4
        (3970, 10, 53, 80),  # the last of 75 steps has 48 images, and would have 2 after 62 of 64
        (7000, 10, 56, 48),
        (19_200, 10, 64, 20),
        (60_000, 10, 60, 20),
        (260, 26, 65, 1500),
        (2600, 26, 104, 240),
    ],
)
def test_auto_is_64_or_4_per_class_or_a_quarter_and_20_epochs_or_6000_steps(images, classes, batch_size, epochs):
    def recipe(images, **parameters):
        classifier = LeNetClassifier(**parameters)
        classifier.classes_ = np.arange(classes)
        return classifier._recipe(np.arange(images) % classes)

    assert (recipe(images).batch_size, recipe(images).epochs) == (batch_size, epochs)
    assert recipe(images, batch_size=50).batch_size == 50
    assert recipe(1001, batch_size=50).epochs == 286  # 6,000 in steps of 21
    assert recipe(images, max_iter=3).epochs == 3
    held_out = recipe(20 * classes, early_stopping=True, validation_fraction=0.25)
    assert held_out.batch_size == recipe(15 * classes).batch_size


def test_parameters_become_a_recipe(runs):
    quick(
        learning_rate_init=0.3, batch_size=7, max_iter=4, momentum=0.2, alpha=0.01, learning_rate="constant",
        distortions=True, validation_fraction=0.25, n_jobs=2,
    ).fit(X, Y)  # fmt: skip
    recipe = runs[0].recipe
    assert (recipe.lr, recipe.batch_size, recipe.epochs, recipe.momentum) == (0.3, 7, 4, 0.2)
    assert (recipe.weight_decay, recipe.schedule, recipe.distort, recipe.validation) == (0.01, "constant", True, 0)
    assert (recipe.patience, recipe.standardise, runs[0].n_jobs) == (None, True, 2)
    quick(early_stopping=True, validation_fraction=0.25).fit(X, Y)
    recipe = runs[1].recipe
    assert (recipe.validation, recipe.patience, recipe.distort, recipe.schedule) == (0.25, None, False, "one_cycle")


@pytest.mark.parametrize("name", ["max_iter", "batch_size"])
def test_auto_is_the_only_text(name):
    with pytest.raises(InputError, match=rf"^{name} is 'automatic'; expected 'auto' or an integer of at least 1"):
        quick(**{name: "automatic"}).fit(X, Y)


# ---- fit -----------------------------------------------------------------------------------------------


def test_a_fit_begins_with_a_new_network_and_a_seed_of_the_random_state(runs):
    fitted = quick().fit(X, Y)
    run = runs[0]
    np.testing.assert_array_equal(fitted.model_.parameters.flat, lenet.LeNet5(SEEDS[0]).parameters.flat)
    assert (run.seed, run.state, run.sample_weight) == (SEEDS[1], None, None)
    assert run.labels.tolist() == Y.tolist()
    np.testing.assert_array_equal(run.images, Framing(8, 8, 0, 16).images(X))
    assert (fitted.framing_, fitted.n_features_in_) == (Framing(8, 8, 0, 16, whole=True), 64)
    assert (fitted.n_iter_, fitted.loss_curve_) == (2, [2, 1.875])
    assert fitted.validation_scores_ is fitted.best_validation_score_ is None


def test_early_stopping_reports_the_score_of_the_best_epoch(runs):
    fitted = quick(early_stopping=True, max_iter=3).fit(X, Y)
    assert fitted.validation_scores_ == [0, 0.25, 0.5]
    assert fitted.best_validation_score_ == 0.25  # of epoch 2


def test_a_warm_start_continues_with_the_network_and_its_standardisation(runs):
    fitted = quick(warm_start=True).fit(X, Y)
    fitted.model_.mean, fitted.model_.std = 0.25, 0.5
    before = fitted.model_
    fitted.fit(X, Y)
    assert runs[1].state == (0.25, 0.5, 0)
    assert runs[1].seed == SEEDS[1]
    assert fitted.model_ is runs[1].model is not before
    assert (fitted.n_iter_, fitted.loss_curve_) == (2, [2, 1.875])
    fitted.set_params(warm_start=False).fit(X, Y)
    assert runs[2].state is None


def test_a_warm_start_keeps_the_shape_and_range_of_the_first_fit(runs):
    fitted = quick(warm_start=True).fit(X, Y)
    fitted.fit(X[:300] / 2, Y[:300])
    assert fitted.framing_ == Framing(8, 8, 0, 16, whole=True)
    np.testing.assert_array_equal(runs[1].images, fitted.framing_.images(X[:300] / 2))
    fitted.set_params(image_shape=(8, 8)).fit(X, Y)
    with pytest.raises(InputError, match="images of 4x16 pixels; expected 8x8, as in fit"):
        fitted.set_params(image_shape=(4, 16)).fit(X, Y)
    with pytest.raises(InputError, match="images of 4x16 pixels; expected 8x8, as in fit"):
        fitted.set_params(image_shape="auto").fit(X.reshape(-1, 4, 16), Y)
    with pytest.raises(InputError, match="Scale them back"):
        fitted.fit(X / 16, Y)


def test_images_of_weight_0_are_left_out_and_the_mean_of_all_weights_is_1(runs):
    weights = np.arange(600) % 5 / 2  # whose mean is 1
    for fit in (quick().fit, quick().partial_fit):
        fit(X, Y, sample_weight=weights, **({"classes": range(10)} if fit.__name__ == "partial_fit" else {}))
        kept = weights > 0
        np.testing.assert_allclose(runs[-1].sample_weight, weights[kept])
        assert runs[-1].labels.tolist() == Y[kept].tolist()
        np.testing.assert_array_equal(runs[-1].images, Framing(8, 8, 0, 16).images(X[kept]))
    assert runs[0].recipe.batch_size == 60  # of 480 images
    quick().fit(X, Y, sample_weight=1 + weights)
    assert len(runs[-1].images) == 600


# ---- partial_fit ---------------------------------------------------------------------------------------


def test_each_partial_fit_is_an_epoch_with_the_next_seed(runs):
    classifier = quick(early_stopping=True, max_iter=7)
    for n in range(3):
        classifier.partial_fit(X[:50], Y[:50], classes=range(10) if n == 0 else None)
        recipe = runs[n].recipe
        assert (recipe.epochs, recipe.schedule, recipe.validation, recipe.batch_size) == (1, "constant", 0, 10)
        assert runs[n].seed == SEEDS[1] + n
        assert runs[n].state == (None if n == 0 else (0, 1, n))  # with the velocity of the call before
        assert (classifier.n_iter_, classifier.loss_curve_) == (n + 1, [2.0] * (n + 1))


def test_partial_fit_continues_after_fit(runs):
    fitted = quick().fit(X, Y).partial_fit(X, Y)
    assert (fitted.n_iter_, fitted.loss_curve_) == (3, [2, 1.875, 2])
    assert runs[1].seed == SEEDS[1] + 2
    assert runs[1].state == (0, 1, 0)  # fit leaves no velocity
    fitted.partial_fit(X, Y, classes=range(10))


@pytest.mark.parametrize("classes", [[3], [3, 3], []])
def test_partial_fit_requires_two_classes(runs, classes):
    quick().partial_fit(X[Y < 2], Y[Y < 2], classes=[0, 1])
    with pytest.raises(ValueError, match="expected at least two"):
        quick().partial_fit(X[Y == 3], Y[Y == 3], classes=classes)


# ---- files and predictions -----------------------------------------------------------------------------


def test_a_pretrained_classifier_reads_bytes_and_continues_with_a_seed(runs):
    classifier = LeNetClassifier.from_pretrained(random_state=0)
    assert classifier.framing_ == Framing(28, 28, 0, 255, whole=True)
    assert classifier.classes_.tolist() == list(range(10))
    assert (classifier.n_features_in_, classifier.warm_start) == (784, True)
    assert (classifier.n_iter_, classifier.loss_curve_, classifier.validation_scores_) == (0, [], None)
    images = np.arange(20 * 784).reshape(20, 784).astype(np.uint8)
    classifier.set_params(max_iter=1).fit(images, np.arange(20) % 10)
    assert runs[0].seed == SEEDS[0]
    assert runs[0].state[:2] == (classifier.model_.mean, classifier.model_.std)
    assert not LeNetClassifier.from_pretrained(warm_start=False).warm_start


def test_a_loaded_model_continues_and_a_loaded_classifier_keeps_its_parameters(runs, tmp_path):
    lenet.LeNet5(seed=0).save(tmp_path / "model.safetensors")
    loaded = LeNetClassifier.load(tmp_path / "model.safetensors")
    assert loaded.get_params() == DEFAULTS | {"warm_start": True, "learning_rate_init": 0.002}
    fitted = quick().fit(X, Y)
    fitted.save(tmp_path / "classifier.safetensors")
    loaded = LeNetClassifier.load(tmp_path / "classifier.safetensors")
    assert loaded.get_params() == fitted.get_params()
    assert "classifier" not in loaded.model_.metadata
    assert "classifier" not in fitted.model_.metadata


def test_every_row_is_read(runs):
    """They are read in blocks of 4,096."""
    fitted = quick().fit(X, Y)
    rows = np.arange(4200) % 600
    many = X[rows]
    expected = fitted.model_.predict_proba(fitted.framing_.images(X))[rows]
    np.testing.assert_array_equal(fitted.predict_proba(many), expected)
    assert fitted.predict_proba(many[:1]).shape == (1, 10)


def test_predictions_check_their_images(runs):
    fitted = quick().fit(X, Y)
    for method in (fitted.predict, fitted.predict_proba, fitted.predict_log_proba):
        with pytest.raises(InputError, match="Scale them back to 0 to 16"):
            method(X / 16)
        with pytest.raises(InputError, match="images of 4x16 pixels; expected 8x8"):
            method(X.reshape(-1, 4, 16))
        with pytest.raises(TypeError, match="dtype timedelta64"):
            method(X.astype("m8[s]"))


def test_a_fit_checks_that_pixels_are_numbers(runs):
    for fit in (quick().fit, lambda X, y: quick().partial_fit(X, y, classes=range(10))):
        with pytest.raises(TypeError, match="X has dtype timedelta64"):
            fit(X.astype("m8[s]"), Y)


def test_log_probabilities_are_finite_where_probabilities_underflow(runs):
    fitted = quick().fit(X, Y)
    fitted.model_.parameters["output.bias"] = [200] + 9 * [0]
    assert fitted.predict_proba(X[:1])[0, 1] < 1e-37
    found = fitted.predict_log_proba(X[:1])
    assert found.dtype == np.float32
    logits = fitted.model_.logits(fitted.framing_.images(X[:1])).astype(np.float64)
    np.testing.assert_allclose(found, logits - logits.max(), rtol=1e-5, atol=1e-5)
    assert fitted.predict(X[:3]).tolist() == [0, 0, 0]


def test_a_clone_is_not_fitted(runs):
    assert not hasattr(clone(quick().fit(X, Y)), "model_")


@pytest.mark.parametrize("weights", [None, np.ones(600)], ids=["unweighted", "weighted"])
def test_scores_need_labels(runs, weights):
    fitted = quick().fit(X, Y)
    with pytest.raises(ValueError, match="None"):
        fitted.score(X, None, weights)


def test_classifiers_accept_arrays_of_images():
    tags = LeNetClassifier().__sklearn_tags__()
    assert tags.input_tags.three_d_array
    assert tags.input_tags.two_d_array
