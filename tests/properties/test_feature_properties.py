"""Nothing after as_of is seen; neither order nor cuts nor threads change a bit."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from homerec.candidates.base import Query
from homerec.candidates.union import SourceLimit, union
from homerec.errors import SnapshotError, TrainingError
from homerec.features.assembly import FEATURES, Pairs, assemble
from homerec.features.recompute import verify_snapshot
from homerec.features.snapshot import SnapshotInfo, ensure_snapshot
from homerec.features.tables import iter_shards, load_catalog
from homerec.lake import Lake
from support.features import table_bytes
from support.lake import Row, build_lake, event, item, listener, pick, write_events
from support.taste import fit_data, make_source

AS_OF = date(2026, 3, 30)
MIDNIGHT = datetime(2026, 3, 30)  # noqa: DTZ001
KNOWN_AT = MIDNIGHT + timedelta(hours=3)
ITEMS = [
    item(1, "artist", tags=["x", "y"], language="de"),
    item(2, "artist", tags=["y"], language="en"),
    item(3, "album", artist=1),
    item(4, "playlist", tags=["x"], markets=["DE"]),
    item(5, "playlist"),
    item(6, tags=["x", "z"], language="en"),
    item(7, tags=["z"], language="de", markets=["US"]),
    item(8, released_at="2026-03-20"),
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
PLACES: list[Row] = [
    {"artist": 1, "album": 3, "context": 4},
    {"artist": 1, "context": 1},
    {"artist": 2, "context": 5},
    {"artist": 2},
    {"show": 6},
    {"show": 7, "context": 5},
    {"show": 8},
]
QUICK = profile(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
BEFORE = st.integers(1, 50 * 24 * 60)


def plays(minutes: st.SearchStrategy[int], delay: st.SearchStrategy[int]) -> st.SearchStrategy[Row]:
    """Events some minutes before as_of that arrive some minutes after they started."""
    return st.builds(
        lambda who, place, at, ms, late: event(
            who,
            MIDNIGHT - timedelta(minutes=at),
            **place,
            ms_played=ms,
            arrived_at=MIDNIGHT - timedelta(minutes=at - late),
        ),
        st.integers(1, 8),
        st.sampled_from(PLACES),
        minutes,
        st.sampled_from([29_999, 30_000, 200_000, 3_000_000]),
        delay,
    )


PAST = st.lists(plays(BEFORE, st.integers(0, 170)), min_size=1, max_size=40)
FUTURE = plays(st.integers(-3 * 24 * 60, 0), st.integers(0, 100))
LATE = plays(st.integers(1, 60 * 24 * 60), st.just(0)).flatmap(
    lambda row: st.integers(0, 9_000_000).map(
        lambda s: row | {"arrived_at": KNOWN_AT + timedelta(seconds=s)}
    )
)


@contextmanager
def lake(events: list[Row], **settings: Any) -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as home:
        yield build_lake(
            Path(home),
            events=events,
            items=ITEMS,
            listeners=[
                listener(
                    k,
                    "DE" if k % 3 else "US",
                    time_zone=ZONES[k % 4],
                    registered_at=MIDNIGHT - timedelta(days=12 * k, hours=5),
                )
                for k in range(1, 9)
            ],
            tables={"signup_picks": [pick(2, 1), pick(3, 2), pick(3, 1)]},
            **settings,
        )


def tables(info: SnapshotInfo) -> dict[str, bytes]:
    return table_bytes(info)


@profile(QUICK, max_examples=200)
@given(PAST, st.lists(FUTURE, max_size=10), st.lists(LATE, max_size=10))
def test_an_event_after_as_of_or_known_at_changes_no_feature(
    past: list[Row], future: list[Row], late: list[Row]
) -> None:
    with lake(past) as settings:
        before = ensure_snapshot(settings, AS_OF, writer="night")
        expected, volumes = tables(before), before.manifest["volumes"]
    with lake(past + future + late) as settings:
        after = ensure_snapshot(settings, AS_OF, writer="training")
        assert tables(after) == expected
        assert after.manifest["volumes"] == volumes


@profile(QUICK, max_examples=20)
@given(PAST, st.randoms(use_true_random=False), st.integers(1, 3))
def test_neither_the_order_nor_the_files_of_events_change_a_bit(
    past: list[Row], random: Any, n_files: int
) -> None:
    with lake(past) as settings:
        expected = tables(ensure_snapshot(settings, AS_OF, writer="night"))
    shuffled = random.sample(past, len(past))
    with lake(shuffled[::n_files], threads=2) as settings:
        for part in range(1, n_files):
            write_events(Lake(settings.home), shuffled[part::n_files], name=f"more-{part}")
        assert tables(ensure_snapshot(settings, AS_OF, writer="night")) == expected


@profile(QUICK, max_examples=15)
@given(PAST, st.lists(LATE, max_size=5))
def test_every_snapshot_verifies_and_a_late_arrival_leaves_it_true(
    past: list[Row], late: list[Row]
) -> None:
    with lake(past) as settings:
        info = ensure_snapshot(settings, AS_OF, writer="night")
        rows = verify_snapshot(settings, info)
        write_events(Lake(settings.home), late, name="late")
        assert verify_snapshot(settings, info) == rows


@profile(QUICK, max_examples=15)
@given(PAST, plays(BEFORE, st.just(0)).filter(lambda row: row["ms_played"] >= 30_000))
def test_an_event_more_that_counts_is_noticed(past: list[Row], more: Row) -> None:
    with lake([*past, event(more["listener"], "2026-03-01T10:00", show=6)]) as settings:
        info = ensure_snapshot(settings, AS_OF, writer="night")
        write_events(Lake(settings.home), [more], name="more")
        with pytest.raises(SnapshotError, match="differ between what was logged"):
            verify_snapshot(settings, info)


def by_key(info: SnapshotInfo, size: int, fit_threads: int) -> dict[tuple[int, int], bytes]:
    """Features and scores of every candidate, by listener and item key."""
    catalog = load_catalog(info)
    sources = [make_source(n) for n in ("co_listening", "by_tags", "popular")]
    als = make_source("als")
    for source in (*sources, als):
        data = fit_data(catalog, *iter_shards(info, catalog, size), n_threads=fit_threads)
        try:
            source.fit(data)
        except TrainingError:
            continue
        if source is als:
            sources.append(als)
    limits = [SourceLimit(s, 3) for s in sources]
    found = {}
    for shard in iter_shards(info, catalog, size):
        rows = np.arange(shard.n_listeners)
        pairs = union(Query(shard, rows, ("show",)), limits, by_daypart=True)
        names = [*FEATURES, *(f"source_{s}" for s in pairs.sources)]
        values = assemble(pairs, shard, names)
        for at in range(len(pairs)):
            key = (
                int(pairs.daypart[at]),
                int(shard.listeners[pairs.listener[at]]),
                int(catalog.items[pairs.item[at]]),
            )
            found[key] = values[at].tobytes()
    return found


@profile(QUICK, max_examples=200)
@given(PAST)
def test_shards_and_threads_change_neither_candidates_nor_features(past: list[Row]) -> None:
    with lake(past) as settings:
        info = ensure_snapshot(settings, AS_OF, writer="night")
        whole = by_key(info, 100, fit_threads=1)
        assert by_key(info, 1, fit_threads=2) == whole
        assert by_key(info, 3, fit_threads=1) == whole


@profile(QUICK, max_examples=15)
@given(PAST)
def test_features_are_numbers_or_missing(past: list[Row]) -> None:
    with lake(past) as settings:
        info = ensure_snapshot(settings, AS_OF, writer="night")
        catalog = load_catalog(info)
        (shard,) = iter_shards(info, catalog, 100)
        n, m = shard.n_listeners, len(catalog.items)
        pairs = Pairs(
            np.repeat(np.arange(n), m),
            np.tile(np.arange(m), n),
            (np.arange(n * m) % 4).astype(np.int8),
        )
        values = dict(zip(FEATURES, assemble(pairs, shard, list(FEATURES)).T, strict=True))
        assert not np.isinf(np.stack(list(values.values()))).any()
        for name, column in values.items():
            if name == "start_affinity":
                # The logarithm of a probability.
                assert np.nanmax(column) <= 1e-6
            elif name.endswith(("_ratio", "share", "affinity")):
                assert np.nanmin(column, initial=0) >= 0, name
                assert np.nanmax(column, initial=0) <= 1 + 1e-6, name
