from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from homerec.bench import naive_features as naive_module
from homerec.bench.features import compare, ours_as_parquet
from homerec.bench.naive_features import naive_features
from homerec.columns import ITEM_TYPES
from homerec.errors import BenchmarkError
from homerec.features.compute import TABLES
from homerec.features.snapshot import SnapshotInfo, ensure_snapshot, event_files
from homerec.lake import Lake
from homerec.settings import Settings
from support.lake import Row, build_lake, event, item, listener, pick

# Both zones change to summer time within the events.
AS_OF = date(2026, 4, 10)
TAGS = (["rock", "pop"], ["news"], None)
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata")
N_LISTENERS, N_ITEMS, N_EVENTS = 12, 30, 1500
#: Items after those that are played, which are only ever left at once.
N_LEFT = 3


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
        keys["content"] = int(rng.integers(1, 9))
        events.append(event(who, at, arrived_at=at + late, ms_played=ms, **keys))
        if rng.random() < 0.03:
            left = {**keys, "context": N_ITEMS + int(rng.integers(1, N_LEFT + 1))}
            events.append(event(who, at, arrived_at=at + late, ms_played=ms % 30_000, **left))
    return events


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    registered = ("2024-05-01", "2026-01-30", "2026-03-20")
    markets = ("DE", "US", "IN")
    return build_lake(
        tmp_path_factory.mktemp("lake"),
        events=made_up_events(),
        items=[
            item(
                key,
                ITEM_TYPES[key % 4],
                tags=TAGS[key % 3],
                language=(None, "de", "en")[key % 3],
                markets=["DE", "US"] if key == 7 else None,
            )
            for key in range(1, N_ITEMS + N_LEFT + 1)
        ],
        tables={
            "contents": [
                {"content": key, "duration_ms": (None, 60_000, 90_000)[key % 3]}
                for key in range(1, 8)
            ],
            "signup_picks": [pick(1, 4), pick(1, 8), pick(3, 4), pick(12, 12, "2026-04-10")],
        },
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


@pytest.fixture(scope="module")
def naive(lake: Settings, snapshot: SnapshotInfo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("naive")
    files = event_files(lake, AS_OF)
    naive_features(Lake(lake.home), files, AS_OF, snapshot.known_at, target)
    return target


@pytest.mark.parametrize("table", TABLES)
def test_naive_features_equal_the_snapshot(
    snapshot: SnapshotInfo, naive: Path, table: str, tmp_path: Path
) -> None:
    ours = ours_as_parquet(snapshot, table, tmp_path)
    compared = compare(ours, naive / f"{table}.parquet")
    meta = pq.read_metadata(ours)
    assert compared == meta.num_rows * meta.num_columns > 0


def test_blocks_of_listeners_change_no_value_of_the_naive_way(
    lake: Settings,
    snapshot: SnapshotInfo,
    naive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(naive_module, "_BLOCK_ROWS", 300)
    files = event_files(lake, AS_OF)
    for name in naive_features(Lake(lake.home), files, AS_OF, snapshot.known_at, tmp_path):
        assert compare(naive / f"{name}.parquet", tmp_path / f"{name}.parquet") > 0


def test_a_differing_value_is_named(snapshot: SnapshotInfo, naive: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(naive / "listener_item.parquet")
    frame.loc[3, "decay_14d"] *= 1.001
    path = tmp_path / "listener_item.parquet"
    frame.to_parquet(path, index=False)
    with pytest.raises(BenchmarkError, match=r"listener_item\.decay_14d differs in 1 of"):
        compare(ours_as_parquet(snapshot, "listener_item", tmp_path), path)


def test_a_differing_text_is_named(snapshot: SnapshotInfo, naive: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(naive / "listener.parquet")
    frame.loc[0, "market"] = "XX"
    path = tmp_path / "listener.parquet"
    frame.to_parquet(path, index=False)
    with pytest.raises(BenchmarkError, match=r"listener\.market differs in 1 of"):
        compare(snapshot.path("listener"), path)


def test_missing_rows_are_named(snapshot: SnapshotInfo, naive: Path, tmp_path: Path) -> None:
    path = tmp_path / "item_market.parquet"
    pd.read_parquet(naive / "item_market.parquet").iloc[1:].to_parquet(path, index=False)
    with pytest.raises(BenchmarkError, match="item_market has"):
        compare(snapshot.path("item_market"), path)
