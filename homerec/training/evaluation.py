"""Evaluation by time: contenders rank, and the label window says who was right."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from homerec.features.assembly import Pairs
from homerec.features.snapshot import SnapshotInfo
from homerec.features.tables import Catalog, Floats, Keys, Rows, Shard, find, iter_shards
from homerec.models.fitted import rank
from homerec.models.spec import ModelSpec
from homerec.training.beyond import BEYOND, Cards, gini, list_character
from homerec.training.labels import Labels
from homerec.training.metrics import METRICS, Doubles, Ranked, list_metrics, mean_by
from homerec.training.segments import segment

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
        Mean over the listener's lists; those of :data:`homerec.training.beyond.BEYOND` only where
        asked for, NaN for a listener none of whose lists has a value.
    coverage : float
        Share of the shelf's catalog on some listener's first k cards, in [0, 1].
    segments : dict of str to str (n,)
        Segment of each listener, by segmentation.
    exposure : int64 (n_catalog,)
        How often each item of the shelf's catalog stood among the first k cards.
    """

    name: str
    listeners: Keys
    metrics: dict[str, Doubles]
    coverage: float
    segments: dict[str, npt.NDArray[np.str_]]
    exposure: Rows

    def mean(self, metric: str) -> float:
        """Mean of a metric over the listeners that have a value; NaN if none has."""
        values = self.metrics[metric]
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def exposure_gini(self) -> float:
        """Popularity bias: Gini coefficient of the exposure over the catalog, in [0, 1)."""
        return gini(self.exposure)


@dataclass
class _Tally:
    listeners: list[Keys] = field(default_factory=list)
    metrics: list[dict[str, Doubles]] = field(default_factory=list)
    segments: list[dict[str, npt.NDArray[np.str_]]] = field(default_factory=list)
    exposure: Rows = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


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
    *,
    beyond: bool = False,
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
    beyond : bool
        Also measure novelty, diversity and calibration.

    Returns
    -------
    list of Result
        In the order of the contenders, over the eligible listeners with a hit.
    """
    shelf = np.sort(np.concatenate([catalog.of_type(t) for t in spec.item_types]))
    tallies = {name: _Tally(exposure=np.zeros(len(catalog.items), np.int64)) for name in contenders}
    n_listeners = int(snapshot.manifest["rows"]["listener"]) if beyond else 0
    for shard in _shards_with_hits(snapshot, catalog, shard_size, labels):
        hits = shard_labels(spec, shard, labels)
        if len(hits.rows) == 0:
            continue
        segments = segment(shard, hits.rows, spec)
        for name, contender in contenders.items():
            _judge(tallies[name], spec, shard, hits, *contender(shard, hits.rows), n_listeners)
            tallies[name].segments.append(segments)
    return [_result(name, tally, shelf) for name, tally in tallies.items()]


def _shards_with_hits(
    snapshot: SnapshotInfo, catalog: Catalog, size: int, labels: Labels
) -> Iterator[Shard]:
    for shard in iter_shards(snapshot, catalog, size):
        if np.isin(labels.listener, shard.listeners).any():
            yield shard


def _judge(
    tally: _Tally,
    spec: ModelSpec,
    shard: Shard,
    hits: ShardLabels,
    pairs: Pairs,
    scores: Floats,
    n_listeners: int,
) -> None:
    """Add one shard; ``n_listeners`` of the snapshot, 0 to leave out what is beyond accuracy."""
    pairs, _, ranks = rank(pairs, scores, spec.metric_k)
    numbers, n_relevant = np.unique(hits.listener * 8 + hits.daypart + 1, return_counts=True)
    at = find(numbers, pairs.listener * 8 + pairs.daypart.astype(np.int64) + 1)
    listed = at >= 0
    kept = pairs.take(listed)
    found = is_hit(hits, kept, shard.catalog)
    by_list = list_metrics(Ranked(at[listed], ranks[listed], found, n_relevant), spec.metric_k)
    if n_listeners:
        cards = Cards(at[listed], kept.item, len(numbers))
        by_list |= _character(spec, shard, cards, numbers // 8, n_listeners)
    for metric, values in by_list.items():
        rows, by_list[metric] = mean_by(values, numbers // 8)
    tally.listeners.append(shard.listeners[rows])
    tally.metrics.append(by_list)
    tally.exposure += np.bincount(kept.item, minlength=len(tally.exposure))


def _character(
    spec: ModelSpec, shard: Shard, cards: Cards, listeners: Rows, n_listeners: int
) -> dict[str, Doubles]:
    catalog = shard.catalog
    own = np.concatenate([catalog.of_type(t) for t in spec.item_types])
    # Listeners like tags that the shelf's items never have; those cannot be calibrated to.
    possible = (catalog.item_tags[own] > 0).any(axis=0)
    # A unit row squared is the taste's distribution over tags.
    taste = np.where(possible, shard.listener_tags[listeners] ** 2, 0)
    return list_character(
        cards, catalog.columns["n_listeners"], n_listeners, catalog.item_tags, taste
    )


def _result(name: str, tally: _Tally, shelf: Rows) -> Result:
    exposure = tally.exposure[shelf]
    if not tally.listeners:
        none = np.zeros(0, dtype=np.int32)
        return Result(name, none, {m: np.zeros(0) for m in METRICS}, 0.0, {}, exposure)
    measured = [m for m in (*METRICS, *BEYOND) if m in tally.metrics[0]]
    return Result(
        name=name,
        listeners=np.concatenate(tally.listeners),
        metrics={m: np.concatenate([part[m] for part in tally.metrics]) for m in measured},
        coverage=float((exposure > 0).sum()) / max(len(shelf), 1),
        segments={
            s: np.concatenate([part[s] for part in tally.segments]) for s in tally.segments[0]
        },
        exposure=exposure,
    )
