"""The union of candidate sources: which pairs stage 2 sees, and what each source says of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from homerec.candidates.base import CandidateSource, Query, Top
from homerec.columns import ANY_DAYPART, DAYPARTS
from homerec.features.assembly import Pairs
from homerec.features.tables import Floats


@dataclass(frozen=True)
class SourceLimit:
    """A source and how many candidates it may give each listener."""

    source: CandidateSource
    k: int


def union(query: Query, sources: Sequence[SourceLimit], *, by_daypart: bool = False) -> Pairs:
    """Candidates of every source, each pair once.

    Parameters
    ----------
    query : Query
    sources : sequence of SourceLimit
    by_daypart : bool
        Repeat the pairs for each local daypart.

    Returns
    -------
    Pairs
        Ordered by daypart, listener, item; ``<source>_rank`` is NaN where a source did not choose
        the pair, ``<source>_score`` is what it says of it all the same, ``<source>_share`` is that
        over the source's best score for the listener: scores of listeners with long and with short
        histories are then alike.
    """
    shard = query.shard
    n_items = len(shard.catalog.items)
    prepared = [(limit.source.name, limit.source.prepare(query), limit.k) for limit in sources]
    tops = [(name, ready, ready.top(k)) for name, ready, k in prepared]
    keys = [top.listener * n_items + top.item for _, _, top in tops]
    every = np.unique(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.int64)
    listener, item = every // max(n_items, 1), every % max(n_items, 1)
    said = {}
    for (name, ready, top), key in zip(tops, keys, strict=True):
        rank = np.full(len(every), np.nan, dtype=np.float32)
        rank[np.searchsorted(every, key)] = top.rank
        said[f"{name}_rank"] = rank
        said[f"{name}_score"] = score = ready.score(listener, item)
        said[f"{name}_share"] = score / _best(top, shard.n_listeners)[listener]
    if not by_daypart:
        daypart = np.full(len(every), ANY_DAYPART, dtype=np.int8)
        return Pairs(listener, item, daypart, said)
    n = len(DAYPARTS)
    return Pairs(
        np.tile(listener, n),
        np.tile(item, n),
        np.repeat(np.arange(n, dtype=np.int8), len(every)),
        {name: np.tile(values, n) for name, values in said.items()},
    )


def _best(top: Top, n_listeners: int) -> Floats:
    """Best score of each listener row, float32 (n_listeners,); NaN where it is not positive."""
    out = np.full(n_listeners, np.nan, dtype=np.float32)
    first = (top.rank == 1) & (top.score > 0)
    out[top.listener[first]] = top.score[first]
    return out
