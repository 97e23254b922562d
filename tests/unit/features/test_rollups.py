"""Rollups where files are compacted, and where listeners move or come late."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from homerec.features.listener_items import listener_items
from homerec.features.recompute import verify_snapshot
from homerec.features.snapshot import ensure_snapshot
from homerec.lake import Lake, read_json, swap_files
from homerec.settings import Settings
from support.features import table_bytes
from support.lake import build_lake, event, item, listener, write_events, write_table

AS_OF = date(2026, 3, 10)


def tables(settings: Settings, *, rebuild: bool = False) -> dict[str, bytes]:
    info = ensure_snapshot(settings, AS_OF, writer="night", rebuild=rebuild)
    assert verify_snapshot(settings, info) > 0
    return table_bytes(info)


def two_files(home: Path) -> Settings:
    settings = build_lake(home, items=[item(1)], listeners=[listener(1), listener(2)])
    for number in (1, 2):
        rows = [event(k, f"2026-03-09T0{number}:00", show=1) for k in (1, 2)]
        write_events(Lake(home), rows, name=f"part-{number}")
    return settings


def index(settings: Settings) -> dict[str, Any]:
    return dict(read_json(Lake(settings.home).rollups / "index.json")["files"])


def move(settings: Settings, at: datetime) -> None:
    """Let listener 1 live in Kolkata from an instant on."""
    versions = [
        listener(1, valid_to=at),
        listener(1, time_zone="Asia/Kolkata", valid_from=at),
        listener(2),
    ]
    write_table(Lake(settings.home), "listeners", versions)


def mornings(settings: Settings) -> dict[int, int]:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    rows = listener_items(info).to_pylist()
    return {row["listener"]: row["n_morning"] for row in rows}


def test_a_compaction_after_a_correction_counts_nothing_twice(tmp_path: Path) -> None:
    settings = two_files(tmp_path)
    tables(settings)
    moved = [listener(1, time_zone="Asia/Kolkata"), listener(2)]
    write_table(Lake(tmp_path), "listeners", moved)
    corrected = tables(settings)
    folder = Lake(tmp_path).partitions("events") / "date=2026-03-09"
    old = sorted(folder.glob("*.parquet"))
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.concat_tables([pq.read_table(p, partitioning=None) for p in old]), whole)
    swap_files(folder, [p.name for p in old], {"whole.parquet": whole})
    assert tables(settings) == corrected
    assert tables(settings, rebuild=True) == corrected


def test_a_move_counts_from_its_instant_on_and_leaves_older_rollups_alone(tmp_path: Path) -> None:
    settings = two_files(tmp_path)
    write_events(Lake(tmp_path), [event(1, "2026-03-08T01:00", show=1)], name="part-1")
    tables(settings)
    before = index(settings)
    # Between the two plays of the 9th at 01:00 and 02:00 UTC, which are 02:00 and 03:00 in Berlin.
    move(settings, datetime(2026, 3, 9, 1, 30))  # noqa: DTZ001
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "rollups").rglob("date=*/*.parquet")}
    moved = tables(settings)
    again = {p for p, at in times.items() if p.exists() and p.stat().st_mtime_ns != at}
    assert {p.relative_to(tmp_path / "rollups").as_posix() for p in again} == {
        "date=2026-03-09/part-2.parquet"
    }
    assert index(settings).keys() == before.keys()
    assert mornings(settings) == {1: 1, 2: 0}
    assert tables(settings, rebuild=True) == moved


def test_a_move_after_as_of_changes_nothing(tmp_path: Path) -> None:
    settings = two_files(tmp_path)
    kept = tables(settings)
    move(settings, datetime(2026, 3, 10))  # noqa: DTZ001
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "rollups").rglob("date=*/*.parquet")}
    assert tables(settings) == kept
    assert all(p.stat().st_mtime_ns == at for p, at in times.items())


def test_a_listener_whose_row_comes_after_the_events_is_counted_then(tmp_path: Path) -> None:
    settings = two_files(tmp_path)
    write_table(Lake(tmp_path), "listeners", [listener(2)])
    assert mornings(settings) == {2: 0}
    write_table(Lake(tmp_path), "listeners", [listener(1), listener(2)])
    assert mornings(settings) == {1: 0, 2: 0}
    assert tables(settings) == tables(settings, rebuild=True)


def skips(settings: Settings, known_at_day: date = AS_OF) -> list[tuple[int, int, int]]:
    info = ensure_snapshot(settings, known_at_day, writer="night")
    assert verify_snapshot(settings, info) > 0
    rows = pq.read_table(info.path("skip")).to_pylist()
    return [(row["listener"], row["item"], row["n_skips"]) for row in rows]


def test_skips_are_kept_until_the_item_is_played_and_late_ones_come_when_they_are_known(
    tmp_path: Path,
) -> None:
    settings = build_lake(
        tmp_path,
        items=[item(k) for k in (1, 2, 3)],
        listeners=[listener(1), listener(2)],
        events=[
            event(1, "2026-03-08T10:00", show=1, ms_played=29_999),
            event(1, "2026-03-08T11:00", show=1, ms_played=2_000),
            event(2, "2026-03-08T10:00", show=3, ms_played=2_000),
            event(2, "2026-03-09T10:00", show=3),
            # Known at 03:00 of the 11th, not of the 10th.
            event(2, "2026-03-09T12:00", show=2, ms_played=2_000, arrived_at="2026-03-10T08:00"),
            event(1, "2026-03-10T10:00", show=1, ms_played=30_000),
        ],
    )
    assert skips(settings) == [(1, 1, 2)]
    # The next night adds to what rollups and pairs keep.
    assert skips(settings, date(2026, 3, 11)) == [(2, 2, 1)]
    kept = sorted(p.name for p in (tmp_path / "rollups").rglob("*.skips.parquet"))
    assert kept == ["part-0.skips.parquet"] * 2


def test_a_forgotten_skip_rollup_is_made_again(tmp_path: Path) -> None:
    left = event(1, "2026-03-08T10:00", show=1, ms_played=2_000)
    settings = build_lake(tmp_path, items=[item(1)], listeners=[listener(1)], events=[left])
    write_events(Lake(tmp_path), [event(1, "2026-03-09T10:00", artist=2)])
    assert skips(settings) == [(1, 1, 1)]
    for path in (tmp_path / "rollups").rglob("*.skips.parquet"):
        path.unlink()
    assert skips(settings, date(2026, 3, 11)) == [(1, 1, 1)]
