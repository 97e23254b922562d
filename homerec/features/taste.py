"""Features of taste that need the whole catalog: which tags a listener tries, and in which tongue.

What someone plays often says what they are used to; what they *try* says where they look. So taste
is counted here over distinct items, whatever the number of plays.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.features.tables import Catalog, Floats, Rows, Shard

Doubles = npt.NDArray[np.float64]

#: Weight of the market's tags against one item tried: few trials say little of a listener.
_PRIOR_ITEMS: Final = 2.0
#: Weight of an item's starts elsewhere against those in the market.
_ELSEWHERE: Final = 0.05
#: Below every share that occurs, so that the logarithm of nothing is finite.
_LEAST: Final = 1e-7
_BLOCK: Final = 65_536


def start_affinity(listener: Rows, item: Rows, shard: Shard) -> Floats:
    """Log of the chance that a listener's next new item of its type is this one, by tags alone.

    A tag is drawn by the listener's tags, an item of the tag by the market's starts of the last 28
    days. The listener's tags are those of the distinct items played or picked so far, with the
    market's own as a Dirichlet prior worth two items.

    Parameters
    ----------
    listener, item : int64 (n,)
        Rows in the shard and in its catalog.
    shard : Shard

    Returns
    -------
    float32 (n,)
        Natural logarithm, at least ln(1e-7); that value for an item without tags or starts.
    """
    catalog, out = shard.catalog, np.full(len(item), np.log(_LEAST), dtype=np.float32)
    tried = _tags_tried(shard)
    tags = catalog.item_tags.astype(np.float64) ** 2
    place = np.full(len(catalog.items), -1, dtype=np.int64)
    for kind in np.unique(catalog.types[item]):
        own = np.flatnonzero(catalog.types == kind)
        place[own] = np.arange(len(own))
        possible = (tags[own] > 0).any(axis=0)
        for market in np.unique(shard.markets[listener]):
            chosen = (catalog.types[item] == kind) & (shard.markets[listener] == market)
            share, prior = _starts_by_tag(catalog, own, tags, int(market))
            here = np.flatnonzero(chosen)
            for start in range(0, len(here), _BLOCK):
                at = here[start : start + _BLOCK]
                taste = np.where(possible, tried[listener[at]], 0.0) + _PRIOR_ITEMS * prior
                total = np.maximum(taste.sum(axis=1), _LEAST)
                chance = (taste * share[place[item[at]]]).sum(axis=1) / total
                out[at] = np.log(chance + _LEAST)
    return out


def language_share(listener: Rows, item: Rows, shard: Shard) -> Floats:
    """Share of the item's language in what the listener has played, over items that have one.

    Parameters
    ----------
    listener, item : int64 (n,)
    shard : Shard

    Returns
    -------
    float32 (n,)
        In [0, 1], plays halved every 60 days; NaN for an item without a language and for a listener
        who has played none that has one.
    """
    catalog, n_languages = shard.catalog, len(shard.catalog.language_names)
    spoken = catalog.languages[shard.pair_item].astype(np.int64)
    known = spoken >= 0
    weight = np.bincount(
        shard.pair_listener[known] * n_languages + spoken[known],
        weights=shard.pair_columns["decay_60d"][known],
        minlength=shard.n_listeners * n_languages,
    ).reshape(shard.n_listeners, n_languages)
    total = weight.sum(axis=1)
    asked = catalog.languages[item].astype(np.int64)
    usable = (asked >= 0) & (total[listener] > 0)
    out = np.full(len(item), np.nan, dtype=np.float32)
    out[usable] = weight[listener[usable], asked[usable]] / total[listener[usable]]
    return out


def _tags_tried(shard: Shard) -> Doubles:
    """Count distinct items by tag, an item of n tags counting 1 / n for each."""
    listener = np.concatenate([shard.pair_listener, shard.pick_listener])
    item = np.concatenate([shard.pair_item, shard.pick_item])
    shape = (shard.n_listeners, len(shard.catalog.items))
    tried = sparse.csr_matrix((np.ones(len(item)), (listener, item)), shape=shape)
    tried.sum_duplicates()
    # A pick that was played later is one item.
    tried.data[:] = 1.0
    return np.asarray(tried @ (shard.catalog.item_tags.astype(np.float64) ** 2))


def _starts_by_tag(
    catalog: Catalog, own: Rows, tags: Doubles, market: int
) -> tuple[Doubles, Doubles]:
    """Shares of the items among the starts of each tag, and of the tags among all starts.

    Returns
    -------
    float64 (len(own), n_tags), float64 (n_tags,)
    """
    here = catalog.market_column("n_starts_28d", own, np.full(len(own), market)).astype(np.float64)
    everywhere = catalog.columns["n_starts_28d"][own].astype(np.float64) + 0.1
    starts = here + _ELSEWHERE * everywhere * max(here.sum(), 1.0) / everywhere.sum()
    by_tag = tags[own] * starts[:, None]
    total = by_tag.sum(axis=0)
    share = np.divide(by_tag, total, out=np.zeros_like(by_tag), where=total > 0)
    return share, total / max(total.sum(), _LEAST)
