"""Paired intervals of differences between contenders, and the report of a data set.

References
----------
Efron, Tibshirani 1993, An introduction to the bootstrap; Cameron, Gelbach, Miller 2008,
Bootstrap-based improvements for inference with clustered errors (whole clusters are drawn).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from homerec.bench.quality.protocol import Doubles, Ints, ProtocolError

_TAIL: Final = 0.025
METRICS: Final = ("ndcg", "recall")


@dataclass(frozen=True)
class Gap:
    """Difference of two means, with a 95% interval.

    Attributes
    ----------
    ours, theirs : float
        Means.
    low, high : float
        Bounds of ``ours - theirs``.
    low_ratio, high_ratio : float
        Bounds of ``ours / theirs - 1``.
    n_listeners : int
        Clusters.
    """

    ours: float
    theirs: float
    low: float
    high: float
    low_ratio: float
    high_ratio: float
    n_listeners: int

    def __str__(self) -> str:
        """Write for people."""
        return (
            f"{self.ours:.4f} against {self.theirs:.4f}: {self.ours / self.theirs - 1:+.1%} "
            f"[{self.low_ratio:+.1%}, {self.high_ratio:+.1%}], difference "
            f"{self.ours - self.theirs:+.5f} [{self.low:+.5f}, {self.high:+.5f}], "
            f"{self.n_listeners:,} listeners"
        )


def gap(listener: Ints, ours: Doubles, theirs: Doubles, *, seed: int, n_boot: int = 2000) -> Gap:
    """Paired bootstrap of a difference of means, whole listeners at a time.

    Parameters
    ----------
    listener : int64 (n,)
        Cluster of each value: a listener of several splits is drawn with all of them.
    ours, theirs : float64 (n,)
        Metric of each contender on the same listener and split.
    seed, n_boot : int

    Raises
    ------
    ProtocolError
        Nobody was judged, lengths differ, or ``theirs`` is zero throughout.
    """
    if not len(listener) == len(ours) == len(theirs) > 0 or theirs.sum() <= 0:
        raise ProtocolError(
            f"{len(listener)} listeners, {len(ours)} and {len(theirs)} values, sum of the peer's "
            f"{theirs.sum():.4f}: equal numbers above 0 and a peer above 0 are needed."
        )
    cluster = np.unique(listener, return_inverse=True)[1]
    n = int(cluster.max()) + 1
    sums = np.stack([np.bincount(cluster, weights=v, minlength=n) for v in (ours, theirs)])
    size = np.bincount(cluster, minlength=n)
    rng = np.random.default_rng(seed)
    differences, ratios = np.empty(n_boot), np.empty(n_boot)
    for draw in range(n_boot):
        weight = np.bincount(rng.integers(0, n, n), minlength=n)
        mine, other = sums @ weight
        differences[draw] = (mine - other) / (size @ weight)
        ratios[draw] = mine / other - 1 if other > 0 else np.inf
    low, high = np.quantile(differences, [_TAIL, 1 - _TAIL])
    low_ratio, high_ratio = np.quantile(ratios, [_TAIL, 1 - _TAIL])
    return Gap(
        float(ours.mean()), float(theirs.mean()), float(low), float(high), float(low_ratio),
        float(high_ratio), n,
    )  # fmt: skip


@dataclass
class Scoreboard:
    """Metrics of every contender on every split, by listener.

    Attributes
    ----------
    listener : list of int64 (n,)
        Eligible listeners of each split.
    values : dict of str to dict of str to list of float64 (n,)
        Contender, metric, split.
    """

    listener: list[Ints]
    values: dict[str, dict[str, list[Doubles]]]

    @classmethod
    def empty(cls) -> "Scoreboard":
        """Nothing yet."""
        return cls([], {})

    def add(self, listener: Ints, judged: dict[str, dict[str, Doubles]]) -> None:
        """Add a split: metrics of each contender for its listeners."""
        self.listener.append(listener)
        for name, metrics in judged.items():
            kept = self.values.setdefault(name, {metric: [] for metric in METRICS})
            for metric in METRICS:
                kept[metric].append(metrics[metric])

    def mean(self, name: str, metric: str) -> float:
        """Mean over all listeners of all splits."""
        return float(np.concatenate(self.values[name][metric]).mean())

    def best(self, names: list[str], metric: str = "ndcg") -> str:
        """Name of the contender with the largest mean; the first of equals."""
        return max(names, key=lambda name: self.mean(name, metric))

    def gap(self, ours: str, theirs: str, metric: str, split: int | None = None) -> Gap:
        """Compare two contenders over all splits, or on one of them."""
        chosen = slice(None) if split is None else slice(split, split + 1)
        return gap(
            np.concatenate(self.listener[chosen]),
            np.concatenate(self.values[ours][metric][chosen]),
            np.concatenate(self.values[theirs][metric][chosen]),
            seed=0,
        )

    def table(self) -> str:
        """NDCG@20 and recall@20 of all, best first."""
        lines = [f"{'contender':<34}{'NDCG@20':>9}{'recall@20':>11}"]
        for name in sorted(self.values, key=lambda n: -self.mean(n, "ndcg")):
            ndcg, recall = self.mean(name, "ndcg"), self.mean(name, "recall")
            lines.append(f"{name:<34}{ndcg:>9.4f}{recall:>11.4f}")
        return "\n".join(lines)
