"""The figures of an evaluation that are kept with a version: flat names, ready for MLflow."""

import re
from collections.abc import Iterator
from typing import Final

import numpy as np

from homerec.training.evaluation import Result

#: Segments with fewer listeners say little; their figures are not kept.
MIN_SEGMENT: Final = 50
#: Begin of the names of a segment's figures: ``segments/<kind>/<name>/<figure>``.
SEGMENT_PREFIX: Final = "segments"

_NOT_IN_NAMES: Final = re.compile(r"[^\w. -]")


def figures(challenger: Result, baseline: Result) -> dict[str, float]:
    """Means of challenger and baseline, overall and by segment.

    Parameters
    ----------
    challenger, baseline : Result
        On the same listeners.

    Returns
    -------
    dict of str to float
        A metric's mean under its name, the baseline's as ``baseline_<metric>``; so too ``coverage``
        and ``exposure_gini``. ``n_listeners``. For each segment of :data:`MIN_SEGMENT` listeners or
        more ``segments/<kind>/<name>/`` with ``n``, ``ndcg`` and ``baseline_ndcg``. A mean that
        does not exist, such as the calibration of items without tags, is left out.
    """
    if len(challenger.listeners) == 0:
        return {"n_listeners": 0.0}
    out: dict[str, float] = {}
    for prefix, result in (("", challenger), ("baseline_", baseline)):
        out |= {f"{prefix}{name}": result.mean(name) for name in result.metrics}
        out |= {f"{prefix}coverage": result.coverage}
        out |= {f"{prefix}exposure_gini": result.exposure_gini}
    out["n_listeners"] = float(len(challenger.listeners))
    out |= dict(_by_segment(challenger, baseline))
    return {name: value for name, value in out.items() if np.isfinite(value)}


def _by_segment(challenger: Result, baseline: Result) -> Iterator[tuple[str, float]]:
    for kind, labels in challenger.segments.items():
        for name in np.unique(labels):
            chosen = labels == name
            if chosen.sum() < MIN_SEGMENT:
                continue
            # MLflow refuses other characters in a metric's name.
            place = f"{SEGMENT_PREFIX}/{kind}/{_NOT_IN_NAMES.sub('_', str(name))}"
            yield f"{place}/n", float(chosen.sum())
            yield f"{place}/ndcg", float(challenger.metrics["ndcg"][chosen].mean())
            yield f"{place}/baseline_ndcg", float(baseline.metrics["ndcg"][chosen].mean())
