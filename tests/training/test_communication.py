"""lenet's results and PyTorch's, with the same weights and batches (extra `bench`)."""

import numpy as np
import pytest

import lenet
from lenet.training.loop import train
from lenet.training.recipes import RECIPES
from lenet.training.splits import split, standardisation

pytestmark = pytest.mark.landing
torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # for such batches, two take as long, and each core spins


def twin(model: lenet.LeNet5):
    """The same network in PyTorch, with the same weights."""
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 5, padding=2),
        torch.nn.Sigmoid(),
        torch.nn.AvgPool2d(2),
        torch.nn.Conv2d(6, 16, 5),
        torch.nn.Sigmoid(),
        torch.nn.AvgPool2d(2),
        torch.nn.Conv2d(16, 120, 5),
        torch.nn.Sigmoid(),
        torch.nn.Flatten(),
        torch.nn.Linear(120, 84),
        torch.nn.Sigmoid(),
        torch.nn.Linear(84, model.num_classes),
    ).to(torch.float32)
    with torch.no_grad():
        for parameter, (_, value) in zip(net.parameters(), model.parameters.items(), strict=True):
            parameter.copy_(torch.from_numpy(value.copy()))
    return net


def torch_epochs(model, X, y, recipe, seed, epochs):
    """Train the twin on the batches that `train` draws; return it and each epoch's mean loss."""
    net = twin(model)
    learned = split(y, recipe.validation, seed).train
    mean, std = standardisation(X, learned) if recipe.standardise else (0.0, 1.0)
    images = (torch.from_numpy(X[learned])[:, None].to(torch.float32) / 255 - mean) / std
    labels = torch.from_numpy(y[learned])
    optimizer = torch.optim.SGD(net.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    steps = -(-len(labels) // recipe.batch_size)
    schedule = lenet.training.optim.SCHEDULES[recipe.schedule](recipe.lr, recipe.epochs * steps, steps)
    losses = []
    for epoch in range(epochs):
        order = torch.from_numpy(np.random.default_rng([seed, epoch + 1]).permutation(len(labels)))
        total = 0.0
        for step in range(steps):
            batch = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            optimizer.param_groups[0]["lr"] = schedule(epoch * steps + step)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(labels))
    return net, losses


@pytest.mark.parametrize("n", [1, 3, 4, 50])
@pytest.mark.parametrize("kind", ["noise", "digits"])
def test_float32_gradients_agree_with_autograd(n, kind):
    model = lenet.LeNet5(seed=n)
    rng = np.random.default_rng(n)
    x = rng.random((n, 28, 28), np.float32)
    if kind == "digits":
        x = lenet.data.load_digits().X_train[:n].astype(np.float32) / 255
    y = rng.integers(0, 10, n)
    net = twin(model)
    loss = torch.nn.functional.cross_entropy(net(torch.from_numpy(x)[:, None]), torch.from_numpy(y))
    loss.backward()
    ours, gradients = model.loss_and_gradients(x, y)
    assert ours == pytest.approx(loss.item(), rel=1e-6)
    for parameter, name in zip(net.parameters(), gradients, strict=True):
        theirs = parameter.grad.numpy()
        assert np.linalg.norm(gradients[name] - theirs) <= 1e-4 * np.linalg.norm(theirs), name


@pytest.mark.parametrize(
    ("name", "count"),
    [("default", 12_000), *(pytest.param(name, 60_000, marks=pytest.mark.release) for name in ("seed", "default"))],
)
def test_an_epoch_of_mnist_ends_at_the_same_weights(mnist, name, count):
    X, y = mnist.X_train[:count], mnist.y_train[:count]
    model = lenet.LeNet5(seed=0)
    recipe = RECIPES[name].with_changes(distort=False)
    net, _ = torch_epochs(model, X, y, recipe, seed=0, epochs=1)
    kept = []

    def stop_after_it(state):
        kept.append(state.parameters.copy())
        raise StopIteration

    with pytest.raises(StopIteration):
        train(model, X, y, recipe, seed=0, on_epoch=stop_after_it)
    theirs = np.concatenate([parameter.detach().numpy().ravel() for parameter in net.parameters()])
    assert np.abs(kept[0] - theirs).max() <= 1e-4


@pytest.mark.release
@pytest.mark.timeout(1800)
def test_the_seed_recipe_learns_as_in_pytorch(mnist):
    X, y = mnist.X_train, mnist.y_train
    model = lenet.LeNet5(seed=0)
    _, theirs = torch_epochs(model, X, y, RECIPES["seed"], seed=0, epochs=5)
    state = train(model, X, y, "seed", seed=0)
    ours = [row.loss for row in state.history]
    print("PyTorch", theirs, "lenet", ours)
    assert ours == pytest.approx(theirs, rel=0.05)
