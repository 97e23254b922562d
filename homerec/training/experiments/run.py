"""Running an experiment: choose on the validation windows, judge once on the test window."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from homerec.errors import ExperimentError
from homerec.features.snapshot import SnapshotInfo, ensure_snapshot
from homerec.lake import at_work, is_locked, locked
from homerec.registry.store import Registry
from homerec.settings import Settings
from homerec.training.experiments.cell import Cell, CellResult, is_finished, read_result
from homerec.training.experiments.comparing import (
    difference,
    pool,
    rows,
    segment_rows,
    winner,
)
from homerec.training.experiments.keeping import Folders, Record, drop_unused, look
from homerec.training.experiments.parameters import CURRENT
from homerec.training.experiments.planning import CHAMPION, Experiment, cells, saw
from homerec.training.experiments.pool import Bench, Crew, free_bytes
from homerec.training.experiments.tracking import track
from homerec.training.labels import Labels, read_labels

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
_GB = 1024**3


@dataclass(frozen=True)
class Options:
    """How an experiment is run; nothing here changes a result.

    Attributes
    ----------
    jobs : int or None
        Processes at most; ``None`` is one a core.
    again : bool
        Compute finished cells too.
    share : bool
        Off, nothing is shared between configurations, to measure what it saves.
    quiet : bool
        No progress bar.
    html : Path or None
        Where the report goes beside the experiment's own folder.
    """

    jobs: int | None = None
    again: bool = False
    share: bool = True
    quiet: bool = False
    html: Path | None = None


def run_experiment(
    settings: Settings,
    experiment: Experiment,
    registry: Registry | None,
    options: Options | None = None,
    progress: Progress = logger.info,
) -> Record:
    """Run what is not finished, compare, judge the winner, and keep it all.

    Parameters
    ----------
    settings : Settings
    experiment : Experiment
        From :func:`homerec.training.experiments.planning.plan_experiment`.
    registry : Registry or None
        Its MLflow gets the runs; ``None`` logs nothing.
    options : Options, optional
    progress : callable
        Receives one line per step.

    Returns
    -------
    Record
        Also kept in the data folder, with ``report.html``.

    Raises
    ------
    ExperimentError
        Every configuration failed.
    EmptyInput, SnapshotError
        A snapshot cannot be computed.
    """
    chosen = options or Options()
    folder = Folders.of(settings).record(experiment.file.name)
    if is_locked(folder):
        progress(f"experiment: another process runs {experiment.file.name}; waiting for its end")
    with at_work(settings.home), locked(folder):
        return _Run(settings, experiment, registry, chosen, progress).go()


class _Run:
    def __init__(
        self,
        settings: Settings,
        experiment: Experiment,
        registry: Registry | None,
        options: Options,
        progress: Progress,
    ) -> None:
        self.settings = settings
        self.experiment = experiment
        self.registry = registry
        self.options = options
        self.progress = progress
        self.folders = Folders.of(settings)
        self.folder = self.folders.record(experiment.file.name)
        self.record = _new_record(experiment, self.folder)
        self.values = {one.name: one.values for one in experiment.configurations}
        self.metrics = list(experiment.file.metrics)
        self.labels: dict[date, Labels] = {}
        self.done: set[str] = set()

    def go(self) -> Record:
        started = time.perf_counter()
        record = self.record
        drop_unused(self.settings)
        self._read()
        record.write(self.folder)
        try:
            with Crew(self._bench(), self.options.jobs, quiet=self.options.quiet) as self.crew:
                found = self._validate()
                if record.winner is not None:
                    self._test(record.winner)
            record.status = "done" if record.winner is not None else "failed"
        except KeyboardInterrupt:
            record.status = "stopped"
            raise
        except BaseException:
            record.status = "failed"
            raise
        finally:
            record.seconds = round(time.perf_counter() - started, 1)
            record.write(self.folder)
        self._publish(found)
        if record.winner is None:
            reason = next(r.error for r in record.rows if r.error and r.name in self.values)
            raise ExperimentError(
                f"All {record.n_configurations} configurations of {record.name} failed; the first "
                f"says: {reason}"
            )
        return record

    def _read(self) -> None:
        """Make the snapshots and read the labels, once for all."""
        needed = self.experiment.snapshots()
        infos: dict[date, SnapshotInfo] = {}
        for number, day in enumerate(needed, start=1):
            self.progress(f"experiment: snapshot {number} of {len(needed)}, {day}")
            infos[day] = ensure_snapshot(self.settings, day, writer="training")
        for day, info in infos.items():
            self.labels[day] = read_labels(self.settings, self.experiment.spec, info)

    def _bench(self) -> Bench:
        limit = min(2 * _GB, int(free_bytes() / 4 / self.settings.n_threads))
        folder, cache = self.folders.cells, self.folders.stage1
        return Bench(self.settings, self.labels, folder, cache, limit, self.options.share)

    def _validate(self) -> dict[str, list[Cell]]:
        experiment, record = self.experiment, self.record
        found = cells(self.settings, experiment, experiment.configurations, experiment.validation)
        results = self._run(found)
        seed = self.settings.seed
        record.rows = rows(found, results, self.values, self.metrics, seed)
        record.n_failed = sum(bool(r.error) for r in record.rows)
        order = [one.name for one in experiment.configurations]
        record.winner = winner(record.rows, experiment.metric, order)
        return found

    def _test(self, name: str) -> None:
        """Judge the winner once, on days that chose nothing."""
        experiment, record = self.experiment, self.record
        shown = {name, CURRENT}
        some = [one for one in experiment.configurations if one.name in shown]
        found = cells(self.settings, experiment, some, [experiment.test])
        self.progress(f"experiment: judging {name} on the test window")
        results = self._run(found)
        seed, metric = self.settings.seed, experiment.metric
        keys = [c.key for c in found[name]]
        record.earlier_looks = look(self.settings, record, keys, self.values[name])
        record.test_rows = rows(found, results, self.values, self.metrics, seed)
        failed = {r.name for r in record.test_rows if r.error}
        record.n_failed += len(failed)
        if name in failed:
            return
        ours = pool(found[name], results)
        record.test_intervals = {
            who: difference(ours, pool(theirs, results), metric, seed)
            for who, theirs in found.items()
            if who != name and who not in failed
        }
        record.segment_rows = segment_rows(found, results, name, metric, experiment.segments, seed)

    def _run(self, found: dict[str, list[Cell]]) -> dict[str, CellResult]:
        every = {cell.key: cell for several in found.values() for cell in several}
        folder = self.folders.cells
        again = self.options.again
        todo = [
            cell
            for key, cell in every.items()
            if key not in self.done and (again or not is_finished(folder, key))
        ]
        self.record.n_kept += len(every) - len(todo)
        self.record.n_computed += len(todo)
        self.progress(
            f"experiment: {len(todo)} fits to make, {len(every) - len(todo)} are finished already"
        )
        self.crew.run(todo)
        self.record.processes = max(self.record.processes, self.crew.n)
        self.done |= every.keys()
        self.record.cell_keys = sorted({*self.record.cell_keys, *every})
        return {key: read_result(folder, key) for key in every}

    def _publish(self, found: dict[str, Sequence[Cell]] | dict[str, list[Cell]]) -> None:
        from homerec.training.experiments.page import experiment_page

        page = experiment_page(self.record)
        report = self.folder / "report.html"
        page.write(report)
        if self.options.html is not None:
            page.write(self.options.html)
        if self.registry is not None:
            self.progress("experiment: logging to MLflow")
            specs = {one.name: one.spec for one in self.experiment.configurations}
            track(self.registry, self.record, found, specs, report)
        self.record.write(self.folder)


def _new_record(experiment: Experiment, folder: Path) -> Record:
    file, champion = experiment.file, experiment.champion
    about = ""
    if champion is not None:
        windows = (*experiment.validation, experiment.test)
        refitted = [str(d) for d in windows if saw(champion, experiment, d)]
        about = f"{CHAMPION} {champion.name}"
        if refitted:
            about += (
                f", its configuration fitted anew before each window that its own labels (until "
                f"{champion.labels_end}) reach into"
            )
    runs = {}
    if (folder / "experiment.json").exists():
        runs = Record.read(folder).runs
    return Record(
        name=file.name,
        model=experiment.spec.name,
        about=file.about,
        text=file.source.text,
        metrics=list(file.metrics),
        segments=list(experiment.segments),
        seeds=list(experiment.seeds),
        validation=[_days(experiment, day) for day in experiment.validation],
        test=_days(experiment, experiment.test),
        n_configurations=len(experiment.configurations),
        champion=about,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        runs=runs,
    )


def _days(experiment: Experiment, as_of: date) -> tuple[str, str]:
    first, end = experiment.window(as_of)
    return first.isoformat(), end.isoformat()
