# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""All of retention: releases, versions, snapshots, nights, events, catalog, training, quarantine.

Ages of data are counted from the newest data, not from the clock, so that a deployment that works
on past data is not emptied; versions and experiments are dated by the clock, as work of today.
"""

import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from homerec.errors import SettingsError
from homerec.housekeeping import tidy
from homerec.ingest.quoting import ident, text
from homerec.ingest.report import text_table
from homerec.lake import Lake, alone, atomic_file, connect, read_json, write_json
from homerec.models import get_model, model_names
from homerec.registry.loading import open_registry
from homerec.registry.removal import removable_versions, remove_version, version_bytes
from homerec.release import keep, releases
from homerec.release.info import ReleaseInfo
from homerec.settings import Settings
from homerec.training.experiments.aging import expired
from homerec.training.fitting import Plan

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
_PARTITIONED: Final = ("events", "impressions")
_ENDS: Final = "valid_to"
_INGEST_ID: Final = re.compile(r"(\d{8})T\d{6}-")
_ALL: Final = "all are kept"


@dataclass
class RetentionReport:
    """What was removed, or would be.

    Attributes
    ----------
    rows : list of (str, str, int, int, str)
        What, the setting that says so, how many, bytes, and which.
    dry_run : bool
        Nothing was removed.
    """

    rows: list[tuple[str, str, int, int, str]] = field(default_factory=list)
    dry_run: bool = False

    def add(self, what: str, setting: str, n: int, n_bytes: int, which: str = "") -> None:
        """Note one kind of things."""
        self.rows.append((what, setting, n, n_bytes, which))

    @property
    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return {what: n for what, _, n, _, _ in self.rows}

    def render(self) -> str:
        """Write as a table."""
        verb = "would go" if self.dry_run else "gone"
        cells = [
            (what, setting, n, f"{n_bytes / 1e6:,.1f}", which)
            for what, setting, n, n_bytes, which in self.rows
        ]
        return text_table(("what", "kept by", verb, "MB", "which"), cells)


def retain(
    settings: Settings, *, dry_run: bool = False, progress: Progress = logger.info
) -> RetentionReport:
    """Remove what is older than the settings say and what nothing needs any more.

    Kept at any age: the live release and the one to roll back to, with their snapshots and nights;
    the champion, the champion before it, the champions of the last 90 days, the challenger, and
    versions that a kept release was made with, with the snapshots they learned from; the last
    seven snapshots that passed their drift check.

    Parameters
    ----------
    settings : Settings
        ``keep_releases`` and the settings that begin with ``keep_``.
    dry_run : bool
        Only say what would be removed.
    progress : callable
        Receives one line a part.

    Returns
    -------
    RetentionReport

    Raises
    ------
    SettingsError
        ``keep_event_days`` is less than features and training need; nothing is removed.
    TransientError
        An ingest, a training or a night is at work.
    DatabaseError, RegistryError, ArtifactError, ExperimentError
        It cannot be told what is needed.
    """
    check_event_days(settings)
    report = RetentionReport(dry_run=dry_run)
    with alone(settings.home):
        # What is needed is told by releases, then by versions: in this order.
        progress("housekeeping: releases")
        kept = _releases(settings, report)
        progress("housekeeping: versions")
        _versions(settings, report, kept)
        progress("housekeeping: snapshots and nights")
        found = tidy(settings, settings.keep_snapshot_days, dry_run=dry_run)
        setting = f"keep_snapshot_days = {settings.keep_snapshot_days}"
        report.add(
            "snapshots", setting, len(found.snapshots), found.n_bytes, _span(found.snapshots)
        )
        report.add("nights", setting, len(found.nights), 0, _span(found.nights))
        report.add("leftovers", "a day", len(found.leftovers), 0)
        progress("housekeeping: lake")
        _events(settings, report)
        _catalog(settings, report)
        _quarantine(settings, report)
        progress("housekeeping: experiments")
        _experiments(settings, report)
    logger.info("%s", report.render())
    return report


def check_event_days(settings: Settings) -> None:
    """See that no event is removed that a feature or a training of today would read.

    Raises
    ------
    SettingsError
        Too few days are kept.
    """
    days = settings.keep_event_days
    if days is None:
        return
    if settings.history_days is None:
        raise SettingsError(
            f"keep_event_days is {days}, but history_days is not set, so features read every event "
            "there is. Set history_days to what features may read, and keep_event_days above it."
        )
    as_of = date(2000, 1, 1)
    back = max((as_of - Plan.of(get_model(m, settings), as_of).sources_date).days
               for m in model_names())  # fmt: skip
    least = settings.history_days + back + settings.max_days_without_events
    if days < least:
        raise SettingsError(
            f"keep_event_days is {days}, at least {least} are needed: a retraining goes {back} "
            f"days back, and reads {settings.history_days} days (history_days) of events before "
            "that. Raise keep_event_days or lower history_days."
        )


def _releases(settings: Settings, report: RetentionReport) -> list[ReleaseInfo]:
    setting = f"keep_releases = {settings.keep_releases}"
    every = releases(settings)
    if report.dry_run:
        # As the rule of `keep` says: the newest stay, the live one and the one before it too.
        stored = [r for r in every if r.stored]
        live = next((r for r in stored if r.live), None)
        published = [
            r for r in stored
            if live and live.published_at and r.status == "retired" and r.published_at
            and r.published_at < live.published_at
        ]  # fmt: skip
        back = max(published, key=lambda r: str(r.published_at), default=None)
        stay = {r.release_id for r in stored[: settings.keep_releases]}
        stay |= {r.release_id for r in (live, back) if r is not None}
        gone = [r.release_id for r in stored if r.release_id not in stay]
    else:
        gone = keep(settings, settings.keep_releases)
    report.add("releases", setting, len(gone), 0, ", ".join(map(str, sorted(gone))))
    return [r for r in every if r.stored and r.release_id not in gone]


def _versions(settings: Settings, report: RetentionReport, kept: list[ReleaseInfo]) -> None:
    days = settings.keep_version_days
    if days is None:
        report.add("versions", _ALL, 0, 0)
        return
    registry = open_registry(settings)
    named, n_bytes, folders = [], 0, []
    for model in model_names():
        used = {n for r in kept if (n := _used(r, model)) is not None}
        doomed = removable_versions(registry, model, days, used)
        folders += _training_folders(settings, model, {v.version for v in doomed})
        for version in doomed:
            n_bytes += version_bytes(version)
            named.append(version.name)
            if not report.dry_run:
                remove_version(registry, version)
    setting = f"keep_version_days = {days}"
    report.add("versions", setting, len(named), n_bytes, ", ".join(named))
    report.add("trainings", setting, len(folders), sum(map(_size, folders)))
    if not report.dry_run:
        for folder in folders:
            shutil.rmtree(folder)


def _used(release: ReleaseInfo, model: str) -> int | None:
    found: Any = release.versions.get(model)
    number = found.get("version") if isinstance(found, dict) else found
    return int(number) if number is not None else None


def _training_folders(settings: Settings, model: str, doomed: set[int]) -> list[Path]:
    """Find the evaluations of versions that go."""
    folder = Lake(settings.home).training(model, date.min).parent
    return [
        path.parent
        for path in sorted(folder.glob("as_of=*/challenge.json"))
        if read_json(path)["version"] in doomed
    ]


def _events(settings: Settings, report: RetentionReport) -> None:
    lake, days = Lake(settings.home), settings.keep_event_days
    newest = lake.event_dates()[-1:]
    if days is None or not newest:
        report.add("days of events", _ALL, 0, 0)
        return
    oldest = newest[0] - timedelta(days=days - 1)
    doomed = [
        (day, path)
        for name in _PARTITIONED
        if (folder := lake.partitions(name)).is_dir()
        for path in sorted(folder.glob("date=????-??-??"))
        if (day := date.fromisoformat(path.name.removeprefix("date="))) < oldest
    ]
    gone = sorted({day for day, _ in doomed})
    n_bytes = sum(_size(path) for _, path in doomed)
    report.add("days of events", f"keep_event_days = {days}", len(gone), n_bytes, _span(gone))
    if doomed and not report.dry_run:
        # First: a snapshot that is computed meanwhile must not miss a part unnoticed.
        before = lake.events_from()
        day = max(oldest, before) if before else oldest
        write_json({"day": day.isoformat()}, lake.events_from_file)
        for _, path in doomed:
            shutil.rmtree(path)


def _catalog(settings: Settings, report: RetentionReport) -> None:
    """Remove rows that ended to hold long ago, from every table that keeps its history."""
    lake, days = Lake(settings.home), settings.keep_catalog_days
    newest = lake.event_dates()[-1:]
    if days is None or not newest:
        report.add("rows of the catalog's past", _ALL, 0, 0)
        return
    oldest = datetime(newest[0].year, newest[0].month, newest[0].day) - timedelta(days=days)  # noqa: DTZ001 - as in the lake
    total, names = 0, []
    with connect(settings) as connection:
        for path in sorted(lake.tables.glob("*.parquet")):
            if _ENDS not in pq.read_schema(path).names:
                continue
            source = f"read_parquet({text(path)})"
            past = f"{ident(_ENDS)} IS NOT NULL AND {ident(_ENDS)} < $oldest"
            rows = connection.execute(
                f"SELECT count(*) FROM {source} WHERE {past}", {"oldest": oldest}
            ).fetchall()
            n = int(rows[0][0])
            if not n:
                continue
            total += n
            names.append(f"{path.stem} {n:,}")
            if not report.dry_run:
                with atomic_file(path) as target:
                    connection.execute(
                        f"COPY (SELECT * FROM {source} WHERE NOT coalesce({past}, false)) "
                        f"TO {text(target)} (FORMAT parquet, COMPRESSION zstd)",
                        {"oldest": oldest},
                    )
    setting = f"keep_catalog_days = {days}"
    report.add("rows of the catalog's past", setting, total, 0, ", ".join(names))


def _quarantine(settings: Settings, report: RetentionReport) -> None:
    days, folder = settings.keep_quarantine_days, Lake(settings.home).quarantine
    dated = [
        (datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC), path)
        for path in sorted(folder.glob("*") if folder.is_dir() else ())
        if (match := _INGEST_ID.match(path.name))
    ]
    if days is None or not dated:
        report.add("quarantines", _ALL if days is None else f"keep_quarantine_days = {days}", 0, 0)
        return
    oldest = max(day for day, _ in dated) - timedelta(days=days)
    doomed = [path for day, path in dated if day < oldest]
    n_bytes = sum(map(_size, doomed))
    report.add("quarantines", f"keep_quarantine_days = {days}", len(doomed), n_bytes)
    if not report.dry_run:
        for path in doomed:
            shutil.rmtree(path)


def _experiments(settings: Settings, report: RetentionReport) -> None:
    days = settings.keep_experiment_days
    if days is None:
        report.add("experiments", _ALL, 0, 0)
        return
    found, setting = expired(settings, days), f"keep_experiment_days = {days}"
    sizes = [sum(map(_size, paths)) for paths in (found.records, found.results, found.fits)]
    report.add("experiments", setting, len(found.names), sizes[0], ", ".join(found.names))
    report.add("results of experiments", setting, len(found.results), sizes[1])
    report.add("fits of experiments", "14 days unused", len(found.fits), sizes[2])
    if not report.dry_run:
        for path in found.in_order:
            shutil.rmtree(path)


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _span(days: list[date]) -> str:
    if not days:
        return ""
    return f"{min(days)} to {max(days)}" if len(days) > 1 else str(days[0])
