"""LeNet-5 as a scikit-learn classifier (extra `train`)."""

from lenet.estimator.classifier import LeNetClassifier

__all__ = ["LeNetClassifier"]
