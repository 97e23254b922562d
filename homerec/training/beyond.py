"""Beyond accuracy: what a list is like, whoever was right. Vectorised over all lists.

References
----------
Vargas and Castells 2011, Rank and relevance in novelty and diversity metrics for recommender
systems (mean self-information; mean pairwise dissimilarity).
Steck 2018, Calibrated recommendations (divergence of the list's tags from the taste).
Gini 1912, Variability and mutability, as the measure of unequal exposure.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.training.metrics import Doubles

#: Metrics of a list, in the order of :func:`list_character`.
BEYOND: Final = ("novelty", "diversity", "calibration_js", "calibration_kl")
#: Share of the taste mixed into a list's tags: a tag that the list lacks costs a finite number.
_SMOOTHING: Final = 0.01


@dataclass(frozen=True)
class Cards:
    """The cards shown, as flat arrays.

    Attributes
    ----------
    lists : int64 (n,)
        Position of the list that each card belongs to, in [0, n_lists).
    item : int64 (n,)
        Row of the item in the item arrays.
    n_lists : int
    """

    lists: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    n_lists: int


def list_character(
    cards: Cards,
    item_listeners: npt.NDArray[np.floating],
    n_listeners: int,
    item_tags: npt.NDArray[np.floating],
    taste: npt.NDArray[np.floating],
) -> dict[str, Doubles]:
    """Novelty, diversity and calibration of every list.

    Parameters
    ----------
    cards : Cards
    item_listeners : float (n_items,)
        Listeners who have played each item.
    n_listeners : int
        All listeners, at least 1.
    item_tags : float (n_items, n_tags)
        1 / sqrt(number of tags) where the item has the tag, else 0.
    taste : float (n_lists, n_tags)
        Weight of each tag in the taste of the list's listener, of any scale; only tags that the
        shelf's items can have belong here. A row of zeros is a taste that nobody knows.

    Returns
    -------
    dict of str to float64 (n_lists,)
        Keys are those of :data:`BEYOND`: ``novelty`` and ``calibration_kl`` in bits,
        ``diversity`` and ``calibration_js`` in [0, 1]. NaN where a list has no card, fewer than
        two cards with tags (diversity), or no card with tags or no taste (calibration).
    """
    by_list = _tags_of_lists(cards, item_tags)
    kl, js = calibration(taste, by_list.share)
    return {
        "novelty": novelty(cards, item_listeners, n_listeners),
        "diversity": _diversity(by_list),
        "calibration_js": js,
        "calibration_kl": kl,
    }


def novelty(cards: Cards, item_listeners: npt.NDArray[np.floating], n_listeners: int) -> Doubles:
    """Mean self-information -log2 p of a list's cards, in bits; higher is less known.

    ``p`` is the share of listeners who have played the item, with one listener added on both sides,
    so that an item nobody has played has a finite surprise.

    Parameters
    ----------
    cards : Cards
    item_listeners : float (n_items,)
    n_listeners : int

    Returns
    -------
    float64 (n_lists,)
        NaN for a list without cards.

    Examples
    --------
    >>> import numpy as np
    >>> two = Cards(np.array([0, 0]), np.array([0, 1]), 1)
    >>> novelty(two, np.array([7.0, 1.0]), 15).tolist()
    [2.0]
    """
    share = (np.asarray(item_listeners, dtype=np.float64) + 1) / (n_listeners + 1)
    return _mean(cards, -np.log2(np.minimum(share, 1.0)))


def diversity(cards: Cards, item_tags: npt.NDArray[np.floating]) -> Doubles:
    """Mean pairwise dissimilarity 1 - cosine of the tags of a list's cards, in [0, 1].

    Parameters
    ----------
    cards : Cards
    item_tags : float (n_items, n_tags)
        Rows of unit length, or all zero for an item without tags, which is left out.

    Returns
    -------
    float64 (n_lists,)
        NaN where fewer than two cards have tags.

    Examples
    --------
    >>> import numpy as np
    >>> three = Cards(np.array([0, 0, 0]), np.array([0, 0, 1]), 1)
    >>> diversity(three, np.eye(2)).round(4).tolist()
    [0.6667]
    """
    return _diversity(_tags_of_lists(cards, item_tags))


def calibration(taste: npt.NDArray[np.floating], shown: Doubles) -> tuple[Doubles, Doubles]:
    """Divergence of what lists show from what their listeners like; 0 is a calibrated list.

    Parameters
    ----------
    taste, shown : float (n, n_tags)
        Weights of any scale; a row of zeros is unknown.

    Returns
    -------
    float64 (n,), float64 (n,)
        Kullback-Leibler divergence KL(taste || 0.99 shown + 0.01 taste) in bits, as Steck smooths
        it, and the Jensen-Shannon divergence in bits, in [0, 1]; NaN where either side is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> kl, js = calibration(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]]))
    >>> round(float(kl[0]), 3), float(js[0])
    (6.644, 1.0)
    """
    p, q = _shares(taste), _shares(shown)
    middle = (p + q) / 2
    js = (_divergence(p, middle) + _divergence(q, middle)) / 2
    kl = _divergence(p, (1 - _SMOOTHING) * q + _SMOOTHING * p)
    return kl, np.clip(js, 0.0, 1.0)


def gini(exposure: npt.NDArray[np.floating] | npt.NDArray[np.integer]) -> float:
    """Gini coefficient of exposure over a catalog.

    It is 0 when all items are shown alike and 1 - 1/n when one of n items has it all.

    Parameters
    ----------
    exposure : float or int (n_items,)
        How often each item of the catalog was shown, zeros included; not negative.

    Returns
    -------
    float
        NaN when nothing was shown.

    Examples
    --------
    >>> import numpy as np
    >>> gini(np.array([2, 2, 2, 2])), gini(np.array([0, 0, 0, 8]))
    (0.0, 0.75)
    """
    values = np.sort(np.asarray(exposure, dtype=np.float64))
    n, total = len(values), values.sum()
    if n == 0 or total <= 0:
        return float("nan")
    return float((2 * np.arange(1, n + 1) - n - 1) @ values / (n * total))


@dataclass(frozen=True)
class _ListTags:
    """Sums over a list's tagged cards.

    Attributes: n (n_lists,), unit (n_lists, n_tags) sum of unit tag vectors, share (n_lists,
    n_tags) sum of the cards' tag distributions.
    """

    n: Doubles
    unit: Doubles
    share: Doubles


def _tags_of_lists(cards: Cards, item_tags: npt.NDArray[np.floating]) -> _ListTags:
    tags = sparse.csr_matrix(np.asarray(item_tags, dtype=np.float64))
    shape = (cards.n_lists, item_tags.shape[0])
    shown = sparse.csr_matrix((np.ones(len(cards.item)), (cards.lists, cards.item)), shape=shape)
    tagged = np.asarray(tags.getnnz(axis=1) > 0, dtype=np.float64)
    return _ListTags(
        n=np.asarray(shown @ tagged),
        unit=np.asarray((shown @ tags).todense()),
        # A unit row squared is the item's distribution over its tags.
        share=np.asarray((shown @ tags.multiply(tags).tocsr()).todense()),
    )


def _diversity(by_list: _ListTags) -> Doubles:
    # |sum v|^2 holds every pair twice and each card with itself once, which is 1.
    n = by_list.n
    alike = (by_list.unit**2).sum(axis=1) - n
    pairs = n * (n - 1)
    out = np.full(len(n), np.nan)
    np.divide(alike, pairs, out=out, where=pairs > 0)
    result: Doubles = np.clip(1 - out, 0.0, 1.0)
    return result


def _mean(cards: Cards, value: Doubles) -> Doubles:
    total = np.bincount(cards.lists, weights=value[cards.item], minlength=cards.n_lists)
    count = np.bincount(cards.lists, minlength=cards.n_lists)
    out = np.full(cards.n_lists, np.nan)
    np.divide(total, count, out=out, where=count > 0)
    return out


def _shares(weights: npt.NDArray[np.floating]) -> Doubles:
    wide = np.asarray(weights, dtype=np.float64)
    total = wide.sum(axis=1, keepdims=True)
    out = np.full(wide.shape, np.nan)
    np.divide(wide, total, out=out, where=total > 0)
    return out


def _divergence(p: Doubles, q: Doubles) -> Doubles:
    """Kullback-Leibler divergence of rows in bits; q is positive wherever p is, NaN stays NaN."""
    ratio = np.divide(p, q, out=np.ones_like(p), where=p > 0)
    result: Doubles = (p * np.log2(ratio)).sum(axis=1)
    return result
