"""sql/features/card.sql and daily.sql: what counts, for which items, and when it was there."""

from datetime import date
from pathlib import Path

import pytest

from homerec.features.queries import with_card
from homerec.lake import Lake
from homerec.settings import Settings
from support.lake import build_lake, event, feature_rows, item, listener, only, write_events

AS_OF = date(2026, 3, 10)
ARTIST, ALBUM, PLAYLIST, SHOW = 1, 2, 3, 4
ITEMS = [item(ARTIST, "artist"), item(ALBUM, "album"), item(PLAYLIST, "playlist"), item(SHOW)]


def daily(tmp_path: Path, *events: dict, zone: str = "UTC", as_of: date = AS_OF) -> list[dict]:
    settings = build_lake(
        tmp_path, events=events, items=ITEMS, listeners=[listener(1, time_zone=zone)]
    )
    return feature_rows(settings, as_of)["daily"]


@pytest.mark.parametrize(
    ("fields", "items"),
    [
        ({"artist": ARTIST}, [ARTIST]),
        ({"artist": ARTIST, "album": ALBUM}, [ARTIST, ALBUM]),
        ({"artist": ARTIST, "album": ALBUM, "context": PLAYLIST}, [ARTIST, ALBUM, PLAYLIST]),
        ({"artist": ARTIST, "album": ALBUM, "context": ARTIST}, [ARTIST, ALBUM]),
        ({"artist": ARTIST, "album": ALBUM, "context": ALBUM}, [ARTIST, ALBUM]),
        ({"show": SHOW, "context": SHOW}, [SHOW]),
        ({"show": SHOW, "context": PLAYLIST}, [PLAYLIST, SHOW]),
        ({"context": PLAYLIST}, [PLAYLIST]),
    ],
)
def test_a_play_counts_once_for_each_of_its_items(
    tmp_path: Path, fields: dict, items: list[int]
) -> None:
    rows = daily(tmp_path, event(1, "2026-03-09T10:00", **fields))
    assert [(r["item"], r["n_plays"]) for r in rows] == [(i, 1) for i in items]


@pytest.mark.parametrize(("ms_played", "n"), [(0, 0), (29_999, 0), (30_000, 1), (86_400_000, 1)])
def test_a_card_play_lasts_30_seconds_or_more(tmp_path: Path, ms_played: int, n: int) -> None:
    rows = daily(tmp_path, event(1, "2026-03-09T10:00", show=SHOW, ms_played=ms_played))
    assert len(rows) == n


@pytest.mark.parametrize(
    ("started_at", "arrived_at", "counts"),
    [
        ("2026-03-09T23:59:59.999999", "2026-03-10T00:00:01", True),
        ("2026-03-10T00:00:00", "2026-03-10T00:00:01", False),
        ("2026-03-09T12:00", "2026-03-10T02:59:59.999999", True),
        ("2026-03-09T12:00", "2026-03-10T03:00:00", False),
        ("2026-03-09T12:00", "2026-03-09T11:50:00", True),
    ],
)
def test_a_play_counts_when_it_started_before_as_of_and_arrived_before_known_at(
    tmp_path: Path, started_at: str, arrived_at: str, counts: bool
) -> None:
    first = event(1, "2026-03-01T12:00", artist=ARTIST)
    late = event(1, started_at, arrived_at=arrived_at, show=SHOW)
    rows = daily(tmp_path, first, late)
    assert [r["item"] for r in rows] == ([ARTIST, SHOW] if counts else [ARTIST])


def test_a_play_at_as_of_does_not_count_even_in_a_file_of_the_day_before(tmp_path: Path) -> None:
    daily(tmp_path, event(1, "2026-03-09T12:00", artist=ARTIST))
    lake = Lake(tmp_path)
    misplaced = [event(1, at, show=SHOW) for at in ("2026-03-09T23:59:59", "2026-03-10T00:00")]
    write_events(lake, [misplaced[1]], name="other")
    write_events(lake, [misplaced[0]], name="part-1")
    day = lake.partitions("events")
    (day / "date=2026-03-10" / "other.parquet").rename(day / "date=2026-03-09" / "other.parquet")
    rows = feature_rows(Settings(home=tmp_path, threads=1), AS_OF)["daily"]
    assert [(r["item"], r["n_plays"]) for r in rows] == [(ARTIST, 1), (SHOW, 1)]


def test_the_day_is_the_utc_date(tmp_path: Path) -> None:
    zone = "Pacific/Auckland"
    rows = daily(tmp_path, event(1, "2026-03-08T23:30", show=SHOW), zone=zone)
    assert rows[0]["day"] == date(2026, 3, 8)


@pytest.mark.parametrize(
    ("zone", "started_at", "daypart", "weekend"),
    [
        ("UTC", "2026-03-06T00:00", "night", False),
        ("UTC", "2026-03-06T05:59:59", "night", False),
        ("UTC", "2026-03-06T06:00", "morning", False),
        ("UTC", "2026-03-06T12:00", "afternoon", False),
        ("UTC", "2026-03-06T18:00", "evening", False),
        ("UTC", "2026-03-06T23:59:59.999999", "evening", False),
        ("UTC", "2026-03-07T00:00", "night", True),
        ("UTC", "2026-03-08T23:59", "evening", True),
        # Friday evening in New York is Saturday in UTC; Sunday evening in UTC is Monday in Tokyo.
        ("America/New_York", "2026-03-07T02:00", "evening", False),
        ("Asia/Tokyo", "2026-03-08T16:00", "night", False),
        # Offsets of half and quarter hours.
        ("Asia/Kolkata", "2026-03-06T00:29:59", "night", False),
        ("Asia/Kolkata", "2026-03-06T00:30:00", "morning", False),
        ("Asia/Kathmandu", "2026-03-06T00:15:00", "morning", False),
        # Berlin goes to summer time on Sunday 2026-03-29 at 01:00 UTC, back on 2026-10-25.
        ("Europe/Berlin", "2026-03-28T04:59:59", "night", True),
        ("Europe/Berlin", "2026-03-28T05:00:00", "morning", True),
        ("Europe/Berlin", "2026-03-29T03:59:59", "night", True),
        ("Europe/Berlin", "2026-03-29T04:00:00", "morning", True),
        ("Europe/Berlin", "2026-03-28T22:30", "evening", True),
        ("Europe/Berlin", "2026-03-29T22:30", "night", False),
        ("Europe/Berlin", "2026-10-24T16:30", "evening", True),
        ("Europe/Berlin", "2026-10-25T16:30", "afternoon", True),
        ("Europe/Berlin", "2026-10-25T22:30", "evening", True),
    ],
)
def test_dayparts_and_weekends_are_local(
    tmp_path: Path, zone: str, started_at: str, daypart: str, weekend: bool
) -> None:
    # A play long before makes the calendar reach over both changes of the clock.
    early = event(1, "2026-03-01T12:00", artist=ARTIST)
    rows = daily(
        tmp_path, early, event(1, started_at, show=SHOW), zone=zone, as_of=date(2026, 11, 1)
    )
    row = only(rows, item=SHOW)
    counts = {name: row[f"n_{name}"] for name in ("morning", "afternoon", "evening")}
    counts["night"] = row["n_plays"] - sum(counts.values())
    assert counts == {name: int(name == daypart) for name in counts}
    assert row["n_weekend"] == int(weekend)


def test_a_day_sums_its_plays(tmp_path: Path) -> None:
    rows = daily(
        tmp_path,
        event(1, "2026-03-07T13:00", show=SHOW, ms_played=40_000),
        event(1, "2026-03-07T07:00", show=SHOW, ms_played=30_000),
        event(1, "2026-03-07T13:30", show=SHOW, ms_played=20_000),
        event(1, "2026-03-08T13:00", show=SHOW, ms_played=86_000_000),
    )
    day = only(rows, day=date(2026, 3, 7))
    assert (day["n_plays"], day["ms_played"]) == (2, 70_000)
    assert (day["n_morning"], day["n_afternoon"], day["n_weekend"]) == (1, 1, 2)
    assert (day["first_at"].hour, day["last_at"].hour) == (7, 13)
    assert only(rows, day=date(2026, 3, 8))["ms_played"] == 86_000_000


def test_plays_of_unknown_listeners_do_not_count(tmp_path: Path) -> None:
    rows = daily(tmp_path, event(2, "2026-03-09T10:00", show=SHOW))
    assert rows == []


@pytest.mark.parametrize("body", ["SELECT 1", "WITH a AS (SELECT 1)\nSELECT * FROM a"])
def test_card_is_put_before_the_body_and_below_the_header(body: str) -> None:
    text = with_card(f"-- purpose : test\n-- grain : one\n{body}")
    assert text.startswith("-- purpose : test\n-- grain : one\nWITH card AS (")
    assert text.count("WITH card AS") == 1
    assert text.rstrip().endswith(body.splitlines()[-1])
