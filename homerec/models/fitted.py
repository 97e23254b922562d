"""A fitted model: sources and ranker of one version, from listeners to ranked cards."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from homerec.candidates.base import CandidateSource, FitData, Reasons
from homerec.candidates.union import SourceLimit, union
from homerec.features.assembly import Pairs, assemble
from homerec.features.tables import Floats, Rows, Shard
from homerec.models.spec import ModelSpec
from homerec.ranking.base import Ranker


@dataclass
class FittedModel:
    """Both stages of one version.

    Attributes
    ----------
    spec : ModelSpec
        What was fitted.
    sources : list of CandidateSource
        Fitted, in the order of the spec.
    ranker : Ranker
        Fitted.
    """

    spec: ModelSpec
    sources: list[CandidateSource]
    ranker: Ranker

    @classmethod
    def fit_sources(cls, spec: ModelSpec, data: FitData) -> "FittedModel":
        """Fit stage 1; the ranker is still to be fitted."""
        sources = [source.fit(data) for source in spec.build_sources()]
        return cls(spec, sources, spec.build_ranker(data.seed))

    def candidates(self, shard: Shard, rows: Rows | None = None) -> Pairs:
        """Stage 1 for the eligible listeners of a shard, or for chosen rows of it."""
        limits = [
            SourceLimit(source, spec.k)
            for source, spec in zip(self.sources, self.spec.sources, strict=True)
        ]
        query = self.spec.query(shard, rows)
        return union(query, limits, by_daypart=self.spec.by_daypart)

    def features(self, pairs: Pairs, shard: Shard) -> Floats:
        """Features of candidates, float32 (n, len(spec.features))."""
        return assemble(pairs, shard, self.spec.features)

    def score(self, pairs: Pairs, shard: Shard) -> Floats:
        """Stage 2: scores float32 (n,) of candidates, higher is better."""
        out = np.empty(len(pairs), dtype=np.float32)
        # A million rows at a time keep the feature matrix below 100 MB.
        for start in range(0, len(pairs), 1_000_000):
            block = np.arange(start, min(start + 1_000_000, len(pairs)))
            out[block] = self.ranker.score(self.features(pairs.take(block), shard))
        return out

    def save(self, folder: Path) -> None:
        """Write both stages into an existing folder."""
        for source in self.sources:
            source.save(folder)
        self.ranker.save(folder)

    @classmethod
    def load(cls, spec: ModelSpec, folder: Path) -> "FittedModel":
        """Read what :meth:`save` wrote; ``spec`` must be the one it was fitted with."""
        sources = [source.load(folder) for source in spec.build_sources()]
        return cls(spec, sources, spec.build_ranker(0).load(folder))


def baseline_pairs(spec: ModelSpec, shard: Shard, rows: Rows | None = None) -> tuple[Pairs, Floats]:
    """Candidates and scores of a model's baseline, which needs no training.

    Returns
    -------
    Pairs, float32 (n,)
        As many cards as the metrics and the shelf need, with the baseline's scores.
    """
    k = max(spec.metric_k, 2 * spec.cards, spec.baseline.k)
    limits = [SourceLimit(spec.baseline.build(), k)]
    pairs = union(spec.query(shard, rows), limits, by_daypart=spec.by_daypart)
    return pairs, -pairs.sources[f"{spec.baseline.name}_rank"]


def rank(pairs: Pairs, scores: Floats, k: int) -> tuple[Pairs, Floats, Floats]:
    """Order candidates within each (daypart, listener) list and cut at k.

    Returns
    -------
    Pairs, float32 (n,), float32 (n,)
        Ordered by daypart, listener, score descending, item; their scores and 1-based ranks.
    """
    order = np.lexsort((pairs.item, -scores, pairs.listener, pairs.daypart))
    lists = list_numbers(pairs)[order]
    ranks = np.arange(len(order)) - np.searchsorted(lists, lists) + 1
    kept = ranks <= k
    chosen = order[kept]
    return pairs.take(chosen), scores[chosen], ranks[kept].astype(np.float32)


def list_numbers(pairs: Pairs, n_listeners: int | None = None) -> Rows:
    """Return the number of the (daypart, listener) list of each pair, int64 (n,)."""
    n = n_listeners or (int(pairs.listener.max(initial=0)) + 1)
    return (pairs.daypart.astype(np.int64) + 1) * n + pairs.listener


def explain(
    model: FittedModel,
    pairs: Pairs,
    shard: Shard,
    names: Sequence[str],
    barred: npt.NDArray[np.bool_],
) -> Reasons:
    """Ask the source of each pair why it gave it.

    Parameters
    ----------
    model : FittedModel
    pairs : Pairs
        The cards that are kept: asking for candidates too would cost many times as much.
    shard : Shard
    names : sequence of str
        Source of each pair, from :func:`used_sources`.
    barred : bool (n_items,)
        Catalog rows that no reason may name.
    """
    told, sources = Reasons.none(len(pairs)), np.asarray(names, dtype=np.str_)
    for source in model.sources:
        at = np.flatnonzero(sources == source.name)
        if len(at) == 0:
            continue
        rows = np.unique(pairs.listener[at])
        query = model.spec.query(shard, rows)
        found = source.explain(query, pairs.listener[at], pairs.item[at], barred)
        told.kind[at], told.item[at], told.tag[at] = found.kind, found.item, found.tag
    return told


def used_sources(model: FittedModel, pairs: Pairs) -> Sequence[str]:
    """Name of the source that ranked each pair highest; the first of the spec wins ties."""
    names = [source.name for source in model.sources]
    ranks = np.stack([np.nan_to_num(pairs.sources[f"{n}_rank"], nan=np.inf) for n in names])
    return [names[i] for i in ranks.argmin(axis=0)]
