"""What people change between nights; a Home shows it at the next read."""

import logging
import re
from datetime import datetime
from typing import Any

from homerec.errors import ReleaseError
from homerec.release.session import rows, session, transaction
from homerec.settings import Settings

logger = logging.getLogger(__name__)


def _item(cursor: Any, item_id: str) -> int:
    cursor.execute("SELECT item FROM homerec.item WHERE item_id = %s", (item_id,))
    return _key(cursor, "item", item_id)


def _listener(cursor: Any, listener_id: str) -> int:
    cursor.execute("SELECT listener FROM homerec.listener WHERE listener_id = %s", (listener_id,))
    return _key(cursor, "listener", listener_id)


def _key(cursor: Any, what: str, name: str) -> int:
    found = cursor.fetchone()
    if found is None:
        raise ReleaseError(
            f"The serving schema knows no {what} {name!r}; it is brought there by the next release."
        )
    return int(found[0])


def _check_market(market: str | None) -> None:
    if market is not None and re.fullmatch("[A-Za-z]{2}", market) is None:
        raise ReleaseError(
            f"Market {market!r} is none that a listener can have; two letters are needed, such as "
            "DE, or none at all for every market."
        )


def block(settings: Settings, item_id: str, market: str | None = None, *, reason: str) -> None:
    """Take an item off every Home, in one market or in all, until ``unblock``.

    Raises
    ------
    ReleaseError
        No such item, or a market that is not two letters.
    """
    _check_market(market)
    with session(settings) as connection, transaction(connection) as cursor:
        cursor.execute(
            """INSERT INTO homerec.blocked (item, market, reason) VALUES (%s, upper(%s), %s)
               ON CONFLICT (item, market)
               DO UPDATE SET reason = excluded.reason, origin = 'live'""",
            (_item(cursor, item_id), market, reason),
        )
    logger.info("blocked item %s in %s: %s", item_id, market or "every market", reason)


def unblock(settings: Settings, item_id: str, market: str | None = None) -> bool:
    """Lift a block of exactly this market (``None``: of every market); say whether there was one.

    A block that comes from the lake returns with the next release: take it out of its file too.
    """
    with session(settings) as connection, transaction(connection) as cursor:
        cursor.execute(
            "DELETE FROM homerec.blocked WHERE item = %s AND market IS NOT DISTINCT FROM upper(%s)",
            (_item(cursor, item_id), market),
        )
        return bool(cursor.rowcount)


def dismiss(settings: Settings, listener_id: str, item_id: str) -> None:
    """Keep an item off one listener's Home.

    Raises
    ------
    ReleaseError
        No such listener or item.
    """
    with session(settings) as connection, transaction(connection) as cursor:
        cursor.execute(
            """INSERT INTO homerec.dismissal (listener, item) VALUES (%s, %s)
               ON CONFLICT (listener, item) DO UPDATE SET origin = 'live'""",
            (_listener(cursor, listener_id), _item(cursor, item_id)),
        )


def pin(
    settings: Settings,
    shelf: str,
    item_id: str,
    *,
    position: int = 1,
    market: str | None = None,
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
) -> int:
    """Put a card on a shelf of the editors.

    Parameters
    ----------
    settings : Settings
        Of the deployment.
    shelf : str
        Title or name of an editorial shelf.
    item_id : str
        The item shown.
    position : int
        From 1; cards of one position come in the order they were made, those of the market first.
    market : str, optional
        Where; everywhere by default.
    starts_at, ends_at : datetime, optional
        Aware; the card is shown from the first until just before the second.

    Returns
    -------
    int
        Number of the card, for ``unpin``.

    Raises
    ------
    ReleaseError
        No such item, a position below 1, a market that is not two letters, or an empty window.
    """
    _check_market(market)
    if position < 1:
        raise ReleaseError(f"Position {position} is on no shelf; 1 is the first.")
    if starts_at and ends_at and ends_at <= starts_at:
        raise ReleaseError(
            f"A card from {starts_at} to {ends_at} is never shown; the end must be after the start."
        )
    with session(settings) as connection, transaction(connection) as cursor:
        cursor.execute(
            """INSERT INTO homerec.editorial_card
                   (shelf, market, position, item, starts_at, ends_at)
               VALUES (%s, upper(%s), %s, %s, coalesce(%s::timestamptz, '-infinity'),
                   coalesce(%s::timestamptz, 'infinity')) RETURNING card""",
            (shelf, market, position, _item(cursor, item_id), starts_at, ends_at),
        )
        return int(cursor.fetchone()[0])


def unpin(settings: Settings, card: int) -> bool:
    """Take a card that was pinned away again; say whether there was one."""
    with session(settings) as connection:
        return bool(
            rows(
                connection,
                "DELETE FROM homerec.editorial_card WHERE card = %s RETURNING card",
                (card,),
            )
        )
