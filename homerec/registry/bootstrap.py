"""The paired bootstrap: how sure a difference of means is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.errors import GateError

_Floats = npt.NDArray[np.float64]

#: Numbers drawn at once: 16 MB of positions and 32 MB of values, whatever the number of listeners.
_BLOCK: Final = 4_000_000
#: A binomial draw costs about as much as this many uniform draws and look-ups.
_MULTINOMIAL_GAIN: Final = 20


@dataclass(frozen=True)
class Interval:
    """A mean and its bootstrap interval.

    Attributes
    ----------
    mean : float
        Of the differences that were measured.
    low, high : float
        Percentile bounds.
    standard_error : float
        Standard deviation of the resampled means.
    n : int
        Units that were resampled: pairs, or clusters.
    """

    mean: float
    low: float
    high: float
    standard_error: float
    n: int


def paired_bootstrap(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    n_boot: int = 2_000,
    seed: int = 0,
    cluster: npt.ArrayLike | None = None,
    *,
    confidence: float = 0.95,
) -> Interval:
    """Interval of mean(a - b), resampling pairs, or whole clusters of pairs.

    The result depends on the multiset of differences and on the seed, not on the order of rows.
    Memory stays below 100 MB beside a few copies of the input.

    Parameters
    ----------
    a, b : float (n,)
        The same unit's values under two models.
    n_boot : int
        Resamples.
    seed : int
        Seed of the resampling.
    cluster : (n,), optional
        Pairs with an equal label are drawn together, such as a listener's lists.
    confidence : float
        Mass between the two bounds, in (0, 1).

    Raises
    ------
    GateError
        The arrays are empty, of different lengths, or hold NaN; ``n_boot`` or ``confidence`` is out
        of range.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentile interval).

    Examples
    --------
    >>> paired_bootstrap([1.0, 1.0, 1.0], [0.5, 0.5, 0.5]).low
    0.5
    """
    difference = _differences(a, b)
    if n_boot < 1 or not 0 < confidence < 1:
        raise GateError(
            f"A bootstrap with {n_boot} resamples and confidence {confidence} is not possible; at "
            "least 1 resample and a confidence between 0 and 1 are needed."
        )
    totals, sizes = _units(difference, cluster)
    rng = np.random.default_rng(seed)
    means = np.concatenate(list(_resampled(totals, sizes, n_boot, rng)))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(
        float(totals.sum() / sizes.sum()),
        float(low),
        float(high),
        float(means.std(ddof=1)) if n_boot > 1 else 0.0,
        len(totals),
    )


def _differences(a: npt.ArrayLike, b: npt.ArrayLike) -> _Floats:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1 or first.size == 0:
        raise GateError(
            f"A paired comparison needs two arrays (n,) of one length n > 0; they are "
            f"{first.shape} and {second.shape}."
        )
    difference: _Floats = first - second
    n_bad = int((~np.isfinite(difference)).sum())
    if n_bad:
        raise GateError(
            f"{n_bad} of {len(difference)} paired values are NaN or infinite; none may be. Look "
            "for listeners without a label in the evaluation."
        )
    return difference


def _units(difference: _Floats, cluster: npt.ArrayLike | None) -> tuple[_Floats, _Floats]:
    """Sum and number of each unit's differences, in an order that the rows' order cannot change."""
    if cluster is None:
        return np.sort(difference), np.ones(len(difference))
    labels = np.asarray(cluster)
    if labels.shape != difference.shape:
        raise GateError(f"Clusters are {labels.shape}, pairs are {difference.shape}.")
    _, codes = np.unique(labels, return_inverse=True)
    # Summing in sorted order gives equal bits whatever the order of the rows.
    order = np.lexsort((difference, codes))
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    totals = np.add.reduceat(difference[order], starts)
    sizes = np.bincount(codes).astype(np.float64)
    order = np.lexsort((sizes, totals))
    return totals[order], sizes[order]


def _resampled(
    totals: _Floats, sizes: _Floats, n_boot: int, rng: np.random.Generator
) -> Iterator[_Floats]:
    """Means of the resamples, block by block."""
    n = len(totals)
    new = (np.diff(totals, prepend=np.nan) != 0) | (np.diff(sizes, prepend=np.nan) != 0)
    starts = np.flatnonzero(new)
    if len(starts) * _MULTINOMIAL_GAIN <= n:
        # Most differences are alike (zero above all): drawing how often each value occurs is the
        # same distribution as drawing n positions, and costs the number of values instead of n.
        counts = np.diff(np.append(starts, n))
        values, lengths = totals[starts], sizes[starts]
        for rows in _blocks(n_boot, len(starts)):
            drawn = rng.multinomial(n, counts / n, size=rows).astype(np.float64)
            yield (drawn @ values) / (drawn @ lengths)
        return
    equal = bool((sizes == sizes[0]).all())
    for rows in _blocks(n_boot, n):
        at = rng.integers(0, n, size=(rows, n), dtype=np.int32)
        below = n * sizes[0] if equal else sizes[at].sum(axis=1)
        yield totals[at].sum(axis=1) / below


def _blocks(n_boot: int, width: int) -> Iterator[int]:
    step = max(1, _BLOCK // width)
    for start in range(0, n_boot, step):
        yield min(step, n_boot - start)
