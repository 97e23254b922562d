"""The distance between two distributions: the largest difference of any one share."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import distance as scipy_distance

from homerec.errors import EmptyInput


@dataclass(frozen=True)
class Distance:
    """How far two distributions lie apart.

    Attributes
    ----------
    value : float
        In [0, 1]; 0 when the shares are equal.
    bin : str
        The bin whose share moved most; of several the first of the reference.
    reference_share, current_share : float
        The shares of that bin, in [0, 1].
    """

    value: float
    bin: str
    reference_share: float
    current_share: float


def chebyshev(reference: Mapping[str, int], current: Mapping[str, int]) -> Distance:
    """L-infinity distance of normalised counts over the union of their bins.

    Parameters
    ----------
    reference, current : mapping of str to int
        Counts by bin; a bin that one side lacks counts 0 there.

    Raises
    ------
    EmptyInput
        One side counts nothing: an empty window is an error and never "no drift".

    References
    ----------
    The L-infinity comparator of TensorFlow Data Validation.

    Examples
    --------
    >>> round(chebyshev({"news": 8, "music": 92}, {"news": 30, "music": 70}).value, 6)
    0.22
    """
    bins = list(dict.fromkeys((*reference, *current)))
    p = np.array([reference.get(name, 0) for name in bins], dtype=np.float64)
    q = np.array([current.get(name, 0) for name in bins], dtype=np.float64)
    for side, counts in (("reference", p), ("current", q)):
        if counts.sum() <= 0:
            raise EmptyInput(
                f"The {side} window counts 0 values; at least 1 is needed to measure a distance. "
                "Check that its snapshot has rows."
            )
    p /= p.sum()
    q /= q.sum()
    # In whole numbers, so that rounding does not choose among bins that moved equally far.
    total, now = sum(reference.values()), sum(current.values())
    moves = [abs(reference.get(b, 0) * now - current.get(b, 0) * total) for b in bins]
    moved = moves.index(max(moves))
    value = float(scipy_distance.chebyshev(p, q))
    return Distance(value, bins[moved], float(p[moved]), float(q[moved]))
