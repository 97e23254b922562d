"""Top-k over blocks of dense scores, with the same answer whatever the block or thread count."""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.candidates.base import Query, Top
from homerec.features.tables import Floats, Rows

#: Listeners scored at once; bounds a block to about 80 MB at 20,000 items.
BLOCK: Final = 1024
#: Candidates kept beyond k before the exact scores decide: float32 products may differ in the last
#: bit between block shapes, so the cut must not fall between two that are that close.
_MARGIN: Final = 16
#: Share of a listener's largest score within which two rounded scores count as equal.
_CLOSE: Final = np.float32(1e-5)

ScoreBlock = Callable[[Rows], npt.NDArray[np.float32]]
ScorePairs = Callable[[Rows, Rows], Floats]


def top_k(query: Query, items: Rows, k: int, block: ScoreBlock, exact: ScorePairs) -> Top:
    """Best k allowed items of each listener.

    Parameters
    ----------
    query : Query
        Its rows get items; its rules say which are allowed.
    items : int64 (m,)
        Catalog rows of the columns that ``block`` scores, ascending.
    k : int
        Items per listener.
    block : callable
        Listener rows (b,) to scores float32 (b, m), which may be rounded.
    exact : callable
        (listener rows, item rows) to scores float32 (n,) that do not depend on the other pairs.

    Returns
    -------
    Top
        Items with a score that is not finite are left out, so a listener may get fewer than k.
    """
    parts = []
    width = min(k + _MARGIN, len(items))
    if width == 0 or len(query.rows) == 0:
        return Top.empty()
    for start in range(0, len(query.rows), BLOCK):
        rows = query.rows[start : start + BLOCK]
        scores = np.where(query.allowed(rows, items), block(rows), np.float32(-np.inf))
        line, column = _contending(scores, k, width)
        listener, item = rows[line], items[column]
        parts.append(rank_pairs(listener, item, exact(listener, item), k))
    return concatenate(parts)


def _contending(scores: Floats, k: int, width: int) -> tuple[Rows, Rows]:
    """Lines and columns of the finite scores that may be among the best k of their line."""
    n = scores.shape[1]
    if width == n:
        line, column = np.nonzero(np.isfinite(scores))
        return line, column
    best = np.argpartition(scores, n - width, axis=1)[:, n - width :]
    values = np.take_along_axis(scores, best, axis=1)
    finite = np.isfinite(values)
    line, at = np.nonzero(finite)
    column = best[line, at]
    kth = np.partition(values, width - k, axis=1)[:, width - k]
    largest = np.abs(values, where=finite, out=np.zeros_like(values)).max(axis=1)
    floor = kth - _CLOSE * largest
    # More ties at the cut than the margin holds: which of them the partition kept is chance.
    crowded = finite.all(axis=1) & (values.min(axis=1) >= floor)
    if not crowded.any():
        return line, column
    lines = np.flatnonzero(crowded)
    more, tied = np.nonzero(scores[lines] >= floor[lines, None])
    calm = ~crowded[line]
    return np.concatenate([line[calm], lines[more]]), np.concatenate([column[calm], tied])


def rank_pairs(listener: Rows, item: Rows, score: Floats, k: int) -> Top:
    """Order scored pairs by listener, score (descending) and item, and cut at k.

    Parameters
    ----------
    listener, item : int64 (n,)
    score : float32 (n,)
    k : int

    Returns
    -------
    Top
    """
    order = np.lexsort((item, -score, listener))
    listener, item, score = listener[order], item[order], score[order]
    rank = np.arange(len(listener)) - np.searchsorted(listener, listener) + 1
    kept = rank <= k
    return Top(listener[kept], item[kept], score[kept], rank[kept].astype(np.float32))


def concatenate(parts: list[Top]) -> Top:
    """Join the tops of ascending blocks of listeners."""
    if not parts:
        return Top.empty()
    return Top(
        np.concatenate([p.listener for p in parts]),
        np.concatenate([p.item for p in parts]),
        np.concatenate([p.score for p in parts]),
        np.concatenate([p.rank for p in parts]),
    )


def dot_pairs(left: Floats, right: Floats, at_left: Rows, at_right: Rows) -> Floats:
    """Inner products of chosen rows, summed in double precision so that batch and single agree.

    Parameters
    ----------
    left, right : float32 (n, f), float32 (m, f)
    at_left, at_right : int64 (p,)

    Returns
    -------
    float32 (p,)
    """
    out = np.empty(len(at_left), dtype=np.float32)
    for start in range(0, len(out), 65_536):
        rows = slice(start, start + 65_536)
        product = left[at_left[rows]].astype(np.float64) * right[at_right[rows]]
        out[rows] = product.sum(axis=1)
    return out
