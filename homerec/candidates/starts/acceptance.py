"""How taste becomes odds, for :mod:`homerec.candidates.starts`: exponentially, then bounded.

Nobody starts what they love a thousand times as often as what they like. So the odds of an item are
exp(taste) as long as that is small, and never more than exp(ceiling): exp(ceiling) times the
logistic of taste - ceiling. That holds for the learned factors; tags and language say what
listeners come across, and multiply as they are.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

#: Single precision for blocks of listeners by items, else double; kept.
Reals = npt.NDArray[np.floating]

#: Variances of a taste are cut here: beyond it the means below are far off.
MOST_VARIANCE: Final = 3.0
#: Exponents are cut here: exp of it is finite in single precision.
_MOST = 80.0


def log_acceptance(taste: Reals, ceiling: float) -> Reals:
    """Log of the odds that taste gives an item.

    Parameters
    ----------
    taste : float32 or float64
        Products of listeners' and items' learned factors, any shape.
    ceiling : float
        Log of the largest odds.

    Returns
    -------
    float32 or float64, as ``taste``

    Examples
    --------
    >>> import numpy as np
    >>> log_acceptance(np.array([-8.0, 0.0, 30.0]), 2.0).round(2).tolist()
    [-8.0, -0.13, 2.0]
    """
    out: Reals = np.minimum(taste - ceiling, _MOST)
    np.exp(out, out=out)
    np.log1p(out, out=out)
    np.subtract(taste, out, out=out)
    np.minimum(out, ceiling, out=out)
    return out


class Moderated(NamedTuple):
    """Odds averaged over a normal taste.

    Attributes
    ----------
    bound : float32 or float64
        The mean odds are exp(mean + variance / 2), as without a ceiling, times that.
    slope, bend : float32 or float64
        First and second derivative of the mean odds by the mean of the taste, divided by them.
    """

    bound: Reals
    slope: Reals
    bend: Reals


def moderated(mean: Reals, variance: Reals, ceiling: float) -> Moderated:
    """Average the odds over what a taste may be.

    A mean of the logistic over a normal variable is taken by the probit approximation: above the
    ceiling of the odds themselves, below it of the bound, where the taste, weighed by exp(taste),
    is normal with a mean that is larger by its variance. That is exact without a ceiling, and
    within 4% for variances up to 3; there larger ones are cut (:data:`MOST_VARIANCE`).

    Parameters
    ----------
    mean, variance : float32 or float64, of one shape
    ceiling : float

    References
    ----------
    MacKay 1992, The evidence framework applied to classification networks (moderated outputs).
    """
    # In place, and flat positions for the few: these lines are half of what a fit of items costs.
    narrow = (np.pi / 8.0) * variance
    narrow += 1.0
    np.sqrt(narrow, out=narrow)
    np.reciprocal(narrow, out=narrow)
    bound = mean + variance
    bound -= ceiling
    bound *= narrow
    np.minimum(bound, _MOST, out=bound)
    np.exp(bound, out=bound)
    bound += 1.0
    np.reciprocal(bound, out=bound)
    slope = bound - 1.0
    slope *= narrow
    bend = slope * bound
    bend *= narrow
    slope += 1.0
    bend += slope * slope
    high = np.flatnonzero(mean > ceiling)
    if len(high):
        over, less = mean.take(high) - ceiling, narrow.take(high)
        near = 1.0 / (1.0 + np.exp(-over * less))
        far = (1.0 - near) * less
        bound.put(high, np.exp(-over - 0.5 * variance.take(high)) * near)
        slope.put(high, far)
        bend.put(high, far * (1.0 - 2.0 * near) * less)
    return Moderated(bound, slope, bend)


class ModeratedLog(NamedTuple):
    """Derivatives of the mean *log* of the odds by the mean of a normal taste.

    Attributes
    ----------
    slope, bend : float32 or float64
        The first and the second one.
    """

    slope: Reals
    bend: Reals


def moderated_log(mean: Reals, variance: Reals, ceiling: float) -> ModeratedLog:
    """Average the log of the odds, as :func:`moderated` does the odds."""
    wide = np.sqrt(1.0 + (np.pi / 8.0) * variance)
    slope = 1.0 / (1.0 + np.exp(np.minimum((mean - ceiling) / wide, _MOST)))
    return ModeratedLog(slope, -slope * (1.0 - slope) / wide)
