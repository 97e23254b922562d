"""Cards of one shelf for many listeners, as flat arrays."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.columns import ANY_DAYPART
from homerec.features.tables import Keys
from homerec.lake import write_parquet


@dataclass(frozen=True)
class Cards:
    """Ranked cards of a shelf.

    Attributes
    ----------
    listener, item : int32 (n,)
        Keys; ordered by daypart, listener, rank.
    daypart : int8 (n,)
        -1 where the shelf has one list for all dayparts.
    rank : int32 (n,)
        1-based within (daypart, listener).
    source : int16 (n,)
        Number of the source, see :data:`homerec.home.sources.SOURCES`.
    reason_item : int32 (n,)
        Key of the item that explains the card, 0 for none.
    proposers : int32 (n,)
        All sources that proposed the card, see :func:`homerec.home.sources.pack_proposers`; 0 where
        ``source`` is the only one.
    """

    listener: Keys
    item: Keys
    daypart: npt.NDArray[np.int8]
    rank: npt.NDArray[np.int32]
    source: npt.NDArray[np.int16]
    reason_item: Keys
    proposers: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.listener)

    def take(self, at: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Cards":
        """Return the cards at positions, or where a mask is true."""
        return Cards(
            self.listener[at],
            self.item[at],
            self.daypart[at],
            self.rank[at],
            self.source[at],
            self.reason_item[at],
            self.proposers[at],
        )

    def write(self, path: Path) -> None:
        """Write the cards as Parquet, atomically."""
        columns = {one.name: pa.array(getattr(self, one.name)) for one in fields(self)}
        write_parquet(pa.table(columns), path)

    @classmethod
    def read(cls, path: Path) -> "Cards":
        """Read what :meth:`write` wrote."""
        table = pq.read_table(path)
        return cls(**{name: table[name].to_numpy() for name in table.column_names})

    @classmethod
    def join(cls, parts: list["Cards"]) -> "Cards":
        """Append cards of one shelf to each other."""
        if not parts:
            return cls.of(np.zeros(0), np.zeros(0), np.zeros(0), source=0)
        names = [one.name for one in fields(cls)]
        return cls(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})

    @classmethod
    def of(
        cls,
        listener: npt.NDArray[np.number],
        item: npt.NDArray[np.number],
        rank: npt.NDArray[np.number],
        *,
        source: int,
    ) -> "Cards":
        """Cards of one source, for any daypart and without a reason item."""
        n = len(listener)
        return cls(
            listener.astype(np.int32),
            item.astype(np.int32),
            np.full(n, ANY_DAYPART, dtype=np.int8),
            rank.astype(np.int32),
            np.full(n, source, dtype=np.int16),
            np.zeros(n, dtype=np.int32),
            np.zeros(n, dtype=np.int32),
        )
