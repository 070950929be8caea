"""The epoch loop. It returns a history and prints nothing; callers are told of each step and epoch.

All that is random is drawn from the seed and the epoch's number alone, so that training can go on from any
step: a state is the parameters, the velocity, and where the epoch stands.
"""

import functools
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lenet import _checks
from lenet._fused.batches import Learner
from lenet._fused.dispatch import chosen
from lenet._fused.threads import resolve_n_jobs
from lenet._peers import Alone, Peers
from lenet.data.distortions import distort, random_affine, random_variations, vary
from lenet.data.rubbish import rubbish
from lenet.data.splits import Split, split, standardisation
from lenet.errors import DivergedError, InputError
from lenet.losses import cross_entropy
from lenet.model import LeNet5
from lenet.optim import SCHEDULES, SGD
from lenet.recipes import RECIPES, Recipe


@dataclass
class Epoch:
    """What one epoch came to: a row of the history.

    `loss` and `accuracy` are means over the training images as they were learnt from, so each was judged by
    the weights of its own step. `val_loss` and `val_accuracy` are of the validation split after the epoch,
    None without one.

    Parameters
    ----------
    epoch : int
        Its number, from 1 on.
    learning_rate : float
        Of its last step.
    loss, accuracy : float
        Cross-entropy in nats, and the part that was read right.
    val_loss, val_accuracy : float or None
    images_per_second : float
    seconds : float
        That all steps so far have taken.

    Examples
    --------
    >>> import lenet
    >>> X, y, _, _ = lenet.data.load_digits()
    >>> recipe = RECIPES["small"].with_changes(epochs=1)
    >>> state = train(LeNet5(seed=0), X[:100], y[:100], recipe, seed=0)
    >>> row = state.history[0]
    >>> row.epoch, 2.2 < row.loss < 2.5
    (1, True)
    """

    epoch: int
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    images_per_second: float
    seconds: float

    def better_than(self, other: "Epoch") -> bool:
        """Return whether the validation loss is lower, or, without a validation split, the epoch later.

        The loss is the steadier judge: on 2,000 images, one more mistake is 0.05% of accuracy.

        Parameters
        ----------
        other : Epoch

        Returns
        -------
        bool
        """
        if self.val_loss is None or other.val_loss is None:
            return self.epoch > other.epoch
        return self.val_loss < other.val_loss


@dataclass
class State:
    """Where a training stands between two steps: all that it takes to go on to the same bits.

    Parameters
    ----------
    parameters, velocity : ndarray of the model's dtype, shape (parameters,)
        The model's own and the optimiser's, which each step changes.
    best_parameters : ndarray of that dtype and shape
        A copy of those of the best epoch.
    mean, std : float
        The model's.
    step, images : int
        Steps of the epoch under way that are done, and their images.
    loss_sum : float
        Over these images, in nats.
    correct : int
        How many of them were read right.
    seconds : float
        That all steps have taken.
    images_per_second : float
    best_epoch : int
        Its number; 0 before the first has ended.
    history : list of Epoch
        Those that have ended.

    Examples
    --------
    >>> import lenet
    >>> X, y, _, _ = lenet.data.load_digits()
    >>> recipe = RECIPES["small"].with_changes(epochs=1)
    >>> state = train(LeNet5(seed=0), X[:100], y[:100], recipe, seed=0)
    >>> state.epoch, state.best_epoch
    (2, 1)
    """

    parameters: NDArray[Any]
    velocity: NDArray[Any]
    best_parameters: NDArray[Any]
    mean: float
    std: float
    step: int = 0
    images: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seconds: float = 0.0
    images_per_second: float = 0.0
    best_epoch: int = 0
    history: list[Epoch] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The number of the epoch under way, from 1 on."""
        return len(self.history) + 1

    def facts(self) -> dict[str, Any]:
        """Return everything but the arrays, for a file.

        Returns
        -------
        dict of str to Any
            What JSON can hold.
        """
        return {
            "mean": self.mean,
            "std": self.std,
            "step": self.step,
            "images": self.images,
            "loss_sum": self.loss_sum,
            "correct": self.correct,
            "seconds": self.seconds,
            "best_epoch": self.best_epoch,
            "history": [asdict(row) for row in self.history],
        }


def evaluate(
    model: LeNet5, X: ArrayLike, y: ArrayLike, *, sample_weight: ArrayLike | None = None, n_jobs: int | None = None
) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy over images.

    Parameters
    ----------
    model : LeNet5
    X, y, sample_weight, n_jobs : array_like, and int
        As for `LeNet5.loss_and_gradients`.

    Returns
    -------
    loss : float
        In nats.
    accuracy : float
        In [0, 1].

    Raises
    ------
    InputError, InputTypeError
        As `LeNet5.loss_and_gradients` does.

    Examples
    --------
    >>> import lenet
    >>> digits = lenet.data.load_digits()
    >>> loss, accuracy = evaluate(lenet.load_pretrained("mnist"), digits.X_test, digits.y_test)
    >>> accuracy > 0.8
    True
    """
    images = _checks.images(X)
    labels = _checks.labels(y, len(images), model.num_classes)
    if not len(images):
        raise InputError("There are no images to evaluate: pass at least one.")
    logits = model.logits(images, n_jobs=n_jobs)
    losses, _ = cross_entropy(logits, labels)
    weights = _checks.weights(sample_weight, len(images))
    right = logits.argmax(axis=1) == labels
    return float(np.average(losses.astype(np.float64), weights=weights)), float(np.average(right, weights=weights))


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
    on_step: Callable[[State], bool | None] | None = None,
    on_epoch: Callable[[State], bool | None] | None = None,
    peers: Peers | None = None,
) -> State:
    """Train a model in place; it ends with the weights of its best epoch.

    Parameters
    ----------
    model : LeNet5
        Its weights are where training starts. Its metadata are emptied, since they told of those. Meanwhile, only the
        callbacks may use it, to read; what other threads predict with it is of weights under way.
    X, y : array_like
        Images and labels, as for `LeNet5.loss_and_gradients`; at least one.
    recipe : Recipe or str, default "default"
        A recipe or the name of one in `lenet.recipes.RECIPES`.
    seed : int, default 0
        Of the order of the images, the distortions and the validation split, at least 0. The same seed gives
        the same bits, whatever the number of threads, on the same build of the kernels (see `show_config`).
    sample_weight : array_like of shape (n,), optional
        What each image counts for, at least 0, in the losses of training and validation; alike by default.
    n_jobs : int, optional
        Threads: by default LENET_NUM_THREADS, or OMP_NUM_THREADS, or all cores.
    state : State, optional
        Go on from here, with the same arguments otherwise.
    on_step : callable, optional
        Called after each step; if it returns True, training stops there, and the state that is returned can
        be gone on from.
    on_epoch : callable, optional
        Called after each epoch; if it returns True, that was the last one.
    peers : Peers, optional
        Train together with other processes, such as `lenet.scale.mpi.Ranks`. Then training stops one step after any
        process's `on_step` returned True; what `on_epoch` returns counts on the first one only, which also validates.

    Returns
    -------
    State
        Its `history` has a row an epoch.

    Raises
    ------
    InputError, InputTypeError
        If X and y are not what `LeNet5.loss_and_gradients` takes, are empty, or too few to split; if another training
        of the same model begins meanwhile, which ends with the same error.
    DivergedError
        If the loss is no longer finite.

    Examples
    --------
    >>> import lenet
    >>> X, y, _, _ = lenet.data.load_digits()
    >>> recipe = lenet.recipes.RECIPES["small"].with_changes(epochs=1)
    >>> state = train(lenet.LeNet5(seed=0), X[:200], y[:200], recipe)
    >>> len(state.history)
    1
    """
    recipe, seed = recipe_named(recipe), _checks.whole(seed, "seed", least=0)
    resolve_n_jobs(n_jobs)
    images = _checks.images(X)
    if images.dtype != np.uint8:
        images = np.ascontiguousarray(images, model.dtype)
    labels = _checks.labels(y, len(images), model.num_classes)
    if not len(images):
        raise InputError("The training set is empty: pass at least one image.")
    parts = split(labels, recipe.validation, seed)
    flat = model.parameters.flat
    model.metadata = {}  # facts about the weights before
    if state is None:
        mean, std = standardisation(images, parts.train) if recipe.standardise else (0.0, 1.0)
        state = State(flat, np.zeros_like(flat), flat.copy(), mean, std)
    if any(each.shape != flat.shape for each in (state.parameters, state.velocity, state.best_parameters)):
        raise InputError(f"The state is that of another network: {flat.shape} parameters are wanted.")
    peers = Alone() if peers is None else peers
    own, ours = state, (images.shape, flat.shape, flat.dtype, recipe, seed, chosen())
    if peers.told(lambda: ours) != ours:
        raise InputError(
            "This process has other images, another network, recipe or seed, or another build of the kernels than the "
            "first one: start all with the same, and set LENET_CPU where their CPUs differ."
        )
    state = peers.told(lambda: own)
    loop = _Loop(model, images, labels, sample_weight, parts, recipe, seed, n_jobs, state, peers)
    while state.epoch <= recipe.epochs and not _out_of_patience(state, recipe):
        if not loop.run_epoch(on_step):
            return state
        if peers.told(functools.partial(bool, on_epoch is not None and on_epoch(state))):
            break
    loop.check_alone()
    model.parameters.flat[...] = state.best_parameters
    return state


def recipe_named(recipe: Recipe | str) -> Recipe:
    """Return the recipe of a name, or the recipe itself.

    Parameters
    ----------
    recipe : Recipe or str

    Returns
    -------
    Recipe

    Raises
    ------
    InputError
        If there is none of that name.

    Examples
    --------
    >>> recipe_named("seed").batch_size
    4
    """
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise InputError(f"There is no recipe {recipe!r}: choose from {', '.join(RECIPES)}.")
    return RECIPES[recipe]


def _split_weights(sample_weight: ArrayLike | None, parts: Split) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Return the weights of the images to learn from and of those to judge by, each with a mean of 1."""
    whole = _checks.weights(sample_weight, len(parts.train) + len(parts.validation))
    if whole is None:
        return None, None
    train, validation = whole[parts.train], whole[parts.validation]
    return _checks.weights(train, len(train)), _checks.weights(validation, len(validation)) if len(validation) else None


def _out_of_patience(state: State, recipe: Recipe) -> bool:
    return recipe.patience is not None and len(state.history) - state.best_epoch >= recipe.patience


class _Loop:
    """One training: its data, its optimiser, and the state that they move on."""

    def __init__(
        self,
        model: LeNet5,
        X: NDArray[Any],
        y: NDArray[np.int64],
        sample_weight: ArrayLike | None,
        parts: Split,
        recipe: Recipe,
        seed: int,
        n_jobs: int | None,
        state: State,
        peers: Peers,
    ):
        self.peers, self.stop = peers, False
        self.model, self.X, self.y, self.train, self.recipe = model, X, y, parts.train, recipe
        self.X_val, self.y_val = X[parts.validation], y[parts.validation]
        self.weights, self.weights_val = _split_weights(sample_weight, parts)
        self.seed, self.n_jobs, self.state = seed, n_jobs, state
        self.rubbish = _rubbish(X, parts.train, recipe, seed)
        self.steps_per_epoch = math.ceil((len(self.train) + len(self.rubbish)) / recipe.batch_size)
        total_steps = recipe.epochs * self.steps_per_epoch
        self.schedule = SCHEDULES[recipe.schedule](recipe.lr, total_steps, self.steps_per_epoch)
        self.learner = Learner(model.parameters)
        self.sgd = SGD(model, recipe.lr, recipe.momentum, recipe.weight_decay)
        model.mean, model.std = state.mean, state.std
        model.parameters.flat[...] = state.parameters
        self.sgd.velocity[...] = state.velocity
        self.token = model._training = object()
        state.parameters, state.velocity = model.parameters.flat, self.sgd.velocity

    def run_epoch(self, on_step: Callable[[State], bool | None] | None) -> bool:
        """Run what is left of the epoch under way; return whether it was finished."""
        state, n = self.state, len(self.train) + len(self.rubbish)
        rng = np.random.default_rng([self.seed, state.epoch])
        order = rng.permutation(n)
        prepare = _distortions(n, rng, self.recipe)
        began, seconds_before, images_before = time.perf_counter(), state.seconds, state.images
        while state.step < self.steps_per_epoch:
            batch = slice(state.images, state.images + self.recipe.batch_size)
            agreed = self._step(order[batch], prepare, batch.start)
            spent = time.perf_counter() - began
            state.seconds = seconds_before + spent
            state.images_per_second = (state.images - images_before) / max(1e-9, spent)
            self.stop = on_step is not None and bool(on_step(state))
            if agreed or (self.stop and self.peers.size == 1):
                return False
        self._close_epoch()
        return True

    def _batch(self, batch: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[Any] | None]:
        """Return images, labels and weights; behind the training images count those of no digit, with label -1."""
        digits = batch < len(self.train)
        if digits.all():
            members = self.train[batch]
            return self.X[members], self.y[members], None if self.weights is None else self.weights[batch]
        X, y = np.empty((len(batch), *self.X.shape[1:]), self.X.dtype), np.full(len(batch), -1)
        X[digits], y[digits] = self.X[self.train[batch[digits]]], self.y[self.train[batch[digits]]]
        X[~digits] = self.rubbish[batch[~digits] - len(self.train)]
        weights = None if self.weights is None else np.ones(len(batch))
        if weights is not None and self.weights is not None:
            weights[digits] = self.weights[batch[digits]]
        return X, y, weights

    def _step(self, batch: NDArray[np.int64], prepare: Callable[..., NDArray[Any]] | None, start: int) -> bool:
        """Learn from a batch; return whether a process has wished, after the step before, to stop."""
        state, mine = self.state, self.peers.share(len(batch))
        X, y, weights = self._batch(batch[mine])
        start += mine.start
        losses, logits, gradients = self.learner(
            X,
            y,
            self.model.mean,
            self.model.std,
            weights=weights,
            of=len(batch),
            n_jobs=self.n_jobs,
            prepare=prepare and (lambda images, part: prepare(images, slice(start + part.start, start + part.stop))),
        )
        loss_sum = float(losses.sum() if weights is None else losses @ weights)
        right = int((logits.argmax(axis=1) == y).sum())
        loss_sum, correct, stops = self.peers.add(gradients.flat, loss_sum, right, self.stop)
        if not math.isfinite(loss_sum):
            raise self._diverged()
        self.check_alone()
        self.sgd.lr = self._learning_rate(state.step)
        self.sgd.step(gradients)
        state.loss_sum += loss_sum
        state.correct += int(correct)
        state.images += len(batch)
        state.step += 1
        return stops > 0

    def check_alone(self) -> None:
        """Refuse to go on where another training of the model has begun; that one will notice, too."""
        if self.model._training is not self.token:
            self.model._training = None
            raise InputError(
                "Another training of this model has begun, and both are spoilt: train copies, made by copy.deepcopy, "
                "or one after the other."
            )

    def _diverged(self) -> DivergedError:
        return DivergedError(
            f"The loss is not finite at step {self.state.step} of epoch {self.state.epoch}: "
            f"lr={self.recipe.lr:g} is too high, try a tenth of it."
        )

    def _learning_rate(self, step: int) -> float:
        return self.schedule((self.state.epoch - 1) * self.steps_per_epoch + step)

    def _close_epoch(self) -> None:
        state = self.state
        val_loss, val_accuracy = None, None
        if len(self.X_val):
            val_loss, val_accuracy = self.peers.told(
                lambda: evaluate(self.model, self.X_val, self.y_val, sample_weight=self.weights_val, n_jobs=self.n_jobs)
            )
        if not (np.isfinite(state.parameters).all() and math.isfinite(val_loss or 0.0)):
            raise self._diverged()
        row = Epoch(
            epoch=state.epoch,
            learning_rate=self._learning_rate(self.steps_per_epoch - 1),
            loss=state.loss_sum / (len(self.train) + len(self.rubbish)),
            accuracy=state.correct / len(self.train),
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


def _rubbish(X: NDArray[Any], train: NDArray[np.int64], recipe: Recipe, seed: int) -> NDArray[Any]:
    """Return the images of no digit that a recipe wants, of the type of X."""
    count = round(recipe.rubbish * len(train))
    if not count:
        return X[:0]
    if X.dtype != np.uint8:
        raise InputError(f"X holds {X.dtype}, and images of no digit are made of uint8: pass such, or rubbish=0.")
    return rubbish(count, X[train], np.random.default_rng([seed, 0, 1]))


def _distortions(n: int, rng: np.random.Generator, recipe: Recipe) -> Callable[..., NDArray[Any]] | None:
    """Draw an epoch's distortions of n images; return what distorts a part of them."""
    if recipe.vary:
        variations = random_variations(n, rng)
        return lambda images, part: vary(images, variations[part])
    if recipe.distort:
        maps = random_affine(n, rng)
        return lambda images, part: distort(images, maps[part])
    return None
