"""LeNet-5 as a scikit-learn classifier (extra `train`)."""

from lenet._extras import require

require("sklearn", "train")
require("sklearn.callback", "train")  # new in 1.9

from lenet.estimator.classifier import LeNetClassifier  # noqa: E402

__all__ = ["LeNetClassifier"]
