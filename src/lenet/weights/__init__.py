"""Weights files: named tensors and text metadata with a checksum, and the contents of a model file."""

from lenet.weights.container import read_tensors, to_bytes
from lenet.weights.files import PRETRAINED, ModelFile

__all__ = ["PRETRAINED", "ModelFile", "read_tensors", "to_bytes"]
