"""What is said of a release, and what an audit allows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from homerec.errors import SettingsError

#: Reads the columns of ``ReleaseInfo``, in its order.
SELECT_RELEASE = (
    "SELECT release_id, as_of, status, degraded, reasons, versions, counts, audit, note, stored, "
    "created_at, published_at FROM homerec.release "
)


@dataclass(frozen=True)
class ReleaseInfo:
    """One release.

    Attributes
    ----------
    release_id : int
        Its number; a newer release has a higher one.
    as_of : date
        The date it was computed for.
    status : str
        ``building``, ``audited``, ``live``, ``retired`` or ``failed``.
    degraded : bool
        A model's shelf had to be filled by its baseline; ``reasons`` say which and why.
    versions : mapping of str to Any
        Version of each model.
    counts : mapping of str to Any
        ``listeners``, ``rows``, ``cards``, and by shelf ``shelf_cards`` and ``shelf_items``.
    audit : mapping of str to Any
        Each check's number of bad rows, and what was measured against the live release.
    note : str or None
        Why it failed, or why the pointer was not moved to it.
    stored : bool
        Its Homes are still there.
    created_at : datetime
        When it was begun.
    published_at : datetime or None
        When it first became live.
    seconds : mapping of str to float
        Duration of each step, on the value that ``publish`` returns.
    """

    release_id: int
    as_of: date
    status: str
    degraded: bool
    reasons: list[str]
    versions: Mapping[str, Any]
    counts: Mapping[str, Any]
    audit: Mapping[str, Any]
    note: str | None
    stored: bool
    created_at: datetime
    published_at: datetime | None
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def live(self) -> bool:
        """Whether backends read this release."""
        return self.status == "live"


@dataclass(frozen=True)
class AuditLimits:
    """How far a release may differ from the live one.

    Attributes
    ----------
    min_count_ratio : float
        Listeners, cards, and distinct items of a shelf may not fall below this share of the live
        release's.
    min_overlap_ratio : float
        Least mean share of a listener's items that were on the live Home too. Very low by default:
        it is there to catch keys that were mixed up, not a new model.
    max_default_rise : float
        By how much the share of known listeners that would read a default Home may rise.
    """

    min_count_ratio: float = 0.5
    min_overlap_ratio: float = 0.005
    max_default_rise: float = 0.25

    def __post_init__(self) -> None:
        """Check that each limit is a share."""
        for name in ("min_count_ratio", "min_overlap_ratio", "max_default_rise"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise SettingsError(f"{name} is {value}, allowed is 0 to 1.")
