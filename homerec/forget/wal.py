"""What a deleted row leaves in the files of the embedded Postgres: written over, as far as it goes.

Postgres keeps a log of all changes and uses its files again without emptying them. They cannot be
read by SQL, but a copy of the disk holds them.
"""

import logging
from typing import Any, Final

from homerec.database import secrets, state, urls
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: Statistics and catalogs keep examples of values; these are the tables of them.
_CATALOGS: Final = ("pg_catalog.pg_statistic",)
#: A log file has 16 MB; more than this many are left to be written over in time.
_MAX_SEGMENTS: Final = 64


def scrub_embedded(settings: Settings) -> None:
    """Write over what deleted rows left in the log and the statistics of the embedded server.

    Raises
    ------
    DatabaseError
        The server cannot be reached as its owner.
    """
    found = state.status(settings)
    if not found.running or found.data is None:
        return
    for name in (urls.DATABASE, secrets.SUPERUSER):
        url = urls.embedded_url(settings, secrets.SUPERUSER, name)
        with (
            urls.psycopg2_connection(url, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            for catalog in _CATALOGS:
                cursor.execute(f"VACUUM FULL {catalog}")
            if name == secrets.SUPERUSER:
                _turn_log(cursor)


def _turn_log(cursor: Any) -> None:
    """Go on to log files that hold nothing old: the ones before are deleted, not used again."""
    execute = cursor.execute
    execute("ALTER SYSTEM SET wal_recycle = off")
    execute("SELECT pg_reload_conf()")
    try:
        # Files prepared for later have old content: pass through each of them.
        execute(
            "SELECT count(*) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$' "
            "AND name > pg_walfile_name(pg_current_wal_lsn())"
        )
        ahead = int(cursor.fetchone()[0])
        for _ in range(min(ahead, _MAX_SEGMENTS) + 1):
            execute("SELECT pg_logical_emit_message(false, 'homerec', 'turn')")
            execute("SELECT pg_switch_wal()")
        execute("CHECKPOINT")
    finally:
        execute("ALTER SYSTEM RESET wal_recycle")
        execute("SELECT pg_reload_conf()")
