"""Publishing: write aside, audit, and only then move the pointer."""

import logging
import time
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import Json, execute_values

from homerec.release.audit import audit
from homerec.release.bundle import Bundle, read_bundle
from homerec.release.info import AuditLimits, ReleaseInfo
from homerec.release.pointer import hold_note, move, read_release
from homerec.release.session import execute, publishing_lock, session, transaction
from homerec.release.storing import store, sweep
from homerec.release.sync import synchronise
from homerec.settings import Settings

logger = logging.getLogger(__name__)


def publish(
    settings: Settings,
    bundle: Path,
    *,
    activate: bool = True,
    force_older: bool = False,
    limits: AuditLimits | None = None,
    who: str = "night",
) -> ReleaseInfo:
    """Write a night's Homes into a new release, audit it, and move the pointer to it.

    A failure anywhere leaves the live release live. Publishing an as_of again makes a new release
    in place of the older one of that as_of.

    Parameters
    ----------
    settings : Settings
        Of the deployment; listeners, items, blocks, dismissals and editors' cards come from its
        lake.
    bundle : Path
        Folder with ``shelves.parquet`` and ``release.json``.
    activate : bool
        Whether to move the pointer; otherwise the release stays ``audited``.
    force_older : bool
        Move the pointer even to an as_of before the live release's.
    limits : AuditLimits, optional
        What the audit allows.
    who : str
        Kept in the history of moves.

    Returns
    -------
    ReleaseInfo
        ``live`` says whether the pointer was moved, ``note`` why it was not.

    Raises
    ------
    AuditFailed
        A check failed; the release is kept in the list as ``failed``, without its data.
    ReleaseError, EmptyInput
        The bundle is incomplete, malformed or empty.
    DatabaseError
        Postgres refuses a statement.
    TransientError
        Another process publishes, or the connection was lost.
    """
    allowed = limits or AuditLimits()
    night = read_bundle(bundle)
    clock = _Clock()
    with session(settings) as connection, publishing_lock(connection):
        _clear_unfinished(connection)
        release_id = _begin(connection, night)
        try:
            synchronise(settings, connection, allowed.min_count_ratio)
            clock.lap("synchronise")
            stored = store(connection, night, release_id)
            clock.lap("store")
            logger.info(
                "release %d: stored %d rows, %d bytes", release_id, stored["rows"], stored["bytes"]
            )
            audit(connection, release_id, night, allowed)
            clock.lap("audit")
            _finish(
                connection, night, release_id, activate=activate, force_older=force_older, who=who
            )
            clock.lap("publish")
        except BaseException as error:
            _fail(connection, release_id, error)
            raise
        sweep(connection)
        info = read_release(connection, release_id)
    return ReleaseInfo(**{**vars(info), "seconds": clock.seconds})


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._last = round(now - self._last, 3), now


def _clear_unfinished(connection: Any) -> None:
    """Mark what a publisher that died left behind; the lock says that none is at work now."""
    execute(
        connection,
        """UPDATE homerec.release
           SET status = 'failed', stored = false, note = 'the publisher was interrupted'
           WHERE status = 'building'""",
    )
    sweep(connection)


def _begin(connection: Any, bundle: Bundle) -> int:
    with transaction(connection) as cursor:
        cursor.execute(
            """INSERT INTO homerec.release (as_of, status, degraded, reasons, versions)
               VALUES (%s, 'building', %s, %s, %s) RETURNING release_id""",
            (bundle.as_of, bundle.degraded, Json(bundle.reasons), Json(bundle.versions)),
        )
        release_id = int(cursor.fetchone()[0])
        execute_values(
            cursor,
            "INSERT INTO homerec.release_shelf (release_id, shelf, name, title, kind, size) "
            "VALUES %s",
            [
                (release_id, s["shelf"], s["name"], s["title"], s["kind"], s["size"])
                for s in bundle.shelves
            ],
        )
        execute_values(
            cursor,
            "INSERT INTO homerec.source (release_id, source, name, label) VALUES %s",
            [(release_id, s["source"], s["name"], s["label"]) for s in bundle.sources],
        )
        execute_values(
            cursor,
            "INSERT INTO homerec.market_default (release_id, market, listener) VALUES %s",
            [(release_id, market, key) for market, key in bundle.market_defaults.items()],
        )
    return release_id


def _finish(
    connection: Any, bundle: Bundle, release_id: int, *, activate: bool, force_older: bool, who: str
) -> None:
    """Move the pointer, or note why not; older releases of the as_of make room."""
    with transaction(connection) as cursor:
        held = hold_note(cursor)
        note = held or _reason_to_stay(
            cursor, bundle.as_of, activate=activate, force_older=force_older
        )
        if note is None:
            move(cursor, release_id, who, f"publish as_of {bundle.as_of}")
        else:
            logger.warning(
                "release %d of %s is audited but not live: %s", release_id, bundle.as_of, note
            )
            cursor.execute(
                "UPDATE homerec.release SET status = 'audited', note = %s WHERE release_id = %s",
                (note, release_id),
            )
        # Those that were never live are of no further use; one that was may be rolled back to.
        cursor.execute(
            """UPDATE homerec.release SET status = 'retired', stored = false, note = %s
               WHERE as_of = %s AND status = 'audited' AND release_id <> %s""",
            (f"superseded by release {release_id}", bundle.as_of, release_id),
        )


def _reason_to_stay(cursor: Any, as_of: date, *, activate: bool, force_older: bool) -> str | None:
    if not activate:
        return "not to be activated"
    cursor.execute("SELECT release_id, as_of FROM homerec.release WHERE status = 'live'")
    live = cursor.fetchone()
    if live is not None and as_of < live[1] and not force_older:
        return f"as_of {as_of} is before {live[1]}, that of the live release {live[0]}"
    return None


def _fail(connection: Any, release_id: int, error: BaseException) -> None:
    """Mark a release as failed and drop its data; failing that, the next publisher does it."""
    note = f"{type(error).__name__}: {error}"[:4000]
    try:
        if connection.closed:
            return
        execute(
            connection,
            # An interruption just after the pointer has moved must not fail what is live.
            "UPDATE homerec.release SET status = 'failed', stored = false, note = %s "
            "WHERE release_id = %s AND status = 'building'",
            (note, release_id),
        )
        sweep(connection)
    except psycopg2.Error:
        logger.warning("release %d could not be marked as failed", release_id, exc_info=True)
