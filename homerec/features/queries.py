# ruff: noqa: S608 - the names are ours, keys are integers
"""Running the SQL files: parameters, the one card play, the lake's tables by name."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from homerec.ingest.contracts import CONTRACTS
from homerec.ingest.quoting import texts
from homerec.ingest.reading import expose_table, versions_sql
from homerec.lake import Lake, read_sql

#: What features are made of beside events.
LAKE_TABLES: Final = ("listeners", "items", "signup_picks", "availability", "contents")
#: Those that may be absent.
_OPTIONAL: Final = ("signup_picks", "availability", "contents")
_KEYED: Final = ("listeners", "signup_picks")
#: Listener keys from the first to before the second.
Block = tuple[int, int]
EVERYONE: Final[Block] = (-(2**31), 2**31)


def card_parameters(
    since: date, until: date, known_at: datetime, files: list[Path] | list[str]
) -> dict[str, Any]:
    """Parameters of ``features/card.sql``, which reads the tables of :func:`expose_lake` too.

    Parameters
    ----------
    since, until : date
        Events started in [since, until), UTC, count.
    known_at : datetime
        Events that arrived before it count.
    files : list of Path or str
        Event files to read.
    """
    return {
        "since": since,
        "as_of": until,
        "known_at": instant(known_at),
        "events": [str(p) for p in files],
    }


def instant(moment: datetime) -> datetime:
    """Return an aware instant as the lake stores it: UTC, without an offset."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def with_card(text: str) -> str:
    """Put ``features/card.sql`` in the place of the table ``card`` that a SQL text reads."""
    card = read_sql("features/card.sql")
    comments, body = _split_header(text)
    joined = f"WITH card AS (\n{card}\n)"
    if body.startswith("WITH "):
        return f"{comments}{joined},\n{body.removeprefix('WITH ')}"
    return f"{comments}{joined}\n{body}"


def _split_header(text: str) -> tuple[str, str]:
    lines = text.splitlines(keepends=True)
    n = next(i for i, line in enumerate(lines) if not line.startswith("--"))
    return "".join(lines[:n]), "".join(lines[n:])


def create_table(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    text: str,
    parameters: dict[str, Any],
    *,
    append: bool = False,
) -> None:
    """Create a temporary table from a SELECT, binding the parameters that its text names.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    name, text : str
    parameters : dict of str to object
    append : bool
        Add the rows to the table that is there.
    """
    used = {key: value for key, value in parameters.items() if f"${key}" in text}
    head = f"INSERT INTO {name}" if append else f"CREATE OR REPLACE TEMP TABLE {name} AS"
    connection.execute(f"{head} {text}", used)


def number(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    """Run a query that gives one whole number."""
    return int(connection.execute(query).fetchall()[0][0])


def expose_rows(
    connection: duckdb.DuckDBPyConnection,
    view: str,
    files: Sequence[Path],
    columns: str,
    block: Block,
    condition: str = "true",
) -> None:
    """Make the rows that Parquet files hold of a block of listeners readable by name.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    view : str
        Name of the temporary view.
    files : sequence of Path
        Without any the view is empty.
    columns : str
        Names and types, as CREATE TABLE takes them.
    block : (int, int)
    condition : str
        SQL that rows must fulfil besides.
    """
    source = f"no_{view}"
    if files:
        source = f"read_parquet({texts(files)}, hive_partitioning = false)"
    else:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {source} ({columns})")
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW {view} AS SELECT r.* FROM {source} r "
        f"WHERE listener >= {block[0]} AND listener < {block[1]} AND ({condition})"
    )


def expose_lake(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    known_at: datetime,
    listeners: str | None = None,
    block: Block | None = None,
) -> None:
    """Make what features read beside events readable by name.

    These are :data:`LAKE_TABLES` and ``listener_zones``: from when to when a listener was in which
    time zone, without bounds where nothing else is known.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    lake : Lake
    known_at : datetime
        Aware; the versions in force then are read, as :mod:`homerec.ingest.reading` says.
    listeners : str, optional
        Parquet file that stands for the lake's listeners.
    block : (int, int), optional
        Listener keys that tables by listener are cut to.

    Raises
    ------
    EmptyInput
        There are no listeners or no items yet.
    """
    for name in LAKE_TABLES:
        path = Path(listeners) if name == "listeners" and listeners else None
        required = name not in _OPTIONAL
        if block is None or name not in _KEYED:
            expose_table(connection, lake, name, known_at, path=path, required=required)
            continue
        whole = f"{name}_of_all"
        expose_table(connection, lake, name, known_at, view=whole, path=path, required=required)
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {whole} "
            f"WHERE listener >= {block[0]} AND listener < {block[1]}"
        )
    versions = versions_sql(connection, CONTRACTS["listeners"], lake.table("listeners"))
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW listener_zones AS SELECT listener, "
        "coalesce(valid_from, TIMESTAMP '-infinity') AS zone_from, "
        f"coalesce(valid_to, TIMESTAMP 'infinity') AS zone_to, time_zone FROM ({versions}) v "
        "SEMI JOIN listeners l ON l.listener = v.listener"
    )
