"""A small lake from plain rows: keys as ints, instants as ISO text in UTC."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from homerec.features.compute import compute_tables
from homerec.features.pair_sources import EventPairs
from homerec.features.rollup_files import day_of
from homerec.features.snapshot import default_known_at, event_files
from homerec.lake import Lake, connect
from homerec.settings import Settings

Row = dict[str, Any]
_AT = pa.timestamp("us")

SCHEMAS = {
    "events": {
        "listener": pa.int32(), "content": pa.int32(), "context": pa.int32(), "artist": pa.int32(),
        "album": pa.int32(), "show": pa.int32(), "started_at": _AT, "ms_played": pa.int32(),
        "arrived_at": _AT, "surface": pa.string(), "event_hash": pa.uint64(),
    },
    "listeners": {
        "listener": pa.int32(), "listener_id": pa.string(), "market": pa.string(),
        "time_zone": pa.string(), "registered_at": _AT, "valid_from": _AT, "valid_to": _AT,
    },
    "items": {
        "item": pa.int32(), "item_id": pa.string(), "type": pa.string(), "title": pa.string(),
        "language": pa.string(), "tags": pa.list_(pa.string()), "released_at": _AT,
        "artist": pa.int32(), "markets": pa.list_(pa.string()),
    },
    "contents": {
        "content": pa.int32(), "content_id": pa.string(), "type": pa.string(),
        "title": pa.string(), "artist": pa.int32(), "album": pa.int32(), "show": pa.int32(),
        "duration_ms": pa.int32(), "released_at": _AT,
    },
    "signup_picks": {"listener": pa.int32(), "item": pa.int32(), "picked_at": _AT},
    "blocked": {
        "item": pa.int32(), "market": pa.string(), "reason": pa.string(), "blocked_at": _AT,
    },
    "availability": {
        "item": pa.int32(), "market": pa.string(), "starts_at": _AT, "ends_at": _AT,
    },
}  # fmt: skip


def moment(text: str | datetime) -> datetime:
    """A UTC instant as the lake stores it, without an offset."""
    return datetime.fromisoformat(text) if isinstance(text, str) else text


def event(listener: int, started_at: str | datetime, **values: Any) -> Row:
    """One play of 60 s that arrived a minute later; give it a context, artist, album or show."""
    at = moment(started_at)
    arrived = moment(values.pop("arrived_at", at + timedelta(minutes=1)))
    row: Row = dict.fromkeys(("content", "context", "artist", "album", "show"))
    row |= {"listener": listener, "started_at": at, "arrived_at": arrived, "ms_played": 60_000}
    return row | {"surface": "unknown", "event_hash": 0} | values


def listener(key: int, market: str = "DE", **values: Any) -> Row:
    """One listener of Berlin, registered long ago."""
    row = {"listener": key, "listener_id": f"listener-{key}", "market": market}
    row |= {"time_zone": "Europe/Berlin", "registered_at": "2025-01-01"}
    return row | values


def item(key: int, kind: str = "show", **values: Any) -> Row:
    """One item without tags or language, released long ago, available everywhere."""
    row: Row = {"item": key, "item_id": f"{kind}-{key}", "type": kind, "title": f"{kind} {key}"}
    row |= {"language": None, "tags": None, "artist": None, "markets": None}
    return row | {"released_at": "2025-01-01"} | values


def pick(listener_key: int, item_key: int, picked_at: str = "2025-01-01") -> Row:
    """One artist picked at sign-up."""
    return {"listener": listener_key, "item": item_key, "picked_at": picked_at}


def licence(item_key: int, starts_at: str | None, ends_at: str | None, market: str | None) -> Row:
    """One window in which an item may be shown, in a market or in all."""
    return {"item": item_key, "market": market, "starts_at": starts_at, "ends_at": ends_at}


def write_table(lake: Lake, name: str, rows: Iterable[Row]) -> None:
    """Write one table of the lake."""
    lake.tables.mkdir(parents=True, exist_ok=True)
    pq.write_table(_table(name, rows), lake.table(name))


def write_events(lake: Lake, events: Iterable[Row], name: str = "part-0") -> None:
    """Write events into their day's folder, in the order given."""
    days: dict[date, list[Row]] = {}
    for row in events:
        days.setdefault(row["started_at"].date(), []).append(row)
    for day, rows in days.items():
        folder = lake.partitions("events") / f"date={day.isoformat()}"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(_table("events", rows), folder / f"{name}.parquet")


def build_lake(
    home: Path,
    *,
    events: Iterable[Row] = (),
    items: Iterable[Row] = (),
    listeners: Iterable[Row] = (),
    tables: Mapping[str, Iterable[Row]] | None = None,
    **settings: Any,
) -> Settings:
    """Write a lake below ``home`` and return settings for it; one thread unless told otherwise."""
    lake = Lake(home)
    write_table(lake, "listeners", listeners)
    write_table(lake, "items", items)
    for name, rows in (tables or {}).items():
        write_table(lake, name, rows)
    write_events(lake, events)
    return Settings(home=home, **{"threads": 1, "memory_limit": "1GB", **settings})


def feature_rows(settings: Settings, as_of: date) -> dict[str, list[Row]]:
    """Every feature table as rows, ``daily`` among them, straight from the SQL."""
    names = ("daily", "listener_item", "item_market", "item", "listener")
    names += ("listener_tag", "item_tag", "pick", "skip", "item_availability")
    known_at = default_known_at(settings, as_of)
    files = event_files(settings, as_of)
    with connect(settings) as connection:
        compute_tables(
            connection,
            Lake(settings.home),
            as_of,
            known_at,
            EventPairs(files, min(map(day_of, files)), as_of, known_at),
            progress=lambda line: None,
        )
        tables = {}
        for name in names:
            cursor = connection.execute(f"SELECT * FROM {name} ORDER BY ALL")
            columns = [d[0] for d in cursor.description]
            tables[name] = [dict(zip(columns, r, strict=True)) for r in cursor.fetchall()]
    return tables


def only(rows: Iterable[Row], **key: Any) -> Row:
    """The one row with these values."""
    found = [r for r in rows if all(r[name] == value for name, value in key.items())]
    assert len(found) == 1, f"{len(found)} rows with {key}"
    return found[0]


def _table(name: str, rows: Iterable[Row]) -> pa.Table:
    schema = pa.schema(list(SCHEMAS[name].items()))
    plain = [
        {k: moment(v) if k.endswith("_at") and v is not None else v for k, v in row.items()}
        for row in rows
    ]
    return pa.Table.from_pylist(plain, schema=schema)
