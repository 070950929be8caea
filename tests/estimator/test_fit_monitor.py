"""The monitor of a fit: losses, scores, patience and callbacks."""

import importlib.util
import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn")

from lenet.estimator import callbacks
from lenet.estimator.fit_monitor import FitMonitor
from lenet.estimator.inputs import Samples
from lenet.training.state import Epoch

LABELS = np.repeat([0, 0, 0, 2], 400)  # class 1 does not occur; with a quarter held out, 600 pairs remain
ENTROPY = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))


class Context:
    """A callback context that records its calls by task, and stops in one epoch."""

    def __init__(self, calls, task="fit", stop_in=None):
        self.calls, self.task, self.stop_in = calls, task, stop_in

    def subcontext(self, task_name):
        return Context(self.calls, task_name, self.stop_in)

    def call_on_fit_task_begin(self, **named):
        self.calls.append((self.task, "begins", named))

    def call_on_fit_task_end(self, **named):
        self.calls.append((self.task, "ends", named))
        return named["estimator"].n_iter_ == self.stop_in


def fit(losses, scores=None, *, epochs=9, batch_size=2, stop_in=None, sample_weight=None, **parameters):
    """Report epochs with these losses and, for the validation split, losses as fractions of the entropy, and scores."""
    calls = []
    defaults = {"n_iter_": 0, "loss_curve_": [], "tol": 0.0, "n_iter_no_change": 2, "verbose": False}
    classifier = SimpleNamespace(**defaults | parameters, validation_scores_=None if scores is None else [])
    classifier._init_callback_context = lambda max_subtasks: (
        calls.append(max_subtasks) or Context(calls, stop_in=stop_in)
    )
    recipe = SimpleNamespace(epochs=epochs, validation=0.25, batch_size=batch_size)
    monitor = FitMonitor(classifier, recipe, Samples(None, LABELS, None), ("X", "y", sample_weight))
    stops = []
    for n, loss in enumerate(losses):
        val_loss, val_accuracy = (None, None) if scores is None else (scores[n][0] * ENTROPY, scores[n][1])
        row = Epoch(n + 1, 0.1, loss, 0.5, val_loss, val_accuracy, 1.0, 1.0)
        stops.append(monitor.record_epoch(SimpleNamespace(history=[None, row])))
    return SimpleNamespace(monitor=monitor, classifier=classifier, stops=stops, calls=calls)


def test_losses_and_scores_are_recorded(capsys):
    done = fit([1.0, 0.5], [(0.9, 0.25), (0.8, 0.5)], verbose=True)
    assert (done.classifier.n_iter_, done.classifier.loss_curve_) == (2, [1.0, 0.5])
    assert done.classifier.validation_scores_ == [0.25, 0.5]
    assert capsys.readouterr().out.splitlines() == [
        "Iteration 1, loss = 1.00000000, validation score = 0.250000",
        "Iteration 2, loss = 0.50000000, validation score = 0.500000",
    ]


def test_without_a_validation_split_only_the_loss_is_printed(capsys):
    assert fit([1.0], verbose=True).classifier.validation_scores_ is None
    assert capsys.readouterr().out == "Iteration 1, loss = 1.00000000\n"
    fit([1.0])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("accuracies", "tol", "stops"),
    [
        ([0.5, 0.5, 0.5], 0, [False, False, True]),
        ([0.5, 0.6, 0.6, 0.6], 0, [False, False, False, True]),
        ([0.5, 0.5, 0.6, 0.6, 0.6], 0, [False, False, False, False, True]),
        ([0.5, 0.7, 0.6, 0.6], 0, [False, False, False, True]),
        ([0.5, 0.75, 0.75], 0.25, [False, False, True]),  # an improvement of tol is none
        ([0.5, 0.76, 1.0, 1.0], 0.25, [False, False, False, True]),
        ([0.0, 0.0, 0.0], 0, [False, False, True]),
    ],
)
def test_patience_counts_the_consecutive_epochs_without_an_improvement(accuracies, tol, stops):
    assert fit([1.0] * len(stops), [(0.89, accuracy) for accuracy in accuracies], tol=tol).stops == stops


def test_the_plateau_ends_once():
    """Later, the loss of a network that learns its training images by heart may be as high again."""
    assert fit([1.0] * 3, [(0.8, 0.5), (0.95, 0.5), (0.95, 0.5)]).stops == [False, False, True]


@pytest.mark.parametrize(("fraction", "stops"), [(0.89, [False, False, True]), (0.9, [False] * 3)])
def test_patience_begins_below_90_percent_of_the_entropy(fraction, stops):
    assert fit([1.0] * 3, [(fraction, 0.5)] * 3).stops == stops


@pytest.mark.parametrize(("batch_size", "stops"), [(4, 3), (5, 4), (12, 7)])
def test_patience_lasts_600_steps(batch_size, stops):
    """After the first epoch, two of 300 steps, three of 240, or six of 100."""
    assert fit([1.0] * stops, [(0.8, 0.5)] * stops, batch_size=batch_size).stops == [False] * (stops - 1) + [True]


def test_callbacks_see_the_fit_and_each_epoch_begin_and_end():
    done = fit([1.0, 1.0], epochs=2, sample_weight="weights")
    done.monitor.close()
    assert done.calls[0] == 2
    events = [f"{task} {event}" for task, event, _ in done.calls[1:]]
    assert events == ["fit begins", *["epoch begins", "epoch ends"] * 2, "fit ends"]
    task = {"estimator": done.classifier, "X": "X", "y": "y", "metadata": {"sample_weight": "weights"}}
    for _, _, named in done.calls[1:]:
        assert {key: value for key, value in named.items() if key != "reconstruction_attributes"} == task
    assert fit([]).calls[1][2]["metadata"] is None


def test_no_epoch_begins_after_a_callback_or_patience_stops_the_fit():
    for done in (fit([1.0] * 2, stop_in=2), fit([1.0] * 3, [(0.89, 0.5)] * 3)):
        assert done.stops == [False] * (len(done.stops) - 1) + [True]
        events = [event for task, event, _ in done.calls[1:] if task == "epoch"]
        assert events == ["begins", "ends"] * len(done.stops)


def test_callbacks_can_rebuild_the_classifier_of_each_epoch():
    """The attributes are copies, since training continues to change the originals."""
    done = fit([1.0], classes_=np.array([1, 2]), model_=[0], n_features_in_=4)
    for _, _, named in done.calls[2:]:
        attributes = named["reconstruction_attributes"]()
        assert attributes.keys() == {"classes_", "n_features_in_", "model_"}
        assert attributes["model_"] == [0]
        assert attributes["model_"] is not done.classifier.model_


def test_without_the_callbacks_of_scikit_learn_no_epoch_ends_the_fit(monkeypatch):
    """As before scikit-learn 1.9."""
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    spec = importlib.util.spec_from_file_location("callbacks_of_older_versions", callbacks.__file__)
    older = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(older)
    context = older.CallbackSupportMixin()._init_callback_context(max_subtasks=3).subcontext(task_name="epoch")
    assert context.call_on_fit_task_begin(estimator=None) is None
    assert context.call_on_fit_task_end(estimator=None) is False

    @older.with_callbacks
    def fit(x, *, y):
        """Add."""
        return x + y, sys._getframe(1).f_code.co_filename

    assert fit(1, y=2) == (3, callbacks.__file__)
    assert (fit.__name__, fit.__doc__) == ("fit", "Add.")
