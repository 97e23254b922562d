"""One training run: a challenger, and the gate's decision on it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Literal

from homerec.lake import at_work
from homerec.models import get_model
from homerec.registry.gate import Thresholds, judge
from homerec.registry.loading import open_registry
from homerec.registry.verdict import Verdict
from homerec.settings import Settings
from homerec.training.challenge import Challenge, make_challenger, read_challenge

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
Outcome = Literal["promote", "hold", "reject", "skipped"]


@dataclass(frozen=True)
class TrainReport:
    """What came of a training run.

    Attributes
    ----------
    model : str
    outcome : {"promote", "hold", "reject", "skipped"}
    version : int or None
        The registered version; ``None`` when skipped.
    verdict : Verdict or None
        The gate's checks.
    reason : str
        Why it was skipped, else the verdict's summary.
    metrics : dict of str to float
        Of the challenger, and ``baseline_...`` of its baseline, on the gate's listeners.
    """

    model: str
    outcome: Outcome
    version: int | None
    verdict: Verdict | None
    reason: str
    metrics: dict[str, float]

    def render(self) -> str:
        """Write for people."""
        if self.verdict is None:
            return f"{self.model}: SKIPPED, {self.reason}"
        return self.verdict.render()


def train(
    settings: Settings, name: str, as_of: date, *, progress: Progress = logger.info
) -> TrainReport:
    """Train a challenger on what was known at as_of and let the gate decide.

    Parameters
    ----------
    settings : Settings
    name : str
        Name of the model.
    as_of : date
        See :func:`homerec.training.challenge.make_challenger`.
    progress : callable
        Receives one line per step.

    Returns
    -------
    TrainReport
        A model with nothing of its item types, or no label, in the windows is skipped and says so.

    Raises
    ------
    TrainingError
        There is data of its type, but too little to learn from.
    GateError
        The gate cannot judge.
    """
    with at_work(settings.home):
        make_challenger(settings, name, as_of, progress=progress)
        return decide(settings, name, as_of)


def decide(settings: Settings, name: str, as_of: date) -> TrainReport:
    """Judge the challenger that was made for a date, and promote, hold or reject it.

    Raises
    ------
    TrainingError
        No challenger was made for that date.
    GateError
        The gate cannot judge.
    """
    challenge, evaluations = read_challenge(settings, name, as_of)
    if challenge.version is None:
        return TrainReport(name, "skipped", None, None, challenge.skipped, {})
    verdict = judge(
        evaluations[0],
        evaluations[1],
        evaluations[2:],
        Thresholds.read(get_model(name, settings).limits),
        round_trip_equal=challenge.round_trip_equal,
        evaluation_as_of=challenge.evaluation_as_of,
        seed=settings.seed,
    )
    outcome, reason = _carry_out(settings, challenge, verdict)
    return TrainReport(name, outcome, challenge.version, verdict, reason, challenge.metrics)


def _carry_out(settings: Settings, challenge: Challenge, verdict: Verdict) -> tuple[Outcome, str]:
    store, name = open_registry(settings), challenge.model
    number = challenge.version or 0
    held = store.held(name)
    if verdict.outcome == "promote" and held is not None:
        reason = (
            f"{verdict.summary} It is not promoted: {held.who} rolled {name} back on "
            f"{held.since:%Y-%m-%d} ({held.why}). Lift the hold with "
            f"`homerec models resume {name}`."
        )
        return "hold", reason
    if verdict.outcome == "promote":
        store.promote(name, number, verdict)
    elif verdict.outcome == "hold":
        store.hold(name, number, verdict)
    else:
        store.reject(name, number, verdict)
    return verdict.outcome, verdict.summary
