"""One cell of an experiment: one configuration, one seed, one window; fitted, judged and kept."""

import resource
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from homerec.errors import ExperimentError, HomerecError, TrainingError
from homerec.features.assembly import Pairs
from homerec.features.tables import Floats, Rows, Shard
from homerec.lake import atomic_folder, read_json
from homerec.lake import write_json as write_plain
from homerec.models.fitted import baseline_pairs
from homerec.models.spec import ModelSpec
from homerec.registry.artifacts import read_artifact
from homerec.registry.loading import load_folder
from homerec.training.challenge import contender
from homerec.training.evaluation import Contender, Result, evaluate, shard_labels
from homerec.training.experiments.measures import custom_values
from homerec.training.experiments.sharing import Workshop
from homerec.training.fitting import Plan
from homerec.training.labels import Labels
from homerec.training.metrics import Doubles

Kind = Literal["configuration", "baseline", "version"]


@dataclass(frozen=True)
class Cell:
    """What is to be fitted and judged.

    Attributes
    ----------
    key : str
        Checksum of everything that the result depends on; names its folder.
    kind : {"configuration", "baseline", "version"}
        A version is a registered one, judged as it is.
    name : str
        Of the configuration.
    spec : ModelSpec
    seed : int
    as_of : date
        T; the window judged is the last one before it.
    custom : tuple of str
        Metrics of one's own.
    folder : str
        Of a version's files.
    """

    key: str
    kind: Kind
    name: str
    spec: ModelSpec
    seed: int
    as_of: date
    custom: tuple[str, ...] = ()
    folder: str = ""

    @property
    def plan(self) -> Plan:
        """Dates of its windows."""
        return Plan.of(self.spec, self.as_of)


@dataclass(frozen=True)
class CellResult:
    """What came of a cell.

    Attributes
    ----------
    key : str
    error : str
        Why it failed, else empty.
    listener : int32 (n,)
        Keys of the judged listeners, ascending.
    metrics : dict of str to float64 (n,)
    segments : dict of str to str (n,)
    coverage : float
    seconds : dict of str to float
        Wall time by step.
    facts : dict
        Rows and hits that the ranker learned from; peak memory in bytes.
    """

    key: str
    error: str
    listener: npt.NDArray[np.int32]
    metrics: dict[str, Doubles]
    segments: dict[str, npt.NDArray[np.str_]]
    coverage: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, float] = field(default_factory=dict)

    def mean(self, metric: str) -> float:
        """Mean over listeners; coverage is one figure."""
        return self.coverage if metric == "coverage" else float(self.metrics[metric].mean())


def run_cell(workshop: Workshop, cell: Cell, folder: Path) -> CellResult:
    """Fit and judge a cell, and keep what came of it, a failure with its reason too.

    Parameters
    ----------
    workshop : Workshop
    cell : Cell
    folder : Path
        Gets a folder named after the cell's key.
    """
    seconds: dict[str, float] = {}
    try:
        made = _judged(workshop, cell, seconds)
    # One configuration that fails must not stop a hundred others: its reason is kept and shown.
    except Exception as error:
        told = str(error) if isinstance(error, HomerecError) else f"{type(error).__name__}: {error}"
        made = failed(cell, told, seconds)
    write_result(cell, made, folder)
    return made


def failed(cell: Cell, reason: str, seconds: Mapping[str, float] | None = None) -> CellResult:
    """Make the result of a cell that could not be finished."""
    none = np.zeros(0, dtype=np.int32)
    return CellResult(cell.key, reason, none, {}, {}, seconds=dict(seconds or {}))


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds[step] = round(time.perf_counter() - started, 3)


def _judged(workshop: Workshop, cell: Cell, seconds: dict[str, float]) -> CellResult:
    plan, spec = cell.plan, cell.spec
    facts: Mapping[str, float] = {}
    with _timed(seconds, "fit"):
        judged: Contender
        if cell.kind == "baseline":
            judged = _baseline(spec)
        elif cell.kind == "version":
            path = Path(cell.folder)
            judged = contender(load_folder(path, read_artifact(path).values))
        else:
            model, facts = workshop.fit(spec, plan, cell.seed)
            judged = model.ranked
    labels = workshop.labels[plan.gate_date]
    view = workshop.view(plan.gate_date)
    own: dict[str, list[tuple[npt.NDArray[np.int32], Doubles]]] = {m: [] for m in cell.custom}
    with _timed(seconds, "judge"):
        (result,) = evaluate(
            {cell.name: _with_own(judged, spec, labels, own)},
            spec,
            view.info,
            view.catalog,
            labels,
            workshop.settings.shard_listeners,
        )
    if len(result.listeners) == 0:
        raise TrainingError(
            f"Nobody who gets the shelf played anything of its kind from {labels.start} to "
            f"{labels.end}, so nothing can be judged. Take another date, or more listeners."
        )
    order = np.argsort(result.listeners, kind="stable")
    metrics = {m: v[order] for m, v in result.metrics.items()}
    metrics |= {name: _joined(name, parts, result, order) for name, parts in own.items()}
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return CellResult(
        cell.key,
        "",
        result.listeners[order],
        metrics,
        {s: v[order] for s, v in result.segments.items()},
        result.coverage,
        seconds,
        {**facts, "peak_bytes": float(peak)},
    )


def _baseline(spec: ModelSpec) -> Contender:
    def ranked(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        return baseline_pairs(spec, shard, rows)

    return ranked


def _with_own(
    judged: Contender,
    spec: ModelSpec,
    labels: Labels,
    own: dict[str, list[tuple[npt.NDArray[np.int32], Doubles]]],
) -> Contender:
    """Let metrics of one's own look at what a contender ranks, shard by shard."""
    if not own:
        return judged

    def ranked(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        pairs, scores = judged(shard, rows)
        hits = shard_labels(spec, shard, labels)
        for name, parts in own.items():
            at, values = custom_values(name, spec, shard, hits, pairs, scores)
            parts.append((shard.listeners[at], values))
        return pairs, scores

    return ranked


def _joined(
    name: str,
    parts: Sequence[tuple[npt.NDArray[np.int32], Doubles]],
    result: Result,
    order: npt.NDArray[np.int64],
) -> Doubles:
    keys = np.concatenate([k for k, _ in parts])
    mine = np.argsort(keys, kind="stable")
    if not np.array_equal(keys[mine], result.listeners[order]):
        raise ExperimentError(
            f"the metric {name} is of {len(keys)} listeners, the evaluation of "
            f"{len(result.listeners)}; they must be the same."
        )
    values: Doubles = np.concatenate([v for _, v in parts])[mine]
    return values


def write_result(cell: Cell, result: CellResult, folder: Path) -> None:
    """Keep a result under the cell's key, whole or not at all."""
    plan = cell.plan
    about: dict[str, Any] = {
        "key": cell.key,
        "kind": cell.kind,
        "model": cell.spec.name,
        "seed": cell.seed,
        "as_of": cell.as_of.isoformat(),
        "judged_from": plan.gate_date.isoformat(),
        "judged_until": (plan.gate_date + timedelta(days=cell.spec.label_window_days)).isoformat(),
        "spec": cell.spec.to_json(),
        "error": result.error,
        "coverage": result.coverage,
        "metrics": {m: float(v.mean()) for m, v in result.metrics.items() if len(v)},
        "n_listeners": len(result.listener),
        "seconds": result.seconds,
        "facts": result.facts,
    }
    with atomic_folder(folder / cell.key) as temporary:
        arrays: dict[str, npt.NDArray[Any]] = {"listener": result.listener}
        arrays |= {f"metric {m}": v for m, v in result.metrics.items()}
        arrays |= {f"segment {s}": v for s, v in result.segments.items()}
        np.savez(temporary / "values.npz", **arrays)  # type: ignore[arg-type]
        write_plain(about, temporary / "cell.json")


def is_finished(folder: Path, key: str) -> bool:
    """Whether a cell was finished without an error."""
    path = folder / key / "cell.json"
    return path.exists() and not read_json(path)["error"]


def read_result(folder: Path, key: str) -> CellResult:
    """Read what :func:`write_result` kept.

    Raises
    ------
    ExperimentError
        It is not there, or it is damaged.
    """
    path = folder / key
    if not (path / "cell.json").exists():
        raise ExperimentError(f"{path} is not there any more. Run the experiment again.")
    try:
        return _read(path, key)
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, OSError) as error:
        raise ExperimentError(
            f"The result {path} is damaged ({error!r}). Remove that folder and run the experiment "
            "again: only this result is computed anew."
        ) from error


def _read(path: Path, key: str) -> CellResult:
    about = read_json(path / "cell.json")
    with np.load(path / "values.npz", allow_pickle=False) as arrays:
        metrics, segments = (
            {n.removeprefix(what): arrays[n] for n in arrays.files if n.startswith(what)}
            for what in ("metric ", "segment ")
        )
        listener = arrays["listener"]
    return CellResult(
        key, about["error"], listener, metrics, segments, about["coverage"], about["seconds"],
        about["facts"],
    )  # fmt: skip
