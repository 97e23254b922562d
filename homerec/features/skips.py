"""What was put on and left within 30 s, readable as the table ``skip_day`` of ``skip.sql``."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import duckdb

from homerec.features.queries import Block, create_table, expose_rows
from homerec.ingest.quoting import instant
from homerec.lake import read_sql

#: Columns of ``skip_day.sql``, as rollups keep them.
COLUMNS: Final = (
    "listener INTEGER, item INTEGER, day DATE, late_at TIMESTAMP, n_skips INTEGER, "
    "first_at TIMESTAMP, last_at TIMESTAMP"
)


def expose_rolled_skips(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    known_at: datetime,
    block: Block,
) -> None:
    """Make the skips that rollups keep of a block of listeners readable.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Receives the view ``skip_day``.
    files : sequence of Path
        From all rollups of a snapshot.
    known_at : datetime
        Aware; arrivals before it count.
    block : (int, int)
    """
    known = f"late_at IS NULL OR late_at < {instant(known_at)}"
    expose_rows(connection, "skip_day", files, COLUMNS, block, known)


def expose_skips_of_events(
    connection: duckdb.DuckDBPyConnection, parameters: dict[str, Any]
) -> None:
    """Read skips from events: the table ``skip_day``.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        With the tables of :func:`homerec.features.queries.expose_lake`.
    parameters : dict
        Of :func:`homerec.features.queries.card_parameters`.
    """
    create_table(connection, "skip_day", read_sql("features/skip_day.sql"), parameters)
