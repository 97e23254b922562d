"""Manifests brought in line with files from which listeners were removed."""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from homerec.features.redaction import restamp, snapshot_dates
from homerec.forget.report import Finding
from homerec.lake import Lake, read_json, write_json
from homerec.settings import Settings


def redact_manifests(
    settings: Settings, current: set[date], findings: list[Finding], *, resuming: bool
) -> None:
    """Record in every snapshot and bundle that rows were removed.

    Parameters
    ----------
    settings : Settings
    current : set of date
        Snapshots that were up to date with the lake before the removal.
    findings : list of Finding
        What was removed in this run.
    resuming : bool
        An earlier run was cut short, and may have removed rows without recording it.
    """
    for day in snapshot_dates(settings):
        restamp(settings, day, current=day in current)
    touched = {f.where for f in findings if f.place == "nights" and f.what == "rows"}
    for path in sorted(Lake(settings.home).night(date.min).parent.glob("as_of=*/bundle")):
        shelves = path / "shelves.parquet"
        if resuming or str(shelves.relative_to(settings.home / "nights")) in touched:
            _redact_bundle(path, shelves)


def _redact_bundle(folder: Path, shelves: Path) -> None:
    """Let a bundle promise a Home to those that it holds; its audit compares the two."""
    about = read_json(folder / "release.json")
    listeners = pc.unique(pq.read_table(shelves, columns=["listener"])["listener"]).to_numpy()
    n_listeners = int((listeners > 0).sum())
    gone = int(about["eligible"]) - n_listeners
    if gone <= 0:
        return
    entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "listeners": gone}
    about |= {"eligible": n_listeners, "redactions": [*about.get("redactions", []), entry]}
    write_json(about, folder / "release.json")
