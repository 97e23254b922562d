"""Experiments on disk: what each asked and found, and how often a test window was looked at."""

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from homerec.errors import ExperimentError
from homerec.lake import Lake, is_locked, locked, read_json, write_json
from homerec.registry.bootstrap import Interval
from homerec.settings import Settings
from homerec.training.experiments.comparing import Row, SegmentRow

logger = logging.getLogger(__name__)

#: Stage-1 fits that nothing used for so long are removed.
_UNUSED_DAYS: Final = 14


@dataclass(frozen=True)
class Folders:
    """Where things lie, below ``experiments/`` of the data folder."""

    root: Path

    @classmethod
    def of(cls, settings: Settings) -> "Folders":
        """Return those of a deployment."""
        return cls(Lake(settings.home).experiments)

    @property
    def cells(self) -> Path:
        """Results by checksum; experiments share them."""
        return self.root / "results"

    @property
    def stage1(self) -> Path:
        """Fits of candidate sources by checksum."""
        return self.root / "stage1"

    @property
    def looks(self) -> Path:
        """Every look at a test window."""
        return self.root / "test-looks.json"

    def record(self, name: str) -> Path:
        """Folder of one experiment."""
        return self.root / "named" / name


@dataclass
class Record:
    """What is kept of an experiment.

    Attributes
    ----------
    name, model, about : str
    text : str
        The file.
    metrics : list of str
    segments : list of str
    seeds : list of int
    validation, test : list of (str, str), (str, str)
        Windows judged: first day and end.
    status : {"running", "done", "stopped", "failed"}
        A running one whose process is gone is read as stopped.
    n_configurations : int
        Tried.
    n_failed : int
    champion : str
        Who it was compared with, and whether refitted; empty without one.
    rows : list of Row
        On the validation windows, best first.
    winner : str or None
    test_rows : list of Row
        On the test window.
    test_intervals : dict of str to Interval
        The winner's difference to each other there.
    segment_rows : list of SegmentRow
        On the test window.
    earlier_looks : int
        At this model's test window, by any experiment with another winner.
    n_computed, n_kept : int
        Cells fitted by the last run, and cells it found finished.
    seconds : float
        Wall time of the last run.
    processes : int
    created_at : str
    cell_keys : list of str
    runs : dict of str to str
        MLflow's run of each configuration, by the checksums of its cells.
    """

    name: str
    model: str
    about: str
    text: str
    metrics: list[str]
    segments: list[str]
    seeds: list[int]
    validation: list[tuple[str, str]]
    test: tuple[str, str]
    status: str = "running"
    n_configurations: int = 0
    n_failed: int = 0
    champion: str = ""
    rows: list[Row] = field(default_factory=list)
    winner: str | None = None
    test_rows: list[Row] = field(default_factory=list)
    test_intervals: dict[str, Interval] = field(default_factory=dict)
    segment_rows: list[SegmentRow] = field(default_factory=list)
    earlier_looks: int = 0
    n_computed: int = 0
    n_kept: int = 0
    seconds: float = 0.0
    processes: int = 0
    created_at: str = ""
    cell_keys: list[str] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Keep it."""
        write_json(asdict(self), folder / "experiment.json")

    @classmethod
    def read(cls, folder: Path) -> "Record":
        """Read what :meth:`write` wrote.

        Raises
        ------
        ExperimentError
            It was written by an incompatible homerec, or is damaged.
        """
        try:
            raw: dict[str, Any] = read_json(folder / "experiment.json")
            if raw["status"] == "running" and not is_locked(folder):
                raw["status"] = "stopped"
            return cls(
                **{
                    **raw,
                    "validation": [(a, b) for a, b in raw["validation"]],
                    "test": (raw["test"][0], raw["test"][1]),
                    "rows": [Row.from_json(r) for r in raw["rows"]],
                    "test_rows": [Row.from_json(r) for r in raw["test_rows"]],
                    "test_intervals": {k: Interval(**v) for k, v in raw["test_intervals"].items()},
                    "segment_rows": [
                        SegmentRow(**{**r, "difference": Interval(**r["difference"])})
                        for r in raw["segment_rows"]
                    ],
                }
            )
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ExperimentError(
                f"{folder / 'experiment.json'} cannot be read ({error!r}). Run the experiment "
                "again, or remove its folder."
            ) from error


def records(settings: Settings, *, readable: bool = False) -> Iterator[Record]:
    """Yield what is kept, by name.

    Parameters
    ----------
    settings : Settings
    readable : bool
        Leave out what cannot be read, with a warning: to look at the others, never to remove what
        they do not use.

    Raises
    ------
    ExperimentError
        One cannot be read.
    """
    folder = Folders.of(settings).record("x").parent
    for path in sorted(folder.glob("*/experiment.json")):
        try:
            yield Record.read(path.parent)
        except ExperimentError as error:
            if not readable:
                raise
            logger.warning("%s", error)


def read_record(settings: Settings, name: str) -> Record:
    """Read one experiment.

    Raises
    ------
    ExperimentError
        There is none of that name.
    """
    folder = Folders.of(settings).record(name)
    if "/" in name or not (folder / "experiment.json").exists():
        known = ", ".join(r.name for r in records(settings, readable=True)) or "none"
        raise ExperimentError(f"There is no experiment {name}; kept are {known}.")
    return Record.read(folder)


def remove_record(settings: Settings, name: str) -> int:
    """Remove an experiment and the results that no other one uses; its MLflow runs stay.

    Returns
    -------
    int
        Results removed.
    """
    gone = read_record(settings, name)
    folders = Folders.of(settings)
    used = {key for other in records(settings) if other.name != name for key in other.cell_keys}
    doomed = [folders.cells / key for key in gone.cell_keys if key not in used]
    doomed = [path for path in doomed if path.is_dir()]
    for path in [*doomed, folders.record(name)]:
        shutil.rmtree(path)
    return len(doomed)


def look(
    settings: Settings, record: Record, winner_key: Sequence[str], winner_values: dict[str, Any]
) -> int:
    """Note that a test window is looked at; returns how often it was for other configurations.

    Parameters
    ----------
    settings : Settings
    record : Record
    winner_key : sequence of str
        Checksums of the winner's test cells: the same look again is no new one.
    winner_values : dict
        What the winner changes.
    """
    path = Folders.of(settings).looks
    with locked(path):
        seen: list[dict[str, Any]] = read_json(path) if path.exists() else []
        mine = [s for s in seen if s["model"] == record.model and s["test"] == list(record.test)]
        keys = sorted(winner_key)
        if all(s["keys"] != keys for s in mine):
            seen.append(
                {
                    "model": record.model,
                    "test": list(record.test),
                    "experiment": record.name,
                    "values": winner_values,
                    "keys": keys,
                    "at": datetime.now(UTC).isoformat(timespec="seconds"),
                }
            )
            write_json(seen, path)
    return sum(s["keys"] != keys for s in mine)


def unused_fits(settings: Settings) -> list[Path]:
    """Folders of the stage-1 fits that nothing used for 14 days."""
    folder = Folders.of(settings).stage1
    oldest = time.time() - _UNUSED_DAYS * 86_400
    return [
        path for path in sorted(folder.iterdir() if folder.is_dir() else ())
        if path.is_dir() and path.stat().st_mtime < oldest
    ]  # fmt: skip


def drop_unused(settings: Settings) -> int:
    """Remove stage-1 fits that nothing used for 14 days; returns how many."""
    doomed = unused_fits(settings)
    for path in doomed:
        shutil.rmtree(path)
    return len(doomed)
