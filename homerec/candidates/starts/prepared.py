"""Scores of :mod:`homerec.candidates.starts`: places of listeners beside vectors of items."""

from typing import NamedTuple

import numpy as np

from homerec.candidates.base import Prepared, Query, Top
from homerec.candidates.starts.acceptance import log_acceptance
from homerec.candidates.starts.vectors import Doubles
from homerec.candidates.topk import dot_pairs, top_k
from homerec.features.tables import Floats, Rows, find


class Sides(NamedTuple):
    """Listeners or items as products need them, members side by side.

    Attributes
    ----------
    learned : float32 (n, members * k)
    rest : float32 (n, members * (n_attributes + n_languages))
    """

    learned: Floats
    rest: Floats

    @classmethod
    def of(cls, wide: list[Doubles], k: int) -> "Sides":
        """Divide the coordinates of each member: the first k are learned."""
        return cls(
            np.hstack([one[:, :k] for one in wide]).astype(np.float32),
            np.hstack([one[:, k:] for one in wide]).astype(np.float32),
        )


class PreparedStarts(Prepared):
    """Places of the listeners beside the items' vectors and what the markets start."""

    def __init__(
        self,
        query: Query,
        places: Sides,
        vectors: Sides,
        present: Floats,
        ceiling: float,
        of_skipped: float,
    ) -> None:
        self._query, self._places, self._vectors = query, places, vectors
        self._present, self._ceiling = present, ceiling
        self._line = np.full(query.shard.n_listeners, -1, dtype=np.int64)
        self._line[query.rows] = np.arange(len(query.rows))
        self._column = np.full(len(query.shard.catalog.items), -1, dtype=np.int64)
        self._column[query.items] = np.arange(len(query.items))
        # Added to the score of what a listener has only ever left within 30 s.
        self._of_skipped = np.float32(of_skipped)

    def top(self, k: int) -> Top:
        """Best k allowed items, for everybody: without starts those that the market starts."""
        query, markets = self._query, self._query.shard.markets
        learned, rest = (np.ascontiguousarray(of.T) for of in self._vectors)

        def block(rows: Rows) -> Floats:
            at = self._line[rows]
            scores = log_acceptance(self._places.learned[at] @ learned, self._ceiling)
            scores += self._places.rest[at] @ rest
            scores += self._present[markets[rows]]
            line, column = self._skipped(rows)
            scores[line, column] += self._of_skipped
            return scores

        return top_k(query, query.items, k, block, self.score)

    def score(self, listener: Rows, item: Rows) -> Floats:
        """Log of the chance up to a constant of the listener; NaN for other types of items."""
        line, column = self._line[listener], self._column[item]
        usable = (line >= 0) & (column >= 0)
        out = np.full(len(listener), np.nan, dtype=np.float32)
        line, column = line[usable], column[usable]
        taste, rest = (
            dot_pairs(places, vectors, line, column)
            for places, vectors in zip(self._places, self._vectors, strict=True)
        )
        out[usable] = log_acceptance(taste, self._ceiling) + rest
        out[usable] += self._present[self._query.shard.markets[listener[usable]], column]
        out[self._query.shard.skip_rows(listener, item) >= 0] += self._of_skipped
        return out

    def _skipped(self, rows: Rows) -> tuple[Rows, Rows]:
        """Positions in ascending listener rows, and in the query's items, of what they skipped."""
        shard = self._query.shard
        low, high = np.searchsorted(shard.skip_listener, [rows[0], rows[-1] + 1])
        line = find(rows, shard.skip_listener[low:high])
        column = self._column[shard.skip_item[low:high]]
        shown = (line >= 0) & (column >= 0)
        return line[shown], column[shown]
