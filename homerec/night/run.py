"""All steps of a night in order, as `homerec night` and the nightly DAG take them."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any, TypeVar

from homerec.errors import EmptyInput
from homerec.features.recompute import verify_snapshot
from homerec.features.snapshot import SnapshotInfo, ensure_snapshot
from homerec.features.tables import Catalog, load_catalog
from homerec.lake import Lake, at_work, write_json
from homerec.models import get_model, model_names
from homerec.night.checks import check_features, check_snapshot
from homerec.night.homes import assemble_homes
from homerec.night.models import make_candidates, rank_candidates
from homerec.night.plan import NightPlan, make_plan
from homerec.release import ReleaseInfo, keep, publish
from homerec.report import report_snapshot
from homerec.settings import Settings

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
T = TypeVar("T")

__all__ = ["NightReport", "run_night", "take_snapshot"]


@dataclass
class NightReport:
    """What a night did.

    Attributes
    ----------
    as_of : date
    plan : NightPlan
    release : ReleaseInfo or None
        ``None`` when the night was not to be published.
    seconds : dict of str to float
        Wall time by step.
    warnings : list of str
        What went wrong beside the Homes.
    """

    as_of: date
    plan: NightPlan
    release: ReleaseInfo | None
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def render(self) -> str:
        """Write for people."""
        lines = [f"Night {self.as_of}"]
        for model in self.plan.models:
            what = f"version {model.version}" if model.mode == "champion" else model.reason
            late = ", trained after this date (hindsight)" if model.hindsight else ""
            lines.append(f"  {model.model:<12} {model.mode:<9} {what}{late}")
        if self.release is not None:
            state = "live" if self.release.live else f"{self.release.status}: {self.release.note}"
            worse = " (degraded)" if self.release.degraded else ""
            lines.append(f"  release {self.release.release_id}{worse} is {state}")
        lines += [f"  WARNING {warning}" for warning in self.warnings]
        steps = ", ".join(f"{name} {value:.1f} s" for name, value in self.seconds.items())
        return "\n".join([*lines, f"  {steps}"])


def run_night(
    settings: Settings,
    as_of: date,
    *,
    models: list[str] | None = None,
    publish_release: bool = True,
    force_older: bool = False,
    progress: Progress = logger.info,
) -> NightReport:
    """Compute and publish every listener's Home as of a date.

    Parameters
    ----------
    settings : Settings
    as_of : date
        Events before it, 00:00 UTC, count.
    models : list of str, optional
        Models to compute, by default all.
    publish_release : bool
        Whether to publish; otherwise the bundle is left in its folder.
    force_older : bool
        Make it live even if it is older than the live release.
    progress : callable
        Receives one line per step.

    Raises
    ------
    UnknownModel
        There is no model of a name; nothing was computed.
    EmptyInput
        There is no event in the last day before as_of: an upstream fault, not a quiet night.
    DriftExceeded
        The features are not what the models learned from.
    AuditFailed
        The release broke a check.

    Notes
    -----
    Whatever is raised, the live release stays live. Each step replaces its own output, so a night
    that stopped half-way is simply run again.
    """
    for name in models or model_names():
        # Features take minutes: a misspelt name must not wait for them.
        get_model(name, settings)
    with at_work(settings.home):
        return _run(settings, as_of, models, publish_release, force_older, progress)


def _run(
    settings: Settings,
    as_of: date,
    models: list[str] | None,
    publish_release: bool,
    force_older: bool,
    progress: Progress,
) -> NightReport:
    seconds: dict[str, float] = {}

    def timed(name: str, step: Callable[[], T]) -> T:
        started = time.perf_counter()
        try:
            return step()
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started

    info = timed("features", lambda: take_snapshot(settings, as_of, progress))
    problem = timed("report", lambda: report_snapshot(settings, as_of))
    if problem:
        progress(f"night {as_of}: {problem}")
    catalog = timed("features", lambda: load_catalog(info))
    plan = timed("plan", lambda: make_plan(settings, info, catalog, models))
    for model in plan.models:
        if model.mode != "champion":
            progress(f"night {as_of}: {model.model} {model.mode}, {model.reason}")
    timed("drift", lambda: check_snapshot(settings, info, catalog, plan.models, progress))
    _compute(settings, info, catalog, plan, timed, progress)
    bundle = timed("home", lambda: assemble_homes(settings, info, catalog, plan, progress))
    release = None
    if publish_release:
        release = timed("publish", lambda: publish(settings, bundle, force_older=force_older))
        keep(settings, settings.keep_releases)
        progress(f"night {as_of}: release {release.release_id} is {release.status}")
    report = NightReport(as_of, plan, release, seconds, [problem] if problem else [])
    write_json(_summary(report), Lake(settings.home).night(as_of) / "report.json")
    return report


def take_snapshot(
    settings: Settings, as_of: date, progress: Progress = logger.info
) -> SnapshotInfo:
    """Compute the night's snapshot and verify logged rows of it through the training path.

    Raises
    ------
    EmptyInput
        No event of the day before as_of is in the lake.
    """
    newest = max((d for d in Lake(settings.home).event_dates() if d < as_of), default=None)
    oldest_allowed = as_of - timedelta(days=settings.max_days_without_events)
    if newest is not None and newest < oldest_allowed:
        raise EmptyInput(
            f"The last event before {as_of} is of {newest}; a night needs one of {oldest_allowed} "
            "or later (max_days_without_events). The live release stays live. Check the upstream "
            "export, ingest it with `homerec ingest`, and run the night again; to compute a past "
            f"night, give its date (as_of in the form), such as {newest + timedelta(days=1)}."
        )
    info = ensure_snapshot(settings, as_of, writer="night", progress=progress)
    verify_snapshot(settings, info)
    return info


def _compute(
    settings: Settings,
    info: SnapshotInfo,
    catalog: Catalog,
    plan: NightPlan,
    timed: Callable[[str, Callable[[], Any]], Any],
    progress: Progress,
) -> None:
    for model in plan.models:
        if model.mode == "skipped":
            continue
        for name, step in (
            ("candidates", partial(make_candidates, shards=plan.shards)),
            ("drift", check_features),
            ("ranking", partial(rank_candidates, shards=plan.shards)),
        ):
            timed(name, partial(step, settings, info, catalog, model, progress=progress))


def _summary(report: NightReport) -> dict[str, Any]:
    release = report.release
    return {
        "as_of": report.as_of.isoformat(),
        "release": release.release_id if release else None,
        "status": release.status if release else "not published",
        "degraded": report.plan.degraded,
        "warnings": report.warnings,
        "seconds": {name: round(value, 3) for name, value in report.seconds.items()},
    }
