"""One listener's Home as a frame, for people; backends call the SQL function themselves."""

from datetime import datetime
from typing import Final, Literal

import pandas as pd
import psycopg2

from homerec.database import urls
from homerec.errors import DatabaseError, ReleaseError
from homerec.release.session import rows
from homerec.settings import Settings

COLUMNS = (
    "shelf_position",
    "shelf",
    "shelf_title",
    "kind",
    "card_position",
    "item_id",
    "item_type",
    "item_title",
    "source",
    "reason",
    "as_of",
    "release_id",
    "sources",
)

_EXAMPLE: Final = """
SELECT l.listener_id
FROM homerec.live_release p
JOIN homerec.home_shelf h ON h.release_id = p.release_id
JOIN homerec.listener l ON l.listener = h.listener
WHERE h.listener BETWEEN 1 AND 1000
GROUP BY l.listener_id
ORDER BY count(DISTINCT h.shelf) DESC, l.listener_id
LIMIT 1
"""


def home(
    settings: Settings,
    listener_id: str,
    moment: datetime | None = None,
    market: str | None = None,
    role: Literal["reader", "app"] = "reader",
) -> pd.DataFrame:
    """Read a Home with the same query as a backend.

    Parameters
    ----------
    settings : Settings
        Of the deployment.
    listener_id : str
        The listener; an unknown one gets the market's default Home.
    moment : datetime, optional
        Aware; decides the daypart and which editors' cards are shown. Now, by default.
    market : str, optional
        Two letters; by default the listener's own.
    role : {"reader", "app"}
        Who reads; the reader's URL falls back to the application's where none is set.

    Returns
    -------
    DataFrame
        One row a card, with the columns of the SQL function ``home``; empty before the first
        release.

    Raises
    ------
    ValueError
        ``moment`` has no time zone.
    DatabaseError
        The database cannot be reached.
    """
    if moment is not None and moment.tzinfo is None:
        raise ValueError(
            "moment has no time zone; give an aware datetime, such as datetime.now(UTC)."
        )
    if role not in ("reader", "app"):
        raise ValueError(f"role is {role!r}, known are reader and app.")
    url = (urls.reader_url(settings) if role == "reader" else None) or urls.app_url(settings)
    query = f"SELECT {', '.join(COLUMNS)} FROM public.home(%s, coalesce(%s, now()), %s)"  # noqa: S608 - our names
    with urls.psycopg2_connection(url, autocommit=True) as connection:
        try:
            found = rows(connection, query, (listener_id, moment, market))
        except psycopg2.Error as error:
            raise DatabaseError(f"A Home cannot be read: {str(error).splitlines()[0]}.") from error
    return pd.DataFrame(found, columns=list(COLUMNS))


def example_listener(settings: Settings) -> str:
    """Name a listener whose Home shows much: the most shelves among the first thousand.

    Raises
    ------
    ReleaseError
        There is no live release.
    """
    with urls.psycopg2_connection(urls.app_url(settings), autocommit=True) as connection:
        found = rows(connection, _EXAMPLE)
    if not found:
        raise ReleaseError("There is no live release to read from. Make one: homerec night")
    return str(found[0][0])
