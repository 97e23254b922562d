"""Drift that a person looked at and found real: accepted for one feature, until a date."""

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from homerec.errors import SettingsError
from homerec.lake import read_json, write_json


@dataclass(frozen=True)
class Acceptance:
    """One accepted change.

    Attributes
    ----------
    model, feature : str
        What drifted; ``feature`` is a feature's name, or a volume's.
    until : date
        Last as_of for which it holds.
    reason, who : str
        Why it is real, and who says so.
    accepted_at : str
        UTC moment, ISO 8601.
    """

    model: str
    feature: str
    until: date
    reason: str
    who: str
    accepted_at: str


def accepted_path(home: Path) -> Path:
    """File of a deployment's accepted drifts, below ``Settings.home``."""
    return home / "drift" / "accepted.json"


def accept(
    path: Path,
    model: str,
    feature: str,
    until: date,
    reason: str,
    who: str,
    *,
    now: datetime | None = None,
) -> Acceptance:
    """Accept a feature's drift until a date; an earlier acceptance of the same feature is replaced.

    Parameters
    ----------
    path : Path
        From :func:`accepted_path`.
    model, feature : str
        As the drift message names them.
    until : date
        Last as_of for which it holds.
    reason, who : str
        Kept with it; neither may be empty.
    now : datetime, optional
        Aware moment of the acceptance, by default the present.

    Raises
    ------
    SettingsError
        A text is empty, or the date has passed.
    """
    moment = now or datetime.now(UTC)
    given = {"model": model, "feature": feature, "reason": reason, "who": who}
    empty = [name for name, text in given.items() if not text.strip()]
    if empty:
        raise SettingsError(
            f"Accepting drift of {model or '?'}.{feature or '?'}: {', '.join(empty)} is empty. "
            "Say what changed and who looked at it."
        )
    if until < moment.date():
        raise SettingsError(
            f"Accepting drift of {model}.{feature} until {until}: that date has passed "
            f"(today is {moment.date()}). Give a later one."
        )
    entry = Acceptance(model, feature, until, reason.strip(), who.strip(), moment.isoformat())
    with _locked(path):
        kept = [a for a in read_accepted(path) if (a.model, a.feature) != (model, feature)]
        _write(path, [*kept, entry])
    return entry


def revoke(path: Path, model: str, feature: str) -> bool:
    """Take an acceptance back; says whether there was one."""
    with _locked(path):
        entries = read_accepted(path)
        kept = [a for a in entries if (a.model, a.feature) != (model, feature)]
        if len(kept) < len(entries):
            _write(path, kept)
        return len(kept) < len(entries)


def accepted_on(path: Path, model: str, as_of: date) -> dict[str, Acceptance]:
    """Return the acceptances of a model that hold for an as_of, by feature."""
    return {a.feature: a for a in read_accepted(path) if a.model == model and as_of <= a.until}


def read_accepted(path: Path) -> list[Acceptance]:
    """Every acceptance ever given and not replaced, expired ones included; none without the file.

    Raises
    ------
    SettingsError
        The file is there and cannot be read.
    """
    if not path.exists():
        return []
    try:
        return [_entry(stored) for stored in read_json(path)]
    except (ValueError, TypeError, KeyError) as error:
        raise SettingsError(
            f"Accepted drifts in {path} cannot be read ({error}). Correct the file, or delete it "
            "and accept again."
        ) from error


def _entry(stored: dict[str, Any]) -> Acceptance:
    return Acceptance(**{**stored, "until": date.fromisoformat(stored["until"])})


def _write(path: Path, entries: list[Acceptance]) -> None:
    write_json([asdict(entry) for entry in entries], path)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The CLI and the form in the UI may write at the same moment; one of the two would be lost.
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
