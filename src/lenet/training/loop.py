"""The training loop, which prints nothing; callbacks run after each step and epoch.

All randomness depends on the seed and the epoch's number alone, so that training can resume at any step.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet._fused.batches import Distortions, Learner
from lenet._fused.dispatch import chosen
from lenet._fused.threads import resolve_n_jobs
from lenet.class_names import KEY
from lenet.errors import DivergedError, InputError, InputTypeError
from lenet.evaluation.report import evaluate
from lenet.model import LeNet5
from lenet.model_1998 import MEAN, STD, LeNet1998
from lenet.training.augment.distortions import random_distortions
from lenet.training.communication import Communicator, SingleProcess
from lenet.training.foof import FOOF
from lenet.training.optim import SCHEDULES, SGD
from lenet.training.plateau import Plateau
from lenet.training.recipes import IMAGE, PAPER, Recipe, optimizer_of, recipe_named
from lenet.training.splits import standardisation
from lenet.training.state import Epoch, State
from lenet.training.training_set import TrainingSet

Callback = Callable[[State], bool | None]
Teacher = Callable[[NDArray[Any]], ArrayLike]

SAMPLE = 500  # images from which a preconditioner is estimated before each epoch, as in the 1998 paper


def train(
    model: LeNet5,
    X: ArrayLike,
    y: ArrayLike,
    recipe: Recipe | str = "default",
    *,
    seed: int = 0,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    state: State | None = None,
    on_step: Callback | None = None,
    on_epoch: Callback | None = None,
    comm: Communicator | None = None,
    teacher: Teacher | None = None,
) -> State:
    """Train a model in place.

    All arguments are validated before the model changes. At the end, the model has the weights of the epoch with the
    lowest validation loss or, without a validation split, of the last one. If `on_step` stops the training, it has
    those of the last step; the best ones are in `best_parameters` of the returned state.

    Parameters
    ----------
    model : LeNet5
        Training starts from its weights. It clears the metadata, which describes the old weights, except for the names
        of the classes. During training, only the callbacks may use the model, and only to read it.
    X, y : array_like
        Images and labels, as for `LeNet5.loss_and_gradients`. A recipe with variations, defects, drawn digits or
        non-digits requires uint8 images.
    recipe : Recipe or str, default "default"
        A recipe, or the name of one in `lenet.training.RECIPES`. The default rotates, scales, shears and shifts the
        images at random; `RECIPES["default"].with_changes(distort=False)` does not.
    seed : int, default 0
        At least 0. It determines the order of the images, the distortions, the added images and the validation split.
        The same seed gives bit-identical results for any `n_jobs`, on the same build of the kernels (see `show_config`)
        and, for the optimizer "foof", `LeNet1998` and float64, the same NumPy, CPU and number of BLAS threads.
    sample_weight : float or array_like of shape (n,), optional
        Weight of each image in the training and validation losses: finite, at least 0, and not all 0 in either split;
        equal by default.
    n_jobs : int, optional
        Number of threads, or -1 for all cores; by default, LENET_NUM_THREADS, OMP_NUM_THREADS, or all cores.
    state : State, optional
        The state to resume from. All other arguments must be those of the interrupted training run.
    on_step : callable, optional
        Called with the `lenet.training.State` after each step. If it returns True, training stops there, and can be
        resumed from the returned state.
    on_epoch : callable, optional
        Called with the `lenet.training.State` after each epoch. If it returns True, training ends.
    comm : Communicator, optional
        The processes to train with, such as `lenet.training.mpi.Ranks`; by default, only this one. With several,
        training stops one step after `on_step` has returned True in any of them. Only the first process validates, and
        only its `on_epoch` can end training.
    teacher : callable, optional
        Returns the class probabilities of images, an array of shape (n, num_classes), to learn instead of y
        (distillation; Hinton, Vinyals and Dean, 2015). It receives the images of each step, of shape (n, 28, 28) and
        uint8 or the model's dtype, distorted as the recipe specifies; with several processes, those of its own. The
        validation split keeps the labels. To resume, pass the same teacher. If it raises an error, the model keeps the
        weights of the step before.

    Returns
    -------
    State
        The final state. Its `history` has one row per epoch.

    Raises
    ------
    InputError, InputTypeError
        If an argument is invalid, or there are too few images to hold out a validation split. Also if another call of
        `train` changes the same model during training; both calls raise the error.
    DivergedError
        If the loss is no longer finite. The model then has the best weights so far or, if no epoch was finished, those
        with which the run began; the message says which.
    MissingExtraError
        If the recipe has drawn digits or non-digits, and OpenCV is not installed.

    Warns
    -----
    UserWarning
        If the final loss of a `LeNet5`, on the validation split if there is one, is still near the entropy of the
        labels, and there is no `on_epoch`. There is no warning if y contains probabilities or, without a validation
        split, if the recipe has non-digits or there is a teacher.

    Examples
    --------
    >>> import lenet
    >>> X, y, _, _ = lenet.data.load_digits()
    >>> recipe = lenet.training.RECIPES["small"].with_changes(epochs=1)
    >>> state = train(lenet.LeNet5(seed=0), X[:200], y[:200], recipe)
    >>> len(state.history)
    1
    """
    _checks.callback(on_step, "on_step")
    _checks.callback(on_epoch, "on_epoch")
    _checks.callback(teacher, "teacher")
    _checks.model(model)
    if not (comm is None or callable(getattr(comm, "all_reduce", None))):
        raise InputTypeError(f"comm is {_checks.short_repr(comm)}; expected a Communicator or None.")
    resolve_n_jobs(n_jobs)
    recipe, seed = recipe_named(recipe), _checks.whole(seed, "seed", at_least=0)
    optimizer = optimizer_of(recipe, model)
    data = TrainingSet.prepare(X, y, sample_weight, model, recipe, seed)
    loop = _Loop(model, data, optimizer, recipe, seed, n_jobs, SingleProcess() if comm is None else comm, teacher)
    loop.take_model(loop.starting_state(state))
    return loop.run(on_step, on_epoch)


def _ends(callback: Callback, state: State) -> bool:
    """Call a callback, and return whether it returned True; a count, for example, does not end training."""
    answer = callback(state)
    return isinstance(answer, bool | np.bool_) and bool(answer)


def _rounding(optimizer: SGD) -> bytes:
    """Return a sample of NumPy's matrix products if training uses them; its last bits depend on BLAS and the CPU."""
    model = optimizer.model
    if model._is_fused and not isinstance(optimizer, FOOF):
        return b""
    a = np.random.default_rng(0).random((120, 401), model.dtype)
    return bytes((a @ np.outer(a[0], a[1])).data)


def _standardisation(model: LeNet5, data: TrainingSet, recipe: Recipe) -> tuple[float | None, float | None]:
    if recipe.standardise == PAPER:
        return MEAN, STD
    if not recipe.standardise:
        return 0.0, 1.0
    if recipe.standardise == IMAGE or model.mean is None:
        return None, None
    return standardisation(data.X, data.parts.train)


@dataclass(eq=False)
class _Loop:
    """Train a model step by step, and keep its training state."""

    model: LeNet5
    data: TrainingSet
    optimizer: SGD
    recipe: Recipe
    seed: int  # of all randomness
    n_jobs: int | None
    comm: Communicator
    teacher: Teacher | None

    def __post_init__(self) -> None:
        recipe = self.recipe
        self.steps_per_epoch = math.ceil(len(self.data.members) / recipe.batch_size)
        total_steps = recipe.epochs * self.steps_per_epoch
        self.schedule = SCHEDULES[recipe.schedule](recipe.lr, total_steps, self.steps_per_epoch)
        self.learner = Learner(self.model.parameters, self.model._kernels, self.model.num_classes)
        self.token = object()
        self.stop_requested = False

    def starting_state(self, state: State | None) -> State:
        """Return the first process's state, after checking that all processes have the same task."""
        model, data, recipe = self.model, self.data, self.recipe
        flat = model.parameters.flat
        if state is None:
            state = State(flat, np.zeros_like(flat), flat.copy(), *_standardisation(model, data, recipe))
        else:
            try:
                state.check(self.optimizer, recipe, len(data.members))
            except (AttributeError, TypeError, ValueError) as error:
                raise InputError(f"state is invalid ({error}). Pass a state that train returned.") from None
            state = replace(state, history=[*state.history])  # the caller's state does not change
        task = (data.X.shape, flat.shape, flat.dtype, recipe, self.seed, chosen(), _rounding(self.optimizer))
        if self.comm.broadcast(task) != task:
            raise InputError(
                "This process and the first one differ in the images, the network, the recipe, the seed, the build of "
                "the kernels or the results of NumPy. Start all processes with the same arguments and number of BLAS "
                "threads, and set LENET_CPU and OPENBLAS_CORETYPE if their CPUs differ."
            )
        return self.comm.broadcast(state)

    def take_model(self, state: State) -> None:
        """Copy the state into the model and the optimizer, and make it share their arrays."""
        model = self.model
        self.state = state
        self.before = model.metadata, model.mean, model.std
        model.metadata = {KEY: model.metadata[KEY]} if KEY in model.metadata else {}
        model._training = self.token
        model.mean, model.std = state.mean, state.std
        model.parameters.flat[...] = state.parameters
        self.optimizer.velocity[...] = state.velocity
        state.parameters, state.velocity = model.parameters.flat, self.optimizer.velocity
        if state.step:
            self.optimizer.preconditioner[...] = state.preconditioner
        state.preconditioner = self.optimizer.preconditioner

    def run(self, on_step: Callback | None, on_epoch: Callback | None) -> State:
        """Train to the end, or until a callback stops the training."""
        state, recipe = self.state, self.recipe
        self.began = time.perf_counter() - state.seconds
        finished = True
        while finished and state.epoch <= recipe.epochs and not self._out_of_patience():
            finished = self._run_epoch(on_step)
            if finished and self.comm.broadcast(on_epoch is not None and _ends(on_epoch, state)):
                break
        self._check_alone()
        state.parameters = state.parameters.copy()  # to resume from, even if the model changes
        if finished:
            self.model.parameters.flat[...] = state.best_parameters
            if on_epoch is None and self.comm.rank == 0 and not isinstance(self.model, LeNet1998):
                indices, sample_weight = self.data.parts.train, self.data.sample_weight
                plateau = Plateau(self.data.y[indices], None if sample_weight is None else sample_weight[indices])
                advice = (
                    "Train for more epochs with the settings of the recipe small: standardised pixels, momentum 0.9, "
                    "batches of 32, a learning rate of 0.05, one_cycle and no weight decay. "
                    "With few images per class, start from the shipped weights (lenet.training.transfer)."
                )
                plateau.warn(self._comparable_loss(), len(state.history) * self.steps_per_epoch, advice)
        return state

    def _comparable_loss(self) -> float:
        """Return the final validation or training loss if it can be compared with the entropy of the labels, else 0.

        It cannot be compared if y contains probabilities, because no network has a loss below their own entropy. The
        same holds for the training loss if images of non-digits or the answers of a teacher contribute to it.
        """
        row = self.state.history[-1]
        if self.data.targets.ndim == 2:
            return 0.0
        if row.val_loss is not None:
            return row.val_loss
        return 0.0 if self.recipe.non_digits or self.teacher is not None else row.loss

    def _out_of_patience(self) -> bool:
        patience = self.recipe.patience
        return patience is not None and len(self.state.history) - self.state.best_epoch >= patience

    def _run_epoch(self, on_step: Callback | None) -> bool:
        """Run the rest of the current epoch; return whether it was finished."""
        state, recipe, seed = self.state, self.recipe, self.seed
        if state.epoch > 1:
            self.data = self.data.with_images_of(state.epoch, recipe, seed)
        rng = np.random.default_rng([seed, state.epoch])
        order = rng.permutation(self.data.members)
        distortions = random_distortions(
            len(order), rng, distort=recipe.distort, vary=recipe.vary, defects=recipe.defects
        )
        if self.optimizer.preconditioner.size and not state.step:
            self._estimate(order[:SAMPLE], distortions and distortions[:SAMPLE])
        began, images_before = time.perf_counter(), state.images
        while state.step < self.steps_per_epoch:
            batch = slice(state.images, state.images + recipe.batch_size)
            any_process_stops = self._step(order[batch], distortions and distortions[batch])
            now = time.perf_counter()
            state.seconds = now - self.began
            state.images_per_second = (state.images - images_before) / max(1e-9, now - began)
            self.stop_requested = on_step is not None and _ends(on_step, state)
            if any_process_stops or (self.stop_requested and self.comm.size == 1):
                return False  # several processes agree with the next step's all-reduce
        self._close_epoch()
        return True

    def _estimate(self, members: NDArray[np.int64], distortions: Distortions | None) -> None:
        """Let the first process estimate the preconditioner from the first images of an epoch."""
        optimizer = self.optimizer
        if self.comm.rank == 0:
            images = self.data.batch(members)[0]
            optimizer.estimate(images if distortions is None else distortions.apply(images))
        optimizer.preconditioner[...] = self.comm.broadcast(optimizer.preconditioner)

    def _step(self, members: NDArray[np.int64], distortions: Distortions | None) -> bool:
        """Learn from a batch; return whether any process asked to stop after the previous step."""
        state, comm = self.state, self.comm
        mine = comm.share(len(members))
        X, targets, labels, sample_weight = self.data.batch(members[mine])
        distortions = distortions and distortions[mine]
        if self.teacher is not None:
            X, targets = self._with_teacher(X, distortions, self.teacher)
            distortions = None
        losses, logits, gradients = self.learner(
            X,
            targets,
            self.model.mean,
            self.model.std,
            sample_weight=sample_weight,
            batch_size=len(members),
            n_jobs=self.n_jobs,
            distortions=distortions,
        )
        own_loss = float(losses.sum() if sample_weight is None else losses @ sample_weight)
        own_correct = int((logits.argmax(axis=1) == labels).sum())
        loss_sum, correct, stops = comm.all_reduce(gradients.flat, own_loss, own_correct, self.stop_requested)
        if not math.isfinite(loss_sum):
            raise self._restore_after_divergence()
        self._check_alone()
        self.optimizer.lr = self._learning_rate(state.step)
        self.optimizer.step(gradients)
        state.loss_sum += loss_sum
        state.correct += int(correct)
        state.images += len(members)
        state.step += 1
        return stops > 0

    def _with_teacher(
        self, images: NDArray[Any], distortions: Distortions | None, teacher: Teacher
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the distorted images, and a teacher's probabilities for them, checked as targets."""
        distorted = images if distortions is None else distortions.apply(images)
        shape, name = (len(images), self.model.num_classes), "teacher(images)"
        given = _checks.array(teacher(distorted), name, f"expected shape {shape}") if len(images) else np.empty(shape)
        if given.shape != shape:
            raise InputError(
                f"{name} has shape {given.shape}; expected {shape}. Return a row of class probabilities for each image."
            )
        return distorted, _checks.targets(given, *shape, self.model.dtype, name=name)

    def _close_epoch(self) -> None:
        """Validate, append the epoch to the history, and keep the parameters if they are the best so far."""
        state, data = self.state, self.data
        val_loss, val_accuracy = self._validate() if len(data.parts.validation) else (None, None)
        if not (np.isfinite(state.parameters).all() and (val_loss is None or math.isfinite(val_loss))):
            raise self._restore_after_divergence()
        state.seconds = time.perf_counter() - self.began
        row = Epoch(
            epoch=state.epoch,
            learning_rate=self._learning_rate(self.steps_per_epoch - 1),
            loss=state.loss_sum / len(data.members),
            accuracy=state.correct / data.num_labelled,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            images_per_second=state.images_per_second,
            seconds=state.seconds,
        )
        if not state.history or row.better_than(state.history[state.best_epoch - 1]):
            state.best_epoch = row.epoch
            state.best_parameters = state.parameters.copy()
        state.history.append(row)
        state.step, state.images, state.loss_sum, state.correct = 0, 0, 0.0, 0

    def _validate(self) -> tuple[float, float]:
        """Return the validation loss and accuracy, which the first process computes."""
        found: Any = None
        if self.comm.rank == 0:
            X, targets, _, sample_weight = self.data.batch(self.data.parts.validation)
            found = evaluate(self.model, X, targets, sample_weight=sample_weight, n_jobs=self.n_jobs)
        loss, accuracy = self.comm.broadcast(found)
        return loss, accuracy

    def _learning_rate(self, step: int) -> float:
        return float(self.schedule((self.state.epoch - 1) * self.steps_per_epoch + step))

    def _check_alone(self) -> None:
        """Raise an error if another training run of the model has started, and make that run raise one, too."""
        if self.model._training is not self.token:
            self.model._training = None
            raise InputError(
                "Another call to train changed this model during training, so its weights are invalid. Train copies "
                "made with copy.deepcopy, or make one call after the other."
            )

    def _restore_after_divergence(self) -> DivergedError:
        """Restore the best weights so far, or those from before the training, and return the error."""
        state, recipe = self.state, self.recipe
        step, kept = state.step, "those from before the training"
        if state.history:
            kept = f"those of epoch {state.best_epoch}"
        else:
            self.model.metadata, self.model.mean, self.model.std = self.before
        self.model.parameters.flat[...] = state.best_parameters
        decay = f" or the weight decay ({recipe.weight_decay:g})" if recipe.weight_decay else ""
        return DivergedError(
            f"The loss is not finite at step {step} of epoch {state.epoch}, so the model's weights are {kept}. "
            f"The learning rate ({recipe.lr:g}){decay} is too high. Try a tenth of it."
        )
