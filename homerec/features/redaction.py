"""Snapshots from which listeners were removed: their manifests are brought in line, and say so."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from homerec.errors import SnapshotError
from homerec.features.listener_items import played_keys
from homerec.features.snapshot import SnapshotInfo, _fingerprint, event_files, load_snapshot
from homerec.lake import Lake, checksum, write_json
from homerec.settings import Settings


def snapshot_dates(settings: Settings) -> list[date]:
    """Dates of the kept snapshots, ascending."""
    folder = Lake(settings.home).snapshot(date.min).parent
    if not folder.is_dir():
        return []
    return sorted(
        date.fromisoformat(path.name.removeprefix("as_of="))
        for path in folder.glob("as_of=????-??-??")
        if (path / "manifest.json").exists()
    )


def up_to_date(settings: Settings) -> set[date]:
    """Dates of the snapshots that were computed from the lake as it is now."""
    found = set()
    for day in snapshot_dates(settings):
        info = _loaded(settings, day)
        if info.manifest.get("input_fingerprint") == _fingerprint(
            settings, event_files(settings, day)
        ):
            found.add(day)
    return found


def restamp(settings: Settings, day: date, *, current: bool) -> dict[str, int]:
    """Bring a snapshot's manifest in line with its tables, after rows were removed from them.

    Parameters
    ----------
    settings : Settings
    day : date
    current : bool
        The snapshot was up to date before the same rows were removed from the lake, so it is now:
        it need not be computed again, and what it says of other listeners stays as it was served.

    Returns
    -------
    dict of str to int
        Rows that were removed since the manifest was written, by table; empty when none were, and
        then nothing is written.
    """
    info = _loaded(settings, day)
    manifest: dict[str, Any] = dict(info.manifest)
    counts = {str(k): int(v) for k, v in manifest["rows"].items()}
    found = {
        name: pq.read_metadata(info.path(name)).num_rows
        for name in counts
        if info.path(name).exists()
    }
    found["listener_item"] = len(played_keys(info))
    removed = {name: counts[name] - n for name, n in found.items() if n != counts[name]}
    sums = _checksums(info.folder, manifest)
    stamp = _fingerprint(settings, event_files(settings, day)) if current else None
    if not removed and not sums and stamp in (None, manifest.get("input_fingerprint")):
        return {}
    manifest["rows"] = {**counts, **found}
    if sums:
        manifest["checksums"] = {**manifest["checksums"], **sums}
    if stamp:
        manifest["input_fingerprint"] = stamp
    if removed:
        entry = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "rows": removed}
        manifest["redactions"] = [*manifest.get("redactions", []), entry]
    write_json(manifest, info.folder / "manifest.json")
    return removed


def _checksums(folder: Path, manifest: dict[str, Any]) -> dict[str, str]:
    """Checksums of files that are not as the manifest says, if it says any."""
    kept = manifest.get("checksums") or {}
    found = {name: checksum(folder / name) for name in kept if (folder / name).is_file()}
    return {name: value for name, value in found.items() if value != kept[name]}


def _loaded(settings: Settings, day: date) -> SnapshotInfo:
    info = load_snapshot(settings, day)
    if info is None:
        raise SnapshotError(f"There is no snapshot of {day}.")
    return info
