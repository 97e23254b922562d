"""The drift check: distances against limits, volumes against their reference, and the refusal."""

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Final

from homerec.drift.distance import chebyshev
from homerec.drift.histogram import Histograms
from homerec.drift.report import ALL_ROWS, DriftReport, FeatureDrift, VolumeDrift, VolumeStatus
from homerec.errors import ArtifactError, DriftExceeded, EmptyInput, SettingsError

__all__ = [
    "DriftReport",
    "FeatureDrift",
    "Limits",
    "VolumeDrift",
    "check",
    "compare",
    "enforce",
    "volumes",
]

_log = logging.getLogger(__name__)

#: A count below this on both sides says nothing about a change.
_SMALL_VOLUME: Final = 100
#: How many failures a message names before it only counts them.
_MOST_NAMED: Final = 10


@dataclass(frozen=True)
class Limits:
    """Largest distances that pass.

    Attributes
    ----------
    default : float
        For every feature not named, in [0, 1].
    per_feature : mapping of str to float
        For the named features, in [0, 1].
    """

    default: float = 0.15
    per_feature: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check ranges: a limit above 1 would never be exceeded."""
        for name, limit in {"default": self.default, **self.per_feature}.items():
            if not 0 <= limit <= 1:
                raise SettingsError(f"Drift limit {name} is {limit}, allowed is 0 to 1.")

    def of(self, feature: str) -> float:
        """Limit of a feature."""
        return self.per_feature.get(feature, self.default)


def compare(
    reference: Histograms, current: Histograms, limits: Limits, min_rows: int = 1_000
) -> list[FeatureDrift]:
    """Measure every feature's distance; drifted is what exceeds its limit strictly.

    Parameters
    ----------
    reference : Histograms
        What is normal.
    current : Histograms
        Counted on the reference's edges by :func:`homerec.drift.histogram.count`.
    limits : Limits
        Largest distances that pass.
    min_rows : int
        Fewer current rows are a failure of their own, named ``rows``; then no distance is measured.

    Returns
    -------
    list of FeatureDrift
        In the order of the reference, a missing column as a failure; extra columns at the end.

    Raises
    ------
    EmptyInput
        One side has no rows or no features: never "no drift".
    ArtifactError
        The two were counted on different edges.
    """
    for side, histograms in (("reference", reference), ("current", current)):
        if histograms.n_rows <= 0 or (side == "reference" and not histograms.features):
            raise EmptyInput(
                f"The {side} window {histograms.label} has {histograms.n_rows} rows and "
                f"{len(histograms.features)} features; at least 1 of each is needed to judge drift."
            )
    finding = partial(FeatureDrift, reference=reference.label, current=current.label)
    if current.n_rows < min_rows:
        return [finding(ALL_ROWS, "too_few_rows", float(min_rows), float(current.n_rows))]
    if reference.features.keys() & current.features.keys() and not reference.same_edges(current):
        raise ArtifactError(
            f"Histograms of {current.label or 'now'} were counted on other edges than those of "
            f"{reference.label or 'the reference'}. Count the rows on the reference's edges."
        )
    found = []
    for name, frozen in reference.features.items():
        limit = limits.of(name)
        if name not in current.features:
            found.append(finding(name, "missing", limit))
            continue
        d = chebyshev(frozen.bins(), current.features[name].bins())
        found.append(
            finding(
                name,
                "drifted" if d.value > limit else "ok",
                limit,
                d.value,
                d.bin,
                d.reference_share,
                d.current_share,
            )
        )
    unknown = [n for n in current.features if n not in reference.features]
    found += [
        finding(name, "extra", limits.of(name))
        for name in dict.fromkeys((*unknown, *current.extra))
    ]
    return found


def volumes(
    reference: Mapping[str, int],
    current: Mapping[str, int],
    limit_ratio: float,
    *,
    min_count: int = _SMALL_VOLUME,
) -> list[VolumeDrift]:
    """Compare counts, which a normalised distance cannot see.

    Parameters
    ----------
    reference, current : mapping of str to int
        Counts by name, such as ``"events/DE/home"``. A name that the current side lacks counts 0.
    limit_ratio : float
        Largest change that passes, relative to the reference, either way: at 0.5 a count may halve
        or grow by half. A count that vanishes always fails.
    min_count : int
        Counts below it on both sides are listed as ``small`` and not judged.

    Raises
    ------
    EmptyInput
        One side counts nothing at all.
    SettingsError
        The limit is not positive.
    """
    if not limit_ratio > 0:
        raise SettingsError(f"The volume limit is {limit_ratio}, it must be above 0.")
    for side, counts in (("reference", reference), ("current", current)):
        if sum(counts.values()) <= 0:
            raise EmptyInput(
                f"The {side} window counts 0 rows in {len(counts)} volumes. Check that its day was "
                "ingested before judging drift."
            )
    found = []
    for name in dict.fromkeys((*reference, *current)):
        before, after = reference.get(name, 0), current.get(name, 0)
        change = (after - before) / before if before else None
        if max(before, after) < min_count:
            verdict = VolumeDrift(name, before, after, change, limit_ratio, "small")
        elif change is None:
            verdict = VolumeDrift(name, before, after, None, limit_ratio, "new")
        else:
            status: VolumeStatus = "drifted" if abs(change) > limit_ratio or not after else "ok"
            verdict = VolumeDrift(name, before, after, change, limit_ratio, status)
        found.append(verdict)
    return found


def check(
    model: str,
    place: str,
    as_of: date,
    current: Histograms,
    references: Iterable[Histograms | None],
    limits: Limits,
    *,
    min_rows: int = 1_000,
    weekday_reference: Histograms | None = None,
    weekday_features: Collection[str] = (),
    volumes_found: Iterable[VolumeDrift] = (),
) -> DriftReport:
    """Compare one night's histograms with every reference there is.

    Parameters
    ----------
    model, place : str
        What is checked, and where: ``"snapshot"`` or ``"features"``.
    as_of : date
        The date judged.
    current : Histograms
        Counted on the champion's frozen edges.
    references : iterable of Histograms or None
        The champion's training set, the last histograms that passed. ``None`` stands for one that
        is not there yet; without any, the night is recorded as the first and passes, given enough
        rows.
    limits : Limits
        Largest distances that pass.
    min_rows : int
        Fewer current rows fail, also on a first night.
    weekday_reference : Histograms, optional
        The last that passed on the same weekday, for ``weekday_features``.
    weekday_features : collection of str
        Features that follow the day of the week: they are compared with the first reference and
        with ``weekday_reference``, and not with the other references.
    volumes_found : iterable of VolumeDrift
        From :func:`volumes`.

    Raises
    ------
    EmptyInput, ArtifactError
        As :func:`compare`.
    """
    given = list(references)
    present = [(i, r) for i, r in enumerate(given) if r is not None]
    found: list[FeatureDrift] = []
    notes = []
    for i, reference in present:
        steady = [n for n in reference.features if n not in weekday_features]
        if i == 0 or len(steady) == len(reference.features):
            found += compare(reference, current, limits, min_rows)
        elif steady:
            found += compare(reference.subset(steady), _only(current, steady), limits, min_rows)
    if weekday_reference is not None and weekday_features:
        chosen = [n for n in weekday_reference.features if n in weekday_features]
        if chosen:
            found += compare(
                weekday_reference.subset(chosen), _only(current, chosen), limits, min_rows
            )
    if not found:
        found, note = _first(current, limits, min_rows)
        notes.append(note)
    found = list(dict.fromkeys(found))
    return DriftReport(model, place, as_of, tuple(found), tuple(volumes_found), notes=tuple(notes))


def enforce(report: DriftReport, accepted: Collection[str] = ()) -> DriftReport:
    """Refuse to go on when something failed that nobody has accepted.

    Parameters
    ----------
    report : DriftReport
        From :func:`check`.
    accepted : collection of str
        Names that a person has accepted for this model and date, such as the keys of
        :func:`homerec.drift.acceptance.accepted_on`. Missing columns and missing rows cannot be
        accepted.

    Returns
    -------
    DriftReport
        The report, with the names whose failure was accepted; that a name is there is the sign that
        the change is real and the model wants retraining.

    Raises
    ------
    DriftExceeded
        Something failed. The message names both windows, the value, the limit and what moved most.
    """
    failing = {f.feature for f in report.features if f.failed and f.acceptable}
    failing |= {v.name for v in report.volumes if v.failed}
    taken = sorted(failing & set(accepted))
    judged = replace(report, accepted=tuple(dict.fromkeys((*report.accepted, *taken))))
    if not judged.passed:
        raise DriftExceeded(_message(judged))
    for name in judged.accepted:
        _log.warning("%s %s: drift of %s is accepted.", judged.model, judged.place, name)
    return judged


def _only(current: Histograms, names: Collection[str]) -> Histograms:
    return current.subset([n for n in current.features if n in names])


def _first(current: Histograms, limits: Limits, min_rows: int) -> tuple[list[FeatureDrift], str]:
    # Compared with itself: no drift, but an empty or too small window fails on a first night too.
    found = [
        f if f.failed else FeatureDrift(f.feature, "first", f.limit, current=current.label)
        for f in compare(current, current, limits, min_rows)
    ]
    note = "There is no reference yet: these histograms are the first."
    return found, note


def _message(report: DriftReport) -> str:
    lines = report.failure_message().split("\n")
    if len(lines) > _MOST_NAMED + 1:
        more = len(lines) - 1 - _MOST_NAMED
        lines = [*lines[:_MOST_NAMED], f"And {more} more.", lines[-1]]
    # One failure reads as one sentence, as everywhere else.
    return " ".join(lines) if len(lines) <= 2 else "\n".join(lines)
