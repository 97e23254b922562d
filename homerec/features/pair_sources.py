# ruff: noqa: S608 - the names are ours, the values are bound
"""Where the pairs of a snapshot come from: a kept base and rollups, or the events themselves."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.features.pair_files import n_pairs, read_pairs
from homerec.features.pairs import DAILY, NOTHING, PlayedPairs, group_rows, merge
from homerec.features.queries import (
    EVERYONE,
    Block,
    card_parameters,
    create_table,
    instant,
    with_card,
)
from homerec.features.rollups import Rollups
from homerec.features.skips import expose_rolled_skips, expose_skips_of_events
from homerec.lake import Lake, read_sql

#: Daily rows, or pairs of a base, of a block: about 500 bytes each, of two blocks at a time.
#: Measured: memory of arrays that are not larger is used again, and that halves the time.
BLOCK_ROWS: Final = 1_500_000

OnPiece = Callable[[PlayedPairs, PlayedPairs, PlayedPairs], None]
Pieces = Iterator[tuple[Block, PlayedPairs]]


class PairSource(Protocol):
    """Gives the pairs of blocks of listeners."""

    def pieces(self, connection: duckdb.DuckDBPyConnection) -> Pieces:
        """Yield blocks that cover every listener, ascending, each with all its pairs.

        No value depends on where blocks are cut. The connection has the lake's tables.
        """
        ...

    def expose_skips(self, connection: duckdb.DuckDBPyConnection, block: Block) -> None:
        """Make ``skip_day`` readable: what a block's listeners put on and left within 30 s."""
        ...


@dataclass(frozen=True)
class EventPairs:
    """Pairs from raw events, in one block; they leave the table ``daily``.

    Parameters
    ----------
    files : list of Path
        Event files that count.
    since, as_of : date
        Days in [since, as_of) count.
    known_at : datetime
        Arrivals before it count.
    """

    files: list[Path]
    since: date
    as_of: date
    known_at: datetime

    def pieces(self, connection: duckdb.DuckDBPyConnection) -> Pieces:
        """Read the events."""
        text = with_card(read_sql("features/daily.sql"))
        create_table(connection, "daily", text, self._parameters())
        rows = connection.sql(f"SELECT {', '.join(DAILY)} FROM daily")
        yield EVERYONE, group_rows(rows.to_arrow_table())

    def expose_skips(self, connection: duckdb.DuckDBPyConnection, block: Block) -> None:  # noqa: ARG002 - there is one block
        """Read the events."""
        expose_skips_of_events(connection, self._parameters())

    def _parameters(self) -> dict[str, Any]:
        return card_parameters(self.since, self.as_of, self.known_at, self.files)


@dataclass(frozen=True)
class RollupPairs:
    """Pairs from rollups, added to those of a base.

    Parameters
    ----------
    lake : Lake
    rollups : Rollups
        Those that the base lacks.
    known_at : datetime
        Arrivals before it count.
    base : Path, Rollups or None
        File of pairs, or the rollups that a base is to be made of.
    on_piece : callable
        Receives of each block what the base has, what the rollups add, and both together.
    skips : tuple of Path
        What all rollups keep of skips: a base has none.
    """

    lake: Lake
    rollups: Rollups
    known_at: datetime
    base: Path | Rollups | None
    on_piece: OnPiece
    skips: tuple[Path, ...]

    def pieces(self, connection: duckdb.DuckDBPyConnection) -> Pieces:
        """Read the rollups and the base; the next block is read while one is used."""
        blocks = self._blocks()
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(self._pairs, connection, blocks[0])
            for at, block in enumerate(blocks):
                pairs = coming.result()
                if at + 1 < len(blocks):
                    coming = pool.submit(self._pairs, connection, blocks[at + 1])
                yield block, pairs

    def expose_skips(self, connection: duckdb.DuckDBPyConnection, block: Block) -> None:
        """Read the rollups."""
        expose_rolled_skips(connection, self.skips, self.known_at, block)

    def _blocks(self) -> list[Block]:
        rows = [self.rollups.n_rows]
        if isinstance(self.base, Path):
            rows.append(n_pairs(self.base))
        elif self.base is not None:
            rows.append(self.base.n_rows)
        table = pq.read_table(self.lake.table("listeners"), columns=["listener"])
        return cut(np.unique(table["listener"].to_numpy()), -(-max(rows) // BLOCK_ROWS))

    def _pairs(self, connection: duckdb.DuckDBPyConnection, block: Block) -> PlayedPairs:
        with connection.cursor() as own:
            new = group_rows(known_rows(own, self.rollups, self.known_at, block))
            if isinstance(self.base, Path):
                base = read_pairs(self.base, *block)
            elif self.base is not None:
                base = group_rows(known_rows(own, self.base, self.known_at, block))
            else:
                base = NOTHING
        found = merge(base, new)
        self.on_piece(base, new, found)
        return found


def cut(listeners: np.ndarray, n_blocks: int) -> list[Block]:
    """Cut all listener keys into blocks of equally many listeners.

    Parameters
    ----------
    listeners : int array
        Ascending.
    n_blocks : int
        Wanted.

    Returns
    -------
    list of (int, int)
        Half-open, ascending, covering every key there may be.
    """
    if n_blocks <= 1 or not len(listeners):
        return [EVERYONE]
    size = -(-len(listeners) // n_blocks)
    cuts = [int(key) for key in listeners[size::size]]
    return list(zip([EVERYONE[0], *cuts], [*cuts, EVERYONE[1]], strict=True))


def known_rows(
    connection: duckdb.DuckDBPyConnection, rollups: Rollups, known_at: datetime, block: Block
) -> pa.Table:
    """Read the daily rows of a block of listeners that are known at ``known_at``."""
    rollups.expose(connection, block)
    text = read_sql("features/known.sql")
    parameters = {"known_at": instant(known_at), "since_known_at": instant(rollups.more_since)}
    rows = connection.sql(f"SELECT {', '.join(DAILY)} FROM ({text})", params=parameters)
    return rows.to_arrow_table()
