"""What the gate said: every check with its number and its limit, kept for good."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from homerec.errors import GateError

Outcome = Literal["promote", "hold", "reject"]


@dataclass(frozen=True)
class Check:
    """One question of the gate.

    Attributes
    ----------
    name : str
        Such as ``floor``, ``baseline``, ``segment market=DE``.
    measured, limit : float
        The number that decided, and what it had to exceed (or not to fall below).
    passed : bool
        Whether the challenger may pass.
    outcome : {"promote", "hold", "reject"}
        What this check alone would have said; ``promote`` iff it passed.
    detail : str
        The numbers behind it, in words.
    """

    name: str
    measured: float
    limit: float
    passed: bool
    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class Verdict:
    """The gate's decision on one challenger.

    Attributes
    ----------
    model : str
        Name of the model.
    version : int or None
        The challenger's version, when it was registered before it was judged.
    outcome : {"promote", "hold", "reject"}
        ``reject`` if a check failed on the wrong side of its limit, ``hold`` if one lies on the
        limit or cannot be decided from so few listeners, else ``promote``.
    summary : str
        The decision in one or two sentences.
    metric : str
        What was measured.
    value, baseline_value : float
        Means of the challenger and its baseline.
    champion_value : float or None
        Mean of the champion on the same listeners; none for a first model.
    n_listeners : int
        Listeners compared.
    minimal_detectable_lift : float or None
        Smallest lift over the baseline that so many listeners show with 80% power at 95%
        confidence.
    evaluation_as_of : date
        First day of the window it was judged in.
    seed : int
        Seed of the bootstrap.
    checks : tuple of Check
        In the order they were asked.
    """

    model: str
    version: int | None
    outcome: Outcome
    summary: str
    metric: str
    value: float
    baseline_value: float
    champion_value: float | None
    n_listeners: int
    minimal_detectable_lift: float | None
    evaluation_as_of: date
    seed: int
    checks: tuple[Check, ...]

    @property
    def promoted(self) -> bool:
        """Whether the challenger may become champion."""
        return self.outcome == "promote"

    @property
    def failures(self) -> tuple[Check, ...]:
        """Checks that did not pass."""
        return tuple(check for check in self.checks if not check.passed)

    def render(self) -> str:
        """Write as a table for people."""
        which = "challenger" if self.version is None else f"v{self.version}"
        lines = [
            f"{self.model} {which}: {self.outcome.upper()}",
            self.summary,
            f"{self.metric} on {self.n_listeners} listeners from {self.evaluation_as_of}: "
            f"{self._means()}",
        ]
        if self.minimal_detectable_lift is not None:
            lines.append(f"Smallest lift this could detect: {self.minimal_detectable_lift:.5f}")
        rows = [("check", "says", "measured", "limit", "detail")]
        rows += [
            (
                c.name,
                "pass" if c.passed else c.outcome,
                _number(c.measured),
                _number(c.limit),
                c.detail,
            )
            for c in self.checks
        ]
        return "\n".join([*lines, "", *_table(rows)])

    def _means(self) -> str:
        means = f"challenger {self.value:.5f}, baseline {self.baseline_value:.5f}"
        if self.champion_value is None:
            return f"{means}, no champion yet"
        return f"{means}, champion {self.champion_value:.5f}"

    def to_json(self) -> str:
        """Write as JSON text; :meth:`from_json` reads the same value back."""
        value = {**asdict(self), "evaluation_as_of": self.evaluation_as_of.isoformat()}
        return json.dumps(value, allow_nan=False, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Verdict":
        """Read what :meth:`to_json` wrote.

        Raises
        ------
        GateError
            The text is not such JSON.
        """
        try:
            value: dict[str, Any] = json.loads(text)
            value["evaluation_as_of"] = date.fromisoformat(value["evaluation_as_of"])
            value["checks"] = tuple(Check(**check) for check in value["checks"])
            return cls(**value)
        except (ValueError, KeyError, TypeError) as error:
            raise GateError(
                f"A verdict cannot be read: {type(error).__name__} {error}. Judge again."
            ) from error


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and abs(value) >= 1 else f"{value:.5f}"


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
