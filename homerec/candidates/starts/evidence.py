"""What listeners have started and when, for :mod:`homerec.candidates.starts`: read from shards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.candidates.starts.vectors import Doubles, Integers
from homerec.columns import ITEM_TYPES
from homerec.compiling import entry_point
from homerec.features.tables import Rows, Shard


@dataclass(frozen=True)
class Evidence:
    """Starts of n listeners among m items.

    Attributes
    ----------
    started : csr_matrix float64 (n, m)
        Weight of each start, in (0, 1]; indices ascend within a row.
    since : float64 (nnz,)
        Days since each start, in the order of ``started.data``; infinite for a pick at sign-up,
        which comes before every play.
    """

    started: sparse.csr_matrix
    since: Doubles

    @classmethod
    def read(
        cls,
        shard: Shard,
        items: Rows,
        weights: Mapping[str, float],
        passive_weights: Mapping[str, float],
        skipped: float,
    ) -> Self:
        """Read a shard's listeners and the starts of some items.

        Parameters
        ----------
        shard : Shard
        items : int64 (m,)
            Catalog rows; -1 for an item that the catalog does not hold.
        weights, passive_weights : mapping of str to float
            What a start of an item type counts, a pick as well, and one of an item that was never
            put on itself.
        skipped : float
            What a start counts if the item was only ever left within 30 s, of one that was played.
        """
        chosen_weights = np.array([weights.get(t, 0.0) for t in ITEM_TYPES])
        passive = np.array([passive_weights.get(t, 0.0) for t in ITEM_TYPES])
        passive = np.minimum(passive, chosen_weights)
        catalog_types = shard.catalog.types
        types = catalog_types[shard.pair_item]
        chosen = shard.pair_columns["n_chosen"] > 0
        left = skipped * chosen_weights[catalog_types[shard.skip_item]]
        picked = chosen_weights[catalog_types[shard.pick_item]]
        weight = np.concatenate(
            [np.where(chosen, chosen_weights[types], passive[types]), left, picked]
        )
        days = [of["days_since_first"] for of in (shard.pair_columns, shard.skip_columns)]
        since = np.concatenate([*days, np.full(len(picked), np.inf)]).astype(np.float64)
        listener = np.concatenate([shard.pair_listener, shard.skip_listener, shard.pick_listener])
        column = np.full(len(shard.catalog.items) + 1, -1, dtype=np.int64)
        column[items] = np.arange(len(items))
        column[-1] = -1
        at = column[np.concatenate([shard.pair_item, shard.skip_item, shard.pick_item])]
        kept = np.flatnonzero((at >= 0) & (weight > 0))
        # Who picked an item and played it has started it once, when it was picked.
        place, which = np.unique(listener[kept] * len(items) + at[kept], return_inverse=True)
        first = np.zeros(len(place))
        np.maximum.at(first, which, since[kept])
        total = np.zeros(len(place))
        np.maximum.at(total, which, weight[kept])
        row, col = np.divmod(place, max(len(items), 1))
        indptr = np.searchsorted(row, np.arange(shard.n_listeners + 1))
        shape = (shard.n_listeners, len(items))
        return cls(sparse.csr_matrix((total, col, indptr), shape=shape), first)

    @classmethod
    def stack(cls, parts: Sequence["Evidence"], n_items: int) -> Self:
        """Put the listeners of shards below each other."""
        if not parts:
            return cls(sparse.csr_matrix((0, n_items)), np.zeros(0))
        return cls(
            sparse.vstack([part.started for part in parts], format="csr"),
            np.concatenate([part.since for part in parts]),
        )

    def take(self, rows: Rows, columns: Rows | slice = slice(None)) -> "Evidence":
        """Return the starts of some listeners among some items, in the order given."""
        started = self.started
        numbers = np.arange(1, started.nnz + 1)
        place = sparse.csr_matrix((numbers, started.indices, started.indptr), shape=started.shape)
        place = place[rows][:, columns].tocsr()
        place.sort_indices()
        at = place.data - 1
        taken = sparse.csr_matrix(
            (started.data[at], place.indices, place.indptr), shape=place.shape
        )
        return Evidence(taken, self.since[at])

    def recent(self, days: int) -> sparse.csr_matrix:
        """1 for each start of the last days, csr_matrix float64 (n, m)."""
        late = self.started.copy()
        late.data = (self.since <= days).astype(np.float64)
        late.eliminate_zeros()
        return late

    def daily(self, n_days: int) -> Doubles:
        """Count the starts of each item by day, the last one first, float64 (m, n_days)."""
        days = np.floor(self.since)
        late = days < n_days
        item, day = self.started.indices[late].astype(np.int64), days[late].astype(np.int64)
        shape = (self.started.shape[1], n_days)
        place = np.ravel_multi_index((item, np.maximum(day, 0)), shape)
        counts = np.bincount(place, self.started.data[late], minlength=shape[0] * n_days)
        return counts.reshape(shape).astype(np.float64)

    def known(self, types: Integers) -> Doubles:
        """How much of a listener's choosing each started item missed, float64 (nnz,).

        A start chooses among what the listener does not know yet. So it is the share of their
        starts of the type that came later, times the weight of the item's own; starts of one
        moment count half.

        Parameters
        ----------
        types : int64 (m,)
            Number of the type of each item, ascending.
        """
        started = self.started
        out = np.zeros(started.nnz)
        _known(
            started.indptr.astype(np.int64),
            types[started.indices],
            started.data.astype(np.float64),
            self.since,
            out,
        )
        return out


def by_market(started: sparse.csr_matrix, markets: Integers, n_markets: int) -> Doubles:
    """Sum the starts of n listeners by their markets, float64 (n_markets, m).

    Parameters
    ----------
    started : csr_matrix (n, m)
    markets : int64 (n,)
    n_markets : int
    """
    shape = (n_markets, len(markets))
    of = sparse.csr_matrix((np.ones(len(markets)), (markets, np.arange(len(markets)))), shape=shape)
    return np.asarray((of @ started).toarray(), dtype=np.float64)


@entry_point
def _known(indptr: npt.NDArray[np.int64], types: Any, weight: Any, since: Any, out: Any) -> None:
    # Listener by listener: a running sum over all would round by who else is there.
    for i in range(len(indptr) - 1):
        low = indptr[i]
        while low < indptr[i + 1]:
            high, total = low, 0.0
            while high < indptr[i + 1] and types[high] == types[low]:
                total += weight[high]
                high += 1
            # From the last start back; those of one moment together.
            order = np.argsort(since[low:high], kind="mergesort") + low
            later, e = 0.0, 0
            while e < len(order):
                f, same = e, 0.0
                while f < len(order) and since[order[f]] == since[order[e]]:
                    same += weight[order[f]]
                    f += 1
                for g in range(e, f):
                    own = weight[order[g]]
                    out[order[g]] = own * (later + 0.5 * (same - own)) / total
                later += same
                e = f
            low = high
