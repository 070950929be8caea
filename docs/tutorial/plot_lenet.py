"""
From a notebook to the package, in ten steps
============================================

This project began as a notebook: LeNet-5 in NumPy, with loops, Xavier initialisation and gradient descent written by
hand. The ten steps follow the notebook and show what the package does in each. They take about 15 seconds on the 1,797
small digits that come with scikit-learn. You do not need the notebook, and :doc:`/how_it_reads` introduces the terms.
"""

# %%
# 1. The data
# -----------
# The notebook downloads MNIST, divides the pixels by 255 and keeps the last 10,000 images for testing. Here, a loader
# returns the images as uint8, with their labels. Training standardises the pixels with the mean and standard deviation
# of the training set. ``lenet.data.load_mnist()`` loads MNIST itself.
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
# ``1 / (1 + np.exp(-x))`` overflows for large negative numbers; the layer does not. ``forward`` returns the output
# and the backward pass. The backward pass computes the derivative from the output, ``y (1 - y)``, whereas the notebook
# computes two more sigmoids.
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
# The notebook convolves in five nested loops. The layer multiplies two matrices: the kernels, and the windows of the
# image as columns (im2col). Here, two kernels of 1, 0 and -1 detect edges.
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
# Pooling halves the rows and the columns: each output is the mean of four inputs. In the backward pass, each of the
# four gets a quarter of the gradient.
pool = lenet.layers.AvgPool2d(2)
small, backward = pool.forward(maps)
dmaps, _ = backward(np.ones_like(small))
print(small.shape, dmaps[0, 0, :2, :2])

# %%
# 5. The initial weights
# ----------------------
# As in the notebook, the initial weights are drawn uniformly between Xavier's limits, which are narrower for layers
# with more connections. The same seed always gives the same weights.
model = lenet.LeNet5(seed=0)
model.summary()

figure, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
for name in ("c1", "c3", "c5", "f6", "output"):
    weight = model.parameters[f"{name}.weight"]
    ax.hist(weight.ravel(), bins=40, density=True, histtype="step", label=f"{name}: {weight.size:,}")
ax.legend(title="weights")

# %%
# These limits preserve the variance from layer to layer if the activation function has a slope of 1 at zero, like the
# hyperbolic tangent. The slope of the sigmoid is at most 1/4, so each layer reduces the differences between images.
# Step 6 measures this, and step 9 shows the consequence.

# %%
# 6. The forward pass
# -------------------
# One call replaces the notebook's twelve lines. ``activations`` returns the output of every stage, under the names of
# the 1998 paper. The loop prints each stage's spread: the standard deviation of a unit across images, averaged over the
# units.
model.mean, model.std = float(X_train.mean() / 255), float(X_train.std() / 255)
for name, values in model.activations(X_train).items():
    print(f"{name:7} {values.shape!s:18} spread {values.std(axis=0).mean():.4f}")

# %%
# 7. The loss
# -----------
# The cross-entropy is computed from the logarithm of the softmax, so no clipping is needed. Before training, all
# classes are about equally probable, and the loss is close to ln 10 = 2.303.
losses, dlogits = lenet.losses.cross_entropy(model.logits(X_train), y_train)
print(losses.mean().round(2), np.log(10).round(3))
print(lenet.losses.cross_entropy([[0.0, 1000.0]], [0])[0])

# %%
# 8. The backward pass
# --------------------
# One call returns the mean loss of a batch and its gradient with respect to every parameter. To check a gradient,
# change a weight a little and see how the loss changes. The figure compares the two for 40 weights of C5, where the
# notebook's gradient is four times too large (:doc:`/seed` shows its other mistakes).
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
ax.set(xlabel="central difference of the loss", ylabel="gradient")

# %%
# 9. Training
# -----------
# A network that gives the same answer to every image has a loss of about ln 10. Training starts on this plateau, as
# step 6 shows: in F6, the images hardly differ. :doc:`/how_it_reads` explains why. The recipe ``small`` leaves the
# plateau after about 2,100 steps. It uses standardised pixels, momentum, and a learning rate that rises and falls. It
# also distorts the images at random, and holds out a tenth of them to choose the best epoch. The recipe ``seed`` is the
# notebook's: pixels in [0, 1], batches of 4, a learning rate of 0.01 and no momentum, on all images and without
# distortions. After 7,200 steps, it is still on the plateau, and ``train`` issues a warning.
state = lenet.train(model, X_train, y_train, "small", seed=0)
seed = lenet.training.RECIPES["seed"].with_changes(epochs=20)
plain = lenet.train(lenet.LeNet5(seed=0), X_train, y_train, seed, seed=0)

steps_per_epoch = {"small": 41, "seed": 360}  # 1,295 images in batches of 32; 1,438 in batches of 4
figure, ax = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
for name, trained in (("small", state), ("seed", plain)):
    steps = [epoch.epoch * steps_per_epoch[name] for epoch in trained.history]
    ax.plot(steps, [epoch.loss for epoch in trained.history], label=name)
ax.axhline(np.log(10), color="grey", linewidth=1, linestyle=":", label="ln 10")
ax.set(xlabel="steps", xscale="log", ylabel="training loss", ylim=(0, None))
ax.legend(loc="lower left")

# %%
# 10. The test
# ------------
# Unlike the notebook, the package tests the network, on images that nothing before this line has used.
loss, accuracy = lenet.evaluation.evaluate(model, X_test, y_test)
print(f"{accuracy:.1%} of {len(X_test)} test images")

answers = model.predict(X_test)
wrong = np.flatnonzero(answers != y_test)[:8]
figure, axes = plt.subplots(1, len(wrong), figsize=(1.5 * len(wrong), 1.8), layout="constrained", squeeze=False)
for index, ax in zip(wrong, axes[0], strict=True):
    ax.imshow(X_test[index], cmap="gray_r")
    ax.set_title(f"read as {answers[index]}\nlabel {y_test[index]}", fontsize=9)
    ax.axis("off")

# %%
# ``model.save("mine.safetensors")`` saves the model; ``lenet predict`` and ``lenet serve`` load it with ``--model``.
# The package also contains weights trained on MNIST and on digits recorded with a pen. Here is their accuracy on these
# test images:
print(f"{lenet.evaluation.evaluate(lenet.load_pretrained('mnist'), X_test, y_test)[1]:.1%}")

# %%
# Next, :doc:`/mathematics` derives both passes of each layer. Then :doc:`/notebook` shows the code of the layers, and
# :doc:`/kernels` how the fused network works.
