"""Scores of :mod:`homerec.candidates.starts`: places of listeners beside vectors of items."""

from typing import NamedTuple

import numpy as np

from homerec.candidates.base import Prepared, Query, Top
from homerec.candidates.starts.acceptance import log_acceptance
from homerec.candidates.starts.recalled import Left, log_totals
from homerec.candidates.starts.support import Chooser
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
        left: Left,
        max_support: int,
    ) -> None:
        self._query, self._places, self._vectors = query, places, vectors
        self._present, self._ceiling = present, ceiling
        self._line = np.full(query.shard.n_listeners, -1, dtype=np.int64)
        self._line[query.rows] = np.arange(len(query.rows))
        self._column = np.full(len(query.shard.catalog.items), -1, dtype=np.int64)
        self._column[query.items] = np.arange(len(query.items))
        self._left = left.among(self._log_totals(max_support))

    def top(self, k: int) -> Top:
        """Best k allowed items, for everybody: without starts those that the market starts."""
        query, markets = self._query, self._query.shard.markets
        learned, rest = (np.ascontiguousarray(of.T) for of in self._vectors)

        def block(rows: Rows) -> Floats:
            at = self._line[rows]
            scores = log_acceptance(self._places.learned[at] @ learned, self._ceiling)
            scores += self._places.rest[at] @ rest
            scores += self._present[markets[rows]]
            line, column, at = self._skipped(rows)
            scores[line, column] = self._left.score(scores[line, column], at)
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
        at = self._query.shard.skip_rows(listener, item)
        again = usable & (at >= 0)
        out[again] = self._left.score(out[again], at[again])
        return out

    def _skipped(self, rows: Rows) -> tuple[Rows, Rows, Rows]:
        """Find what ascending listener rows left: positions in them, the items, the skips."""
        shard = self._query.shard
        low, high = np.searchsorted(shard.skip_listener, [rows[0], rows[-1] + 1])
        line = find(rows, shard.skip_listener[low:high])
        column = self._column[shard.skip_item[low:high]]
        shown = np.flatnonzero((line >= 0) & (column >= 0))
        return line[shown], column[shown], low + shown

    def _log_totals(self, max_support: int) -> Doubles:
        """Log of the sum of exp(score) over what is new, for whoever left something, by skip.

        Only what is of the type of the skip counts; about ``max_support`` items stand for all.
        """
        query, shard = self._query, self._query.shard
        types = shard.catalog.types
        asked = (self._line[shard.skip_listener] >= 0) & (self._column[shard.skip_item] >= 0)
        out = np.full(len(asked), -np.inf)
        for kind in np.unique(types[shard.skip_item[asked]]):
            left = np.flatnonzero(asked & (types[shard.skip_item] == kind))
            who, which = np.unique(shard.skip_listener[left], return_inverse=True)
            column = np.flatnonzero(types[query.items] == kind)
            # The same ones for all shards: whom listeners are asked for with must not matter.
            chooser = Chooser.draw(
                np.exp(self._present[:, column]).max(axis=0),
                np.zeros(len(column), dtype=np.int64),
                max_support,
                np.random.default_rng(0),
                self._ceiling,
            )
            column = column[chooser.items]
            new = query.allowed(who, query.items[column])
            own = find(column, self._column[shard.skip_item[left]])
            new[which[own >= 0], own[own >= 0]] = False
            at = self._line[who]
            totals = log_totals(
                (self._places.learned[at], self._places.rest[at]),
                (self._vectors.learned[column], self._vectors.rest[column]),
                self._present[:, column] - np.log(chooser.inclusion).astype(np.float32),
                shard.markets[who],
                new,
                self._ceiling,
            )
            out[left] = totals[which]
        return out
