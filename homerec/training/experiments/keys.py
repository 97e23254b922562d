"""Checksums that say whether a result is of this code, these data and this configuration."""

import json
from collections.abc import Iterable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final

from homerec.errors import ExperimentError
from homerec.features.snapshot import load_snapshot
from homerec.lake import checksum_text
from homerec.settings import PACKAGE, Settings, resource
from homerec.training.labels import window_files

#: What a result is made by; the model's own file is not among it, its spec is.
_CODE: Final = (
    "candidates", "ranking", "features", "models/spec.py", "models/fitted.py", "sampling.py",
    "columns.py", "training",
)  # fmt: skip
#: Files of this package that a result depends on; the others only show it.
_OWN: Final = ("cell.py", "measures.py", "sharing.py")


@cache
def code_checksum() -> str:
    """SHA-256 over the code and the SQL between the lake and a metric."""
    found: list[Path] = []
    for name in _CODE:
        path = PACKAGE / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path]
    here = Path(__file__).parent
    code = [p for p in found if p.parent != here or p.name in _OWN]
    sql = [p for name in ("features", "labels") for p in _sql(name)]
    return checksum_text([f"{p.name}\n{p.read_text(encoding='utf-8')}" for p in [*code, *sql]])


def _sql(name: str) -> list[Path]:
    return sorted(resource(f"sql/{name}").glob("*.sql"))


def data_checksum(settings: Settings, snapshots: Iterable[date], start: date, end: date) -> str:
    """SHA-256 over what is read: the snapshots, and the events that labels are made of.

    Parameters
    ----------
    settings : Settings
    snapshots : iterable of date
        Every one that is read; they must be there.
    start, end : date
        The days of the labels, half-open.

    Raises
    ------
    ExperimentError
        A snapshot is missing.
    """
    parts = [str(settings.arrival_grace_hours)]
    for day in sorted(set(snapshots)):
        info = load_snapshot(settings, day)
        if info is None:
            raise ExperimentError(
                f"The snapshot of {day} is not there; a checksum needs it. Compute it: "
                f"`homerec features --as-of {day}`."
            )
        kept = {k: info.manifest.get(k) for k in ("input_fingerprint", "sql_checksum", "known_at")}
        parts.append(f"{day} {json.dumps(kept, sort_keys=True)}")
    files = [Path(name) for name in window_files(settings, start, end)]
    parts += [f"{p.parent.name}/{p.name}:{p.stat().st_size}" for p in files]
    return checksum_text(parts)


def key_of(*parts: Any) -> str:
    """Short checksum (24 hexadecimal digits) of plain values; the order counts."""
    return checksum_text([json.dumps(p, sort_keys=True, default=str) for p in parts])[:24]
