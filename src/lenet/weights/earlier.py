"""Metadata of models that earlier versions saved."""

import math
from collections.abc import Mapping

import numpy as np

from lenet.rejection import LEAD_SCALE

OLD, NEW = "least_digit_score", "min_digit_score"


def upgraded(metadata: Mapping[str, str], num_classes: int) -> dict[str, str]:
    """Return the metadata with "least_digit_score" converted to "min_digit_score".

    The earlier digit score was 1 minus the normalised entropy of the probabilities. The two scores have no exact
    relation, unless all classes but the likeliest are equally likely, which is assumed here. So the result is
    approximate: calibrating the model again would give 0.477 instead of 0.476 in the example, but for another model
    0.648 instead of 0.569.

    Examples
    --------
    >>> found = upgraded({"least_digit_score": "0.21166"}, 10)
    >>> round(float(found["min_digit_score"]), 3)
    0.476
    """
    rest = {key: value for key, value in metadata.items() if key != OLD}
    return rest if OLD not in metadata else {NEW: _converted(metadata[OLD], num_classes), **rest}


def _converted(text: str, num_classes: int) -> str:
    """Return the minimum as text; one that is damaged stays as it is, for `RejectionRule.from_metadata` to report."""
    try:
        score = float(text)
    except ValueError:
        return text
    if not 0 <= score <= 1:
        return text
    others = num_classes - 1
    leads = np.linspace(0, 100, 10_001)  # how far the logit of the likeliest class is above those of the others
    best = 1 / (1 + others * np.exp(-leads))  # its probability; that of each other class is best * exp(-lead)
    entropies = leads * (1 - best) - np.log(best)
    scores = -np.expm1(-leads * others / num_classes / LEAD_SCALE)
    return repr(float(np.interp(score, 1 - entropies / math.log(num_classes), scores)))
