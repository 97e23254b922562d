"""The properties of snapshots on a whole world of 3,000 listeners, with threads and many blocks."""

import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from homerec.features import pair_sources
from homerec.features.recompute import verify_snapshot
from homerec.features.rollups import drop_rollups
from homerec.features.snapshot import default_known_at, ensure_snapshot
from homerec.ingest import ingest
from homerec.lake import Lake
from homerec.settings import Settings
from homerec.world import generate
from support.features import table_bytes

pytestmark = pytest.mark.slow
DAYS = 40


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, date]:
    home = tmp_path_factory.mktemp("world")
    settings = Settings(home=home, threads=2, memory_limit="3GB")
    report = generate(
        home / "inbox", listeners=3_000, days=DAYS, seed=77, threads=2, progress=False
    )
    ingest(settings)
    return settings, report.start + timedelta(days=DAYS)


def tables(settings: Settings, as_of: date, *, rebuild: bool = False) -> dict[str, bytes]:
    info = ensure_snapshot(settings, as_of, writer="night", rebuild=rebuild)
    assert verify_snapshot(settings, info) > 1_000
    return table_bytes(info)


def beside(settings: Settings, home: Path) -> Settings:
    """Set up a deployment with a copy of the lake."""
    shutil.copytree(settings.home / "lake", home / "lake")
    return replace(settings, home=home)


def test_a_week_of_nights_ends_in_the_bytes_of_from_scratch(
    world: tuple[Settings, date], tmp_path: Path
) -> None:
    settings, as_of = world
    own = beside(settings, tmp_path)
    events = Lake(own.home).partitions("events")
    # What comes last: three days of the newest events, and a day that is backfilled.
    kept_back = [*sorted(events.iterdir())[-3:], sorted(events.iterdir())[5]]
    for folder in kept_back:
        shutil.move(folder, tmp_path / folder.name)
    for ago in (7, 3):
        ensure_snapshot(own, as_of - timedelta(days=ago), writer="night")
    for folder in kept_back:
        shutil.move(tmp_path / folder.name, folder)
    kept = tables(own, as_of)
    assert tables(own, as_of, rebuild=True) == kept


def test_events_at_or_after_as_of_and_known_at_change_no_byte(
    world: tuple[Settings, date], tmp_path: Path
) -> None:
    settings, end = world
    as_of = end - timedelta(days=10)
    own = beside(settings, tmp_path)
    expected = tables(own, as_of)
    known_at = default_known_at(own, as_of).replace(tzinfo=None)
    removed = 0
    for path in sorted(Lake(own.home).partitions("events").rglob("*.parquet")):
        source = f"read_parquet('{path}', hive_partitioning = false)"
        where = f"started_at < DATE '{as_of}' AND arrived_at < TIMESTAMP '{known_at}'"
        query = f"SELECT count(*) FROM {source} WHERE NOT ({where})"
        removed += duckdb.execute(query).fetchall()[0][0]
        rows = duckdb.sql(f"SELECT * FROM {source} WHERE {where}").to_arrow_table()
        duckdb.from_arrow(rows).write_parquet(str(path))
    assert removed > 10_000
    assert tables(own, as_of, rebuild=True) == expected


def test_blocks_and_threads_change_no_byte(
    world: tuple[Settings, date], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, as_of = world
    own = beside(settings, tmp_path)
    whole = tables(own, as_of)
    drop_rollups(own)
    monkeypatch.setattr(pair_sources, "BLOCK_ROWS", 50_000)
    assert tables(replace(own, threads=1), as_of, rebuild=True) == whole
