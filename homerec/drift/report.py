"""What a drift check found, feature by feature and volume by volume."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final, Literal

from homerec.errors import ArtifactError

#: ``first``: there was nothing to compare with. ``extra``: a column the reference does not have.
FeatureStatus = Literal["ok", "drifted", "missing", "too_few_rows", "extra", "first"]
#: ``new``: not in the reference. ``small``: too few on both sides to judge.
VolumeStatus = Literal["ok", "drifted", "new", "small"]

#: Stands for all features in a finding about the rows.
ALL_ROWS: Final = "rows"

_FAILURES: Final = ("drifted", "missing", "too_few_rows")
_RUNBOOK: Final = "See docs/runbook.md#drift."


@dataclass(frozen=True)
class FeatureDrift:
    """What one feature showed.

    Attributes
    ----------
    feature : str
        Its name, or ``"rows"`` for a finding about all of them.
    status : str
        ``drifted``, ``missing`` and ``too_few_rows`` are failures.
    limit : float
        Largest distance that passes; for ``too_few_rows`` the smallest number of rows.
    distance : float, optional
        Chebyshev distance in [0, 1]; for ``too_few_rows`` the number of rows.
    bin : str, optional
        The bin that moved most.
    reference_share, current_share : float, optional
        Its shares.
    reference, current : str
        The two windows.
    """

    feature: str
    status: FeatureStatus
    limit: float
    distance: float | None = None
    bin: str | None = None
    reference_share: float | None = None
    current_share: float | None = None
    reference: str = ""
    current: str = ""

    @property
    def failed(self) -> bool:
        """Whether this stops the night unless it is accepted."""
        return self.status in _FAILURES

    @property
    def acceptable(self) -> bool:
        """Whether a person may accept it; a missing column or missing rows they may not."""
        return self.status == "drifted"

    def message(self) -> str:
        """Say in one sentence what was measured, what is allowed, and between which windows."""
        windows = f"between {self.reference or 'the reference'} and {self.current or 'now'}"
        if self.status in ("drifted", "ok"):
            return (
                f"{self.feature} drift {self.distance:.3f} {'>' if self.failed else '<='} "
                f"{self.limit:.3f} {windows}; '{self.bin}' {self.reference_share:.2f} -> "
                f"{self.current_share:.2f}."
            )
        if self.status == "missing":
            return f"{self.feature} is missing {windows}; the reference has it."
        if self.status == "too_few_rows":
            return (
                f"{self.feature} {self.distance:.0f} < {self.limit:.0f} {windows}; "
                "too few to judge drift."
            )
        if self.status == "extra":
            return f"{self.feature} is new {windows}; the reference does not use it."
        return f"{self.feature} of {self.current or 'now'} is recorded; it is the first."


@dataclass(frozen=True)
class VolumeDrift:
    """How one count changed.

    Attributes
    ----------
    name : str
        What was counted, such as ``"events/DE/home"``.
    reference, current : int
        The counts.
    change : float, optional
        (current - reference) / reference, from -1 up; none without a reference.
    limit_ratio : float
        Largest change, either way, that passes.
    status : str
        ``drifted`` is a failure.
    """

    name: str
    reference: int
    current: int
    change: float | None
    limit_ratio: float
    status: VolumeStatus

    @property
    def failed(self) -> bool:
        """Whether this stops the night unless it is accepted."""
        return self.status == "drifted"

    def message(self) -> str:
        """Say in one sentence what was counted and what is allowed."""
        change = "new" if self.change is None else f"{self.change:+.1%}"
        return (
            f"{self.name} volume {self.reference} -> {self.current} ({change}); "
            f"allowed is a change of {self.limit_ratio:.0%}."
        )


@dataclass(frozen=True)
class DriftReport:
    """Everything one drift check found.

    Attributes
    ----------
    model, place : str
        What was checked, and where: ``"snapshot"`` or ``"features"``.
    as_of : date
        The date judged.
    features : tuple of FeatureDrift
        One per feature and reference.
    volumes : tuple of VolumeDrift
        One per count.
    accepted : tuple of str
        Names that failed and that a person has accepted.
    notes : tuple of str
        What a reader should know beside the numbers.
    """

    model: str
    place: str
    as_of: date
    features: tuple[FeatureDrift, ...]
    volumes: tuple[VolumeDrift, ...] = ()
    accepted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failures(self) -> tuple[FeatureDrift | VolumeDrift, ...]:
        """What failed and was not accepted, features first."""
        features = tuple(
            f
            for f in self.features
            if f.failed and not (f.acceptable and f.feature in self.accepted)
        )
        return features + tuple(v for v in self.volumes if v.failed and v.name not in self.accepted)

    @property
    def passed(self) -> bool:
        """Whether the night may go on."""
        return not self.failures

    def failure_message(self) -> str:
        """Every failure, one a line, and where to read on; empty when the check passed."""
        if self.passed:
            return ""
        return "\n".join([*(failure.message() for failure in self.failures), _RUNBOOK])

    def render(self) -> str:
        """Write as a table for people."""
        lines = [
            f"Drift of {self.model}, {self.place} as of {self.as_of}: "
            f"{'passed' if self.passed else f'FAILED ({len(self.failures)})'}"
        ]
        rows: list[tuple[str, ...]] = [("name", "status", "measured", "limit", "moved most")]
        rows += [_feature_row(f, self.accepted) for f in self.features]
        rows += [_volume_row(v, self.accepted) for v in self.volumes]
        lines += _table(rows)
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines)

    def to_json(self) -> str:
        """Write as JSON text; :meth:`from_json` reads the same value back."""
        return json.dumps({**asdict(self), "as_of": self.as_of.isoformat()}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "DriftReport":
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        ArtifactError
            The text is not such JSON.
        """
        try:
            value: dict[str, Any] = json.loads(text)
            return cls(
                value["model"],
                value["place"],
                date.fromisoformat(value["as_of"]),
                tuple(FeatureDrift(**stored) for stored in value["features"]),
                tuple(VolumeDrift(**stored) for stored in value["volumes"]),
                tuple(value["accepted"]),
                tuple(value["notes"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"A drift report cannot be read: {type(error).__name__} {error}. Check again."
            ) from error


def _feature_row(found: FeatureDrift, accepted: Sequence[str]) -> tuple[str, ...]:
    taken = found.failed and found.acceptable and found.feature in accepted
    digits = 0 if found.status == "too_few_rows" else 3
    measured = "" if found.distance is None else f"{found.distance:.{digits}f}"
    moved = ""
    if found.bin is not None:
        moved = f"'{found.bin}' {found.reference_share:.2f} -> {found.current_share:.2f}"
    status = "accepted" if taken else found.status
    return (found.feature, status, measured, f"{found.limit:.{digits}f}", moved)


def _volume_row(found: VolumeDrift, accepted: Sequence[str]) -> tuple[str, ...]:
    status = "accepted" if found.failed and found.name in accepted else found.status
    change = "" if found.change is None else f"{found.change:+.1%}"
    counts = f"{found.reference} -> {found.current}"
    return (found.name, status, change, f"{found.limit_ratio:.0%}", counts)


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
