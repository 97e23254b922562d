"""Rows of every table of a small audio app, to be delivered as files, objects or database tables.

The values are what makes kinds of sources differ: lists, missing values, times with and without a
zone, digits that are ids, letters beyond ASCII.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

Row = dict[str, Any]

NOW = datetime(2026, 3, 10, 3, 0, tzinfo=UTC)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
#: What every table's columns are in Postgres.
POSTGRES = {
    "items": "item_id text, type varchar(20), title text, language char(2), tags text[], "
    "released_at date, artist_id text, markets text[]",
    "contents": "content_id text, type text, title text, artist_id text, album_id text, "
    "show_id text, duration_ms numeric(12, 2), released_at timestamptz",
    "listeners": "listener_id bigint, market text, time_zone text, registered_at timestamp",
    "signup_picks": "listener_id bigint, item_id text, picked_at timestamptz",
    "dismissals": "listener_id bigint, item_id text, dismissed_at timestamptz",
    "editorial": "shelf text, market text, position smallint, item_id text, "
    "starts_at timestamptz, ends_at timestamptz",
    "blocked": "item_id text, market text, reason text, blocked_at timestamptz",
    "availability": "item_id text, market text, starts_at timestamptz, ends_at timestamptz",
    "events": "event_id uuid, listener_id bigint, content_id text, context_id text, "
    "started_at timestamptz, ms_played integer, arrived_at timestamptz, surface text",
    "impressions": "listener_id bigint, item_id text, shelf text, position integer, "
    "shown_at timestamptz, arrived_at timestamptz",
}


def rows(n_events: int = 300) -> dict[str, list[Row]]:
    """Return the rows of all tables; equal calls give equal rows."""
    east = timezone(timedelta(hours=5, minutes=30))
    listeners = [2**53 + 1 + i for i in range(7)]
    items = [
        {"item_id": f"artist-{i}", "type": "artist", "title": f"Ärtist “{i}”", "language": "de",
         "tags": ["rock", "pop, jazz"] if i else None, "released_at": FIRST.date(),
         "artist_id": None, "markets": None}
        for i in range(3)
    ] + [
        {"item_id": f"show-{i}", "type": "show", "title": "line one", "language": None,
         "tags": [], "released_at": FIRST.date(), "artist_id": "artist-1",
         "markets": ["US", "DE"]}
        for i in range(4)
    ]  # fmt: skip
    events = [
        {"event_id": f"00000000-0000-4000-8000-{i:012d}", "listener_id": listeners[i % 7],
         "content_id": f"episode-{i % 5}" if i % 3 else None,
         "context_id": f"show-{i % 4}" if i % 3 == 0 else None,
         "started_at": (FIRST + timedelta(hours=i % 160, microseconds=i * 7)).astimezone(east),
         "ms_played": 1_000 * i, "arrived_at": FIRST + timedelta(hours=i % 160 + 2),
         "surface": "search" if i % 2 else None}
        for i in range(n_events)
    ]  # fmt: skip
    return {
        "items": items,
        "contents": [
            {"content_id": f"episode-{i}", "type": "episode", "title": None, "artist_id": None,
             "album_id": None, "show_id": f"show-{i % 4}", "duration_ms": 60_000 * i,
             "released_at": FIRST}
            for i in range(5)
        ],
        "listeners": [
            {"listener_id": listener, "market": "DE", "time_zone": "Europe/Berlin",
             "registered_at": datetime(2026, 1, 1 + i, 12)}  # noqa: DTZ001 - a table without zones
            for i, listener in enumerate(listeners)
        ],
        "signup_picks": [
            {"listener_id": listener, "item_id": "artist-2", "picked_at": FIRST}
            for listener in listeners[:3]
        ],
        "dismissals": [{"listener_id": listeners[0], "item_id": "show-1", "dismissed_at": FIRST}],
        "editorial": [
            {"shelf": "Neu", "market": market, "position": position, "item_id": "show-2",
             "starts_at": FIRST, "ends_at": None if market else NOW}
            for position, market in enumerate(["DE", None], start=1)
        ],
        "blocked": [{"item_id": "show-3", "market": None, "reason": "it's", "blocked_at": FIRST}],
        "availability": [
            {"item_id": "show-0", "market": market, "starts_at": FIRST, "ends_at": None}
            for market in ("DE", None)
        ],
        "events": events,
        "impressions": [
            {"listener_id": listener, "item_id": "show-1", "shelf": "Neu", "position": 1,
             "shown_at": FIRST + timedelta(hours=i), "arrived_at": FIRST + timedelta(hours=i)}
            for i, listener in enumerate(listeners)
        ],
    }  # fmt: skip
