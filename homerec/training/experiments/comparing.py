"""Results beside each other: means, paired intervals, and which configuration wins."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from homerec.errors import ExperimentError
from homerec.registry.bootstrap import Interval, paired_bootstrap
from homerec.training.experiments.cell import Cell, CellResult
from homerec.training.experiments.measures import COVERAGE
from homerec.training.experiments.parameters import CURRENT
from homerec.training.experiments.planning import BASELINE, CHAMPION
from homerec.training.metrics import Doubles

#: Segments with fewer listeners are not shown: their intervals say nothing.
MIN_SEGMENT = 30


@dataclass(frozen=True)
class Pooled:
    """One contender's values over windows, the mean of its seeds.

    Attributes
    ----------
    listener : int32 (n,)
        Keys; a listener of several windows is there several times.
    metrics : dict of str to float64 (n,)
    segments : dict of str to str (n,)
    coverage : float
    """

    listener: npt.NDArray[np.int32]
    metrics: dict[str, Doubles]
    segments: dict[str, npt.NDArray[np.str_]]
    coverage: float

    def mean(self, metric: str) -> float:
        """Mean over listeners and windows."""
        return self.coverage if metric == COVERAGE else float(self.metrics[metric].mean())


@dataclass(frozen=True)
class Row:
    """One line of the comparison.

    Attributes
    ----------
    name : str
        Of the configuration, or who else.
    values : dict
        What differs from the model as it stands.
    means : dict of str to float
        By metric; empty when it failed.
    against : dict of str to Interval
        Differences of the deciding metric to ``baseline`` and ``champion``.
    n_listeners, n_cells : int
    seconds : float
        Of all its cells together.
    error : str
        Why it failed, else empty.
    """

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    against: dict[str, Interval] = field(default_factory=dict)
    n_listeners: int = 0
    n_cells: int = 0
    seconds: float = 0.0
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Row":
        """Rebuild what :meth:`to_json` gave."""
        against = {who: Interval(**one) for who, one in value["against"].items()}
        return cls(**{**value, "against": against})


@dataclass(frozen=True)
class SegmentRow:
    """The winner in one segment, against one other.

    Attributes
    ----------
    segment, who : str
        Such as ``market=DE``, and ``baseline``.
    n : int
        Listeners of the segment, counted once a window.
    mean, theirs : float
    difference : Interval
    """

    segment: str
    who: str
    n: int
    mean: float
    theirs: float
    difference: Interval


def pool(cells: Sequence[Cell], results: Mapping[str, CellResult]) -> Pooled:
    """Take the mean over seeds within each window, and put the windows one after the other.

    Raises
    ------
    ExperimentError
        A cell failed, or the seeds of one window judged different listeners.
    """
    by_window: dict[Any, list[CellResult]] = {}
    for cell in cells:
        result = results[cell.key]
        if result.error:
            raise ExperimentError(result.error)
        by_window.setdefault(cell.as_of, []).append(result)
    parts = [_mean_of_seeds(same) for _, same in sorted(by_window.items())]
    return Pooled(
        np.concatenate([p.listener for p in parts]),
        {m: np.concatenate([p.metrics[m] for p in parts]) for m in parts[0].metrics},
        {s: np.concatenate([p.segments[s] for p in parts]) for s in parts[0].segments},
        float(np.mean([p.coverage for p in parts])),
    )


def _mean_of_seeds(same: Sequence[CellResult]) -> Pooled:
    first = same[0]
    for other in same[1:]:
        if not np.array_equal(other.listener, first.listener):
            raise ExperimentError(
                f"Two seeds of one window judged {len(first.listener)} and {len(other.listener)} "
                "listeners; they must be the same. Was the lake changed meanwhile? Run it again."
            )
    metrics = {m: np.mean([r.metrics[m] for r in same], axis=0) for m in first.metrics}
    coverage = float(np.mean([r.coverage for r in same]))
    return Pooled(first.listener, metrics, first.segments, coverage)


def difference(ours: Pooled, theirs: Pooled, metric: str, seed: int) -> Interval:
    """Paired interval of a difference; a listener's windows are drawn together.

    Raises
    ------
    ExperimentError
        The two judged different listeners.
    """
    if not np.array_equal(ours.listener, theirs.listener):
        raise ExperimentError(
            f"{len(ours.listener)} and {len(theirs.listener)} listeners cannot be paired. Was the "
            "lake changed meanwhile? Run the experiment again."
        )
    return _interval(ours.metrics[metric], theirs.metrics[metric], ours.listener, seed)


def _interval(a: Doubles, b: Doubles, listener: npt.NDArray[np.int32], seed: int) -> Interval:
    several = len(np.unique(listener)) < len(listener)
    return paired_bootstrap(a, b, seed=seed, cluster=listener if several else None)


def rows(
    found: Mapping[str, Sequence[Cell]],
    results: Mapping[str, CellResult],
    values: Mapping[str, dict[str, Any]],
    metrics: Sequence[str],
    seed: int,
) -> list[Row]:
    """Compare everybody; best mean of the first metric first, failures last.

    Parameters
    ----------
    found : mapping of str to sequence of Cell
    results : mapping of str to CellResult
        By key.
    values : mapping of str to dict
        What each configuration changes, by name.
    metrics : sequence of str
        The first decides.
    seed : int
        Of the bootstrap.

    Returns
    -------
    list of Row
    """
    pooled: dict[str, Pooled] = {}
    failures: dict[str, str] = {}
    for name, cells in found.items():
        try:
            pooled[name] = pool(cells, results)
        except ExperimentError as error:
            failures[name] = str(error)
    made = []
    for name, cells in found.items():
        spent = sum(sum(results[c.key].seconds.values()) for c in cells)
        about: dict[str, Any] = {
            "values": values.get(name, {}),
            "n_cells": len(cells),
            "seconds": round(spent, 2),
        }
        if name in failures:
            made.append(Row(name, error=failures[name], **about))
            continue
        ours = pooled[name]
        made.append(
            Row(
                name,
                means={m: ours.mean(m) for m in metrics},
                against={
                    who: difference(ours, pooled[who], metrics[0], seed)
                    for who in (BASELINE, CHAMPION)
                    if who in pooled and who != name
                },
                n_listeners=len(np.unique(ours.listener)),
                **about,
            )
        )
    return sorted(made, key=lambda r: (bool(r.error), -r.means.get(metrics[0], 0.0)))


def winner(compared: Sequence[Row], metric: str, order: Sequence[str]) -> str | None:
    """Name of the configuration with the best mean; of equals the first one of the file.

    Parameters
    ----------
    compared : sequence of Row
    metric : str
    order : sequence of str
        Names of the configurations; nobody else can win.

    Returns
    -------
    str or None
        ``None`` when all failed.
    """
    means = {r.name: r.means[metric] for r in compared if r.name in order and not r.error}
    best = max(means.values(), default=None)
    return next((name for name in order if name in means and means[name] == best), None)


def segment_rows(
    found: Mapping[str, Sequence[Cell]],
    results: Mapping[str, CellResult],
    name: str,
    metric: str,
    kinds: Sequence[str],
    seed: int,
) -> list[SegmentRow]:
    """Compare the winner with the others in each segment of 30 listeners or more."""
    ours = pool(found[name], results)
    made = []
    for who in (BASELINE, CHAMPION, CURRENT):
        if who not in found or who == name or any(results[c.key].error for c in found[who]):
            continue
        theirs = pool(found[who], results)
        for kind in kinds:
            labels = ours.segments[kind]
            for label in np.unique(labels):
                at = labels == label
                if at.sum() < MIN_SEGMENT:
                    continue
                a, b = ours.metrics[metric][at], theirs.metrics[metric][at]
                made.append(
                    SegmentRow(
                        f"{kind}={label}", who, int(at.sum()), float(a.mean()), float(b.mean()),
                        _interval(a, b, ours.listener[at], seed),
                    )
                )  # fmt: skip
    return made
