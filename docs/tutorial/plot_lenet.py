"""
From a notebook to the package, in ten steps
============================================

This project began as a notebook: LeNet-5 in NumPy, in loops, with Xavier's initial weights and gradient descent by
hand. These are its steps, in its order, and what the package does for each. All of it runs in some seconds, on the
1,797 small digits that scikit-learn carries.
"""

# %%
# 1. The data
# -----------
# The notebook fetches MNIST, divides its pixels by 255 and cuts off the last 10,000 images for testing. Here a set
# comes divided into four arrays, as uint8; the network takes them as they are, and each training standardises by its
# own images. ``load_mnist()`` is MNIST itself.
import matplotlib.pyplot as plt
import numpy as np

import lenet

X_train, y_train, X_test, y_test = lenet.data.load_digits()
print(X_train.shape, X_train.dtype, X_test.shape)

figure, axes = plt.subplots(1, 10, figsize=(10, 1.4), layout="constrained")
for digit, ax in enumerate(axes):
    ax.imshow(X_train[y_train == digit][0], cmap="gray_r")
    ax.set_title(digit)
    ax.axis("off")

# %%
# 2. The sigmoid
# --------------
# ``1 / (1 + np.exp(-x))`` overflows for large negative numbers; the layer does not. ``forward`` also returns the
# backward pass, which takes the derivative from the output, ``y (1 - y)``; the notebook computes two more sigmoids.
sigmoid = lenet.layers.Sigmoid()
x = np.linspace(-8, 8, 161, dtype=np.float32)
y, backward = sigmoid.forward(x)
slope, _ = backward(np.ones_like(x))
print(sigmoid(np.float32([-1000, 1000])))

figure, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
ax.plot(x, y, label="sigmoid")
ax.plot(x, slope, label="its derivative, at most 1/4")
ax.legend()

# %%
# 3. Convolution
# --------------
# Four nested loops of Python there; here a product of matrices, whose columns are the windows of the image (im2col).
# Ones and minus ones make a kernel that finds edges.
edges = lenet.layers.Conv2d(1, 2, kernel_size=5, padding=2)
edges.parameters["weight"][0] = np.sign(np.arange(-2, 3))[:, None]
edges.parameters["weight"][1] = np.sign(np.arange(-2, 3))[None, :]
image = X_train[y_train == 5][:1, None] / np.float32(255)
maps, _ = edges.forward(image)
columns = lenet.layers.im2col(image, 5, padding=2)
product = edges.parameters["weight"].reshape(2, 25) @ columns[0]
print(columns.shape, np.abs(product.reshape(2, 28, 28) - maps[0]).max() < 1e-5)

figure, axes = plt.subplots(1, 3, figsize=(7, 2.4), layout="constrained")
for ax, values, title in zip(
    axes, (image[0, 0], *maps[0]), ("a digit", "horizontal edges", "vertical edges"), strict=True
):
    ax.imshow(values, cmap="gray_r")
    ax.set_title(title)
    ax.axis("off")

# %%
# 4. Average pooling
# ------------------
# Half the rows and half the columns, each number the mean of four. Backwards, each of the four gets a quarter.
pool = lenet.layers.AvgPool2d(2)
small, backward = pool.forward(maps)
dmaps, _ = backward(np.ones_like(small))
print(small.shape, dmaps[0, 0, :2, :2])

# %%
# 5. Where training starts
# ------------------------
# Xavier's uniform weights, as in the notebook: the more numbers a layer adds up, the smaller its weights, so that what
# passes through keeps about the same variance. A seed makes them the same again.
model = lenet.LeNet5(seed=0)
model.summary()

figure, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
for name in ("c1", "c3", "c5", "f6", "output"):
    weight = model.parameters[f"{name}.weight"]
    ax.hist(weight.ravel(), bins=40, density=True, histtype="step", label=f"{name}: {weight.size:,}")
ax.legend(title="weights")

# %%
# 6. Forwards
# -----------
# The notebook's twelve lines are one call, compiled as a whole. ``activations`` has what lies between, under the
# paper's names.
stages = model.activations(X_train[:3])
for name, values in stages.items():
    print(f"{name:7} {values.shape}")

# %%
# 7. The loss
# -----------
# Cross-entropy by the logarithm of the softmax, which needs no clipping: an answer that is wrong for sure costs what
# it should. Untrained, every class is about as likely as any other, and the loss near ln 10 = 2.303.
losses, dlogits = lenet.losses.cross_entropy(model.logits(X_train), y_train)
print(losses.mean().round(2), np.log(10).round(3))
print(lenet.losses.cross_entropy([[0.0, 1000.0]], [0])[0])

# %%
# 8. Backwards
# ------------
# One call returns the mean loss of a batch and its gradient by every parameter. A gradient is right if the loss moves
# as it says: here along each of 40 weights of C5, where the notebook's is four times too large (:doc:`/seed` has its
# other mistakes).
exact = lenet.LeNet5(seed=0, dtype=np.float64)
batch, labels = X_train[:32], y_train[:32]
_, gradients = exact.loss_and_gradients(batch, labels)
places = np.random.default_rng(0).integers(48_000, size=40)
weights = exact.parameters["c5.weight"].reshape(-1)
moved = []
for place in places:
    before, around = weights[place], []
    for h in (-1e-3, 1e-3):
        weights[place] = before + h
        around.append(exact.loss_and_gradients(batch, labels)[0])
    weights[place] = before
    moved.append((around[1] - around[0]) / 2e-3)
computed = gradients["c5.weight"].reshape(-1)[places]
print(f"they differ by at most {np.abs(computed - moved).max():.0e}")

figure, ax = plt.subplots(figsize=(4, 3.4), layout="constrained")
ax.plot(moved, computed, "o")
ax.axline((0, 0), slope=1, color="grey", linewidth=1)
ax.set(xlabel="how the loss moves", ylabel="the gradient")

# %%
# 9. Learning
# -----------
# Gradient descent as in the notebook, in batches of 4 and with a learning rate of 0.01, stays on a plateau for long.
# Momentum and a learning rate that rises and falls again leave it; that is what the recipe ``small`` is for. It trains
# by small distortions of the images, too. It needs its 200 epochs: cut to 60, it ended on the plateau as well.
state = lenet.train(model, X_train, y_train, "small", seed=0)
plain = lenet.train(lenet.LeNet5(seed=0), X_train, y_train, "seed", seed=0)

figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot([epoch.epoch for epoch in state.history], [epoch.loss for epoch in state.history], label="small")
ax.plot(
    [epoch.epoch for epoch in plain.history], [epoch.loss for epoch in plain.history], "o-", label="as in the notebook"
)
ax.axhline(np.log(10), color="grey", linewidth=1, linestyle=":", label="ln 10: knows nothing")
ax.set(xlabel="epoch", ylabel="training loss")
ax.legend()

# %%
# 10. How good it is
# ------------------
# The notebook never looks at its test images. Here they have had no part in anything before this line.
loss, accuracy = lenet.evaluation.evaluate(model, X_test, y_test)
print(f"{accuracy:.1%} of {len(X_test)} test images")

answers = model.predict(X_test)
wrong = np.flatnonzero(answers != y_test)[:8]
figure, axes = plt.subplots(1, len(wrong), figsize=(1.3 * len(wrong), 1.6), layout="constrained", squeeze=False)
for index, ax in zip(wrong, axes[0], strict=True):
    ax.imshow(X_test[index], cmap="gray_r")
    ax.set_title(f"{answers[index]}, is {y_test[index]}")
    ax.axis("off")

# %%
# ``model.save("mine.safetensors")`` keeps it, and ``lenet predict`` and ``lenet serve`` take it with ``--model``. The
# weights that the package has in it were trained on MNIST, by other hands than these digits':
print(f"{lenet.evaluation.evaluate(lenet.load_pretrained('mnist'), X_test, y_test)[1]:.1%}")
