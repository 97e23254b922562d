"""Ranking metrics per list, vectorised over all lists.

References
----------
Järvelin and Kekäläinen 2002, Cumulated gain-based evaluation of IR techniques (binary gains here).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

METRICS: Final = ("ndcg", "recall", "hit_rate", "mrr")


@dataclass(frozen=True)
class Ranked:
    """Ranked lists and their hits, as flat arrays.

    Attributes
    ----------
    lists : int64 (n,)
        Position of the list that each card belongs to, in [0, n_lists).
    rank : float32 (n,)
        1-based rank of the card in its list.
    hit : bool (n,)
        Whether the card was played.
    n_relevant : int64 (n_lists,)
        Items played, on the list or not; at least 1.
    """

    lists: npt.NDArray[np.int64]
    rank: npt.NDArray[np.float32]
    hit: npt.NDArray[np.bool_]
    n_relevant: npt.NDArray[np.int64]


def list_metrics(ranked: Ranked, k: int) -> dict[str, Doubles]:
    """NDCG, recall, hit rate and reciprocal rank at k of every list.

    Parameters
    ----------
    ranked : Ranked
    k : int
        Cards looked at.

    Returns
    -------
    dict of str to float64 (n_lists,)
        Keys are those of :data:`METRICS`; a list without cards counts 0.

    Examples
    --------
    >>> import numpy as np
    >>> one = Ranked(np.array([0, 0]), np.array([1, 2], np.float32), np.array([False, True]),
    ...              np.array([1]))
    >>> round(float(list_metrics(one, k=2)["ndcg"][0]), 4)
    0.6309
    """
    n = len(ranked.n_relevant)
    hit = ranked.hit & (ranked.rank <= k)
    at, rank = ranked.lists[hit], ranked.rank[hit].astype(np.float64)
    gain = np.bincount(at, weights=1 / np.log2(rank + 1), minlength=n)
    ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
    hits = np.bincount(at, minlength=n)
    reciprocal = np.zeros(n)
    np.maximum.at(reciprocal, at, 1 / rank)
    return {
        "ndcg": gain / ideal[np.minimum(ranked.n_relevant, k)],
        "recall": hits / ranked.n_relevant,
        "hit_rate": (hits > 0).astype(np.float64),
        "mrr": reciprocal,
    }


def mean_by(
    values: Doubles, groups: npt.NDArray[np.integer]
) -> tuple[npt.NDArray[np.integer], Doubles]:
    """Mean of the values of each group; NaN values are left out.

    Parameters
    ----------
    values : float64 (n,)
    groups : integer (n,)

    Returns
    -------
    integer (m,), float64 (m,)
        The groups, ascending, and their means; NaN for a group without a value.
    """
    names, at = np.unique(groups, return_inverse=True)
    known = ~np.isnan(values)
    counts = np.bincount(at[known], minlength=len(names))
    totals = np.bincount(at[known], weights=values[known], minlength=len(names))
    return names, np.divide(totals, counts, out=np.full(len(names), np.nan), where=counts > 0)
