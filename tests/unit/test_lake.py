from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homerec.lake import (
    Lake,
    atomic_file,
    atomic_folder,
    checksum,
    checksum_text,
    connect,
    read_json,
    write_json,
    write_parquet,
)
from homerec.settings import Settings


def test_paths_lie_below_the_root(tmp_path: Path) -> None:
    lake, day = Lake(tmp_path), date(2026, 3, 1)
    paths = [
        lake.inbox, lake.table("items"), lake.partitions("events"), lake.dictionary("items"),
        lake.quarantine, lake.ingests, lake.snapshot(day), lake.night(day),
        lake.training("podcasts", day),
    ]  # fmt: skip
    assert len(set(paths)) == len(paths)
    assert all(p.is_relative_to(tmp_path) for p in paths)
    assert lake.snapshot(day).name == "as_of=2026-03-01"


def test_dates_with_events_are_ascending(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert lake.event_dates() == []
    for name in ("date=2026-03-10", "date=2026-03-09", ".date=2026-03-08.tmp", "notes"):
        (lake.partitions("events") / name).mkdir(parents=True)
    assert lake.event_dates() == [date(2026, 3, 9), date(2026, 3, 10)]


def test_a_file_is_whole_or_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    with atomic_file(target) as temporary:
        temporary.write_text("one")
        assert not target.exists()
    assert target.read_text() == "one"

    def fail() -> None:
        with atomic_file(target) as temporary:
            temporary.write_text("two")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert target.read_text() == "one"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    for text in ("one", "two"):
        with atomic_folder(target) as temporary:
            (temporary / f"{text}.txt").write_text(text)
    assert [p.name for p in target.iterdir()] == ["two.txt"]

    def fail() -> None:
        with atomic_folder(target) as temporary:
            (temporary / "three.txt").write_text("three")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert [p.name for p in target.iterdir()] == ["two.txt"]
    assert list(tmp_path.iterdir()) == [target]


def test_equal_values_are_equal_json(tmp_path: Path) -> None:
    write_json({"b": [1], "a": date(2026, 3, 1)}, tmp_path / "x.json")
    write_json({"a": date(2026, 3, 1), "b": [1]}, tmp_path / "y.json")
    assert (tmp_path / "x.json").read_bytes() == (tmp_path / "y.json").read_bytes()
    assert read_json(tmp_path / "x.json") == {"a": "2026-03-01", "b": [1]}
    assert checksum(tmp_path / "x.json") == checksum(tmp_path / "y.json")


def test_a_checksum_of_texts_knows_their_borders_and_order() -> None:
    sums = {checksum_text(parts) for parts in (["ab", "c"], ["a", "bc"], ["c", "ab"], ["abc"])}
    assert len(sums) == 4


def test_parquet_is_written(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2]})
    write_parquet(table, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet") == table


def test_connections_are_in_utc_within_their_limits(tmp_path: Path) -> None:
    with connect(Settings(home=tmp_path, threads=2, memory_limit="300MB")) as connection:
        row = connection.execute(
            "SELECT current_setting('TimeZone'), current_setting('threads'), "
            "current_setting('memory_limit'), current_setting('temp_directory')"
        ).fetchone()
    assert row[:2] == ("UTC", 2)
    assert row[2].startswith("286")
    assert row[3] == str(tmp_path / "tmp")
