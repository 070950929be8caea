"""Metadata of models that earlier versions saved."""

import math
from collections.abc import Mapping

import numpy as np

from lenet.rejection import LEAD_SCALE

OLD, NEW = "least_digit_score", "min_digit_score"


def upgraded(metadata: Mapping[str, str], num_classes: int) -> dict[str, str]:
    """Return the metadata with the minimum of today's digit score, in place of that of the earlier one.

    The earlier score was 1 minus the normalised entropy of the probabilities. There is no exact relation between the
    two, unless all classes but the likeliest are equally likely; this is assumed here.

    Examples
    --------
    >>> upgraded({"least_digit_score": "0.21166"}, 10)  # `lenet.evaluation.calibrate` learned 0.477 for this model
    {'min_digit_score': '0.476'}
    """
    rest = {key: value for key, value in metadata.items() if key != OLD}
    return rest if len(rest) == len(metadata) else rest | {NEW: _converted(metadata[OLD], num_classes)}


def _converted(score: str, num_classes: int) -> str:
    others = num_classes - 1
    leads = np.linspace(0, 100, 10_001)  # how far the logit of the likeliest class is above those of the others
    best = 1 / (1 + others * np.exp(-leads))  # its probability; that of each other class is best * exp(-lead)
    entropies = leads * (1 - best) - np.log(best)
    scores = -np.expm1(-leads * others / num_classes / LEAD_SCALE)
    try:
        return f"{np.interp(float(score), 1 - entropies / math.log(num_classes), scores):.3g}"
    except ValueError:  # it is damaged; `RejectionRule.from_metadata` says so
        return score
