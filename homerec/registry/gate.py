"""The gate: whether a challenger may become the champion, and why not.

What a check says
-----------------
pass
    The number lies on the right side of its limit, and where it is a comparison, surely so.
hold
    The number lies on the limit, or on the right side but not surely: more listeners could decide.
reject
    The number lies on the wrong side of its limit.

One reject rejects; else one hold holds. Too few listeners make every statistical check moot: the
verdict is a hold, "underpowered", unless the saved artifact itself does not score the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from homerec.errors import GateError
from homerec.registry.bootstrap import Interval, paired_bootstrap
from homerec.registry.verdict import Check, Outcome, Verdict

__all__ = ["Check", "Evaluation", "Thresholds", "Verdict", "judge"]

_Floats = npt.NDArray[np.float64]

#: z(0.975) + z(0.8): a lift of so many standard errors is found four times in five.
_DETECTABLE: Final = 2.801585
_CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class Evaluation:
    """One model's values on the listeners of an evaluation window.

    Attributes
    ----------
    name : str
        Name of the model, or of its baseline.
    version : int or None
        Registered version; a baseline has none.
    metric : str
        What ``value`` is, such as ``"ndcg_at_10"``; equal for all that are compared.
    listener : int (n,)
        Each listener once, in any order.
    value : float64 (n,)
        The metric of each; a model with several lists per listener gives their mean.
    segments : mapping of str to (n,)
        Labels by kind of segment, such as ``{"market": ["DE", ...]}``; read from the challenger.
    coverage : float
        Share of the eligible catalog that all lists together reach, in [0, 1].
    labels_end : date or None
        First day that no label it was trained on saw; none for what is not trained on labels.
    """

    name: str
    version: int | None
    metric: str
    listener: npt.NDArray[np.integer]
    value: _Floats
    segments: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    coverage: float = 0.0
    labels_end: date | None = None

    @property
    def title(self) -> str:
        """Name and version, for messages."""
        return self.name if self.version is None else f"{self.name} v{self.version}"


@dataclass(frozen=True)
class Thresholds:
    """What a challenger must reach; every one must be given.

    Attributes
    ----------
    metric_floor : float
        The mean must lie above it, strictly.
    segment_floor : float
        The mean of no judged segment may lie below it.
    coverage_floor : float
        Coverage must lie above it, strictly.
    tolerance : float
        How far below a comparator the lower bound of the difference may lie, at least 0.
    min_listeners : int
        With fewer the verdict is "underpowered".
    min_segment : int
        Segments with fewer listeners are not judged.
    """

    metric_floor: float
    segment_floor: float
    coverage_floor: float
    tolerance: float
    min_listeners: int
    min_segment: int = 200

    def __post_init__(self) -> None:
        """Refuse what is missing, not a number, or negative where it may not be."""
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise GateError(f"The gate's threshold {f.name} is {value!r}, a number is needed.")
            if not math.isfinite(value):
                raise GateError(f"The gate's threshold {f.name} is {value}; it must be finite.")
        for name, least in (("tolerance", 0), ("min_listeners", 1), ("min_segment", 2)):
            if getattr(self, name) < least:
                raise GateError(
                    f"The gate's threshold {name} is {getattr(self, name)}, at least {least} is "
                    "allowed."
                )

    @classmethod
    def read(cls, source: object) -> "Thresholds":
        """Take thresholds from a mapping or from an object's attributes.

        Raises
        ------
        GateError
            One is missing.
        """
        found = {}
        for f in fields(cls):
            value = (
                source.get(f.name) if isinstance(source, Mapping) else getattr(source, f.name, None)
            )
            if value is None and f.name == "min_segment":
                continue
            if value is None:
                raise GateError(
                    f"The gate's threshold {f.name} is missing. Set it in the model's limits."
                )
            found[f.name] = value
        return cls(**found)


def judge(
    challenger: Evaluation,
    baseline: Evaluation,
    comparators: Sequence[Evaluation],
    thresholds: Thresholds,
    *,
    round_trip_equal: bool,
    evaluation_as_of: date,
    seed: int,
    n_boot: int = 2_000,
) -> Verdict:
    """Decide on a challenger.

    Parameters
    ----------
    challenger, baseline : Evaluation
        On the same listeners.
    comparators : sequence of Evaluation
        The current champion FIRST, then others such as the best champion of the last 90 days,
        re-scored on the same listeners. Empty for a first model.
    thresholds : Thresholds
        Limits.
    round_trip_equal : bool
        Whether the saved artifact was loaded and scored the same.
    evaluation_as_of : date
        First day of the evaluation window.
    seed : int
        Seed of the bootstrap.
    n_boot : int
        Resamples.

    Returns
    -------
    Verdict
        With every check's number and limit.

    Raises
    ------
    GateError
        A value is NaN, the evaluation set is empty, listeners differ or occur twice, metrics
        differ, or labels that a model was trained on reach into the evaluation window.

    Notes
    -----
    A segment counts as worse than the champion when the interval of its difference lies below 0 at
    a confidence of 1 - 0.05 / (number of segments), so that a challenger with many segments is not
    rejected by chance (Bonferroni).
    """
    everyone = (challenger, baseline, *comparators)
    _validate(everyone, evaluation_as_of)
    n = len(challenger.listener)
    order = np.argsort(challenger.listener, kind="stable")
    value = np.asarray(challenger.value, dtype=np.float64)[order]
    listeners = np.asarray(challenger.listener)[order]
    others = [_aligned(other, listeners, challenger.title) for other in (baseline, *comparators)]
    segments = {name: np.asarray(labels)[order] for name, labels in challenger.segments.items()}
    champion = others[1] if comparators else None

    lift = paired_bootstrap(value, others[0], n_boot, seed)
    detectable = _detectable(value - others[0])
    checks = [
        _check_listeners(n, thresholds, detectable),
        _check_above("floor", float(value.mean()), thresholds.metric_floor, challenger.metric),
        _check_interval("baseline", lift, 0.0, baseline.title),
    ]
    for position, (other, theirs) in enumerate(zip(comparators, others[1:], strict=True)):
        name = "champion" if position == 0 else f"past champion v{other.version}"
        found = paired_bootstrap(value, theirs, n_boot, seed)
        checks.append(_check_interval(name, found, -thresholds.tolerance, other.title))
    checks += _check_segments(value, champion, segments, thresholds, seed, n_boot)
    checks.append(
        _check_above("coverage", challenger.coverage, thresholds.coverage_floor, "catalog share")
    )
    checks.append(_check_round_trip(round_trip_equal))

    outcome = _outcome(checks)
    return Verdict(
        model=challenger.name,
        version=challenger.version,
        outcome=outcome,
        summary=_summary(challenger, comparators, checks, outcome, detectable),
        metric=challenger.metric,
        value=float(value.mean()),
        baseline_value=float(others[0].mean()),
        champion_value=None if champion is None else float(champion.mean()),
        n_listeners=n,
        minimal_detectable_lift=detectable,
        evaluation_as_of=evaluation_as_of,
        seed=seed,
        checks=tuple(checks),
    )


def _validate(everyone: Sequence[Evaluation], evaluation_as_of: date) -> None:
    for one in everyone:
        n = len(one.listener)
        lengths = {"value": len(one.value)} | {k: len(v) for k, v in one.segments.items()}
        wrong = {name: length for name, length in lengths.items() if length != n}
        if n == 0 or wrong:
            raise GateError(
                f"The evaluation of {one.title} has {n} listeners"
                + (f" but {wrong} values. " if wrong else "; an empty set cannot be judged. ")
                + "Check that its label window has plays."
            )
        n_bad = int((~np.isfinite(np.asarray(one.value, dtype=np.float64))).sum())
        if n_bad or not math.isfinite(one.coverage):
            raise GateError(
                f"The evaluation of {one.title} holds NaN or infinity in {n_bad} of {n} values "
                f"(coverage {one.coverage}); none is allowed. Check its scores for NaN."
            )
        if len(np.unique(one.listener)) != n:
            raise GateError(
                f"The evaluation of {one.title} has listeners twice ({n} rows, "
                f"{len(np.unique(one.listener))} listeners). Give each listener's mean."
            )
        if one.metric != everyone[0].metric:
            raise GateError(
                f"{one.title} was measured by {one.metric}, {everyone[0].title} by "
                f"{everyone[0].metric}; only one metric can be compared."
            )
        if one.labels_end is not None and one.labels_end > evaluation_as_of:
            raise GateError(
                f"{one.title} was trained on labels until {one.labels_end}, and the evaluation "
                f"starts {evaluation_as_of}: it has seen answers. Judge it on a later window."
            )
    if everyone[0].labels_end is None:
        raise GateError(
            f"{everyone[0].title} does not say when its training labels end. Give labels_end."
        )


def _aligned(other: Evaluation, listeners: npt.NDArray[np.integer], title: str) -> _Floats:
    order = np.argsort(other.listener, kind="stable")
    theirs = np.asarray(other.listener)[order]
    if not np.array_equal(theirs, listeners):
        only_here = len(np.setdiff1d(listeners, theirs))
        only_there = len(np.setdiff1d(theirs, listeners))
        raise GateError(
            f"{title} and {other.title} were evaluated on different listeners: {only_here} only in "
            f"the first, {only_there} only in the second; 0 are allowed. Score both on one set."
        )
    return np.asarray(other.value, dtype=np.float64)[order]


def _detectable(difference: _Floats) -> float | None:
    if len(difference) < 2:
        return None
    return float(_DETECTABLE * difference.std(ddof=1) / math.sqrt(len(difference)))


def _check_listeners(n: int, thresholds: Thresholds, detectable: float | None) -> Check:
    enough = n >= thresholds.min_listeners
    lift = "unknown" if detectable is None else f"{detectable:.5f}"
    detail = f"smallest lift over the baseline that {n} listeners could show: {lift}"
    return Check(
        "listeners",
        float(n),
        float(thresholds.min_listeners),
        enough,
        "promote" if enough else "hold",
        detail if enough else f"underpowered; {detail}",
    )


def _check_above(name: str, measured: float, limit: float, what: str) -> Check:
    measured, limit = float(measured), float(limit)
    if measured > limit:
        return Check(name, measured, limit, True, "promote", f"{what} above its floor")
    if measured == limit:
        return Check(name, measured, limit, False, "hold", f"{what} equals its floor, not above")
    return Check(name, measured, limit, False, "reject", f"{what} below its floor")


def _check_interval(name: str, found: Interval, limit: float, against: str) -> Check:
    numbers = f"difference {found.mean:+.5f} [{found.low:+.5f}, {found.high:+.5f}] to {against}"
    if found.low > limit:
        return Check(name, found.low, limit, True, "promote", numbers)
    if found.mean >= limit:
        return Check(name, found.low, limit, False, "hold", f"{numbers}: not surely above")
    return Check(name, found.low, limit, False, "reject", f"{numbers}: below")


def _check_segments(
    value: _Floats,
    champion: _Floats | None,
    segments: Mapping[str, npt.NDArray[Any]],
    thresholds: Thresholds,
    seed: int,
    n_boot: int,
) -> list[Check]:
    judged = []
    for kind, labels in segments.items():
        texts = np.array(["unknown" if label is None else str(label) for label in labels.tolist()])
        names, codes, sizes = np.unique(texts, return_inverse=True, return_counts=True)
        for code in np.flatnonzero(sizes >= thresholds.min_segment):
            judged.append((f"segment {kind}={names[code]}", codes == code))
    checks = []
    for name, chosen in judged:
        mean, floor = float(value[chosen].mean()), float(thresholds.segment_floor)
        detail = f"{int(chosen.sum())} listeners"
        # On its floor a segment is not below it.
        fine = mean >= floor
        checks.append(
            Check(f"{name} floor", mean, floor, fine, "promote" if fine else "reject", detail)
        )
        if champion is None:
            continue
        found = paired_bootstrap(
            value[chosen],
            champion[chosen],
            n_boot,
            seed,
            confidence=1 - (1 - _CONFIDENCE) / len(judged),
        )
        fine = found.high >= 0
        numbers = f"difference {found.mean:+.5f} [{found.low:+.5f}, {found.high:+.5f}], {detail}"
        checks.append(
            Check(
                f"{name} champion",
                found.high,
                0.0,
                fine,
                "promote" if fine else "reject",
                numbers if fine else f"{numbers}: significantly worse",
            )
        )
    return checks


def _check_round_trip(equal: bool) -> Check:
    detail = (
        "the saved artifact scores the same" if equal else "the saved artifact scores otherwise"
    )
    return Check("round_trip", float(equal), 1.0, equal, "promote" if equal else "reject", detail)


def _outcome(checks: Sequence[Check]) -> Outcome:
    by_name = {check.name: check for check in checks}
    if not by_name["round_trip"].passed:
        return "reject"
    if not by_name["listeners"].passed:
        return "hold"
    said = {check.outcome for check in checks}
    if "reject" in said:
        return "reject"
    return "hold" if "hold" in said else "promote"


def _summary(
    challenger: Evaluation,
    comparators: Sequence[Evaluation],
    checks: Sequence[Check],
    outcome: Outcome,
    detectable: float | None,
) -> str:
    first = (
        ""
        if comparators
        else f"{challenger.name} has no champion yet: judged by its floors and its baseline alone. "
    )
    if outcome == "promote":
        than = f"not worse than {comparators[0].title}" if comparators else "its first champion"
        return f"{first}Passed all {len(checks)} checks; {than}."
    if outcome == "hold" and not checks[0].passed:
        lift = "unknown" if detectable is None else f"{detectable:.5f}"
        return (
            f"{first}Underpowered: {checks[0].measured:.0f} listeners, {checks[0].limit:.0f} are "
            f"needed; a lift below {lift} cannot be detected with so few."
        )
    failed = [c for c in checks if not c.passed and (outcome == "hold" or c.outcome == outcome)]
    return f"{first}Did not pass: " + "; ".join(f"{c.name} ({c.detail})" for c in failed) + "."
