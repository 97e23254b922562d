"""The steps of the DAGs: text in, small JSON out, over the library's own functions.

The library and what it needs are imported inside each step, so that parsing a DAG file stays cheap.
"""

import functools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from homerec.errors import SnapshotError
from homerec.settings import Settings, load_settings

if TYPE_CHECKING:
    from homerec.features.snapshot import SnapshotInfo
    from homerec.features.tables import Catalog

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


def settings_of_task() -> Settings:
    """Read the settings of this deployment, and keep BLAS from fighting implicit for the cores."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return load_settings()


def _at_work(step: Callable[P, T]) -> Callable[P, T]:
    """Keep `homerec forget` away while a step runs."""

    @functools.wraps(step)
    def held(*arguments: P.args, **named: P.kwargs) -> T:
        from homerec.lake import at_work

        with at_work(load_settings().home):
            return step(*arguments, **named)

    return held


def ingest(source: str, mapping: str) -> dict[str, Any]:
    """Bring files, or a database's rows, into the lake.

    Parameters
    ----------
    source : str
        Folder or file on the machine that runs the task, or a URI; empty means the inbox, and for
        queries the variable that the mapping names.
    mapping : str
        Name of a mapping, or a file's path.

    Returns
    -------
    dict
        ``ingest_id``, and ``report``, the path of the kept report.

    Raises
    ------
    SourceError
        The source holds a password, which everybody who sees the run could read.
    """
    settings = settings_of_task()
    from homerec.ingest import ingest as run
    from homerec.ingest.sources import without_password
    from homerec.lake import Lake

    lake = Lake(settings.home)
    report = run(
        settings,
        source=without_password(source) if source else None,
        mapping=mapping,
        progress=logger.info,
    )
    logger.info("%s", report.render())
    path = lake.ingests / f"{report.ingest_id}.json"
    return {"ingest_id": report.ingest_id, "report": str(path)}


@_at_work
def snapshot(as_of: str) -> str:
    """Compute and verify the night's snapshot; returns its folder."""
    settings = settings_of_task()
    from homerec.night.run import take_snapshot

    return str(take_snapshot(settings, date.fromisoformat(as_of), logger.info).folder)


def report_snapshot(as_of: str) -> str:
    """Write the data report of a snapshot; returns what went wrong, empty if nothing did."""
    settings = settings_of_task()
    from homerec.report import report_snapshot as run

    return run(settings, date.fromisoformat(as_of))


def report_ingest(ingest_id: str) -> str:
    """Write the data report of an ingest; returns what went wrong, empty if nothing did."""
    settings = settings_of_task()
    from homerec.report import report_ingest as run

    return run(settings, ingest_id)


@_at_work
def plan(as_of: str, models: Sequence[str]) -> list[dict[str, Any]]:
    """Resolve each model's champion once for the night; returns the plan of each model."""
    settings = settings_of_task()
    from homerec.features.tables import load_catalog
    from homerec.night.plan import make_plan

    info = _kept(settings, date.fromisoformat(as_of))
    made = make_plan(settings, info, load_catalog(info), sorted(models))
    for one in made.models:
        logger.info("%s: %s %s %s", one.model, one.mode, one.version or "", one.reason)
    return [asdict(one) for one in made.models]


def shards(as_of: str) -> list[int]:
    """Return the numbers of the shards that the plan cut the listeners into."""
    from homerec.night.plan import read_plan

    found = read_plan(settings_of_task(), date.fromisoformat(as_of)).shards
    for one in found:
        logger.info("shard %d: listener keys from %d to before %d", one.number, one.low, one.high)
    return [one.number for one in found]


def snapshot_is_kept(as_of: str) -> bool:
    """Whether the snapshot of a date is there."""
    settings = settings_of_task()
    from homerec.features.snapshot import load_snapshot

    return load_snapshot(settings, date.fromisoformat(as_of)) is not None


@_at_work
def check_drift(as_of: str, model: str | None) -> str:
    """Run one drift check of the library.

    Parameters
    ----------
    as_of : str
    model : str or None
        Check the features of this model's ranker, else the snapshot for every model.

    Returns
    -------
    str
        What was found, for people.

    Raises
    ------
    DriftExceeded
        A distance or a volume is over its limit.
    """
    settings = settings_of_task()
    from homerec.night.checks import check_features, check_snapshot
    from homerec.night.plan import read_plan

    info, catalog = _night(settings, as_of)
    planned = read_plan(settings, info.as_of)
    if model is None:
        reports = check_snapshot(settings, info, catalog, planned.models, logger.info)
    else:
        found = check_features(settings, info, catalog, planned.of(model), logger.info)
        reports = [] if found is None else [found]
    return "\n".join(report.render() for report in reports) or "No champion to compare with."


def reason_to_skip(as_of: str, model: str) -> str:
    """Why the night leaves a model out, empty when it does not."""
    settings = settings_of_task()
    from homerec.night.plan import read_plan

    for one in read_plan(settings, date.fromisoformat(as_of)).models:
        if one.model == model:
            return one.reason if one.mode == "skipped" else ""
    return "it was not chosen in the form of this run"


@_at_work
def candidates(as_of: str, model: str, shard: int) -> int:
    """Stage 1 of a model for one shard; returns the shard's number."""
    settings = settings_of_task()
    from homerec.night.models import make_candidates
    from homerec.night.plan import read_plan

    info, catalog = _night(settings, as_of)
    planned = read_plan(settings, info.as_of)
    make_candidates(settings, info, catalog, planned.of(model), planned.some([shard]), logger.info)
    return shard


@_at_work
def rank(as_of: str, model: str, shard: int) -> int:
    """Stage 2 of a model for one shard; returns the shard's number."""
    settings = settings_of_task()
    from homerec.night.models import rank_candidates
    from homerec.night.plan import read_plan

    info, catalog = _night(settings, as_of)
    planned = read_plan(settings, info.as_of)
    rank_candidates(settings, info, catalog, planned.of(model), planned.some([shard]), logger.info)
    return shard


@_at_work
def assemble(as_of: str) -> str:
    """Put every listener's page together; returns the bundle's folder."""
    settings = settings_of_task()
    from homerec.night.homes import assemble_homes
    from homerec.night.plan import read_plan

    info, catalog = _night(settings, as_of)
    planned = read_plan(settings, info.as_of)
    return str(assemble_homes(settings, info, catalog, planned, logger.info))


@_at_work
def publish(bundle: str, force_older: bool, who: str) -> dict[str, Any]:
    """Write, audit and publish a bundle as a release.

    Returns
    -------
    dict
        ``release_id``, ``as_of``, ``status``, ``live``, ``note``, ``degraded``, ``reasons``.
    """
    settings = settings_of_task()
    from homerec.release import publish as run

    info = run(settings, Path(bundle), force_older=force_older, who=who)
    for step, seconds in info.seconds.items():
        logger.info("publish: %s took %.1f s", step, seconds)
    return {
        "release_id": info.release_id,
        "as_of": info.as_of.isoformat(),
        "status": info.status,
        "live": info.live,
        "note": info.note,
        "degraded": info.degraded,
        "reasons": list(info.reasons),
    }


@_at_work
def challenge(as_of: str, model: str) -> dict[str, Any]:
    """Train and register a challenger.

    Returns
    -------
    dict
        ``version`` (``None`` when there was nothing to learn from), ``skipped`` (why), ``folder``.
    """
    settings = settings_of_task()
    from homerec.training.challenge import challenge_folder, make_challenger

    day = date.fromisoformat(as_of)
    made = make_challenger(settings, model, day, progress=logger.info)
    return {
        "version": made.version,
        "skipped": made.skipped,
        "folder": str(challenge_folder(settings, model, day)),
    }


@_at_work
def judge(as_of: str, model: str) -> dict[str, Any]:
    """Let the gate decide on the challenger of a date, and carry it out.

    Returns
    -------
    dict
        ``model``, ``version``, ``outcome``, ``reason``, ``verdict`` (the table of checks).
    """
    settings = settings_of_task()
    from homerec.training.run import decide

    report = decide(settings, model, date.fromisoformat(as_of))
    return {
        "model": report.model,
        "version": report.version,
        "outcome": report.outcome,
        "reason": report.reason,
        "verdict": report.render(),
    }


def retain(keep_releases: int, keep_days: int) -> dict[str, int]:
    """Remove all that is older than the settings say; returns how much of each kind went.

    Parameters
    ----------
    keep_releases, keep_days : int
        In place of the settings' ``keep_releases`` and ``keep_snapshot_days``.
    """
    settings = replace(
        settings_of_task(), keep_releases=keep_releases, keep_snapshot_days=keep_days
    )
    from homerec.retention import retain as run

    report = run(settings)
    logger.info("%s", report.render())
    return report.counts


def _kept(settings: Settings, as_of: date) -> "SnapshotInfo":
    from homerec.features.snapshot import load_snapshot

    info = load_snapshot(settings, as_of)
    if info is None:
        raise SnapshotError(
            f"There is no snapshot of {as_of}. Clear the task `snapshot` of this run, or compute "
            f"it with `homerec features --as-of {as_of}`."
        )
    return info


def _night(settings: Settings, as_of: str) -> "tuple[SnapshotInfo, Catalog]":
    from homerec.features.tables import load_catalog

    info = _kept(settings, date.fromisoformat(as_of))
    return info, load_catalog(info)
