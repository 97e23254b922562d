# ruff: noqa: S608 - the names are ours, the values are bound
"""From daily rows to the feature tables, block of listeners by block of listeners.

Daily rows come from the rollups, or from the events themselves; all that follows is one path. What
belongs to listeners is complete within a block; ``item_part`` is summed over the blocks.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.errors import SnapshotError
from homerec.features.queries import (
    Block,
    card_parameters,
    create_table,
    expose_lake,
    number,
    with_card,
)
from homerec.features.rollups import Rollups
from homerec.lake import Lake, atomic_file, read_sql

logger = logging.getLogger(__name__)

#: Tables in the order in which they are named; the value is the key they are sorted by.
TABLES: Final[dict[str, tuple[str, ...]]] = {
    "listener_item": ("listener", "item"),
    "item_market": ("item", "market"),
    "item": ("item",),
    "listener": ("listener",),
    "listener_tag": ("listener", "tag"),
    "item_tag": ("item", "tag"),
    "pick": ("listener", "item"),
    "item_availability": ("item", "market"),
}
#: Columns that only later SQL files need; they are not kept.
INTERNAL: Final = {
    "listener_item": ("fixed_3d", "fixed_14d", "fixed_60d", "days_56", "duration_ms", "heard_ms")
}
#: Made for each block of listeners, and what is put together of all blocks.
_BY_LISTENER: Final = ("item_part", "listener", "listener_tag", "pick")
_OVERALL: Final = ("item_market", "item", "item_tag", "item_availability")
#: Every SQL file that a feature depends on.
SQL_FILES: Final = ("card", "daily", "known", "decay", "item_part", *TABLES)

#: Daily rows of one block: what bounds the memory, about 100 bytes each.
BLOCK_ROWS: Final = 12_000_000
#: Sums of counts share 64 bits in fields of this many, see listener_item.sql.
MAX_PLAYS: Final = 2**20 - 1
_ROW_GROUP: Final = 100_000
_EVERYONE: Final[Block] = (-(2**31), 2**31)

OnBlock = Callable[[duckdb.DuckDBPyConnection], None]


def listener_blocks(lake: Lake, n_rows: int) -> list[Block]:
    """Cut all listener keys into blocks of equally many listeners.

    Parameters
    ----------
    lake : Lake
    n_rows : int
        Daily rows of all listeners.

    Returns
    -------
    list of (int, int)
        Half-open, ascending, covering every key; no value depends on where they are cut.
    """
    n_blocks = -(-n_rows // BLOCK_ROWS)
    if n_blocks <= 1:
        return [_EVERYONE]
    keys = pq.read_table(lake.table("listeners"), columns=["listener"])["listener"].unique().sort()
    size = -(-len(keys) // n_blocks)
    cuts = [int(keys[at].as_py()) for at in range(size, len(keys), size)]
    return list(zip([_EVERYONE[0], *cuts], [*cuts, _EVERYONE[1]], strict=True))


def compute_tables(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    as_of: date,
    known_at: datetime,
    files: list[Path],
    progress: Callable[[str], None] = logger.info,
    listeners: str | None = None,
    rollups: Rollups | None = None,
    on_block: OnBlock | None = None,
) -> dict[str, int]:
    """Compute every feature table as a temporary table of the connection.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Receives the tables of :data:`TABLES`, and ``decay``; ``daily`` where events are read.
    lake : Lake
        Where listeners, items, contents and sign-up picks lie.
    as_of, known_at : date, datetime
        What counts: started strictly before the one, arrived strictly before the other.
    files : list of Path
        Event files that count.
    progress : callable
        Receives one line per table.
    listeners : str, optional
        Parquet file with the listeners to compute, by default all of the lake; tables over all
        listeners (``item_market``, ``item``) are then only of these.
    rollups : Rollups, optional
        What to read in place of ``files``; by default the events themselves are read.
    on_block : callable, optional
        Called when ``listener_item``, sorted by its key, holds a block; the next block replaces it.

    Returns
    -------
    dict of str to int
        Rows per table.

    Raises
    ------
    SnapshotError
        A listener has 2^20 card plays of an item or more.
    """
    since = min(date.fromisoformat(p.parent.name.removeprefix("date=")) for p in files)
    parameters = {
        **card_parameters(since, as_of, known_at, files),
        "max_age": (as_of - since).days,
    }
    rows = {"decay": _create(connection, "decay", parameters)}
    blocks = [_EVERYONE] if rollups is None else listener_blocks(lake, rollups.rows)
    for at, block in enumerate(blocks):
        expose_lake(connection, lake, known_at, listeners, block)
        if rollups is None:
            _daily_from_events(connection, parameters)
        else:
            rollups.expose(connection, since, as_of, block)
        _view(connection, "known", parameters)
        n_pairs = _create(connection, "listener_item", parameters)
        rows["listener_item"] = rows.get("listener_item", 0) + n_pairs
        _check_counts(connection)
        for name in _BY_LISTENER:
            rows[name] = _create(connection, name, parameters, append=at > 0)
        if on_block is not None:
            on_block(connection)
        progress(
            f"features {as_of}: listeners {at + 1} of {len(blocks)}, {n_pairs:,} rows of "
            "listener_item"
        )
    expose_lake(connection, lake, known_at, listeners)
    if rollups is not None:
        rollups.expose(connection, since, as_of, _EVERYONE)
    for name in _OVERALL:
        rows[name] = _create(connection, name, parameters)
    for name in TABLES:
        progress(f"features {as_of}: {name}, {rows[name]:,} rows")
    return {name: rows[name] for name in ("decay", *TABLES)}


def _daily_from_events(connection: duckdb.DuckDBPyConnection, parameters: dict[str, Any]) -> None:
    create_table(connection, "daily", with_card(read_sql("features/daily.sql")), parameters)
    for name, which in (("daily_main", "IS NULL"), ("daily_rest", "IS NOT NULL")):
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM daily WHERE late_at {which}"
        )


def _view(connection: duckdb.DuckDBPyConnection, name: str, parameters: dict[str, Any]) -> None:
    # A view cannot hold a parameter; known_at is an instant of ours.
    text = read_sql(f"features/{name}.sql").replace(
        "$known_at", f"'{parameters['known_at'].isoformat(sep=' ')}'"
    )
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {text}")


def _create(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    parameters: dict[str, Any],
    append: bool = False,
) -> int:
    text = read_sql(f"features/{name}.sql")
    if name == "listener_item":
        text = f"SELECT * FROM (\n{text}\n) ORDER BY listener, item"
    create_table(connection, name, text, parameters, append=append)
    return number(connection, f"SELECT count(*) FROM {name}")


def _check_counts(connection: duckdb.DuckDBPyConnection) -> None:
    worst = connection.execute(
        "SELECT listener, item, n_plays FROM listener_item WHERE n_plays > $allowed "
        "ORDER BY n_plays DESC, listener, item LIMIT 1",
        {"allowed": MAX_PLAYS},
    ).fetchone()
    if worst is not None:
        listener, item, n_plays = worst
        raise SnapshotError(
            f"Listener {listener} has {n_plays:,} card plays of item {item}; at most "
            f"{MAX_PLAYS:,} can be counted. Nobody listens that often: have the source looked at, "
            f"and remove the listener with `homerec forget` if it is a robot."
        )


@contextmanager
def pair_writer(target: Path) -> Iterator[OnBlock]:
    """Write ``listener_item`` to one Parquet file as its blocks are made.

    Row groups hold equally many rows wherever blocks are cut, so that the bytes are those of one
    block. Measured: without dictionaries this takes half of what DuckDB's COPY does.

    Parameters
    ----------
    target : Path

    Yields
    ------
    callable
        For ``on_block`` of :func:`compute_tables`.
    """
    hidden = ", ".join(INTERNAL["listener_item"])
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.RecordBatch] = []

    def flush(writer: pq.ParquetWriter, n_rows: int) -> None:
        nonlocal waiting
        table = pa.Table.from_batches(waiting)
        writer.write_table(table.slice(0, n_rows), row_group_size=_ROW_GROUP)
        waiting = table.slice(n_rows).to_batches()

    def write(connection: duckdb.DuckDBPyConnection) -> None:
        nonlocal writer
        reader = connection.sql(f"SELECT * EXCLUDE ({hidden}) FROM listener_item").to_arrow_reader(
            _ROW_GROUP
        )
        if writer is None:
            writer = pq.ParquetWriter(
                temporary, reader.schema, compression="zstd", compression_level=1,
                use_dictionary=False,
            )  # fmt: skip
        for batch in reader:
            waiting.append(batch)
            n_rows = sum(b.num_rows for b in waiting)
            if n_rows >= _ROW_GROUP:
                flush(writer, n_rows - n_rows % _ROW_GROUP)

    with atomic_file(target) as temporary:
        yield write
        if writer is not None:
            if waiting:
                flush(writer, sum(b.num_rows for b in waiting))
            writer.close()
