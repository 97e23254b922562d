# ruff: noqa: S608 - the names are ours, the values are bound
"""From pairs to the feature tables, block of listeners by block of listeners.

Pairs come from rollups or from events; all that follows is one path. What belongs to listeners is
complete within a block; ``item_part`` is summed over the blocks.
"""

import logging
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from homerec.errors import SnapshotError
from homerec.features.item_parts import added, item_part
from homerec.features.listener_parts import ItemSide, expose_listener_parts
from homerec.features.pair_sources import PairSource
from homerec.features.pairs import Longs, PlayedPairs, day_number, weighed
from homerec.features.queries import create_table, expose_lake, number
from homerec.lake import Lake, read_sql

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
    "skip": ("listener", "item"),
    "item_availability": ("item", "market"),
}
#: Made for each block of listeners, and what is put together of all blocks.
_BY_LISTENER: Final = ("listener", "listener_tag", "pick", "skip")
_OVERALL: Final = ("item_market", "item", "item_tag", "item_availability")
#: Every SQL file that a feature depends on.
SQL_FILES: Final = ("card", "daily", "known", "decay", "skip_day", *TABLES)

#: Parts of items with so many rows are added up: they do not grow with the number of listeners.
_PART_ROWS: Final = 2_000_000
#: More card plays of an item by one listener are an error; daily.sql packs counts of a day.
MAX_PLAYS: Final = 2**20 - 1


def compute_tables(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    as_of: date,
    known_at: datetime,
    source: PairSource,
    progress: Callable[[str], None] = logger.info,
    listeners: str | None = None,
) -> dict[str, int]:
    """Compute every feature table as a temporary table of the connection.

    ``pair`` and ``listener_item`` hold the last block only: a snapshot keeps pairs, and
    :mod:`homerec.features.listener_items` gives their columns when they are read.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Receives the tables of :data:`TABLES`.
    lake : Lake
        Where listeners, items, contents and sign-up picks lie.
    as_of, known_at : date, datetime
        What counts: started strictly before the one, arrived strictly before the other.
    source : PairSource
        Gives what was played.
    progress : callable
        Receives one line per table.
    listeners : str, optional
        Parquet file with the listeners to compute, by default all of the lake; tables over all
        listeners (``item_market``, ``item``) are then only of these.

    Returns
    -------
    dict of str to int
        Rows per table.

    Raises
    ------
    SnapshotError
        A listener has 2^20 card plays of an item or more.
    """
    parameters = {"as_of": as_of}
    rows = {"listener_item": 0}
    expose_lake(connection, lake, known_at, listeners)
    items = ItemSide.read(connection, as_of)
    parts: list[pa.Table] = []
    for at, (block, pairs) in enumerate(source.pieces(connection)):
        expose_lake(connection, lake, known_at, listeners, block)
        table = expose_pairs(connection, pairs, as_of)
        rows["listener_item"] += len(pairs)
        parts.append(item_part(connection, pairs, table, as_of))
        if sum(part.num_rows for part in parts) > _PART_ROWS:
            parts = [added(connection, parts)]
        expose_listener_parts(connection, pairs, table, items, as_of)
        source.expose_skips(connection, block)
        for name in _BY_LISTENER:
            rows[name] = _create(connection, name, parameters, append=at > 0)
        progress(f"features {as_of}: {rows['listener_item']:,} rows of listener_item so far")
    expose_lake(connection, lake, known_at, listeners)
    connection.register("item_part", pa.concat_tables(parts))
    for name in _OVERALL:
        rows[name] = _create(connection, name, parameters)
    for name in TABLES:
        progress(f"features {as_of}: {name}, {rows[name]:,} rows")
    return {name: rows[name] for name in TABLES}


def expose_pairs(
    connection: duckdb.DuckDBPyConnection, pairs: PlayedPairs, as_of: date
) -> pa.Table:
    """Make pairs readable as ``pair`` (integer sums) and ``listener_item`` (features).

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Receives a view of each; they are in the order of the pairs.
    pairs : PlayedPairs
        Played before as_of.
    as_of : date

    Returns
    -------
    pa.Table
        What ``pair`` reads.

    Raises
    ------
    SnapshotError
        A listener has 2^20 card plays of an item or more.
    """
    today = day_number(as_of)
    first_day = int(pairs.days.min()) if len(pairs) else today - 1
    names, weights = _weights(connection, today - first_day)
    table = weighed(pairs, today, weights, names)
    _check_counts(table["n_plays"].to_numpy(), pairs)
    connection.register("pair", table)
    text = read_sql("features/listener_item.sql").replace("$as_of", f"DATE '{as_of}'")
    # A view cannot hold a parameter; as_of is a date of ours.
    connection.execute(f"CREATE OR REPLACE TEMP VIEW listener_item AS {text}")
    return table


def _weights(connection: duckdb.DuckDBPyConnection, max_age: int) -> tuple[list[str], Longs]:
    """Run ``decay.sql``: names, and int64 (max_age + 1, n) whose row is the age in days."""
    found = connection.execute(
        f"SELECT * FROM ({read_sql('features/decay.sql')}) ORDER BY age_days",
        {"max_age": max_age},
    ).fetchnumpy()
    names = [name for name in found if name != "age_days"]
    weights = np.zeros((max_age + 1, len(names)), np.int64)
    for at, name in enumerate(names):
        weights[1:, at] = found[name]
    return names, weights


def _create(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    parameters: dict[str, Any],
    append: bool = False,
) -> int:
    create_table(connection, name, read_sql(f"features/{name}.sql"), parameters, append=append)
    return number(connection, f"SELECT count(*) FROM {name}")


def _check_counts(n_plays: np.ndarray, pairs: PlayedPairs) -> None:
    if len(n_plays) and n_plays.max() > MAX_PLAYS:
        at = int(n_plays.argmax())
        raise SnapshotError(
            f"Listener {pairs.pair[at] >> 32} has {n_plays[at]:,} card plays of item "
            f"{pairs.pair[at] & 0xFFFFFFFF}; at most {MAX_PLAYS:,} can be counted. Nobody listens "
            "that often: have the source looked at, and remove the listener with `homerec forget` "
            "if it is a robot."
        )
