"""Which release is live: the one-row pointer; rollback, hold, and retention."""

import logging
from typing import Any

from homerec.errors import ReleaseError
from homerec.release.info import SELECT_RELEASE, ReleaseInfo
from homerec.release.session import rows, session, transaction
from homerec.release.storing import sweep
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: The release to roll back to: the last one live before the one that is live now.
_PREVIOUS = """
    SELECT r.release_id FROM homerec.release r
    WHERE r.stored AND r.status = 'retired' AND r.published_at < (
        SELECT l.published_at FROM homerec.release l JOIN homerec.live_release p ON p.release_id =
            l.release_id)
    ORDER BY r.published_at DESC LIMIT 1
"""

_RETIRE = f"""
    UPDATE homerec.release
    SET stored = false, status = CASE status WHEN 'audited' THEN 'retired' ELSE status END
    WHERE stored AND status IN ('retired', 'audited', 'failed')
      AND release_id NOT IN (
          SELECT release_id FROM homerec.release WHERE stored ORDER BY release_id DESC LIMIT %s)
      AND release_id IS DISTINCT FROM ({_PREVIOUS})
"""  # noqa: S608 - made of the constant above


def read_release(connection: Any, release_id: int) -> ReleaseInfo:
    """Read one release.

    Raises
    ------
    ReleaseError
        There is none of that number.
    """
    found = rows(connection, SELECT_RELEASE + "WHERE release_id = %s", (release_id,))
    if not found:
        raise ReleaseError(f"There is no release {release_id}. See: homerec releases.")
    return ReleaseInfo(*found[0])


def live_release(settings: Settings) -> ReleaseInfo | None:
    """Return the release that backends read now, or ``None`` before the first."""
    with session(settings) as connection:
        found = rows(connection, SELECT_RELEASE + "WHERE status = 'live'")
        return ReleaseInfo(*found[0]) if found else None


def releases(settings: Settings) -> list[ReleaseInfo]:
    """List all releases, newest first, those that failed and those without data included."""
    with session(settings) as connection:
        found = rows(connection, SELECT_RELEASE + "ORDER BY release_id DESC")
        return [ReleaseInfo(*row) for row in found]


def hold_note(cursor: Any) -> str | None:
    """Lock the pointer, and say who holds it and why, if somebody does."""
    cursor.execute("SELECT hold, held_by, hold_reason, since FROM homerec.live_release FOR UPDATE")
    hold, who, why, since = cursor.fetchone()
    if not hold:
        return None
    return (
        f"hold by {who} since {since:%Y-%m-%d %H:%M} UTC: {why}. "
        "Lift it with: homerec releases resume"
    )


def move(cursor: Any, release_id: int, who: str, why: str) -> None:
    """Make a release live, inside the caller's transaction, which holds the pointer's lock."""
    cursor.execute("SELECT release_id FROM homerec.live_release")
    before = cursor.fetchone()[0]
    cursor.execute("UPDATE homerec.release SET status = 'retired' WHERE status = 'live'")
    cursor.execute(
        """UPDATE homerec.release SET status = 'live', note = NULL,
               published_at = coalesce(published_at, clock_timestamp())
           WHERE release_id = %s""",
        (release_id,),
    )
    cursor.execute(
        "UPDATE homerec.live_release SET release_id = %s, since = clock_timestamp()", (release_id,)
    )
    cursor.execute(
        "INSERT INTO homerec.pointer_move (from_release, to_release, who, why) VALUES (%s, %s, "
        "%s, %s)",
        (before, release_id, who, why),
    )
    logger.info("release %s is live (before: %s), by %s: %s", release_id, before, who, why)


def rollback(settings: Settings, to: int | None = None, *, who: str, why: str) -> ReleaseInfo:
    """Make an earlier release live again, and hold the pointer there until ``resume``.

    Parameters
    ----------
    settings : Settings
        Of the deployment.
    to : int, optional
        The release; by default the one that was live before the one that is live now.
    who, why : str
        Kept with the hold and in the history of moves.

    Returns
    -------
    ReleaseInfo
        Of the release that is live now.

    Raises
    ------
    ReleaseError
        No such release, it failed, its data is gone, it is already live, or there is none to go
        back to.
    """
    _named(who, why)
    with session(settings) as connection:
        with transaction(connection) as cursor:
            hold_note(cursor)
            target = _target(cursor, to)
            move(cursor, target, who, f"rollback: {why}")
            cursor.execute(
                "UPDATE homerec.live_release SET hold = true, held_by = %s, hold_reason = %s",
                (who, why),
            )
        return read_release(connection, target)


def _named(who: str, why: str) -> None:
    if not who.strip() or not why.strip():
        raise ReleaseError(
            f"who is {who!r} and why is {why!r}; both are needed, they are kept with the move."
        )


def _target(cursor: Any, to: int | None) -> int:
    if to is None:
        cursor.execute(_PREVIOUS)
        found = cursor.fetchone()
        if found is None:
            raise ReleaseError(
                "There is no earlier release to roll back to. See: homerec releases."
            )
        return int(found[0])
    cursor.execute(
        "SELECT status, stored FROM homerec.release WHERE release_id = %s FOR UPDATE", (to,)
    )
    found = cursor.fetchone()
    if found is None:
        raise ReleaseError(f"There is no release {to}. See: homerec releases.")
    status, stored = found
    if status not in ("retired", "audited") or not stored:
        raise ReleaseError(
            f"Release {to} cannot be made live: its status is {status}, its data is "
            f"{'there' if stored else 'gone'}; "
            "needed is a retired or audited release with data. See: homerec releases."
        )
    return to


def resume(settings: Settings, *, who: str = "unknown") -> bool:
    """Lift the hold, so that the next release is published again; the pointer stays where it is.

    Returns
    -------
    bool
        Whether there was a hold.
    """
    with session(settings) as connection, transaction(connection) as cursor:
        note = hold_note(cursor)
        cursor.execute(
            "UPDATE homerec.live_release SET hold = false, held_by = NULL, hold_reason = NULL "
            "WHERE hold"
        )
    if note is not None:
        logger.info("%s lifts the %s", who, note)
    return note is not None


def keep(settings: Settings, n: int) -> list[int]:
    """Drop the Homes of all but the newest ``n`` stored releases; their rows in the list stay.

    The live release and the one to roll back to are always kept, whatever ``n``.

    Returns
    -------
    list of int
        The releases whose Homes were dropped.

    Raises
    ------
    ReleaseError
        ``n`` is below 1.
    """
    if n < 1:
        raise ReleaseError(f"n is {n}, at least 1 release must be kept.")
    with session(settings) as connection:
        with transaction(connection) as cursor:
            hold_note(cursor)
            cursor.execute(
                _RETIRE,
                (n,),
            )
        return sweep(connection)


def recent_moves(settings: Settings, limit: int = 20) -> list[tuple[Any, ...]]:
    """Return the pointer's last moves, newest first: (moved_at, from, to, who, why)."""
    with session(settings) as connection:
        return rows(
            connection,
            """SELECT moved_at, from_release, to_release, who, why FROM homerec.pointer_move
               ORDER BY moved_at DESC LIMIT %s""",
            (limit,),
        )
