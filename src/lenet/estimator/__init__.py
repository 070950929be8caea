"""LeNet-5 as a scikit-learn classifier (extra `train`)."""

from lenet._extras import require

require("sklearn", "train")
require("sklearn.frozen", "train")  # new in 1.6

from lenet.estimator.classifier import LeNetClassifier  # noqa: E402

__all__ = ["LeNetClassifier"]
