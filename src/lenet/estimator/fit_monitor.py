"""The monitor of `LeNetClassifier.fit`: history, callbacks and early stopping."""

import copy
import math
from typing import TYPE_CHECKING, Any

from lenet.estimator.inputs import Samples
from lenet.training.plateau import Plateau
from lenet.training.recipes import Recipe
from lenet.training.splits import num_trained
from lenet.training.state import State

if TYPE_CHECKING:
    from lenet.estimator.classifier import LeNetClassifier

_MIN_PATIENCE = 600  # steps


class FitMonitor:
    """Record each epoch of `fit`, call the callbacks, and decide when to stop."""

    def __init__(self, classifier: "LeNetClassifier", recipe: Recipe, samples: Samples, given: tuple[Any, Any, Any]):
        self.classifier, self.epochs = classifier, recipe.epochs
        self.steps = math.ceil(num_trained(samples.labels, recipe.validation) / recipe.batch_size)
        self.plateau, self.on_plateau = Plateau(samples.labels, samples.sample_weight), True
        self.best_score, self.waited = -math.inf, 0
        X, y, sample_weight = given  # the arguments of `fit`, for the callbacks
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.task = {"estimator": classifier, "X": X, "y": y, "metadata": metadata}
        self.fit_context = classifier._init_callback_context(max_subtasks=recipe.epochs)
        self.fit_context.call_on_fit_task_begin(**self.task)
        self._begin_epoch()

    def _begin_epoch(self) -> None:
        self.epoch_context = self.fit_context.subcontext(task_name="epoch")
        self.epoch_context.call_on_fit_task_begin(**self.task, reconstruction_attributes=self._fitted)

    def _fitted(self) -> dict[str, Any]:
        """Return the attributes of the fitted classifier, with the current weights."""
        names = ("classes_", "n_features_in_", "feature_names_in_", "framing_", "model_")
        known = vars(self.classifier)
        return {name: copy.deepcopy(known[name]) for name in names if name in known}

    def record_epoch(self, state: State) -> bool:
        """Record an epoch, and return whether to stop."""
        row, classifier = state.history[-1], self.classifier
        classifier.n_iter_ += 1
        classifier.loss_curve_.append(row.loss)
        line = f"Iteration {classifier.n_iter_}, loss = {row.loss:.8f}"
        out_of_patience = False
        if row.val_loss is not None and row.val_accuracy is not None and classifier.validation_scores_ is not None:
            classifier.validation_scores_.append(row.val_accuracy)
            classifier.best_validation_score_ = row.val_accuracy  # if Ctrl-C keeps these weights
            line += f", validation score = {row.val_accuracy:.6f}"
            out_of_patience = self._record_validation(row.val_loss, row.val_accuracy)
        if classifier.verbose:
            print(line, flush=True)
        stop = self.epoch_context.call_on_fit_task_end(**self.task, reconstruction_attributes=self._fitted)
        if stop or out_of_patience:
            return True
        if classifier.n_iter_ < self.epochs:
            self._begin_epoch()
        return False

    def _record_validation(self, val_loss: float, val_accuracy: float) -> bool:
        """Record a validation result, and return whether `fit` is out of patience."""
        self.on_plateau = self.on_plateau and self.plateau.includes(val_loss)
        if val_accuracy > self.best_score + self.classifier.tol:
            self.best_score, self.waited = val_accuracy, 0
        elif not self.on_plateau:
            self.waited += 1
        return self.waited >= max(self.classifier.n_iter_no_change, _MIN_PATIENCE / self.steps)

    def close(self) -> None:
        """Notify the callbacks that the fit has ended."""
        self.fit_context.call_on_fit_task_end(**self.task, reconstruction_attributes=self._fitted)
