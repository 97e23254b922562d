"""The contract of candidate sources (stage 1).

A source is fitted once per version, then *prepared* for a shard of listeners every night. What is
prepared answers two questions: the best k items of each listener, and the score of any (listener,
item) pair.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Self

import numpy as np
import numpy.typing as npt

from homerec.features.tables import Catalog, Floats, Rows, Shard

Seen = Literal["excluded", "required"]


@dataclass(frozen=True)
class FitData:
    """What a source learns from: one snapshot, shard by shard.

    Attributes
    ----------
    catalog : Catalog
        Item side of the snapshot.
    shards : callable
        Yields every listener once, anew at each call.
    item_types : tuple of str
        Types the model's shelf shows.
    seed : int
        Seed of the fit.
    n_threads : int
        Threads a fit may use; the result does not depend on it.
    """

    catalog: Catalog
    shards: Callable[[], Iterator[Shard]]
    item_types: tuple[str, ...]
    seed: int
    n_threads: int = 1


@dataclass(frozen=True)
class Query:
    """Who gets candidates, and which items may be among them.

    Attributes
    ----------
    shard : Shard
        The listeners.
    rows : int64 (n,)
        Rows of the eligible listeners, ascending.
    item_types : tuple of str
        Types the shelf shows.
    seen : {"excluded", "required"}
        Whether items the listener has played are left out, or are the only ones.
    """

    shard: Shard
    rows: Rows
    item_types: tuple[str, ...]
    seen: Seen = "excluded"

    @cached_property
    def items(self) -> Rows:
        """Catalog rows of the shelf's item types, ascending."""
        return np.sort(np.concatenate([self.shard.catalog.of_type(t) for t in self.item_types]))

    def allowed(self, rows: Rows, items: Rows) -> npt.NDArray[np.bool_]:
        """Whether each listener row may be shown each item: bool (len(rows), len(items))."""
        out = np.zeros((len(rows), len(items)), dtype=np.bool_)
        markets = self.shard.markets[rows]
        for market in np.unique(markets):
            out[markets == market] = self.shard.catalog.available(items, int(market))
        played = self._played(rows, items)
        out &= played if self.seen == "required" else ~played
        return out

    def _played(self, rows: Rows, items: Rows) -> npt.NDArray[np.bool_]:
        shard = self.shard
        column = np.full(len(shard.catalog.items), -1, dtype=np.int64)
        column[items] = np.arange(len(items))
        line = np.full(shard.n_listeners, -1, dtype=np.int64)
        line[rows] = np.arange(len(rows))
        low, high = np.searchsorted(shard.pair_listener, [rows[0], rows[-1] + 1])
        at_row = line[shard.pair_listener[low:high]]
        at_column = column[shard.pair_item[low:high]]
        hit = (at_row >= 0) & (at_column >= 0)
        played = np.zeros((len(rows), len(items)), dtype=np.bool_)
        played[at_row[hit], at_column[hit]] = True
        return played


@dataclass(frozen=True)
class Top:
    """The best items of each listener.

    Attributes
    ----------
    listener, item : int64 (n,)
        Rows in the shard and in the catalog; ordered by listener, then rank.
    score : float32 (n,)
        Higher is better.
    rank : float32 (n,)
        1-based within the listener.
    """

    listener: Rows
    item: Rows
    score: Floats
    rank: Floats

    @classmethod
    def empty(cls) -> "Top":
        """Nothing for nobody."""
        none, no_score = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        return cls(none, none, no_score, no_score)


#: What a reason names: nothing, an item the listener played, one picked at sign-up, a tag.
NO_REASON: Final = 0
PLAYED: Final = 1
PICKED: Final = 2
TAG: Final = 3


@dataclass(frozen=True)
class Reasons:
    """Why a source gives items to listeners, by pair.

    Attributes
    ----------
    kind : int8 (n,)
        :data:`NO_REASON`, :data:`PLAYED`, :data:`PICKED` or :data:`TAG`.
    item : int64 (n,)
        Catalog row of the item that explains, one of the listener's own; -1 for none.
    tag : int64 (n,)
        Position in ``catalog.tags``; -1 for none.
    """

    kind: npt.NDArray[np.int8]
    item: Rows
    tag: Rows

    @classmethod
    def none(cls, n: int) -> "Reasons":
        """Nothing to say of n pairs."""
        return cls(
            np.full(n, NO_REASON, dtype=np.int8),
            np.full(n, -1, dtype=np.int64),
            np.full(n, -1, dtype=np.int64),
        )

    @classmethod
    def of_items(cls, shard: Shard, listener: Rows, item: Rows) -> "Reasons":
        """Reasons that name items (catalog rows, -1 for none) of the listeners' own."""
        played = shard.pair_rows(listener, np.maximum(item, 0)) >= 0
        kind = np.select([item < 0, played], [NO_REASON, PLAYED], PICKED).astype(np.int8)
        return cls(kind, item, np.full(len(item), -1, dtype=np.int64))


class Prepared(ABC):
    """A fitted source, ready for the listeners of one query."""

    @abstractmethod
    def top(self, k: int) -> Top:
        """Return at most k items of each listener, best first; ties go to the lower item key."""

    @abstractmethod
    def score(self, listener: Rows, item: Rows) -> Floats:
        """Score (listener row, item row) pairs, float32 (n,); NaN where nothing is known."""


class CandidateSource(ABC):
    """One way to find items for listeners.

    ``parameters`` are plain JSON values; ``fit`` learns, returns self and forgets what was learned
    before.
    """

    name: ClassVar[str]

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def fit(self, data: FitData) -> Self:
        """Learn from a snapshot. A source that has nothing to learn keeps this one."""
        del data
        return self

    @abstractmethod
    def prepare(self, query: Query) -> Prepared:
        """Get ready for the listeners of a query."""

    def explain(
        self, query: Query, listener: Rows, item: Rows, barred: npt.NDArray[np.bool_]
    ) -> Reasons:
        """Say why items are given to listeners; nothing by default.

        Parameters
        ----------
        query : Query
            Its rows hold every listener asked for.
        listener, item : int64 (n,)
            Listener rows and catalog rows.
        barred : bool (n_items,)
            Catalog rows that no reason may name.

        Returns
        -------
        Reasons
            A reason depends on its own pair and on nobody else's history; ties are broken the same
            way each time.
        """
        del query, item, barred
        return Reasons.none(len(listener))

    def save(self, folder: Path) -> None:
        """Write what was learned into an existing folder; nothing by default."""
        del folder

    def load(self, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        del folder
        return self
