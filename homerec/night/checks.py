"""The drift checks of a night, at their two places, and what is kept of a pass."""

import logging
from collections.abc import Callable
from datetime import date

from homerec.drift.acceptance import accepted_on, accepted_path
from homerec.drift.check import Limits, check, enforce, volumes
from homerec.drift.histogram import Histograms
from homerec.drift.measure import (
    MIN_ROWS,
    WEEKDAY_FEATURES,
    count_features,
    count_snapshot,
)
from homerec.drift.references import References
from homerec.drift.report import ALL_ROWS, DriftReport, FeatureDrift, VolumeDrift
from homerec.errors import DriftExceeded
from homerec.features.snapshot import SnapshotInfo, load_snapshot
from homerec.features.tables import Catalog, iter_shards
from homerec.lake import Lake, read_json, write_json
from homerec.models import get_model
from homerec.night.plan import ModelPlan, champion_manifest, model_folder
from homerec.registry.loading import load_fitted, load_histograms, training_volumes
from homerec.settings import Settings

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]


def check_snapshot(
    settings: Settings,
    info: SnapshotInfo,
    catalog: Catalog,
    plans: tuple[ModelPlan, ...],
    progress: Progress = logger.info,
) -> list[DriftReport]:
    """Compare the snapshot with what each champion learned from and with the last that passed.

    The verdict is kept beside the snapshot: one that failed never enters a training set.

    Raises
    ------
    DriftExceeded
        A distance or a volume is over its limit and nobody has accepted it.
    """
    reports: list[DriftReport] = []
    failed: list[DriftExceeded] = []
    for plan in plans:
        manifest = champion_manifest(settings, plan)
        if manifest is None:
            continue
        fitted = load_fitted(manifest)
        frozen = load_histograms(manifest)
        found = count_snapshot(
            fitted.spec,
            catalog,
            lambda: iter_shards(info, catalog, settings.shard_listeners),
            frozen,
            label=info.as_of.isoformat(),
        )
        changed = _volumes(settings, info, training_volumes(manifest))
        for place in sorted(frozen.keys() - {"features"}):
            report, error = _judge(
                settings, info.as_of, plan, place, found.get(place), frozen[place], changed
            )
            changed = []
            reports.append(report)
            failed += [error] if error is not None else []
    verdict = {"passed": not failed, "reports": [r.to_json() for r in reports]}
    write_json(verdict, info.folder / "drift.json")
    if failed:
        # All at once: whoever looks into it wants to see every feature that moved.
        raise DriftExceeded("\n".join(str(error) for error in failed))
    progress(f"night {info.as_of}: the snapshot passed {len(reports)} drift checks")
    return reports


def check_features(
    settings: Settings,
    info: SnapshotInfo,
    catalog: Catalog,
    plan: ModelPlan,
    progress: Progress = logger.info,
) -> DriftReport | None:
    """Compare the features that the ranker reads tonight, scores of stage 1 included.

    Raises
    ------
    DriftExceeded
        A distance is over its limit and nobody has accepted it.
    """
    manifest = champion_manifest(settings, plan)
    if manifest is None:
        return None
    fitted = load_fitted(manifest)
    frozen = load_histograms(manifest)["features"]
    current = count_features(
        fitted,
        lambda: iter_shards(info, catalog, settings.shard_listeners),
        frozen,
        seed=settings.seed,
        label=info.as_of.isoformat(),
    )
    report, error = _judge(settings, info.as_of, plan, "features", current, frozen, [])
    folder = model_folder(settings, info.as_of, plan.model)
    write_json(report.to_json(), folder / "drift.json")
    if error is not None:
        raise error
    progress(f"night {info.as_of}: the features of {plan.model} passed the drift check")
    return report


def _judge(
    settings: Settings,
    as_of: date,
    plan: ModelPlan,
    place: str,
    current: Histograms | None,
    frozen: Histograms,
    changed: list[VolumeDrift],
) -> tuple[DriftReport, DriftExceeded | None]:
    references = References(settings.home)
    # The deployment's limits of today, not those of the day the version was trained.
    spec = get_model(plan.model, settings)
    limits = Limits(spec.drift_limit, spec.drift_limits)
    if current is None:
        least = float(MIN_ROWS[place])
        empty = FeatureDrift(
            ALL_ROWS, "too_few_rows", least, 0.0, reference=frozen.label, current=as_of.isoformat()
        )
        report = DriftReport(plan.model, place, as_of, (empty,), tuple(changed))
        return report, DriftExceeded(report.failure_message())
    report = check(
        plan.model,
        place,
        as_of,
        current,
        [frozen, references.load(plan.model, place, as_of, like=frozen)],
        limits,
        min_rows=MIN_ROWS[place],
        weekday_reference=references.load(plan.model, place, as_of, like=frozen, same_weekday=True),
        weekday_features=WEEKDAY_FEATURES,
        volumes_found=changed,
    )
    accepted = accepted_on(accepted_path(settings.home), plan.model, as_of)
    try:
        report = enforce(report, accepted.keys())
    except DriftExceeded as error:
        return report, error
    references.save_passed(report, current)
    return report, None


def _volumes(settings: Settings, info: SnapshotInfo, trained: dict[str, int]) -> list[VolumeDrift]:
    """Compare the last day's card plays with those of the last snapshot that passed."""
    before = _last_passed(settings, info.as_of)
    reference = _counts(before) if before else trained
    return volumes(reference, _counts(info), settings.volume_limit_ratio)


def _counts(info: SnapshotInfo) -> dict[str, int]:
    return {str(name): int(n) for name, n in info.manifest["volumes"].items()}


def _last_passed(settings: Settings, as_of: date) -> SnapshotInfo | None:
    folder = Lake(settings.home).snapshot(as_of).parent
    days = sorted(
        date.fromisoformat(p.parent.name.removeprefix("as_of="))
        for p in folder.glob("as_of=*/drift.json")
        if read_json(p)["passed"]
    )
    earlier = [day for day in days if day < as_of]
    return load_snapshot(settings, earlier[-1]) if earlier else None
