"""Evaluation by time: contenders rank, and the label window says who was right."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.features.assembly import Pairs
from homerec.features.snapshot import SnapshotInfo
from homerec.features.tables import Catalog, Floats, Keys, Rows, Shard, find, iter_shards
from homerec.models.fitted import rank
from homerec.models.spec import ModelSpec
from homerec.training.labels import Labels
from homerec.training.metrics import METRICS, Doubles, Ranked, list_metrics, mean_by

#: Kinds of segments that :func:`segment` tells apart.
SEGMENTS: Final = ("market", "tenure", "activity")

#: Given a shard and the rows to serve, candidates and scores.
Contender = Callable[[Shard, Rows], tuple[Pairs, Floats]]


@dataclass(frozen=True)
class Result:
    """What one contender reached.

    Attributes
    ----------
    name : str
        Who.
    listeners : int32 (n,)
        Keys of the evaluated listeners, ascending.
    metrics : dict of str to float64 (n,)
        Mean over the listener's lists.
    coverage : float
        Share of the shelf's catalog on some listener's first k cards, in [0, 1].
    segments : dict of str to str (n,)
        Segment of each listener, by segmentation.
    """

    name: str
    listeners: Keys
    metrics: dict[str, Doubles]
    coverage: float
    segments: dict[str, npt.NDArray[np.str_]]

    def mean(self, metric: str) -> float:
        """Mean of a metric over listeners."""
        return float(self.metrics[metric].mean())


@dataclass
class _Tally:
    listeners: list[Keys] = field(default_factory=list)
    metrics: list[dict[str, Doubles]] = field(default_factory=list)
    segments: list[dict[str, npt.NDArray[np.str_]]] = field(default_factory=list)
    shown: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class ShardLabels:
    """The labels of the eligible listeners of a shard.

    Attributes
    ----------
    rows : int64 (n,)
        Rows of the eligible listeners with a hit, ascending.
    listener, daypart, item : int64 (m,)
        The hits: listener row, daypart, catalog row (-1 for an item the catalog does not have yet).
    """

    rows: Rows
    listener: Rows
    daypart: Rows
    item: Rows


def shard_labels(spec: ModelSpec, shard: Shard, labels: Labels) -> ShardLabels:
    """Pick the hits of the shard's eligible listeners."""
    listener = find(shard.listeners, labels.listener)
    eligible = np.zeros(shard.n_listeners + 1, dtype=np.bool_)
    eligible[spec.eligible(shard)] = True
    eligible[-1] = False
    mine = eligible[listener]
    return ShardLabels(
        rows=np.unique(listener[mine]),
        listener=listener[mine],
        daypart=labels.daypart[mine].astype(np.int64),
        item=shard.catalog.rows(labels.item[mine]),
    )


def is_hit(hits: ShardLabels, pairs: Pairs, catalog: Catalog) -> npt.NDArray[np.bool_]:
    """Whether each pair was played: bool (n,)."""
    n_items = len(catalog.items) + 1

    def key(listener: Rows, daypart: Rows, item: Rows) -> Rows:
        return (listener * 8 + daypart + 1) * n_items + item

    played = np.unique(key(hits.listener, hits.daypart, hits.item)[hits.item >= 0])
    asked = key(pairs.listener, pairs.daypart.astype(np.int64), pairs.item)
    return find(played, asked) >= 0


def evaluate(
    contenders: dict[str, Contender],
    spec: ModelSpec,
    snapshot: SnapshotInfo,
    catalog: Catalog,
    labels: Labels,
    shard_size: int,
) -> list[Result]:
    """Let contenders rank for the same listeners and judge them by what was played.

    Parameters
    ----------
    contenders : dict of str to callable
        Name to contender.
    spec : ModelSpec
        Says who is eligible and at which k.
    snapshot : SnapshotInfo
        As of the first day of the label window.
    catalog : Catalog
        Item side of the snapshot.
    labels : Labels
        Hits of the window.
    shard_size : int
        Listeners at a time.

    Returns
    -------
    list of Result
        In the order of the contenders, over the eligible listeners with a hit.
    """
    tallies = {name: _Tally() for name in contenders}
    n_catalog = sum(len(catalog.of_type(t)) for t in spec.item_types)
    for shard in _shards_with_hits(snapshot, catalog, shard_size, labels):
        hits = shard_labels(spec, shard, labels)
        if len(hits.rows) == 0:
            continue
        segments = segment(shard, hits.rows)
        for name, contender in contenders.items():
            _judge(tallies[name], spec, shard, hits, *contender(shard, hits.rows))
            tallies[name].segments.append(segments)
    return [_result(name, tally, n_catalog) for name, tally in tallies.items()]


def _shards_with_hits(
    snapshot: SnapshotInfo, catalog: Catalog, size: int, labels: Labels
) -> Iterator[Shard]:
    for shard in iter_shards(snapshot, catalog, size):
        if np.isin(labels.listener, shard.listeners).any():
            yield shard


def _judge(
    tally: _Tally, spec: ModelSpec, shard: Shard, hits: ShardLabels, pairs: Pairs, scores: Floats
) -> None:
    pairs, _, ranks = rank(pairs, scores, spec.metric_k)
    numbers, n_relevant = np.unique(hits.listener * 8 + hits.daypart + 1, return_counts=True)
    at = find(numbers, pairs.listener * 8 + pairs.daypart.astype(np.int64) + 1)
    listed = at >= 0
    kept = pairs.take(listed)
    found = is_hit(hits, kept, shard.catalog)
    by_list = list_metrics(Ranked(at[listed], ranks[listed], found, n_relevant), spec.metric_k)
    for metric, values in by_list.items():
        rows, by_list[metric] = mean_by(values, numbers // 8)
    tally.listeners.append(shard.listeners[rows])
    tally.metrics.append(by_list)
    tally.shown.update(np.unique(kept.item).tolist())


def _result(name: str, tally: _Tally, n_catalog: int) -> Result:
    if not tally.listeners:
        none = np.zeros(0, dtype=np.int32)
        return Result(name, none, {m: np.zeros(0) for m in METRICS}, 0.0, {})
    return Result(
        name=name,
        listeners=np.concatenate(tally.listeners),
        metrics={m: np.concatenate([part[m] for part in tally.metrics]) for m in METRICS},
        coverage=len(tally.shown) / max(n_catalog, 1),
        segments={
            s: np.concatenate([part[s] for part in tally.segments]) for s in tally.segments[0]
        },
    )


def segment(shard: Shard, rows: Rows) -> dict[str, npt.NDArray[np.str_]]:
    """Segments of listeners: market, tenure and activity.

    Returns
    -------
    dict of str to str (n,)
        ``tenure``: new (30 days or less), settled (90 or less), old. ``activity``: light (fewer
        than 50 card plays in 28 days), medium, heavy (300 or more).
    """
    tenure = shard.columns["tenure_days"][rows]
    plays = shard.columns["n_plays_28d"][rows]
    return {
        "market": np.array(shard.catalog.markets)[shard.markets[rows]],
        "tenure": np.select([tenure <= 30, tenure <= 90], ["new", "settled"], "old"),
        "activity": np.select([plays < 50, plays < 300], ["light", "medium"], "heavy"),
    }
