"""The lake's small tables, brought into the serving schema."""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from homerec.errors import AuditFailed, EmptyInput
from homerec.ingest.reading import expose_table
from homerec.lake import Lake, connect
from homerec.release.session import execute, transaction
from homerec.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Table:
    """How a lake table reaches a serving table: what is read in DuckDB, staged, then merged.

    ``select`` reads ``in_force``, the table's rows of today.
    """

    name: str
    select: str
    staging: str
    merge: tuple[str, ...]
    required: bool = False


# Postgres cannot hold the character NUL in a text.
_LISTENERS = _Table(
    name="listeners",
    select="SELECT listener, replace(listener_id, chr(0), ''), upper(market), time_zone "
    "FROM in_force",
    staging="listener int, listener_id text, market text, time_zone text",
    merge=(
        "UPDATE staging SET time_zone = 'UTC' WHERE time_zone IS NULL OR time_zone NOT IN (SELECT "
        "zone FROM zones)",
        "DELETE FROM homerec.listener l WHERE NOT EXISTS (SELECT FROM staging s WHERE s.listener "
        "= l.listener)",
        """INSERT INTO homerec.listener AS l (listener, listener_id, market, time_zone)
           SELECT listener, listener_id, market, time_zone FROM staging
           ON CONFLICT (listener) DO UPDATE
           SET listener_id = excluded.listener_id, market = excluded.market, time_zone =
               excluded.time_zone
           WHERE (l.listener_id, l.market, l.time_zone)
               IS DISTINCT FROM (excluded.listener_id, excluded.market, excluded.time_zone)""",
    ),
    required=True,
)
_ITEMS = _Table(
    name="items",
    select="""SELECT item, replace(item_id, chr(0), ''), type,
              replace(coalesce(title, item_id), chr(0), ''),
              CASE WHEN len(markets) > 0
                  THEN '{' || upper(array_to_string(markets, ',')) || '}' END
              FROM in_force""",
    staging="item int, item_id text, type text, title text, markets text[]",
    merge=(
        """UPDATE homerec.item i SET present = false
           WHERE present AND NOT EXISTS (SELECT FROM staging s WHERE s.item = i.item)""",
        """INSERT INTO homerec.item AS i (item, item_id, type, title, markets, present)
           SELECT item, item_id, type, title, markets, true FROM staging
           ON CONFLICT (item) DO UPDATE
           SET item_id = excluded.item_id, type = excluded.type, title = excluded.title,
               markets = excluded.markets, present = true
           WHERE (i.item_id, i.type, i.title, i.markets, i.present)
               IS DISTINCT FROM (excluded.item_id, excluded.type, excluded.title, excluded.markets,
                   true)""",
    ),
    required=True,
)
_BLOCKED = _Table(
    name="blocked",
    select="SELECT item, upper(market), replace(reason, chr(0), ''), blocked_at "
    "FROM in_force WHERE item IS NOT NULL",
    staging="item int, market text, reason text, blocked_at timestamptz",
    merge=(
        "DELETE FROM homerec.blocked WHERE origin = 'file'",
        """INSERT INTO homerec.blocked (item, market, reason, blocked_at, origin)
           SELECT item, market, reason, coalesce(blocked_at, now()), 'file' FROM staging
           ON CONFLICT DO NOTHING""",
    ),
)
_DISMISSALS = _Table(
    name="dismissals",
    select="SELECT listener, item, dismissed_at FROM in_force "
    "WHERE listener IS NOT NULL AND item IS NOT NULL",
    staging="listener int, item int, dismissed_at timestamptz",
    merge=(
        "DELETE FROM homerec.dismissal WHERE origin = 'file'",
        """INSERT INTO homerec.dismissal (listener, item, dismissed_at, origin)
           SELECT listener, item, coalesce(dismissed_at, now()), 'file' FROM staging ON CONFLICT DO
               NOTHING""",
    ),
)
_EDITORIAL = _Table(
    name="editorial",
    select="SELECT replace(shelf, chr(0), ''), upper(market), position, item, starts_at, ends_at "
    "FROM in_force WHERE item IS NOT NULL",
    staging="shelf text, market text, position int, item int, starts_at timestamptz, "
    "ends_at timestamptz",
    merge=(
        "DELETE FROM homerec.editorial_card WHERE origin = 'file'",
        """INSERT INTO homerec.editorial_card
               (shelf, market, position, item, starts_at, ends_at, origin)
           SELECT shelf, market, position, item, coalesce(starts_at, '-infinity'),
               coalesce(ends_at, 'infinity'), 'file'
           FROM staging""",
    ),
)
_AVAILABILITY = _Table(
    name="availability",
    select="SELECT item, upper(market), starts_at, ends_at FROM in_force WHERE item IS NOT NULL",
    staging="item int, market text, starts_at timestamptz, ends_at timestamptz",
    merge=(
        "DELETE FROM homerec.availability",
        """INSERT INTO homerec.availability (item, market, starts_at, ends_at)
           SELECT item, market, coalesce(starts_at, '-infinity'), coalesce(ends_at, 'infinity')
           FROM staging""",
        """UPDATE homerec.item i SET licensed = NOT licensed
           WHERE licensed <> EXISTS (SELECT FROM staging s WHERE s.item = i.item)""",
    ),
)
#: Availability comes after the items, which it marks.
TABLES = (_LISTENERS, _ITEMS, _AVAILABILITY, _BLOCKED, _DISMISSALS, _EDITORIAL)


def synchronise(settings: Settings, connection: Any, min_count_ratio: float) -> dict[str, int]:
    """Bring the lake's tables into the serving schema, in one transaction.

    Listeners that left the lake are deleted with their dismissals. Items that left stay, so that
    the live release can still name them, but are marked as absent. Rows that people added live are
    kept.

    Parameters
    ----------
    settings : Settings
        Of the deployment.
    connection : psycopg2 connection
        In autocommit mode, of the role that writes.
    min_count_ratio : float
        Least share of today's listeners and items that the lake must have.

    Returns
    -------
    dict of str to int
        Rows read of each table; a table without a file is left as it is and not named.

    Raises
    ------
    EmptyInput
        The lake has no listeners or no items.
    AuditFailed
        The lake has so few of them that it must be broken; nothing was changed.
    """
    lake, counts = Lake(settings.home), {}
    with (
        connect(settings) as duck,
        tempfile.TemporaryDirectory(dir=settings.home / "tmp") as folder,
        transaction(connection) as cursor,
    ):
        _stage_zones(cursor)
        for table in TABLES:
            path = lake.table(table.name)
            if path.exists():
                expose_table(duck, lake, table.name, None, view="in_force")
                file = Path(folder) / f"{table.name}.csv"
                counts[table.name] = _merge(cursor, duck, table, file, min_count_ratio)
            elif table.required:
                raise EmptyInput(f"The lake has no {table.name} ({path}). Ingest them first.")
        cursor.execute(
            """DELETE FROM homerec.dismissal d WHERE NOT EXISTS (
                   SELECT FROM homerec.listener l WHERE l.listener = d.listener)"""
        )
        cursor.execute("DROP TABLE zones")
    for name in ("listener", "item", "availability", "blocked", "dismissal", "editorial_card"):
        execute(connection, f"ANALYZE homerec.{name}")
    logger.info("synchronised %s", ", ".join(f"{n} {name}" for name, n in counts.items()))
    return counts


def _stage_zones(cursor: Any) -> None:
    # Reading a Home must never fail on a time zone that this Postgres does not know.
    cursor.execute("CREATE TEMP TABLE zones AS SELECT name AS zone FROM pg_timezone_names")


def _merge(
    cursor: Any,
    duck: duckdb.DuckDBPyConnection,
    table: _Table,
    file: Path,
    min_count_ratio: float,
) -> int:
    """Stage one lake table through CSV and merge it; return its number of rows."""
    target = str(file).replace("'", "''")
    # FORCE_QUOTE tells an empty text from a missing one.
    duck.execute(
        f"COPY ({table.select}) TO '{target}' (FORMAT csv, HEADER false, FORCE_QUOTE *, NULLSTR '')"
    )
    cursor.execute(f"CREATE TEMP TABLE staging ({table.staging})")
    with file.open("rb") as stream:
        cursor.copy_expert("COPY staging FROM STDIN (FORMAT csv)", stream, size=1 << 20)
    n_rows = int(cursor.rowcount)
    if table.required:
        _check_count(cursor, table.name, n_rows, min_count_ratio)
    for statement in table.merge:
        cursor.execute(statement)
    cursor.execute("DROP TABLE staging")
    file.unlink()
    return n_rows


def _check_count(cursor: Any, name: str, n_rows: int, min_count_ratio: float) -> None:
    if n_rows == 0:
        raise EmptyInput(f"The lake's table {name} is empty; nothing can be published.")
    if name == "listeners":
        cursor.execute("SELECT count(*) FROM homerec.listener")
    else:
        cursor.execute("SELECT count(*) FROM homerec.item WHERE present")
    present = int(cursor.fetchone()[0])
    if n_rows < min_count_ratio * present:
        raise AuditFailed(
            f"Check synchronise: the lake has {n_rows} {name}, the serving schema {present}; "
            "allowed is no less "
            f"than {min_count_ratio:.0%}. Look at the last ingest's report; nothing was changed."
        )
