"""Weights files: named tensors with text metadata and a checksum, and what they hold of a model."""

from lenet.weights.container import read_tensors, to_bytes
from lenet.weights.files import PRETRAINED, ModelFile

__all__ = ["PRETRAINED", "ModelFile", "read_tensors", "to_bytes"]
