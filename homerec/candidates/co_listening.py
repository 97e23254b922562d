"""Candidates by co-listening: items that share listeners with those a listener plays.

References
----------
Sarwar, Karypis, Konstan, Riedl 2001, Item-based collaborative filtering recommendation algorithms.
"""

from typing import ClassVar, Self

import numpy as np
from scipy import sparse

from homerec.candidates.base import FitData, Prepared, Query, Top
from homerec.candidates.item_item import ItemItemSource
from homerec.candidates.topk import concatenate, rank_pairs
from homerec.columns import ITEM_TYPES
from homerec.features.tables import Floats, Rows
from homerec.parameters import Count, ItemType, NotNegative, checked


class CoListeningSource(ItemItemSource):
    """Cosine of the items' listeners, shrunk for rare pairs, summed over the listener's items.

    Parameters
    ----------
    column : str
        Column of ``listener_item`` that weighs the listener's items.
    context_types : sequence of str
        Item types whose plays count beside those of the shelf (artists speak for shows).
    n_neighbours : int
        Neighbours kept per item.
    shrinkage : float
        Added to the denominator: co-listeners needed before a similarity is trusted.
    """

    name: ClassVar[str] = "co_listening"

    @checked
    def __init__(
        self,
        *,
        column: str = "decay_60d",
        context_types: tuple[ItemType, ...] = (),
        n_neighbours: Count = 50,
        shrinkage: NotNegative = 10.0,
    ) -> None:
        super().__init__(
            column=column,
            context_types=list(context_types),
            n_neighbours=n_neighbours,
            shrinkage=shrinkage,
        )
        self._forget()

    def fit(self, data: FitData) -> Self:
        """Count shared listeners and keep the nearest neighbours of each item."""
        history = self._history(data.item_types)
        items = history.columns(data.catalog)
        parts = [history.matrix(shard, items) for shard in data.shards()]
        matrix = sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((0, len(items)))
        matrix.data[:] = 1
        shown = np.isin(data.catalog.types[items], [ITEM_TYPES.index(t) for t in data.item_types])
        together = (matrix.T.tocsr() @ matrix[:, shown]).tocoo()
        counts = np.asarray(matrix.sum(axis=0)).ravel()
        to = np.flatnonzero(shown)
        own = together.row == to[together.col]
        scale = np.sqrt(counts[together.row] * counts[to[together.col]])
        value = (together.data / (scale + self.parameters["shrinkage"])).astype(np.float32)
        kept = rank_pairs(
            together.row[~own].astype(np.int64),
            together.col[~own].astype(np.int64),
            value[~own],
            self.parameters["n_neighbours"],
        )
        self._types = history.types
        self.from_keys_ = data.catalog.items[items]
        self.to_keys_ = data.catalog.items[items[shown]]
        self.similarity_ = sparse.csr_matrix(
            (kept.score, (kept.listener, kept.item)), shape=(len(items), len(to)), dtype=np.float32
        )
        return self

    def prepare(self, query: Query) -> "PreparedCoListening":
        """Sum the similarities over the history of each listener."""
        scores = (self._played(query) @ self.similarity_).tocsr()
        scores.sort_indices()
        return PreparedCoListening(query, query.shard.catalog.rows(self.to_keys_), scores)


class PreparedCoListening(Prepared):
    """Sparse scores of the listeners of one query."""

    def __init__(self, query: Query, columns: Rows, scores: sparse.csr_matrix) -> None:
        self._query = query
        self._columns = columns
        self._scores = scores
        self._line = np.full(query.shard.n_listeners, -1, dtype=np.int64)
        self._line[query.rows] = np.arange(len(query.rows))
        self._column = np.full(len(query.shard.catalog.items) + 1, -1, dtype=np.int64)
        self._column[columns] = np.arange(len(columns))
        self._column[-1] = -1

    def top(self, k: int) -> Top:
        """Best k allowed items among those with a positive score."""
        query, parts = self._query, []
        shard, n_items = query.shard, len(query.shard.catalog.items)
        for start in range(0, len(query.rows), 4096):
            block = self._scores[start : start + 4096].tocoo()
            listener = query.rows[start + block.row]
            item = self._columns[block.col]
            ok = item >= 0
            played = shard.pair_rows(listener, np.maximum(item, 0)) >= 0
            ok &= played if query.seen == "required" else ~played
            markets = shard.markets[listener]
            for market in np.unique(markets):
                here = markets == market
                ok[here] &= shard.catalog.available(
                    np.minimum(item[here], n_items - 1), int(market)
                )
            parts.append(rank_pairs(listener[ok], item[ok], block.data[ok], k))
        return concatenate(parts)

    def score(self, listener: Rows, item: Rows) -> Floats:
        """Sum the similarities, 0 where nothing connects; NaN for an unknown item."""
        line, column = self._line[listener], self._column[item]
        usable = (line >= 0) & (column >= 0)
        out = np.full(len(listener), np.nan, dtype=np.float32)
        # scipy answers an empty question with a sparse matrix, which is no array.
        if usable.any():
            picked = self._scores[line[usable], column[usable]]
            out[usable] = np.asarray(picked, dtype=np.float32).ravel()
        return out
