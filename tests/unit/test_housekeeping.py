import json
import os
import time
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from homerec import housekeeping
from homerec.errors import DatabaseError, SettingsError
from homerec.housekeeping import tidy
from homerec.lake import Lake
from homerec.settings import Settings

NEWEST = date(2026, 3, 2)
OLD = time.time() - 3 * 86_400


def age(path: Path) -> None:
    for one in [*path.rglob("*"), path]:
        os.utime(one, (OLD, OLD))


def days_back(*days: int) -> list[date]:
    return sorted(NEWEST - timedelta(days=day) for day in days)


class World:
    """A data folder with a snapshot and a night a day, and what the registry would say."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home)
        self.lake = Lake(home)
        self.released: list[SimpleNamespace] = []
        self.versions_: list[SimpleNamespace] = []

    def add(self, day: date, passed: bool | None = None) -> None:
        for folder in (self.lake.snapshot(day), self.lake.night(day)):
            folder.mkdir(parents=True)
            (folder / "manifest.json").write_text("{}", encoding="utf-8")
        if passed is not None:
            verdict = json.dumps({"passed": passed})
            (self.lake.snapshot(day) / "drift.json").write_text(verdict, encoding="utf-8")
        age(self.lake.snapshot(day))
        age(self.lake.night(day))

    def release(self, day: date, stored: bool = True) -> None:
        self.released.append(SimpleNamespace(as_of=day, stored=stored))

    def version(self, days: list[date], promoted: bool, aliases: tuple[str, ...] = ()) -> None:
        values = {"training_snapshots": [day.isoformat() for day in days]}
        self.versions_.append(
            SimpleNamespace(
                promoted_at=NEWEST if promoted else None,
                aliases=aliases,
                manifest=lambda: SimpleNamespace(values=values),
            )
        )

    def versions(self, model: str) -> list[SimpleNamespace]:
        return self.versions_ if model == "podcasts" else []


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(housekeeping, "releases", lambda settings: made.released)
    monkeypatch.setattr(housekeeping, "open_registry", lambda settings: made)
    for back in range(12):
        made.add(NEWEST - timedelta(days=back))
    return made


def test_what_is_older_than_the_days_goes(world: World) -> None:
    report = tidy(world.settings, 9)
    assert report.snapshots == report.nights == days_back(10, 11)
    assert not world.lake.snapshot(NEWEST - timedelta(days=10)).exists()
    assert world.lake.snapshot(NEWEST - timedelta(days=9)).exists()
    assert report.n_bytes > 0
    assert list(world.lake.snapshot(NEWEST).parent.glob(".*")) == []


def test_a_dry_run_removes_nothing(world: World) -> None:
    report = tidy(world.settings, 9, dry_run=True)
    assert report.snapshots == days_back(10, 11)
    assert world.lake.snapshot(NEWEST - timedelta(days=11)).exists()
    assert report.render().startswith("Would remove 2 snapshots, 2 nights")


def test_the_nights_of_stored_releases_stay(world: World) -> None:
    world.release(NEWEST - timedelta(days=11))
    world.release(NEWEST - timedelta(days=10), stored=False)
    report = tidy(world.settings, 5)
    assert report.nights == report.snapshots == days_back(6, 7, 8, 9, 10)


@pytest.mark.parametrize(
    ("promoted", "aliases", "kept"),
    [
        (True, ("champion",), True),
        (True, (), True),
        (False, ("challenger",), True),
        (False, (), False),
    ],
)
def test_what_a_version_in_use_learned_from_stays(
    world: World, promoted: bool, aliases: tuple[str, ...], kept: bool
) -> None:
    learned = NEWEST - timedelta(days=11)
    world.version([learned], promoted, aliases)
    report = tidy(world.settings, 9)
    assert report.snapshots == (days_back(10) if kept else days_back(10, 11))
    assert report.nights == days_back(10, 11)


def test_the_last_seven_that_passed_stay_and_failed_ones_do_not_count(world: World) -> None:
    for back in range(20, 30):
        world.add(NEWEST - timedelta(days=back), passed=back not in (20, 23))
    report = tidy(world.settings, 15)
    assert report.snapshots == days_back(20, 23, 29)


def test_what_was_written_today_stays_however_old_its_date(world: World) -> None:
    night = world.lake.night(NEWEST - timedelta(days=11))
    (night / "plan.json").write_text("[]", encoding="utf-8")
    report = tidy(world.settings, 9)
    assert report.nights == days_back(10)


def test_leftovers_of_dead_processes_go_and_those_at_work_stay(world: World) -> None:
    home = world.settings.home
    dead = home / "nights" / ".as_of=2026-02-01.12.abc.tmp"
    working = home / "snapshots" / ".as_of=2026-03-02.13.abc.tmp"
    scratch = home / "tmp" / "train-1"
    for folder in (dead, working, scratch):
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "file").write_text("x", encoding="utf-8")
    age(dead)
    age(scratch)
    report = tidy(world.settings, 365)
    assert report.leftovers == sorted([dead, scratch])
    assert not dead.exists()
    assert not scratch.exists()
    assert working.exists()


def test_when_the_needs_cannot_be_told_nothing_is_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(settings: Any) -> list[Any]:
        raise DatabaseError("cannot be reached")

    monkeypatch.setattr(housekeeping, "releases", down)
    with pytest.raises(DatabaseError):
        tidy(world.settings, 1)
    assert world.lake.snapshot(NEWEST - timedelta(days=11)).exists()


def test_an_empty_deployment_has_nothing_to_remove(tmp_path: Path) -> None:
    report = tidy(Settings(home=tmp_path / "none"), 30)
    assert (report.snapshots, report.nights, report.leftovers) == ([], [], [])


def test_no_days_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="days is 0"):
        tidy(Settings(home=tmp_path), 0)
