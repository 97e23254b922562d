"""A release's partition: written aside, indexed, attached; detached and dropped."""

import logging
from typing import Any

import psycopg2
from psycopg2 import sql

from homerec.errors import ReleaseError
from homerec.release.bundle import Bundle
from homerec.release.encoding import CopyStream, encode
from homerec.release.session import execute, rows, transaction

logger = logging.getLogger(__name__)

#: How long a drop may wait for readers of long standing before it is left to the next one.
DROP_TIMEOUT_S = 60


def partition(release_id: int) -> sql.Identifier:
    """Name of a release's partition."""
    return sql.Identifier("homerec", f"home_shelf_{release_id}")


def store(connection: Any, bundle: Bundle, release_id: int) -> dict[str, int]:
    """Write a release's shelves into a partition of its own and attach it, in one transaction.

    The table is made in the same transaction, so that Postgres may write it without a log and with
    its rows already frozen. A CHECK says what the partition holds, so that attaching does not read
    it again.

    Returns
    -------
    dict
        ``rows`` and ``bytes`` sent.

    Raises
    ------
    ReleaseError
        A listener has the same shelf and daypart twice.
    """
    name, number = partition(release_id), sql.Literal(release_id)
    stream = CopyStream(chunk for part in bundle.batches() for chunk in encode(part, release_id))
    with transaction(connection) as cursor:
        cursor.execute("SET LOCAL maintenance_work_mem = '256MB'")
        cursor.execute(
            sql.SQL("CREATE TABLE {} (LIKE homerec.home_shelf, CHECK (release_id = {}))").format(
                name, number
            )
        )
        copy = sql.SQL("COPY {} FROM STDIN (FORMAT binary, FREEZE)").format(name)
        cursor.copy_expert(copy, stream, size=1 << 20)
        n_rows = cursor.rowcount
        try:
            cursor.execute(
                sql.SQL(
                    "ALTER TABLE {} ADD PRIMARY KEY (release_id, listener, shelf, daypart)"
                ).format(name)
            )
        except psycopg2.errors.UniqueViolation as error:
            raise ReleaseError(
                f"{bundle.parquet} has a listener's shelf and daypart twice: "
                f"{error.diag.message_detail}"
            ) from error
        cursor.execute(
            sql.SQL("ALTER TABLE homerec.home_shelf ATTACH PARTITION {} FOR VALUES IN ({})").format(
                name, number
            )
        )
        cursor.execute(
            "UPDATE homerec.release SET stored = true WHERE release_id = %s", (release_id,)
        )
    execute(connection, sql.SQL("ANALYZE {}").format(name))
    return {"rows": n_rows, "bytes": stream.n_bytes}


def sweep(connection: Any) -> list[int]:
    """Drop every partition whose release is marked as no longer stored.

    Readers are not blocked: a partition is detached concurrently, which waits for those that may
    still use it.

    Returns
    -------
    list of int
        The releases whose partitions were dropped.
    """
    query = """
        SELECT r.release_id, i.inhrelid IS NOT NULL, coalesce(i.inhdetachpending, false)
        FROM homerec.release r
        JOIN pg_class c ON c.relname = 'home_shelf_' || r.release_id AND c.relkind = 'r'
            AND c.relnamespace = 'homerec'::regnamespace
        LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
        WHERE NOT r.stored
        ORDER BY r.release_id
    """
    dropped = []
    execute(connection, f"SET statement_timeout = '{DROP_TIMEOUT_S}s'")
    try:
        for release_id, attached, pending in rows(connection, query):
            name = partition(release_id)
            if attached:
                how = sql.SQL("FINALIZE" if pending else "CONCURRENTLY")
                detach = sql.SQL("ALTER TABLE homerec.home_shelf DETACH PARTITION {} {}")
                execute(connection, detach.format(name, how))
            execute(connection, sql.SQL("DROP TABLE {}").format(name))
            dropped.append(int(release_id))
    except psycopg2.errors.QueryCanceled:
        logger.warning(
            "a reader of long standing keeps a retired release; its data is dropped next time"
        )
    finally:
        execute(connection, "RESET statement_timeout")
    return dropped
