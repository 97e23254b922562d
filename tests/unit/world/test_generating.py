from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest

from homerec.errors import SettingsError
from homerec.world import generate, load_parameters

SMALL = {"listeners": 130, "days": 9, "progress": False}
TABLES = ("events", "impressions", "listeners", "signup_picks", "dismissals", "items", "contents")


def rows(out: Path, table: str) -> list[tuple]:
    return duckdb.sql(f"SELECT * FROM '{out}/{table}/*.parquet' ORDER BY ALL").fetchall()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "inbox"
    generate(out, threads=1, **SMALL)
    return out


@pytest.mark.parametrize(("threads", "chunk"), [(2, 50_000), (3, 37), (1, 1_000)])
def test_rows_do_not_depend_on_threads_or_chunks(
    plain: Path, tmp_path: Path, threads: int, chunk: int
) -> None:
    generate(tmp_path / "other", threads=threads, chunk_listeners=chunk, **SMALL)
    for table in TABLES:
        assert rows(tmp_path / "other", table) == rows(plain, table)


def test_files_are_byte_identical_for_the_same_arguments(plain: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", threads=2, **SMALL)
    files = sorted(p.relative_to(plain) for p in plain.rglob("*.parquet"))
    assert len(files) == 2 * 9 + 7
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (plain / file).read_bytes()


def test_chunks_are_named_in_event_files(tmp_path: Path) -> None:
    generate(tmp_path / "w", listeners=30, days=1, chunk_listeners=20, progress=False)
    names = sorted(p.name for p in (tmp_path / "w" / "events").iterdir())
    assert names == ["2026-01-01.00000.parquet", "2026-01-01.00001.parquet"]


def test_another_seed_is_another_world(plain: Path, tmp_path: Path) -> None:
    generate(tmp_path / "other", seed=7, **SMALL)
    assert rows(tmp_path / "other", "events") != rows(plain, "events")


def test_start_and_days_date_the_files(tmp_path: Path) -> None:
    start = date(2027, 3, 30)
    report = generate(tmp_path / "w", listeners=20, days=3, start=start, progress=False)
    names = sorted(p.stem for p in (tmp_path / "w" / "events").iterdir())
    assert names == ["2027-03-30", "2027-03-31", "2027-04-01"]
    assert (report.start, report.days, report.listeners) == (start, 3, 20)


@pytest.mark.parametrize("listeners", [1, 2, 9])
def test_tiny_worlds_are_whole(tmp_path: Path, listeners: int) -> None:
    report = generate(tmp_path / "w", listeners=listeners, days=2, progress=False)
    assert len(rows(tmp_path / "w", "listeners")) == listeners
    assert len(rows(tmp_path / "w", "events")) == report.events


def test_a_minimal_catalog_and_one_market_work(tmp_path: Path) -> None:
    p = load_parameters()
    size = replace(p.catalog, artists=1, albums=1, playlists=1, shows=1, growth_exponent=0.0)
    small = replace(p, catalog=size, markets=p.markets[:1])
    report = generate(tmp_path / "w", listeners=20, days=5, parameters=small, progress=False)
    assert report.items == 4
    assert report.events > 0


def test_a_folder_that_is_not_empty_is_kept_unless_replacing(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(SettingsError, match="is not empty; nothing was generated"):
        generate(tmp_path, **SMALL)
    assert (tmp_path / "precious.txt").exists()
    generate(tmp_path, listeners=5, days=1, progress=False, replace=True)
    assert not (tmp_path / "precious.txt").exists()
    assert (tmp_path / "events").is_dir()


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("homerec.world.writing.Inbox.events", fail)
    with pytest.raises(OSError, match="disk full"):
        generate(tmp_path / "w", listeners=5, days=2, progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"listeners": 0}, "listeners is 0, allowed is 1 to"),
        ({"days": 0}, "days is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"chunk_listeners": 0}, "chunk_listeners is 0"),
    ],
)
def test_arguments_out_of_range_are_named(
    tmp_path: Path, arguments: dict[str, int], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        generate(tmp_path / "w", progress=False, **arguments)
    assert not (tmp_path / "w").exists()
