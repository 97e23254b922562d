from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from homerec.bench.features import compare
from homerec.bench.naive_features import naive_features
from homerec.errors import BenchmarkError
from homerec.features.snapshot import SnapshotInfo, ensure_snapshot, event_files
from homerec.lake import Lake
from homerec.settings import Settings
from support.lake import Row, build_lake, event, item, listener

# Both zones change to summer time within the events.
AS_OF = date(2026, 4, 10)
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata")
N_LISTENERS, N_ITEMS, N_EVENTS = 12, 30, 1500


def made_up_events() -> list[Row]:
    rng = np.random.default_rng(5)
    first = datetime(2026, 2, 20)  # noqa: DTZ001 - the lake's form
    events = []
    for _ in range(N_EVENTS):
        at = first + timedelta(seconds=int(rng.integers(0, 51 * 86_400)))
        artist, album, show, context = (int(k) for k in rng.integers(1, N_ITEMS + 1, 4))
        keys: dict[str, int | None] = {"artist": artist, "album": album, "context": context}
        if rng.random() < 0.3:
            keys = {"show": show, "context": show if rng.random() < 0.5 else None}
        late = timedelta(hours=float(rng.exponential(3)))
        who = int(rng.integers(1, N_LISTENERS + 1))
        ms = int(rng.integers(0, 120_000))
        events.append(event(who, at, arrived_at=at + late, ms_played=ms, **keys))
    return events


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    registered = ("2024-05-01", "2026-01-30", "2026-03-20")
    markets = ("DE", "US", "IN")
    return build_lake(
        tmp_path_factory.mktemp("lake"),
        events=made_up_events(),
        items=[item(key) for key in range(1, N_ITEMS + 1)],
        listeners=[
            listener(
                key,
                markets[key % 3],
                time_zone=ZONES[key % 3],
                registered_at=registered[key % len(registered)],
            )
            for key in range(1, N_LISTENERS + 1)
        ],
    )


@pytest.fixture(scope="module")
def snapshot(lake: Settings) -> SnapshotInfo:
    return ensure_snapshot(lake, AS_OF, writer="night")


@pytest.mark.parametrize("table", ["listener_item", "item_market"])
def test_naive_features_equal_the_snapshot(
    lake: Settings, snapshot: SnapshotInfo, table: str, tmp_path: Path
) -> None:
    files = event_files(lake, AS_OF)
    frame = naive_features(Lake(lake.home), files, AS_OF, snapshot.known_at)[table]
    path = tmp_path / f"{table}.parquet"
    frame.to_parquet(path, index=False)

    compared = compare(snapshot.path(table), path)

    ours = pq.read_table(snapshot.path(table))
    assert set(frame.columns) <= set(ours.column_names)
    assert compared == ours.num_rows * len(frame.columns) > 300


def test_a_differing_value_is_named(lake: Settings, snapshot: SnapshotInfo, tmp_path: Path) -> None:
    files = event_files(lake, AS_OF)
    frames = naive_features(Lake(lake.home), files, AS_OF, snapshot.known_at)
    frame = frames["listener_item"]
    frame.loc[3, "decay_14d"] *= 1.001
    path = tmp_path / "listener_item.parquet"
    frame.to_parquet(path, index=False)

    with pytest.raises(BenchmarkError, match=r"listener_item\.decay_14d differs in 1 of"):
        compare(snapshot.path("listener_item"), path)


def test_missing_rows_are_named(lake: Settings, snapshot: SnapshotInfo, tmp_path: Path) -> None:
    files = event_files(lake, AS_OF)
    frame = naive_features(Lake(lake.home), files, AS_OF, snapshot.known_at)["item_market"]
    path = tmp_path / "item_market.parquet"
    frame.iloc[1:].to_parquet(path, index=False)

    with pytest.raises(BenchmarkError, match="item_market has"):
        compare(snapshot.path("item_market"), path)
