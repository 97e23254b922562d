"""Candidates for the next familiar listen: the items that memory holds most strongly."""

from typing import ClassVar

import numpy as np

from homerec.candidates.base import CandidateSource, Prepared, Query, Top
from homerec.candidates.topk import rank_pairs
from homerec.features.tables import Floats, Rows
from homerec.parameters import checked


class FamiliarSource(CandidateSource):
    """The listener's own items by ACT-R base-level activation.

    References
    ----------
    Anderson and Schooler 1991, Reflections of the environment in memory; Reiter-Haas et al. 2021,
    Predicting music relistening behavior using the ACT-R framework.
    """

    name: ClassVar[str] = "familiar"

    @checked
    def __init__(self) -> None:
        super().__init__()

    def prepare(self, query: Query) -> "PreparedFamiliar":
        """Nothing to do: the snapshot holds the activations."""
        return PreparedFamiliar(query)


class PreparedFamiliar(Prepared):
    """Activations of the listeners of one query."""

    def __init__(self, query: Query) -> None:
        self._query = query

    def top(self, k: int) -> Top:
        """Best k of the listener's own items that may be shown in the market."""
        if self._query.seen == "excluded":
            return Top.empty()
        shard = self._query.shard
        wanted = np.zeros(shard.n_listeners, dtype=np.bool_)
        wanted[self._query.rows] = True
        shown = np.zeros(len(shard.catalog.items), dtype=np.bool_)
        shown[self._query.items] = True
        kept = wanted[shard.pair_listener] & shown[shard.pair_item]
        listener, item = shard.pair_listener[kept], shard.pair_item[kept]
        markets = shard.markets[listener]
        allowed = np.ones(len(item), dtype=np.bool_)
        for market in np.unique(markets):
            here = markets == market
            allowed[here] = shard.catalog.available(item[here], int(market))
        score = shard.pair_columns["activation"][kept]
        return rank_pairs(listener[allowed], item[allowed], score[allowed], k)

    def score(self, listener: Rows, item: Rows) -> Floats:
        """Activation; NaN for an item the listener never played."""
        shard = self._query.shard
        values = shard.pair_columns["activation"]
        out = np.full(len(listener), np.nan, dtype=np.float32)
        at = shard.pair_rows(listener, item)
        out[at >= 0] = values[at[at >= 0]]
        return out
