"""From a file to cells: dates, configurations, who they are compared with, and checksums."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from typing import Any, Final

from homerec.errors import ExperimentError, UnknownModel
from homerec.lake import Lake, checksum
from homerec.models import get_model
from homerec.models.spec import ModelSpec
from homerec.registry.artifacts import MANIFEST
from homerec.registry.store import Registry
from homerec.registry.version import Version
from homerec.settings import Settings
from homerec.training.experiments.cell import Cell
from homerec.training.experiments.keys import code_checksum, data_checksum, key_of
from homerec.training.experiments.measures import check_metrics, metric_source
from homerec.training.experiments.parameters import Configuration, configurations, resolved
from homerec.training.experiments.reading import ExperimentFile
from homerec.training.fitting import Plan
from homerec.training.segments import segmentations

BASELINE: Final = "baseline"
CHAMPION: Final = "champion"
#: Fields of a spec that change neither a fit nor a metric.
_SILENT: Final = (
    "name", "shelf", "limits", "cadence", "position", "enabled", "drift_limit", "drift_limits",
    "cards", "baseline",
)  # fmt: skip
#: Fields that an experiment may change: what a champion is refitted with.
_LEARNED: Final = (
    "sources", "features", "ranker", "ranker_parameters", "ranker_windows", "negatives",
    "max_lists",
)  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """A file's questions, checked against the deployment.

    Attributes
    ----------
    file : ExperimentFile
    spec : ModelSpec
        The model as it stands.
    configurations : tuple of Configuration
    seeds : tuple of int
    validation : tuple of date
        T of the windows that choose, ascending.
    test : date
        T of the window that judges the winner, once.
    champion : Version or None
    """

    file: ExperimentFile
    spec: ModelSpec
    configurations: tuple[Configuration, ...]
    seeds: tuple[int, ...]
    validation: tuple[date, ...]
    test: date
    champion: Version | None = None

    @property
    def metric(self) -> str:
        """The metric that decides."""
        return self.file.metrics[0]

    @property
    def custom(self) -> tuple[str, ...]:
        """Metrics of one's own."""
        return tuple(m for m in self.file.metrics if ":" in m)

    @property
    def segments(self) -> tuple[str, ...]:
        """Kinds of segments to show."""
        return segmentations(self.spec) if self.file.segments is None else self.file.segments

    def window(self, as_of: date) -> tuple[date, date]:
        """First day and end of the days that are judged before T."""
        return Plan.of(self.spec, as_of).gate_date, as_of

    def snapshots(self) -> list[date]:
        """Dates of every snapshot that is read, ascending."""
        specs = [one.spec for one in self.configurations]
        if self.champion is not None:
            specs.append(champion_spec(self.spec, self.champion))
        plans = [Plan.of(s, day) for s in specs for day in (*self.validation, self.test)]
        return sorted({day for p in plans for day in (p.gate_date, *p.ranker_dates)})


def plan_experiment(
    settings: Settings, file: ExperimentFile, registry: Registry | None = None
) -> Experiment:
    """Check a file against the model, the features, the metrics and the lake.

    Parameters
    ----------
    settings : Settings
    file : ExperimentFile
    registry : Registry, optional
        Without it nothing is compared with the champion.

    Raises
    ------
    ExperimentError
        A name is not known, or a window has no events; with the line and what is allowed.
    """
    try:
        spec = get_model(file.model, settings)
    except UnknownModel as error:
        raise file.source.error(("model",), str(error)) from error
    check_metrics(file)
    for n, name in enumerate(file.segments or ()):
        if name not in segmentations(spec):
            known = ", ".join(segmentations(spec))
            raise file.source.error(
                ("segments", n), f"there is no segment {name}; {spec.name} has {known}."
            )
    made = tuple(configurations(file, spec))
    validation, test = _dates(settings, file, spec)
    champion = registry.champion(spec.name) if registry is not None else None
    experiment = Experiment(
        file, spec, made, file.seeds or (settings.seed,), validation, test, champion
    )
    _check_events(settings, experiment)
    return experiment


def _dates(
    settings: Settings, file: ExperimentFile, spec: ModelSpec
) -> tuple[tuple[date, ...], date]:
    days = Lake(settings.home).event_dates()
    if not days:
        raise ExperimentError("The lake has no events. Ingest some: `homerec ingest`.")
    newest = days[-1] + timedelta(days=1)
    test = file.test or newest
    if test > newest:
        raise file.source.error(
            ("as_of", "test"),
            f"test is {test}, but the last events are of {days[-1]}; {newest} is the latest.",
        )
    width = timedelta(days=spec.label_window_days)
    if isinstance(file.validation, int):
        found = tuple(sorted(test - n * width for n in range(1, file.validation + 1)))
        return found, test
    late = [day for day in file.validation if day > test - width]
    if late:
        raise file.source.error(
            ("as_of", "validation"),
            f"the window before {late[0]} overlaps with the test's, which begins {test - width}: "
            f"the winner would be judged by what chose it. {test - width} is the latest allowed.",
        )
    return file.validation, test


def _check_events(settings: Settings, experiment: Experiment) -> None:
    first = Lake(settings.home).event_dates()[0]
    needed = experiment.snapshots()[0]
    if needed <= first:
        windows = max(one.spec.ranker_windows for one in experiment.configurations)
        back = (windows + 1) * experiment.spec.label_window_days
        raise experiment.file.source.error(
            ("as_of", "validation"),
            f"the earliest configuration learns from events before {needed}, and the first events "
            f"are of {first}. Take validation dates after {first + timedelta(days=back)}, or fewer "
            "windows (validation, ranker_windows).",
        )


def champion_spec(spec: ModelSpec, champion: Version) -> ModelSpec:
    """Return the model as it stands, with what the champion learned with in its place."""
    kept = ModelSpec.from_json(champion.manifest().values["parameters"]["spec"])
    return replace(spec, **{name: getattr(kept, name) for name in _LEARNED})


def saw(champion: Version, experiment: Experiment, as_of: date) -> bool:
    """Whether a champion learned from labels of the window before T: then it is refitted."""
    return champion.labels_end > experiment.window(as_of)[0]


def cells(
    settings: Settings,
    experiment: Experiment,
    chosen: Sequence[Configuration],
    dates: Iterable[date],
) -> dict[str, list[Cell]]:
    """Cells of configurations, of the champion and of the baseline, by name.

    Parameters
    ----------
    settings : Settings
    experiment : Experiment
    chosen : sequence of Configuration
    dates : iterable of date
        T of the windows; their snapshots must be there.

    Returns
    -------
    dict of str to list of Cell
        In the order of dates, then seeds. The champion is missing where there is none.
    """
    days = list(dates)
    make = _CellMaker(settings, experiment)
    found = {BASELINE: [make.baseline(day) for day in days]}
    if experiment.champion is not None:
        found[CHAMPION] = [
            make.champion(experiment.champion, day, s) for day in days for s in experiment.seeds
        ]
    for one in chosen:
        found[one.name] = [
            make.configuration(one.name, one.spec, day, s) for day in days for s in experiment.seeds
        ]
    return found


class _CellMaker:
    def __init__(self, settings: Settings, experiment: Experiment) -> None:
        self._settings = settings
        self._experiment = experiment
        self._own = [metric_source(name) for name in experiment.custom]
        self._data: dict[Any, str] = {}

    def configuration(self, name: str, spec: ModelSpec, as_of: date, seed: int) -> Cell:
        plan = Plan.of(spec, as_of)
        plain = {k: v for k, v in resolved(spec).items() if k not in _SILENT}
        read = (plan.gate_date, *plan.ranker_dates)
        key = self._key("configuration", plain, seed, read, plan.sources_date, as_of)
        return self._cell(key, "configuration", name, spec, seed, as_of)

    def champion(self, champion: Version, as_of: date, seed: int) -> Cell:
        experiment = self._experiment
        spec = experiment.spec
        if saw(champion, experiment, as_of):
            return self.configuration(CHAMPION, champion_spec(spec, champion), as_of, seed)
        plan = Plan.of(spec, as_of)
        about = [checksum(champion.folder / MANIFEST), self._judging()]
        key = self._key("version", about, 0, (plan.gate_date,), plan.gate_date, as_of)
        cell = self._cell(key, "version", CHAMPION, spec, 0, as_of)
        return replace(cell, folder=str(champion.folder))

    def baseline(self, as_of: date) -> Cell:
        spec = self._experiment.spec
        plan = Plan.of(spec, as_of)
        about = [spec.to_json()["baseline"], spec.cards, self._judging()]
        key = self._key("baseline", about, 0, (plan.gate_date,), plan.gate_date, as_of)
        return self._cell(key, "baseline", BASELINE, spec, 0, as_of)

    def _judging(self) -> dict[str, Any]:
        """Return what decides who is judged by what, whatever was learned."""
        hidden = (*_SILENT, *_LEARNED)
        every = self._experiment.spec.to_json()
        return {f.name: every[f.name] for f in fields(ModelSpec) if f.name not in hidden}

    def _key(
        self, kind: str, about: Any, seed: int, read: tuple[date, ...], start: date, end: date
    ) -> str:
        place = (read, start, end)
        if place not in self._data:
            self._data[place] = data_checksum(self._settings, read, start, end)
        data = self._data[place]
        return key_of(kind, about, seed, end.isoformat(), data, code_checksum(), self._own)

    def _cell(
        self, key: str, kind: Any, name: str, spec: ModelSpec, seed: int, as_of: date
    ) -> Cell:
        return Cell(key, kind, name, spec, seed, as_of, self._experiment.custom)
