"""Running the SQL files: parameters, the one card play, the lake's tables by name."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from homerec.ingest.reading import expose_table
from homerec.lake import Lake, read_sql

#: What features are made of beside events.
LAKE_TABLES: Final = ("listeners", "items", "signup_picks", "availability")
_OPTIONAL: Final = ("signup_picks", "availability")


def card_parameters(
    since: date, until: date, known_at: datetime, files: list[Path] | list[str]
) -> dict[str, Any]:
    """Parameters of ``features/card.sql``, which also reads the table ``listeners``.

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
        "known_at": known_at.astimezone(UTC).replace(tzinfo=None),
        "events": [str(p) for p in files],
    }


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
    connection: duckdb.DuckDBPyConnection, name: str, text: str, parameters: dict[str, Any]
) -> None:
    """Create a temporary table from a SELECT, binding the parameters that its text names."""
    used = {key: value for key, value in parameters.items() if f"${key}" in text}
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {text}", used)


def expose_lake(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    known_at: datetime,
    listeners: str | None = None,
) -> None:
    """Make the lake's listeners, items, picks and availability readable by name, as of an instant.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    lake : Lake
    known_at : datetime
        Aware; the versions in force then are read, as :mod:`homerec.ingest.reading` says.
    listeners : str, optional
        Parquet file that stands for the lake's listeners.

    Raises
    ------
    EmptyInput
        There are no listeners or no items yet.
    """
    for name in LAKE_TABLES:
        path = Path(listeners) if name == "listeners" and listeners else None
        required = name not in _OPTIONAL
        expose_table(connection, lake, name, known_at, path=path, required=required)
