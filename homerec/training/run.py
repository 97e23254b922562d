"""One training run: fit, evaluate, save, register, judge, promote."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np

from homerec import __version__
from homerec.drift.measure import freeze_all
from homerec.errors import ArtifactError, EmptyInput
from homerec.features.assembly import Pairs
from homerec.features.snapshot import ensure_snapshot, sql_checksum
from homerec.features.tables import Floats, Rows, Shard
from homerec.lake import write_json
from homerec.models import get_model
from homerec.models.fitted import FittedModel, baseline_pairs
from homerec.models.spec import ModelSpec
from homerec.registry.artifacts import read_artifact, write_manifest
from homerec.registry.gate import Evaluation, Thresholds, judge
from homerec.registry.loading import load_folder, load_version, open_registry
from homerec.registry.store import Registry
from homerec.registry.verdict import Verdict
from homerec.registry.version import Version
from homerec.settings import Settings
from homerec.training.evaluation import Contender, Result, evaluate
from homerec.training.fitting import (
    Plan,
    SnapshotView,
    TrainingSet,
    fit_model,
    has_items,
)
from homerec.training.labels import read_labels

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
Outcome = Literal["promote", "hold", "reject", "skipped"]


@dataclass(frozen=True)
class TrainReport:
    """What came of a training run.

    Attributes
    ----------
    model : str
    outcome : {"promote", "hold", "reject", "skipped"}
    version : int or None
        The registered version; ``None`` when skipped.
    verdict : Verdict or None
        The gate's checks.
    reason : str
        Why it was skipped, else the verdict's summary.
    metrics : dict of str to float
        Of the challenger, and ``baseline_...`` of its baseline, on the gate's listeners.
    """

    model: str
    outcome: Outcome
    version: int | None
    verdict: Verdict | None
    reason: str
    metrics: dict[str, float]

    def render(self) -> str:
        """Write for people."""
        if self.verdict is None:
            return f"{self.model}: SKIPPED, {self.reason}"
        return self.verdict.render()


def train(
    settings: Settings, name: str, as_of: date, *, progress: Progress = logger.info
) -> TrainReport:
    """Train a challenger on what was known at as_of and let the gate decide.

    Parameters
    ----------
    settings : Settings
    name : str
        Name of the model.
    as_of : date
        T: stage 1, ranker and gate use the windows before it (decision 2 of the design).
    progress : callable
        Receives one line per step.

    Returns
    -------
    TrainReport
        A model with nothing of its item types, or no label, in the windows is skipped and says so.

    Raises
    ------
    TrainingError
        There is data of its type, but too little to learn from.
    GateError
        The gate cannot judge.
    """
    spec = get_model(name, settings)
    if not spec.enabled:
        return _skipped(name, "it is switched off in the settings")
    plan = Plan.of(spec, as_of)
    gate_info = ensure_snapshot(settings, plan.gate_date, writer="training", progress=progress)
    gate = SnapshotView(settings, gate_info)
    if not has_items(gate, spec):
        return _skipped(name, f"the catalog has no {' or '.join(spec.item_types)}")
    labels = read_labels(settings, spec, gate_info)
    if len(labels) == 0:
        return _skipped(name, f"nothing of its kind was played from {labels.start} to {labels.end}")
    try:
        first = ensure_snapshot(settings, plan.sources_date, writer="training", progress=progress)
    except EmptyInput as error:
        return _skipped(name, str(error))
    if not has_items(SnapshotView(settings, first), spec):
        return _skipped(
            name, f"the catalog had no {' or '.join(spec.item_types)} on {plan.sources_date}"
        )
    model, learned = fit_model(settings, spec, plan, progress)
    contenders: dict[str, Contender] = {
        "challenger": contender(model),
        "baseline": lambda shard, rows: baseline_pairs(spec, shard, rows),
    }
    store = open_registry(settings)
    rivals = _rivals(store, name)
    for rival in rivals:
        contenders[rival.name] = contender(load_version(rival))
    progress(f"train {name}: evaluating on {labels.start} to {labels.end}")
    results = evaluate(contenders, spec, gate_info, gate.catalog, labels, settings.shard_listeners)
    metrics = _metrics(results)
    with TemporaryDirectory(dir=_scratch(settings), prefix="train-") as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        _save(settings, folder, spec, plan, model, learned, metrics, progress)
        equal = _round_trip_equal(folder, model, gate)
        version = store.register(
            name,
            folder,
            params=_flat(spec),
            metrics=metrics,
            tags={"sql_checksum": sql_checksum()},
            as_of=as_of,
        )
    verdict = judge(
        _evaluation(results[0], spec, name, version.version, plan.labels_end),
        _evaluation(results[1], spec, f"{name} baseline", None, None),
        [
            _evaluation(result, spec, name, rival.version, rival.labels_end)
            for result, rival in zip(results[2:], rivals, strict=True)
        ],
        Thresholds.read(spec.limits),
        round_trip_equal=equal,
        evaluation_as_of=plan.gate_date,
        seed=settings.seed,
    )
    outcome, reason = _carry_out(store, name, version, verdict)
    return TrainReport(name, outcome, version.version, verdict, reason, metrics)


def contender(model: FittedModel) -> Contender:
    """Make both stages of a version a contender in an evaluation."""

    def ranked(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        pairs = model.candidates(shard, rows)
        return pairs, model.score(pairs, shard)

    return ranked


def _skipped(name: str, reason: str) -> TrainReport:
    logger.warning("train %s: skipped, %s", name, reason)
    return TrainReport(name, "skipped", None, None, reason, {})


def _rivals(store: Registry, name: str) -> list[Version]:
    """Return the champion first, then the best past one, both fit to be compared."""
    champion = store.champion(name)
    if champion is None:
        return []
    past = store.best_of_last(name, days=90)
    return [champion] if past is None else [champion, past]


def _save(
    settings: Settings,
    folder: Path,
    spec: ModelSpec,
    plan: Plan,
    model: FittedModel,
    learned: TrainingSet,
    metrics: dict[str, float],
    progress: Progress,
) -> None:
    progress(f"train {spec.name}: freezing the histograms for drift")
    model.save(folder)
    info = ensure_snapshot(settings, plan.ranker_dates[0], writer="training", progress=progress)
    view = SnapshotView(settings, info)
    frozen = freeze_all(
        model, view.catalog, view.shards, seed=settings.seed, label=f"training {spec.name}"
    )
    write_json({k: v.to_json() for k, v in frozen.items()}, folder / "histograms.json")
    write_manifest(
        folder,
        {
            "model": spec.name,
            "as_of": plan.as_of,
            "created_at": datetime.now(UTC),
            "code_version": __version__,
            "seed": settings.seed,
            "features": list(spec.features),
            "training_snapshots": [day.isoformat() for day in plan.ranker_dates],
            "label_windows": [
                [day, day + (plan.as_of - plan.gate_date)] for day in plan.ranker_dates
            ],
            "metrics": metrics,
            "thresholds": spec.to_json()["limits"],
            "histograms": "histograms.json",
            "parameters": {
                "spec": spec.to_json(),
                "sources_date": plan.sources_date.isoformat(),
                "sql_checksum": sql_checksum(),
                "n_training_rows": len(learned.labels),
                "n_training_hits": int(learned.labels.sum()),
                "volumes": info.manifest["volumes"],
            },
        },
    )


def _round_trip_equal(folder: Path, model: FittedModel, view: SnapshotView) -> bool:
    """Whether the saved artifact scores the first listeners exactly as the one in memory."""
    try:
        saved = load_folder(folder, read_artifact(folder).values)
    except ArtifactError:
        logger.exception("the saved artifact of %s cannot be read", model.spec.name)
        return False
    shard = next(iter(view.shards()))
    rows = model.spec.eligible(shard)[:500]
    if len(rows) == 0:
        return True
    before, after = model.candidates(shard, rows), saved.candidates(shard, rows)
    same_pairs = np.array_equal(before.listener, after.listener) and np.array_equal(
        before.item, after.item
    )
    return bool(
        same_pairs and np.array_equal(model.score(before, shard), saved.score(after, shard))
    )


def _metrics(results: list[Result]) -> dict[str, float]:
    challenger, baseline = results[0], results[1]
    if len(challenger.listeners) == 0:
        return {"n_listeners": 0.0}
    out = {name: challenger.mean(name) for name in challenger.metrics}
    out |= {f"baseline_{name}": baseline.mean(name) for name in baseline.metrics}
    out |= {"coverage": challenger.coverage, "baseline_coverage": baseline.coverage}
    return out | {"n_listeners": float(len(challenger.listeners))}


def _evaluation(
    result: Result, spec: ModelSpec, name: str, version: int | None, labels_end: date | None
) -> Evaluation:
    return Evaluation(
        name=name,
        version=version,
        metric=f"ndcg_at_{spec.metric_k}",
        listener=result.listeners,
        value=result.metrics["ndcg"],
        segments=result.segments,
        coverage=result.coverage,
        labels_end=labels_end,
    )


def _carry_out(
    store: Registry, name: str, version: Version, verdict: Verdict
) -> tuple[Outcome, str]:
    held = store.held(name)
    if verdict.outcome == "promote" and held is not None:
        reason = (
            f"{verdict.summary} It is not promoted: {held.who} rolled {name} back on "
            f"{held.since:%Y-%m-%d} ({held.why}). Lift the hold with `homerec models resume {name}`."
        )
        return "hold", reason
    if verdict.outcome == "promote":
        store.promote(name, version.version, verdict)
    elif verdict.outcome == "hold":
        store.hold(name, version.version, verdict)
    else:
        store.reject(name, version.version, verdict)
    return verdict.outcome, verdict.summary


def _flat(spec: ModelSpec) -> dict[str, Any]:
    out: dict[str, Any] = {
        "label_window_days": spec.label_window_days,
        "ranker_windows": spec.ranker_windows,
        "ranker": spec.ranker,
        "metric_k": spec.metric_k,
        "negatives": spec.negatives,
    }
    for source in spec.sources:
        out |= {f"{source.name}.{k}": v for k, v in source.parameters.items()}
    return out | {f"ranker.{k}": v for k, v in spec.ranker_parameters.items()}


def _scratch(settings: Settings) -> Path:
    folder = settings.home / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
