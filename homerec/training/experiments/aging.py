"""Experiments that are older than they are kept, with the results that no other one uses."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from homerec.settings import Settings
from homerec.training.experiments.keeping import Folders, records, unused_fits


@dataclass
class Expired:
    """What is older than it is kept.

    Attributes
    ----------
    names : list of str
        Experiments, by name.
    results : list of Path
        Folders of results that no other experiment uses.
    fits : list of Path
        Stage-1 fits that nothing used for long, see
        :func:`homerec.training.experiments.keeping.unused_fits`.
    records : list of Path
        Folders of the experiments.
    """

    names: list[str] = field(default_factory=list)
    results: list[Path] = field(default_factory=list)
    fits: list[Path] = field(default_factory=list)
    records: list[Path] = field(default_factory=list)

    @property
    def in_order(self) -> list[Path]:
        """All folders; a record goes last, for it names the results that must go with it."""
        return [*self.results, *self.fits, *self.records]


def expired(settings: Settings, days: int, now: datetime | None = None) -> Expired:
    """Find the experiments that were last run more than some days ago.

    A result goes with the last experiment that uses it. One that no experiment names any more,
    because its file was changed and run again, goes when it is as old itself. The looks at test
    windows stay for good: a window that was looked at has been looked at.

    Parameters
    ----------
    settings : Settings
    days : int
        Kept are those that were run at most so many days ago.
    now : datetime, optional
        Aware, by default the clock's: an experiment is work of today, also on old data.

    Returns
    -------
    Expired

    Raises
    ------
    ExperimentError
        A record cannot be read, so that nobody knows what it uses.
    """
    oldest = (now or datetime.now(UTC)) - timedelta(days=days)
    folders, found, used = Folders.of(settings), Expired(), set[str]()
    for record in records(settings):
        if _moment(record.created_at) < oldest:
            found.names.append(record.name)
            found.records.append(folders.record(record.name))
        else:
            used |= set(record.cell_keys)
    named = {key for record in records(settings) for key in record.cell_keys}
    for path in sorted(folders.cells.iterdir() if folders.cells.is_dir() else ()):
        if path.name in used or path.name.startswith("."):
            continue
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        if path.name in named or written < oldest:
            found.results.append(path)
    found.fits = unused_fits(settings)
    return found


def _moment(text: str) -> datetime:
    """Read a record's moment; records of before, without one, are as old as can be."""
    return datetime.fromisoformat(text) if text else datetime.min.replace(tzinfo=UTC)
