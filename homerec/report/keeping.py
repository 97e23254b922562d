"""Data reports on disk: written when their data are, computed when they are missing."""

import logging
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from homerec.errors import EmptyInput
from homerec.features.snapshot import SnapshotInfo, load_snapshot
from homerec.lake import Lake, read_json, write_json
from homerec.report.computing import FORMAT, ingest_data, snapshot_data
from homerec.settings import Settings

logger = logging.getLogger(__name__)


def ingest_path(settings: Settings, ingest_id: str) -> Path:
    """File of the data report of an ingest."""
    return Lake(settings.home).data_reports / f"{ingest_id}.json"


def snapshot_path(info: SnapshotInfo) -> Path:
    """File of the data report of a snapshot; it goes when the snapshot is computed anew."""
    return info.folder / "data.json"


def newest_ingest(settings: Settings) -> str:
    """Id of the last ingest.

    Raises
    ------
    EmptyInput
        There was none.
    """
    found = sorted(p.stem for p in Lake(settings.home).ingests.glob("*.json"))
    if not found:
        raise EmptyInput("Nothing was ingested yet, so there is nothing to report. Ingest first.")
    return found[-1]


def newest_snapshot(settings: Settings) -> date:
    """Date of the newest snapshot.

    Raises
    ------
    EmptyInput
        There is none.
    """
    folder = Lake(settings.home).snapshot(date.min).parent
    found = sorted(p.parent.name for p in folder.glob("as_of=????-??-??/manifest.json"))
    if not found:
        raise EmptyInput("There is no snapshot yet. Compute one: `homerec features`.")
    return date.fromisoformat(found[-1].removeprefix("as_of="))


def ingest_report(settings: Settings, ingest_id: str) -> dict[str, Any]:
    """Return the data report of an ingest, computing it when it is missing.

    Raises
    ------
    EmptyInput
        There is no such ingest.
    """
    path = ingest_path(settings, ingest_id)
    kept = _kept(path)
    if kept is not None:
        return kept
    source = Lake(settings.home).ingests / f"{ingest_id}.json"
    if not source.exists():
        known = sorted(p.stem for p in source.parent.glob("*.json"))[-3:]
        raise EmptyInput(
            f"There is no ingest {ingest_id}; the last are {', '.join(known) or 'none'}."
        )
    made = ingest_data(settings, read_json(source))
    write_json(made, path)
    return made


def snapshot_report(settings: Settings, as_of: date) -> dict[str, Any]:
    """Return the data report of a snapshot, computing it when it is missing.

    Raises
    ------
    EmptyInput
        There is no snapshot of that date.
    """
    info = load_snapshot(settings, as_of)
    if info is None:
        raise EmptyInput(
            f"There is no snapshot of {as_of}. Compute it: `homerec features --as-of {as_of}`."
        )
    kept = _kept(snapshot_path(info))
    if kept is None:
        kept = snapshot_data(settings, info)
        write_json(kept, snapshot_path(info))
    # The drift check comes after the report.
    return {**kept, "passed": info.passed}


def has_snapshot(settings: Settings) -> bool:
    """Whether there is a snapshot."""
    folder = Lake(settings.home).snapshot(date.min).parent
    return any(folder.glob("as_of=????-??-??/manifest.json"))


def snapshot_before(settings: Settings, report: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the data report of the snapshot that a report compares itself with, if it is there."""
    named = report["before"]
    if named is None or load_snapshot(settings, date.fromisoformat(named["as_of"])) is None:
        return None
    return snapshot_report(settings, date.fromisoformat(named["as_of"]))


def _kept(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    found: dict[str, Any] = read_json(path)
    return found if found.get("format") == FORMAT else None


def report_ingest(settings: Settings, ingest_id: str) -> str:
    """Write the data report of an ingest, without ever failing it.

    Returns
    -------
    str
        What went wrong, for whoever is on call; empty when it is written.
    """
    return _said(f"ingest {ingest_id}", lambda: ingest_report(settings, ingest_id))


def report_snapshot(settings: Settings, as_of: date) -> str:
    """Write the data report of a snapshot, without ever failing the night.

    Returns
    -------
    str
        What went wrong, for whoever is on call; empty when it is written.
    """
    return _said(f"the snapshot of {as_of}", lambda: snapshot_report(settings, as_of))


def _said(what: str, make: Callable[[], dict[str, Any]]) -> str:
    try:
        made = make()
    # Whatever it is, Homes matter more: it is logged, and the caller tells people.
    except Exception as error:
        logger.exception("the data report of %s failed", what)
        return (
            f"The data report of {what} could not be written ({type(error).__name__}: {error}). "
            "Nothing else is affected; see docs/runbook.md#report."
        )
    logger.info("data report of %s: %.1f s", what, made["seconds"])
    return ""
