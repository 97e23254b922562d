"""Candidates by popularity in the listener's market."""

from typing import ClassVar

import numpy as np

from homerec.candidates.base import CandidateSource, Prepared, Query, Top
from homerec.candidates.topk import top_k
from homerec.errors import SettingsError
from homerec.features.tables import Floats, Rows
from homerec.parameters import checked


class PopularSource(CandidateSource):
    """The items that lead a column of ``item_market`` in the listener's market.

    Parameters
    ----------
    column : str
        What counts, such as ``n_plays_28d`` or ``n_new_listener_plays_28d``.
    """

    name: ClassVar[str] = "popular"

    @checked
    def __init__(self, *, column: str = "n_plays_28d") -> None:
        super().__init__(column=column)

    def prepare(self, query: Query) -> "PreparedPopular":
        """Look the numbers of each market up."""
        return PreparedPopular(query, self.parameters["column"])


class PreparedPopular(Prepared):
    """The column's values for every market of the shard."""

    def __init__(self, query: Query, column: str) -> None:
        self._query = query
        catalog = query.shard.catalog
        if column not in catalog.market_column_names:
            known = ", ".join(catalog.market_column_names)
            raise SettingsError(f"Popular by {column}: item_market has {known}.")
        n_items = len(catalog.items)
        rows = np.arange(n_items, dtype=np.int64)
        totals = np.zeros(n_items, dtype=np.float64)
        by_market = []
        for market in range(len(catalog.markets)):
            values = catalog.market_column(column, rows, np.full(n_items, market))
            by_market.append(values)
            totals += values
        # Where a market says nothing, what the others play decides; the weight keeps it below any
        # own count.
        share = (totals / max(float(totals.max(initial=0)) * 2, 1)).astype(np.float32)
        self._values = np.stack([v + share for v in by_market]) if by_market else share[None]

    def top(self, k: int) -> Top:
        """Best k allowed items."""
        items = self._query.items
        markets = self._query.shard.markets

        def block(rows: Rows) -> Floats:
            scores = self._values[markets[rows][:, None], items[None, :]]
            # Never played anywhere is no recommendation by popularity.
            return np.where(scores > 0, scores, np.float32(-np.inf))

        return top_k(self._query, items, k, block, self.score)

    def score(self, listener: Rows, item: Rows) -> Floats:
        """Value of the column in the listener's market."""
        markets = self._query.shard.markets[listener]
        return self._values[markets, item].astype(np.float32)
