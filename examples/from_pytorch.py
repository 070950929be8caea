"""Convert the weights of a LeNet-5 from PyTorch to lenet, and back."""

import numpy as np
import torch
from torch import nn

import lenet
from lenet.interop import from_torch, to_torch_state_dict

module = nn.Sequential(
    nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2),
    nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2),
    nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(),
    nn.Linear(120, 84), nn.Sigmoid(),
    nn.Linear(84, 10),
)  # fmt: skip

model = from_torch(module.state_dict())  # or a file: weights.safetensors, weights.pt
# If transforms.Normalize((0.1307,), (0.3081,)) came before the module: model.mean, model.std = 0.1307, 0.3081

images = lenet.data.load_digits().X_test
with torch.no_grad():
    theirs = module(torch.from_numpy(images[:, np.newaxis]) / 255).softmax(1).numpy()
print(f"The probabilities differ by at most {np.abs(theirs - model.predict_proba(images)).max():.0e}")

model = lenet.load_pretrained("mnist")
module.load_state_dict(to_torch_state_dict(model, like=module.state_dict()))
pixels = torch.from_numpy(images[:, np.newaxis]) / 255
standardise = nn.LayerNorm((1, 28, 28), elementwise_affine=False)  # as these weights expect: model.mean is None
with torch.no_grad():
    theirs = module(standardise(pixels)).softmax(1).numpy()
print(f"With the shipped weights, they differ by at most {np.abs(theirs - model.predict_proba(images)).max():.0e}")
