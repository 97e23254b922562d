"""A catalog that comes later changes no snapshot whose known_at it comes after."""

import atexit
import functools
import json
import shutil
import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from homerec.features.recompute import verify_snapshot
from homerec.features.snapshot import ensure_snapshot, load_snapshot
from homerec.features.tables import load_catalog
from homerec.home.rules import RuleContext
from homerec.ingest import ingest
from homerec.models import get_model
from homerec.settings import Settings
from homerec.training.labels import read_labels
from support.features import table_bytes

AS_OF = date(2026, 3, 10)
KNOWN_AT = datetime(2026, 3, 10, 3, tzinfo=UTC)
DAYS = [AS_OF, AS_OF - timedelta(days=3)]
FIRST = datetime(2026, 3, 9, 12, tzinfo=UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
Row = dict[str, Any]
Tables = dict[str, list[Row]]

CATALOG: Tables = {
    "items": [
        {"item_id": "a", "type": "artist", "title": "A", "language": "de", "tags": ["x", "y"],
         "released_at": "2025-01-01", "artist_id": None, "markets": None},
        {"item_id": "s", "type": "show", "title": "S", "language": "en", "tags": ["x"],
         "released_at": "2025-06-01", "artist_id": None, "markets": ["DE", "US"]},
        {"item_id": "p", "type": "playlist", "title": "P", "language": None, "tags": [],
         "released_at": "2026-03-01", "artist_id": None, "markets": None},
    ],
    "contents": [
        {"content_id": "e1", "type": "episode", "title": "E", "artist_id": None, "show_id": "s",
         "released_at": "2026-03-08"},
        {"content_id": "t1", "type": "track", "title": "T", "artist_id": "a", "show_id": None,
         "released_at": "2025-01-01"},
    ],
    "listeners": [
        {"listener_id": f"u{i}", "market": ["DE", "US"][i % 2], "time_zone": ZONES[i],
         "registered_at": f"2026-0{i % 3 + 1}-05"}
        for i in range(4)
    ],
    "signup_picks": [{"listener_id": "u1", "item_id": "a", "picked_at": "2026-02-05"}],
    "availability": [
        {"item_id": "s", "market": "DE", "starts_at": "2026-01-01", "ends_at": None},
    ],
}  # fmt: skip
EVENTS: list[Row] = [
    {"event_id": f"{i}", "listener_id": f"u{i % 4}", "content_id": ["e1", "t1"][i % 2],
     "context_id": [None, "p"][i % 3 == 0], "ms_played": 60_000 + i,
     "started_at": f"2026-03-{1 + i % 14:02d}T{i * 5 % 24:02d}:30:00Z",
     "arrived_at": f"2026-03-{1 + i % 14:02d}T{i * 5 % 24:02d}:40:00Z"}
    for i in range(56)
]  # fmt: skip

# What a later delivery may say of a row that is known.
CHANGES: dict[str, st.SearchStrategy[Row]] = {
    "items": st.fixed_dictionaries(
        {},
        optional={
            "title": st.sampled_from(["other", "new"]),
            "language": st.sampled_from([None, "fr", "de"]),
            "tags": st.lists(st.sampled_from(["x", "y", "z"]), max_size=3, unique=True),
            "released_at": st.sampled_from(["2020-01-01", "2026-03-05", "2026-05-01"]),
            "markets": st.sampled_from([None, ["DE"], ["FR"]]),
        },
    ),
    "contents": st.fixed_dictionaries(
        {}, optional={"released_at": st.sampled_from(["2026-03-09", "2020-01-01"])}
    ),
    "listeners": st.fixed_dictionaries(
        {},
        optional={
            "market": st.sampled_from(["DE", "US", "FR"]),
            "time_zone": st.sampled_from(ZONES),
            "registered_at": st.sampled_from(["2020-01-01", "2026-03-09"]),
        },
    ),
    "signup_picks": st.fixed_dictionaries(
        {}, optional={"picked_at": st.sampled_from(["2020-01-01", "2026-03-09"])}
    ),
    "availability": st.fixed_dictionaries(
        {}, optional={"ends_at": st.sampled_from(["2026-02-01", "2026-03-11", None])}
    ),
}
LATER = st.fixed_dictionaries(
    {name: st.tuples(*(change for _ in CATALOG[name])) for name, change in CHANGES.items()}
)
#: Minutes from known_at to the later delivery, and to what it says of its own age.
MOMENTS = st.tuples(st.integers(0, 5_000), st.integers(0, 4_000), st.booleans())


@functools.cache
def known_lake() -> tuple[Path, dict[date, Any]]:
    """A lake as it was known at the dates, and all that was computed of it."""
    home = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    settings = Settings(home=home, threads=1, memory_limit="500MB")
    deliver(settings, CATALOG, FIRST)
    deliver(settings, {"events": EVENTS}, FIRST + timedelta(days=30))
    return home, {day: seen(settings, day) for day in DAYS}


def changed(later: dict[str, tuple[Row, ...]], stamp: str | None) -> Tables:
    stamped = {"items", "contents", "listeners"}
    return {
        name: [
            row | change | ({"updated_at": stamp} if name in stamped else {})
            for row, change in zip(CATALOG[name], changes, strict=True)
        ]
        for name, changes in later.items()
    }


def deliver(settings: Settings, tables: Tables, now: datetime) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in tables.items():
            path = Path(folder) / name / "rows.jsonl"
            path.parent.mkdir()
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        ingest(settings, source=Path(folder), now=now)


def seen(settings: Settings, as_of: date) -> dict[str, Any]:
    """Everything that is computed as of a date."""
    info = ensure_snapshot(settings, as_of, writer="night", rebuild=True)
    tables: dict[str, Any] = dict(table_bytes(info))
    catalog = load_catalog(info)
    rules = RuleContext.read(settings, catalog, as_of, info.known_at)
    labels = read_labels(settings, get_model("shortcuts", settings), info)
    hits = [labels.listener.tolist(), labels.item.tolist(), labels.daypart.tolist()]
    return tables | {
        "volumes": info.manifest["volumes"],
        "fresh_shows": catalog.items[rules.fresh_shows].tolist(),
        # The label window ends a day later, and so does what may be known of it.
        "labels": hits if as_of < AS_OF else None,
    }


@profile(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(LATER, MOMENTS)
def test_a_later_catalog_changes_no_snapshot_whose_known_at_it_follows(
    later: dict[str, tuple[Row, ...]], moments: tuple[int, int, bool]
) -> None:
    minutes, age, says = moments
    now = KNOWN_AT + timedelta(minutes=minutes)
    stamp = max(KNOWN_AT, now - timedelta(minutes=age)).isoformat() if says else None
    fresh = {
        "items": [CATALOG["items"][1] | {"item_id": "new", "released_at": "2026-03-10"}],
        "listeners": [CATALOG["listeners"][0] | {"listener_id": "new",
                                                 "registered_at": "2026-03-10"}],
    }  # fmt: skip
    base, before = known_lake()
    with tempfile.TemporaryDirectory() as home:
        shutil.copytree(base / "lake", Path(home) / "lake")
        settings = Settings(home=Path(home), threads=1, memory_limit="500MB")
        tables = changed(later, stamp)
        deliver(settings, {n: [*rows, *fresh.get(n, [])] for n, rows in tables.items()}, now)
        assert {day: seen(settings, day) for day in DAYS} == before


def test_a_catalog_in_time_does_change_the_snapshot() -> None:
    """Else the property above would hold of a reader that never looks at the catalog again."""
    change: dict[str, tuple[Row, ...]] = {
        "items": ({"tags": ["q"]}, {"markets": ["FR"]}, {}),
        "contents": ({"duration_ms": 90_000}, {}),
        "listeners": ({"time_zone": "Asia/Kolkata"}, {"market": "FR"}, {}, {}),
        "signup_picks": ({"picked_at": "2026-03-09"},),
        "availability": ({"ends_at": "2026-02-01"},),
    }
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), threads=1, memory_limit="500MB")
        deliver(settings, CATALOG | {"events": EVENTS[:4]}, FIRST)
        before = seen(settings, AS_OF)
        deliver(settings, changed(change, None), KNOWN_AT - timedelta(microseconds=1))
        after = seen(settings, AS_OF)
        info = load_snapshot(settings, AS_OF)
        assert info is not None
        assert verify_snapshot(settings, info) > 0
    differ = {name for name in before if before[name] != after[name]}
    assert {"listener", "listener_item", "item_tag", "item_availability"} <= differ
