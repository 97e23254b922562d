"""A challenger: fitted, evaluated beside its rivals, saved and registered; not yet judged."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from homerec import __version__
from homerec.drift.measure import freeze_all
from homerec.errors import ArtifactError, EmptyInput, OutdatedArtifactError, TrainingError
from homerec.features.assembly import Pairs
from homerec.features.snapshot import ensure_snapshot, sql_checksum
from homerec.features.tables import Floats, Rows, Shard
from homerec.lake import Lake, atomic_folder, read_json, write_json
from homerec.models import get_model
from homerec.models.fitted import FittedModel, baseline_pairs
from homerec.models.spec import ModelSpec
from homerec.registry.artifacts import read_artifact, write_manifest
from homerec.registry.gate import Evaluation
from homerec.registry.loading import load_fitted, load_folder, open_registry
from homerec.registry.store import Registry
from homerec.registry.version import Version
from homerec.settings import Settings
from homerec.training.evaluation import Contender, Result, evaluate
from homerec.training.figures import figures
from homerec.training.fitting import Plan, SnapshotView, TrainingSet, fit_model, has_items
from homerec.training.labels import read_labels, sample_to_judge

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Challenge:
    """What the gate will judge, as it is kept between training and gate.

    Attributes
    ----------
    model : str
    as_of : date
        What was known then was learned from.
    version : int or None
        The registered challenger; ``None`` when there was nothing to train on.
    skipped : str
        Why nothing was trained, else empty.
    evaluation_as_of : date
        First day of the window that everybody was evaluated in.
    round_trip_equal : bool
        Whether the saved artifact scored the same as the one in memory.
    metrics : dict of str to float
        Figures on the gate's listeners, see :func:`homerec.training.figures.figures`.
    rivals : list of int
        Versions evaluated beside it: the champion first.
    """

    model: str
    as_of: date
    version: int | None
    skipped: str
    evaluation_as_of: date
    round_trip_equal: bool
    metrics: dict[str, float]
    rivals: list[int]


def challenge_folder(settings: Settings, model: str, as_of: date) -> Path:
    """Folder that :func:`make_challenger` leaves for the gate."""
    return Lake(settings.home).training(model, as_of)


def make_challenger(
    settings: Settings, name: str, as_of: date, *, progress: Progress = logger.info
) -> Challenge:
    """Fit a version on what was known at as_of, evaluate it and register it as challenger.

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
    Challenge
        Also kept in :func:`challenge_folder`, with every contender's values.

    Raises
    ------
    TrainingError
        There is data of its type, but too little to learn from.
    """
    spec = get_model(name, settings)
    plan = Plan.of(spec, as_of)
    skipped = "it is switched off in the settings" if not spec.enabled else ""
    if not skipped:
        skipped = _nothing_to_learn(settings, spec, plan, progress)
    if skipped:
        logger.warning("train %s: skipped, %s", name, skipped)
        nothing = Challenge(name, as_of, None, skipped, plan.gate_date, False, {}, [])
        _keep(settings, nothing, [])
        return nothing
    gate_info = ensure_snapshot(settings, plan.gate_date, writer="training", progress=progress)
    gate = SnapshotView(settings, gate_info)
    labels = read_labels(settings, spec, gate_info)
    labels = sample_to_judge(
        labels, gate.eligible(spec), settings.max_judged_listeners, settings.seed
    )
    model, learned = fit_model(settings, spec, plan, progress)
    store = open_registry(settings)
    rivals = _rivals(store, name, progress)
    contenders: dict[str, Contender] = {
        "challenger": contender(model),
        "baseline": lambda shard, rows: baseline_pairs(spec, shard, rows),
        **{rival.name: contender(fitted) for rival, fitted in rivals},
    }
    progress(f"train {name}: evaluating on {labels.start} to {labels.end}")
    size = settings.shard_listeners
    results = evaluate(contenders, spec, gate_info, gate.catalog, labels, size, beyond=True)
    metrics = figures(results[0], results[1])
    with TemporaryDirectory(dir=_scratch(settings), prefix="train-") as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        _save(settings, folder, spec, plan, model, learned, metrics, progress)
        progress(f"train {name}: reading it back, registering it")
        equal = _round_trip_equal(folder, model, gate)
        tags = {"sql_checksum": sql_checksum()}
        version = store.register(name, folder, _flat(spec), metrics, tags, as_of)
    challenge = Challenge(
        name,
        as_of,
        version.version,
        "",
        plan.gate_date,
        equal,
        metrics,
        [rival.version for rival, _ in rivals],
    )
    numbers = [version.version, None, *challenge.rivals]
    ends = [plan.labels_end, None, *(rival.labels_end for rival, _ in rivals)]
    evaluations = [
        _evaluation(result, spec, number, end)
        for result, number, end in zip(results, numbers, ends, strict=True)
    ]
    _keep(settings, challenge, evaluations)
    return challenge


def read_challenge(
    settings: Settings, model: str, as_of: date
) -> tuple[Challenge, list[Evaluation]]:
    """Read what :func:`make_challenger` kept: challenger, baseline, then the rivals.

    Raises
    ------
    TrainingError
        No challenger was made for that date.
    """
    folder = challenge_folder(settings, model, as_of)
    if not (folder / "challenge.json").exists():
        raise TrainingError(
            f"No challenger of {model} was made as of {as_of}. Train it first: "
            f"`homerec train {model} --as-of {as_of}`."
        )
    raw = read_json(folder / "challenge.json")
    raw |= {key: date.fromisoformat(raw[key]) for key in ("as_of", "evaluation_as_of")}
    evaluations = []
    for number, about in enumerate(read_json(folder / "evaluations.json")):
        with np.load(folder / f"evaluation-{number}.npz", allow_pickle=False) as arrays:
            end = about.pop("labels_end")
            evaluations.append(
                Evaluation(
                    **about,
                    labels_end=date.fromisoformat(end) if end else None,
                    listener=arrays["listener"],
                    value=arrays["value"],
                    segments={
                        key.removeprefix("segment_"): arrays[key]
                        for key in arrays.files
                        if key.startswith("segment_")
                    },
                )
            )
    return Challenge(**raw), evaluations


def _keep(settings: Settings, challenge: Challenge, evaluations: list[Evaluation]) -> None:
    with atomic_folder(challenge_folder(settings, challenge.model, challenge.as_of)) as folder:
        about = []
        for number, one in enumerate(evaluations):
            segments = {
                f"segment_{k}": np.asarray(v, dtype=np.str_) for k, v in one.segments.items()
            }
            np.savez(
                folder / f"evaluation-{number}.npz",
                listener=one.listener,
                value=one.value,
                **segments,  # type: ignore[arg-type]
            )
            about.append(
                {
                    "name": one.name,
                    "version": one.version,
                    "metric": one.metric,
                    "coverage": one.coverage,
                    "labels_end": one.labels_end,
                }
            )
        write_json(about, folder / "evaluations.json")
        write_json(asdict(challenge), folder / "challenge.json")


def _nothing_to_learn(settings: Settings, spec: ModelSpec, plan: Plan, progress: Progress) -> str:
    """Why there is nothing to train on: no item of its types, no label, no past; else empty."""
    kinds = " or ".join(spec.item_types)
    try:
        info = ensure_snapshot(settings, plan.gate_date, writer="training", progress=progress)
        first = ensure_snapshot(settings, plan.sources_date, writer="training", progress=progress)
    except EmptyInput as error:
        return str(error)
    if not has_items(SnapshotView(settings, info), spec):
        return f"the catalog has no {kinds}"
    labels = read_labels(settings, spec, info)
    if len(labels) == 0:
        last = max(Lake(settings.home).event_dates())
        return (
            f"nothing of its kind was played from {labels.start} to {labels.end}; the last events "
            f"of the lake are of {last}"
        )
    if not has_items(SnapshotView(settings, first), spec):
        return f"the catalog had no {kinds} on {plan.sources_date}"
    return ""


def contender(model: FittedModel) -> Contender:
    """Make both stages of a version a contender in an evaluation."""

    def ranked(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        pairs = model.candidates(shard, rows)
        return pairs, model.score(pairs, shard)

    return ranked


def _rivals(store: Registry, name: str, progress: Progress) -> list[tuple[Version, FittedModel]]:
    """Return the champion first, then the best past one, both fit to be compared.

    A champion that this homerec can no longer run is none: it cannot serve a night either, and
    must not keep the model from being trained again. A damaged one can be restored, and fails.
    """
    champion = store.champion(name)
    if champion is None:
        return []
    past = store.best_of_last(name, days=90)
    rivals: list[tuple[Version, FittedModel]] = []
    for version in [champion] if past is None else [champion, past]:
        try:
            rivals.append((version, load_fitted(version.manifest())))
        except OutdatedArtifactError as error:
            progress(f"train {name}: {version.name} is not compared. {error}")
            if version is champion:
                return []
    return rivals


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
    # Scores of a stage 1 that was fitted again are as at night only where it saw no later event.
    frozen_on = plan.gate_date if spec.refit_sources else plan.ranker_dates[0]
    info = ensure_snapshot(settings, frozen_on, writer="training", progress=progress)
    view = SnapshotView(settings, info)
    frozen = freeze_all(
        model,
        view.catalog,
        view.shards,
        eligible=len(view.eligible(spec)),
        seed=settings.seed,
        label=f"training {spec.name}",
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
                "sources_refit_date": plan.gate_date.isoformat() if spec.refit_sources else None,
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
    shards = ((shard, model.spec.eligible(shard)[:500]) for shard in view.shards())
    # New listeners have the highest keys: the first shards may hold nobody of the model.
    shard, rows = next((found for found in shards if len(found[1])), (None, None))
    if shard is None:
        return True
    before, after = model.candidates(shard, rows), saved.candidates(shard, rows)
    same_pairs = np.array_equal(before.listener, after.listener) and np.array_equal(
        before.item, after.item
    )
    return bool(
        same_pairs and np.array_equal(model.score(before, shard), saved.score(after, shard))
    )


def _evaluation(
    result: Result, spec: ModelSpec, version: int | None, labels_end: date | None
) -> Evaluation:
    return Evaluation(
        name=f"{spec.name} baseline" if version is None else spec.name,
        version=version,
        metric=f"ndcg_at_{spec.metric_k}",
        listener=result.listeners,
        value=result.metrics["ndcg"],
        segments=result.segments,
        coverage=result.coverage,
        labels_end=labels_end,
    )


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
