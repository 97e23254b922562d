"""Rollups: whatever was kept, and in whatever order it came, a snapshot is the one from scratch."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from homerec.features import compute, pair_base, pair_sources, snapshot_pairs
from homerec.features.recompute import verify_snapshot
from homerec.features.rollups import drop_rollups
from homerec.features.snapshot import ensure_snapshot
from homerec.lake import Lake
from homerec.settings import Settings
from support.features import table_bytes
from support.lake import Row, build_lake, event, item, listener, write_events, write_table

END = date(2026, 3, 12)
MIDNIGHT = datetime(2026, 3, 12)  # noqa: DTZ001
#: The zone at first, the one after the move, and how many minutes before the end the move is.
Home = tuple[str, str, int]
ITEMS = [item(1, "artist", tags=["x"]), item(2, tags=["y"], language="de"), item(3, "playlist")]
PLACES: list[Row] = [{"artist": 1}, {"show": 2}, {"artist": 1, "context": 3}]
ZONES = ["UTC", "America/New_York", "Asia/Kolkata"]
QUICK = profile(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

#: (who, where, minutes before the end, minutes until it arrives, in which ingest it comes)
PLAY = st.tuples(
    st.integers(1, 5),
    st.integers(0, 2),
    st.integers(1, 6 * 24 * 60),
    st.one_of(st.integers(0, 60), st.integers(0, 5 * 24 * 60)),
    st.integers(0, 2),
)


def play(found: tuple[int, int, int, int, int]) -> Row:
    who, place, at, late, _ = found
    started = MIDNIGHT - timedelta(minutes=at)
    return event(
        who,
        started,
        **PLACES[place],
        content=place + 1,
        # Some of them are left at once.
        ms_played=40_000 + 1_000 * at if at % 3 else 20_000,
        arrived_at=started + timedelta(minutes=late),
    )


def people(homes: list[Home]) -> list[Row]:
    """Listeners who each move once, at some minute before or after the end."""
    rows = []
    for k, (first, then, minutes) in enumerate(homes, 1):
        at = MIDNIGHT - timedelta(minutes=minutes)
        who = {"market": "DE" if k % 2 else "US", "registered_at": MIDNIGHT - timedelta(days=9 * k)}
        rows.append(listener(k, time_zone=first, valid_to=at, **who))
        rows.append(listener(k, time_zone=then, valid_from=at, **who))
    return rows


def contents(durations: list[int | None]) -> list[Row]:
    empty = dict.fromkeys(("title", "artist", "album", "show", "released_at"))
    return [
        {"content": k, "content_id": f"c{k}", "type": "track", "duration_ms": d} | empty
        for k, d in enumerate(durations, 1)
    ]


@contextmanager
def lake(homes: list[Home], durations: list[int | None]) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory() as home:
        yield build_lake(
            Path(home),
            items=ITEMS,
            listeners=people(homes),
            tables={"contents": contents(durations)},
        )


def snapshot(settings: Settings, as_of: date) -> dict[str, bytes]:
    info = ensure_snapshot(settings, as_of, writer="night")
    return table_bytes(info)


HOME = st.tuples(st.sampled_from(ZONES), st.sampled_from(ZONES), st.integers(-24 * 60, 7 * 24 * 60))
HOMES = st.lists(HOME, min_size=5, max_size=5)
DURATIONS = st.lists(st.sampled_from([None, 60_000, 200_000]), min_size=3, max_size=3)


@QUICK
@given(
    st.lists(PLAY, min_size=1, max_size=25),
    HOMES,
    HOMES,
    DURATIONS,
    DURATIONS,
    st.permutations([0, 1, 2]),
    st.sampled_from([None, None, 3, 9]),
    st.sampled_from([1, 2, 7]),
)
def test_rollups_kept_from_other_nights_change_no_byte(
    plays: list[Any],
    homes: list[Home],
    new_homes: list[Home],
    durations: list[int | None],
    new_durations: list[int | None],
    order: list[int],
    history_days: int | None,
    fold_days: int,
) -> None:
    """Late events and backfills come in any order; zones and durations are corrected between."""
    # Each night's history, however short, has one of these.
    first = [event(1, MIDNIGHT - timedelta(days=days), show=2) for days in (7, 3)]
    with lake(homes, durations) as unbounded, pytest.MonkeyPatch.context() as patch:
        for module in (pair_base, snapshot_pairs):
            patch.setattr(module, "FOLD_DAYS", fold_days)
        settings = replace(unbounded, history_days=history_days)
        own = Lake(settings.home)
        write_events(own, first, name="first")
        for night, part in enumerate(order):
            new = [play(p) for p in plays if p[4] == part]
            write_events(own, new, name=f"part-{part}")
            if night == 2:
                write_table(own, "listeners", people(new_homes))
                write_table(own, "contents", contents(new_durations))
            snapshot(settings, END - timedelta(days=2 - night))
        info = ensure_snapshot(settings, END, writer="night")
        kept = table_bytes(info)
        # The raw events, by the path that proves the night.
        assert verify_snapshot(settings, info) > 0
        again = ensure_snapshot(settings, END, writer="night", rebuild=True)
        assert table_bytes(again) == kept


@QUICK
@given(st.lists(PLAY, min_size=1, max_size=25), HOMES, st.integers(1, 6))
def test_blocks_of_listeners_and_threads_change_no_byte(
    plays: list[Any], homes: list[Home], block_rows: int
) -> None:
    with lake(homes, [60_000, None, 200_000]) as settings, pytest.MonkeyPatch.context() as patch:
        write_events(Lake(settings.home), [event(1, "2026-03-05T10:00", show=2), *map(play, plays)])
        whole = snapshot(settings, END)
        volumes = ensure_snapshot(settings, END, writer="night").manifest["volumes"]
        patch.setattr(pair_sources, "BLOCK_ROWS", block_rows)
        patch.setattr(compute, "_PART_ROWS", block_rows)
        drop_rollups(settings)
        two = replace(settings, threads=2)
        cut = ensure_snapshot(two, END, writer="night", rebuild=True)
        assert table_bytes(cut) == whole
        assert cut.manifest["volumes"] == volumes
