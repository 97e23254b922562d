"""Retention of the lake and of versions; releases, snapshots and nights have tests of their own."""

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homerec import housekeeping, retention
from homerec.errors import ExperimentError, SettingsError, SnapshotError, TransientError
from homerec.features.snapshot import ensure_snapshot
from homerec.lake import Lake, at_work, write_json
from homerec.registry.removal import removable_versions
from homerec.retention import check_event_days, retain
from homerec.settings import Settings
from homerec.training.experiments.keeping import Folders, Record, records
from support.lake import build_lake, event, item, listener

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LAST = date(2026, 3, 20)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lake of 80 days, without a release or a version."""
    days = [LAST - timedelta(days=n) for n in range(80)]
    made = build_lake(
        tmp_path,
        events=[event(1, f"{day}T10:00:00", show=1) for day in days],
        items=[item(1)],
        listeners=[listener(1)],
        history_days=20,
        keep_event_days=60,
    )
    monkeypatch.setattr(retention, "releases", lambda settings: [])
    monkeypatch.setattr(retention, "keep", lambda settings, n: [])
    monkeypatch.setattr(housekeeping, "releases", lambda settings: [])
    empty = SimpleNamespace(versions=lambda model: [], champions_of_last=lambda *a: [])
    monkeypatch.setattr(housekeeping, "open_registry", lambda settings: empty)
    monkeypatch.setattr(retention, "open_registry", lambda settings: empty)
    return made


def changed(settings: Settings, **values: Any) -> Settings:
    return Settings(**{**vars(settings), **values})


def test_old_days_of_events_go_and_the_mark_says_from_when_on_there_are_some(
    settings: Settings,
) -> None:
    lake = Lake(settings.home)
    report = retain(settings, dry_run=True)
    assert report.counts["days of events"] == 20
    assert len(lake.event_dates()) == 80
    assert "would go" in report.render()
    report = retain(settings)
    assert report.counts["days of events"] == 20
    assert lake.event_dates()[0] == lake.events_from() == LAST - timedelta(days=59)
    assert "2025-12-31 to 2026-01-19" in report.render()
    assert retain(settings).counts["days of events"] == 0


def test_a_snapshot_that_would_miss_removed_events_is_refused(settings: Settings) -> None:
    retain(settings)
    early = LAST - timedelta(days=45)
    with pytest.raises(SnapshotError, match=r"those before 2026-01-20 were removed"):
        ensure_snapshot(settings, early, writer="night")
    assert ensure_snapshot(settings, LAST, writer="night").as_of == LAST
    unbounded = changed(settings, history_days=None, keep_event_days=None)
    with pytest.raises(SnapshotError, match="needs events from the first on"):
        ensure_snapshot(unbounded, LAST - timedelta(days=1), writer="night")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"history_days": None}, "history_days is not set, so features read every event"),
        ({"keep_event_days": 30}, "keep_event_days is 30, at least"),
        ({"keep_event_days": 20, "history_days": 20}, "a retraining goes"),
    ],
)
def test_events_that_something_reads_are_not_removed(
    settings: Settings, values: dict[str, Any], message: str
) -> None:
    wrong = changed(settings, **values)
    with pytest.raises(SettingsError, match=message):
        retain(wrong)
    assert len(Lake(settings.home).event_dates()) == 80


def test_the_least_days_are_enough(settings: Settings) -> None:
    for days in range(21, 200):
        enough = changed(settings, keep_event_days=days)
        try:
            check_event_days(enough)
        except SettingsError as error:
            least = int(str(error).split("at least ")[1].split()[0])
            assert days < least
        else:
            break
    assert days == least


def test_all_is_kept_where_no_setting_says_otherwise(settings: Settings) -> None:
    report = retain(changed(settings, keep_event_days=None, keep_version_days=None))
    assert len(Lake(settings.home).event_dates()) == 80
    assert "all are kept" in report.render()


def test_closed_rows_of_the_catalog_go_by_age_and_open_ones_stay(settings: Settings) -> None:
    path = Lake(settings.home).table("items")
    at = pa.timestamp("us")
    ends = [None, datetime(2025, 1, 1), datetime(2026, 3, 1)]  # noqa: DTZ001 - as in the lake
    pq.write_table(pa.table({"item": pa.array([1, 1, 2], pa.int32()),
                             "valid_to": pa.array(ends, at)}), path)  # fmt: skip
    listeners = pq.read_table(Lake(settings.home).table("listeners"))
    report = retain(changed(settings, keep_catalog_days=100))
    assert report.counts["rows of the catalog's past"] == 1
    assert pq.read_table(path)["valid_to"].to_pylist() == [None, ends[2]]
    assert pq.read_table(Lake(settings.home).table("listeners")).equals(listeners)


def test_quarantines_of_old_ingests_go(settings: Settings) -> None:
    folder = Lake(settings.home).quarantine
    for name in ("20260101T000000-aaaaaa", "20260401T000000-bbbbbb", "by-hand"):
        (folder / name).mkdir(parents=True)
        (folder / name / "events.parquet").write_bytes(b"x" * 10)
    report = retain(changed(settings, keep_quarantine_days=30))
    assert report.counts["quarantines"] == 1
    assert sorted(p.name for p in folder.iterdir()) == ["20260401T000000-bbbbbb", "by-hand"]


def test_nothing_is_removed_while_work_is_under_way(settings: Settings) -> None:
    with at_work(settings.home), pytest.raises(TransientError, match="is at work"):
        retain(settings)
    assert len(Lake(settings.home).event_dates()) == 80


class Registry:
    """Versions 1 to 9, one a month, the newest first; what a test says of them."""

    def __init__(self, **about: dict[int, Any]) -> None:
        self.all = [
            SimpleNamespace(
                model="podcasts", version=n, name=f"podcasts v{n}",
                aliases=about.get("aliases", {}).get(n, ()),
                created_at=NOW - timedelta(days=30 * (10 - n)),
                promoted_at=(NOW - timedelta(days=30 * (10 - n)))
                if n in about.get("promoted", {}) else None,
                status="champion" if "champion" in about.get("aliases", {}).get(n, ()) else "former"
                if n in about.get("promoted", {}) else "reject",
                verdict=None,
            )
            for n in range(9, 0, -1)
        ]  # fmt: skip

    def versions(self, model: str) -> list[Any]:
        return self.all if model == "podcasts" else []

    def champions_of_last(self, model: str, days: int, now: datetime) -> list[Any]:
        from homerec.registry.history import in_order_of_promotion, past_champions

        promoted = in_order_of_promotion(self.versions(model))
        return past_champions(promoted, now - timedelta(days=days), now)


def numbers(registry: Registry, days: int = 60, used: tuple[int, ...] = ()) -> list[int]:
    found = removable_versions(registry, "podcasts", days, used, NOW)  # type: ignore[arg-type]
    return [v.version for v in found]


def test_only_old_versions_that_nothing_needs_go() -> None:
    aliases = {9: ("challenger",), 5: ("champion",)}
    promoted = dict.fromkeys((1, 3, 5))
    registry = Registry(aliases=aliases, promoted=promoted)
    # 5 is the champion, 3 the one to roll back to, 8 and 9 are young, 1 was champion long ago.
    assert numbers(registry) == [1, 2, 4, 6, 7]
    assert numbers(registry, used=(2, 7)) == [1, 4, 6]
    assert numbers(registry, days=3650) == []


def test_champions_of_the_last_90_days_stay() -> None:
    registry = Registry(aliases={9: ("champion",)}, promoted=dict.fromkeys((1, 5, 6, 7, 8, 9)))
    # 5 was replaced 120 days ago, 6 ninety days ago.
    assert numbers(registry, days=1) == [1, 2, 3, 4, 5]


def test_versions_go_with_their_trainings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    registry = Registry(aliases={9: ("champion",)}, promoted={9: None})
    monkeypatch.setattr(retention, "open_registry", lambda settings: registry)
    monkeypatch.setattr(
        retention, "removable_versions",
        lambda registry, model, days, used: removable_versions(registry, model, days, used, NOW),
    )  # fmt: skip
    monkeypatch.setattr(retention, "remove_version", lambda registry, v: removed.append(v.name))
    monkeypatch.setattr(retention, "version_bytes", lambda version: 1000)
    release = SimpleNamespace(
        release_id=3, stored=True, live=True, status="live", published_at=NOW,
        versions={"podcasts": {"mode": "champion", "version": 2}},
    )  # fmt: skip
    monkeypatch.setattr(retention, "releases", lambda settings: [release])
    lake = Lake(settings.home)
    for number in (1, 2, 9):
        folder = lake.training("podcasts", date(2026, number, 1))
        folder.mkdir(parents=True)
        write_json({"version": number}, folder / "challenge.json")
    months = changed(settings, keep_version_days=180)
    assert retain(months, dry_run=True).counts["versions"] == 2
    assert removed == []
    report = retain(months)
    assert removed == ["podcasts v1", "podcasts v3"]
    assert report.counts["trainings"] == 1
    left = lake.training("podcasts", date.min).parent.glob("*/challenge.json")
    assert sorted(json.loads(p.read_text())["version"] for p in left) == [2, 9]


def experiment(settings: Settings, name: str, days_ago: float, keys: list[str]) -> None:
    """A kept experiment that was last run some days ago, with its results."""
    folders = Folders.of(settings)
    at = datetime.now(UTC) - timedelta(days=days_ago)
    record = Record(
        name, "podcasts", "", "name: x", ["ndcg"], [], [1],
        [("2026-03-01", "2026-03-08")], ("2026-03-08", "2026-03-15"),
        created_at=at.isoformat(timespec="seconds"), cell_keys=keys,
    )  # fmt: skip
    folders.record(name).mkdir(parents=True)
    record.write(folders.record(name))
    for key in keys:
        result(settings, key, days_ago)


def result(settings: Settings, key: str, days_ago: float) -> Path:
    path = Folders.of(settings).cells / key
    path.mkdir(parents=True, exist_ok=True)
    (path / "result.json").write_text("{}" * 50, encoding="utf-8")
    aged(path, days_ago)
    return path


def aged(path: Path, days_ago: float) -> None:
    moment = (datetime.now(UTC) - timedelta(days=days_ago)).timestamp()
    os.utime(path, (moment, moment))


def left(settings: Settings) -> tuple[list[str], list[str]]:
    folders = Folders.of(settings)
    return (
        [record.name for record in records(settings)],
        sorted(path.name for path in folders.cells.iterdir()),
    )


def test_experiments_go_with_the_results_that_no_other_one_uses(settings: Settings) -> None:
    experiment(settings, "old", 31, ["only-old", "shared"])
    experiment(settings, "young", 29, ["shared", "only-young"])
    # Of a file that was changed and run again: named by no record any more.
    result(settings, "stray-old", 31)
    result(settings, "stray-young", 29)
    looks = Folders.of(settings).looks
    write_json([], looks)
    fits = [Folders.of(settings).stage1 / name for name in ("used", "unused")]
    for fit, age in zip(fits, (13, 15), strict=True):
        fit.mkdir(parents=True)
        aged(fit, age)
    month = changed(settings, keep_experiment_days=30)
    before = left(settings)
    planned = retain(month, dry_run=True).counts
    assert left(settings) == before
    report = retain(month)
    assert report.counts == planned
    assert (report.counts["experiments"], report.counts["results of experiments"]) == (1, 2)
    assert report.counts["fits of experiments"] == 1
    assert left(settings) == (["young"], ["only-young", "shared", "stray-young"])
    assert [fit.exists() for fit in fits] == [True, False]
    assert looks.exists()
    row = next(row for row in report.rows if row[0] == "experiments")
    assert row[1] == "keep_experiment_days = 30"
    assert row[4] == "old"
    assert retain(month).counts["results of experiments"] == 0


def test_all_experiments_can_be_kept(settings: Settings) -> None:
    experiment(settings, "old", 3_000, ["one"])
    assert retain(changed(settings, keep_experiment_days=None)).counts["experiments"] == 0
    assert left(settings) == (["old"], ["one"])


def test_a_deployment_without_experiments_has_none_to_remove(settings: Settings) -> None:
    assert retain(settings).counts["experiments"] == 0


def test_an_experiment_that_cannot_be_read_removes_nothing_of_the_others(
    settings: Settings,
) -> None:
    experiment(settings, "old", 300, ["one"])
    experiment(settings, "torn", 300, ["two"])
    write_json({"name": "torn"}, Folders.of(settings).record("torn") / "experiment.json")
    with pytest.raises(ExperimentError, match=r"torn.*remove its folder"):
        retain(settings)
    assert len(list(Folders.of(settings).cells.iterdir())) == 2
