"""Retention: what a deployment keeps of past nights, and what it may remove.

Ages are counted from the newest night of the deployment, not from the clock, so that one that works
on past data is not emptied.
"""

import logging
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from homerec.errors import SettingsError
from homerec.features.snapshot import SnapshotInfo, load_snapshot
from homerec.lake import Lake
from homerec.models import model_names
from homerec.registry.loading import open_registry
from homerec.registry.version import Version
from homerec.release import releases
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: What was written in the last day may be in use: a backfill of an old date is young.
_IN_USE_SECONDS: Final = 86_400
#: Passed snapshots that are kept in any case: drift compares with the last, a week covers each
#: weekday.
_PASSED_KEPT: Final = 7
_DATED: Final = re.compile(r"as_of=(\d{4}-\d{2}-\d{2})")


@dataclass
class TidyReport:
    """What was removed, or would be.

    Attributes
    ----------
    snapshots, nights : list of date
        As_of of the removed folders, ascending.
    leftovers : list of Path
        Temporary files and folders of processes that died.
    n_bytes : int
        What all of it took on disk.
    dry_run : bool
        Nothing was removed.
    """

    snapshots: list[date] = field(default_factory=list)
    nights: list[date] = field(default_factory=list)
    leftovers: list[Path] = field(default_factory=list)
    n_bytes: int = 0
    dry_run: bool = False

    def render(self) -> str:
        """Write for people."""
        verb = "Would remove" if self.dry_run else "Removed"
        return (
            f"{verb} {len(self.snapshots)} snapshots, {len(self.nights)} nights and "
            f"{len(self.leftovers)} leftovers, {self.n_bytes / 1e6:,.1f} MB."
        )


def tidy(settings: Settings, days: int, *, dry_run: bool = False) -> TidyReport:
    """Remove snapshots and nights that are older than some days and that nothing needs any more.

    Kept at any age: the snapshots that a champion, a former champion or a challenger learned
    from; snapshot and night of every release whose Homes are stored (the live one and the one to
    roll back to among them); the last seven snapshots that passed their drift check; and whatever
    was written in the last 24 hours.

    Parameters
    ----------
    settings : Settings
    days : int
        What is at most so many days older than the newest night or snapshot stays.
    dry_run : bool
        Only say what would be removed.

    Raises
    ------
    SettingsError
        ``days`` is below 1.
    DatabaseError, TransientError, RegistryError, ArtifactError
        It cannot be told what is needed; then nothing is removed.
    """
    if days < 1:
        raise SettingsError(f"days is {days}, at least 1 must be kept.")
    lake = Lake(settings.home)
    snapshots, nights = _dated(lake.snapshot(date.min)), _dated(lake.night(date.min))
    report = TidyReport(dry_run=dry_run)
    if snapshots or nights:
        oldest = max([*snapshots, *nights]) - timedelta(days=days)
        released = {release.as_of for release in releases(settings) if release.stored}
        needed = released | _learned_from(settings) | _last_passed(settings, snapshots)
        report.snapshots = _removable(snapshots, oldest, needed)
        report.nights = _removable(nights, oldest, released)
    report.leftovers = _leftovers(settings.home)
    doomed = [
        *(snapshots[day] for day in report.snapshots),
        *(nights[day] for day in report.nights),
        *report.leftovers,
    ]
    report.n_bytes = sum(_size(path) for path in doomed)
    if not dry_run:
        for path in doomed:
            _remove(path)
    return report


def _dated(example: Path) -> dict[date, Path]:
    folder = example.parent
    if not folder.is_dir():
        return {}
    found = ((_DATED.fullmatch(path.name), path) for path in folder.iterdir())
    return {date.fromisoformat(match[1]): path for match, path in found if match}


def _learned_from(settings: Settings) -> set[date]:
    """Dates of the snapshots behind every version that is or may again be in production."""
    registry = open_registry(settings)
    versions = (version for name in model_names() for version in registry.versions(name))
    kept = (version for version in versions if _may_serve(version))
    return {
        date.fromisoformat(str(day))
        for version in kept
        for day in version.manifest().values["training_snapshots"]
    }


def _may_serve(version: Version) -> bool:
    return version.promoted_at is not None or bool(version.aliases)


def _last_passed(settings: Settings, days: Iterable[date]) -> set[date]:
    kept: set[date] = set()
    for day in sorted(days, reverse=True):
        info: SnapshotInfo | None = load_snapshot(settings, day)
        if info is not None and info.passed:
            kept.add(day)
        if len(kept) == _PASSED_KEPT:
            break
    return kept


def _removable(found: dict[date, Path], oldest: date, needed: set[date]) -> list[date]:
    return sorted(
        day
        for day, path in found.items()
        if day < oldest and day not in needed and not _in_use(path)
    )


def _leftovers(home: Path) -> list[Path]:
    hidden = [
        path
        for folder in ("snapshots", "nights", "training", "lake", "experiments")
        for path in (home / folder).rglob(".*.tmp")
    ]
    # What lies inside another leftover goes with it.
    outer = [path for path in hidden if not any(parent in hidden for parent in path.parents)]
    scratch = home / "tmp"
    outer += scratch.iterdir() if scratch.is_dir() else ()
    return sorted(path for path in outer if not _in_use(path))


def _in_use(path: Path) -> bool:
    newest = max((p.lstat().st_mtime for p in [path, *_inside(path)]), default=0.0)
    return time.time() - newest < _IN_USE_SECONDS


def _inside(path: Path) -> list[Path]:
    return list(path.rglob("*")) if path.is_dir() and not path.is_symlink() else []


def _size(path: Path) -> int:
    return sum(p.lstat().st_size for p in [path, *_inside(path)] if not p.is_dir())


def _remove(path: Path) -> None:
    logger.info("removing %s", path)
    if path.is_dir() and not path.is_symlink():
        # A folder that is half gone would be taken for a damaged one: move it out of sight first.
        gone = path.with_name(f".{path.name}.gone.tmp")
        path.replace(gone)
        shutil.rmtree(gone)
    else:
        path.unlink(missing_ok=True)
