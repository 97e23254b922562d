"""What benchmarks share: a deployment of their own, made step by step and only as far as needed.

Every step runs in a process of its own and keeps its measurement, so that a benchmark of a step and
the preparation of a later one are the same run.
"""

import shutil
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Final, Self

from homerec.bench.measuring import Measured, Span, Stopwatch, apart
from homerec.bench.report import say
from homerec.database import embedded
from homerec.features.pair_base import FOLD_DAYS
from homerec.features.rollups import drop_rollups
from homerec.features.snapshot import SnapshotInfo, ensure_snapshot
from homerec.ingest import IngestReport, ingest
from homerec.lake import Lake
from homerec.models import get_model, model_names
from homerec.night import NightReport, run_night
from homerec.settings import Settings
from homerec.training.fitting import Plan
from homerec.training.run import TrainReport, train
from homerec.world import WorldReport, generate

#: Enough for the label windows of every model, as in the goals.
DEFAULT_DAYS: Final = 60
#: Larger ones spend most of their time in training.
DEFAULT_LISTENERS: Final = 5_000


@dataclass(frozen=True)
class Trained:
    """One training run.

    Attributes
    ----------
    report : TrainReport
        With the gate's verdict.
    spans : list of Span
        Where its time went, by the lines of progress that it says.
    """

    report: TrainReport
    spans: list[Span]


@dataclass
class Workbench:
    """A temporary deployment.

    Parameters
    ----------
    settings : Settings
        Its ``home`` is the temporary folder.
    listeners, days : int
        Size of the world.
    """

    settings: Settings
    listeners: int = DEFAULT_LISTENERS
    days: int = DEFAULT_DAYS

    @classmethod
    def make(
        cls, settings: Settings, listeners: int, days: int, work: Path | None = None
    ) -> "Workbench":
        """Make the folder of a new deployment below ``work``, by default below ``home/tmp``.

        Parameters
        ----------
        settings : Settings
            Of the deployment at hand; its threads, limits and models are used, its data is not.
        listeners, days : int
        work : Path, optional
        """
        folder = work or settings.home / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        home = Path(mkdtemp(prefix="bench-", dir=folder)).resolve()
        own = replace(
            settings, home=home, database_url=None, mlflow_tracking_uri=None, history_days=None
        )
        return cls(own, listeners, days)

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the database, if one was started, and remove everything."""
        try:
            embedded.remove(self.settings)
        finally:
            shutil.rmtree(self.settings.home, ignore_errors=True)

    @property
    def lake(self) -> Lake:
        """Paths of the deployment."""
        return Lake(self.settings.home)

    @property
    def as_of(self) -> date:
        """The day after the world's last one."""
        return self.world.value.start + timedelta(days=self.days)

    @cached_property
    def world(self) -> Measured[WorldReport]:
        """The simulated app's data in the inbox."""
        say(f"world of {self.listeners:,} listeners and {self.days} days")
        return apart(_world, self.lake.inbox, self.listeners, self.days, self.settings)

    @cached_property
    def ingested(self) -> Measured[IngestReport]:
        """The lake."""
        inbox = self.world.value.out
        say("ingest")
        return apart(_ingest, self.settings, inbox)

    @cached_property
    def database(self) -> Settings:
        """The deployment with its Postgres running."""
        say("embedded Postgres")
        embedded.start(self.settings)
        return self.settings

    @cached_property
    def past(self) -> dict[date, Measured[SnapshotInfo]]:
        """Features of the past dates that the trainings read, which no night has logged here."""
        self.need_lake()
        return {day: self._past(day) for day in training_dates(self.settings, self.as_of)}

    def _past(self, day: date) -> Measured[SnapshotInfo]:
        say(f"features of {day}")
        return apart(_past_snapshot, self.settings, day)

    @cached_property
    def trained(self) -> dict[str, Measured[Trained]]:
        """A version of every model, judged by the gate; the features it reads are there before."""
        _ = self.past
        settings = self.database
        reports = {}
        for name in sorted(model_names()):
            say(f"training of {name}")
            reports[name] = apart(_train, settings, name, self.as_of)
        return reports

    @cached_property
    def night(self) -> Measured[NightReport]:
        """A live release, from a snapshot computed anew."""
        _ = self.trained
        settings = self.database
        shutil.rmtree(self.lake.snapshot(self.as_of), ignore_errors=True)
        say("night")
        return apart(run_night, settings, self.as_of)

    def rebuild_snapshot(self) -> Measured[SnapshotInfo]:
        """Compute the snapshot anew."""
        self.need_lake()
        say("snapshot")
        return apart(_snapshot, self.settings, self.as_of)

    def one_more_night(self) -> Measured[SnapshotInfo]:
        """Compute the snapshot of as_of with what the night before has left."""
        say("the night before, then one more")
        return self._night_after(1)

    def night_that_folds(self) -> Measured[SnapshotInfo]:
        """Compute the snapshot of as_of with what a night has left that is due to be folded."""
        say(f"the night {FOLD_DAYS} days before, then one that folds")
        return self._night_after(FOLD_DAYS)

    def _night_after(self, days: int) -> Measured[SnapshotInfo]:
        self.need_lake()
        drop_rollups(self.settings)
        nights = [self.as_of - timedelta(days=ago) for ago in sorted({days, 1, 0}, reverse=True)]
        for night in nights:
            # A kept one would be taken as it is, and leave nothing for the next.
            shutil.rmtree(self.lake.snapshot(night), ignore_errors=True)
        return [apart(_snapshot, self.settings, night, False) for night in nights][-1]

    def need_lake(self) -> None:
        """See that the lake is filled."""
        _ = self.ingested


def _world(out: Path, listeners: int, days: int, settings: Settings) -> WorldReport:
    return generate(
        out,
        listeners=listeners,
        days=days,
        seed=settings.seed,
        threads=settings.n_threads,
        progress=False,
    )


def _ingest(settings: Settings, source: Path) -> IngestReport:
    return ingest(settings, source=source)


def training_dates(settings: Settings, as_of: date) -> list[date]:
    """Dates of the snapshots that training every model as of a date reads, ascending."""
    days: set[date] = set()
    for name in model_names():
        plan = Plan.of(get_model(name, settings), as_of)
        days |= {plan.gate_date, *plan.ranker_dates}
    return sorted(days)


def _train(settings: Settings, name: str, as_of: date) -> Trained:
    watch = Stopwatch()
    report = train(settings, name, as_of, progress=watch.say)
    return Trained(report, watch.stop())


def _past_snapshot(settings: Settings, as_of: date) -> SnapshotInfo:
    return ensure_snapshot(settings, as_of, writer="training")


def _snapshot(settings: Settings, as_of: date, rebuild: bool = True) -> SnapshotInfo:
    return ensure_snapshot(settings, as_of, writer="night", rebuild=rebuild)
