"""Both stages of the product on a split: fitted as in training, served as at night."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from homerec.bench.quality.protocol import ProtocolError, Split
from homerec.bench.quality.real_data import Codes
from homerec.bench.quality.real_lake import RealLake
from homerec.features.assembly import Pairs
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Floats, Shard
from homerec.models.fitted import FittedModel, rank
from homerec.models.spec import ModelSpec
from homerec.ranking.base import Ranker
from homerec.training.fitting import Plan, SnapshotView, fit_model

Progress = Callable[[str], None]

#: How deep stage 1 is looked at.
DEPTH = 100


@dataclass(frozen=True)
class Staged:
    """What both stages made of a split.

    Attributes
    ----------
    lists : dict of str to int64 (n, 20)
        By ranker: items of each eligible listener of the split, best first, -1 for none.
    recall : dict of str to float
        recall@100 of each source by name, of the ``union`` of their first 100 each, and of
        ``all candidates`` that the ranker saw: the most that stage 2 can reach.
    n_hits : int
        Played candidates that the rankers learned from.
    """

    lists: dict[str, Codes]
    recall: dict[str, float]
    n_hits: int


def run_stages(
    lake: RealLake,
    spec: ModelSpec,
    origin: date,
    split: Split,
    rankers: dict[str, Ranker],
    progress: Progress,
) -> Staged:
    """Fit a version for an origin, and let it serve the split's listeners with each ranker.

    Parameters
    ----------
    lake : RealLake
        Holds the data.
    spec : ModelSpec
        Its windows end at the origin: no version sees a later event.
    origin : date
        The split.
    split : Split
        Who is judged, and what is to be found.
    rankers : dict of str to Ranker
        Unfitted ones that learn from the same candidates as the spec's own, over the same stage 1.
    progress : callable
        Receives one line per step.
    """
    settings = lake.settings
    plan = Plan.of(spec, origin + timedelta(days=spec.label_window_days))
    own, learned = fit_model(settings, spec, plan, progress)
    models = {spec.ranker: own}
    for name, ranker in rankers.items():
        progress(f"ranker {name}")
        fitted = ranker.fit(learned.features, learned.labels, learned.groups)
        models[name] = FittedModel(spec, own.sources, fitted)
    view = SnapshotView(
        settings, ensure_snapshot(settings, origin, writer="training", progress=progress)
    )
    lists, recall = serve(lake, models, view, split)
    return Staged(lists, recall, int(learned.labels.sum()))


def serve(
    lake: RealLake, models: dict[str, FittedModel], view: SnapshotView, split: Split, k: int = 20
) -> tuple[dict[str, Codes], dict[str, float]]:
    """Make lists for the split's listeners, int64 (n, k) by model, and say what stage 1 found.

    The models share one stage 1 and one list of features; they differ in the ranker.

    Raises
    ------
    ProtocolError
        A listener to be judged is not in the snapshot.
    """
    lists = {name: np.full((len(split.eligible), k), -1, dtype=np.int64) for name in models}
    first = next(iter(models.values()))
    line = np.full(split.n_listeners, -1, dtype=np.int64)
    line[split.eligible] = np.arange(len(split.eligible))
    found: dict[str, Floats] = {}
    served = 0
    for shard in view.shards():
        codes = lake.listeners(shard.listeners)
        rows = np.flatnonzero(line[codes] >= 0).astype(np.int64)
        if len(rows) == 0:
            continue
        served += len(rows)
        pairs = first.candidates(shard, rows)
        for name, model in models.items():
            chosen, _, ranks = rank(pairs, model.score(pairs, shard), k)
            at = line[codes[chosen.listener]]
            items = lake.items(shard.catalog.items[chosen.item])
            lists[name][at, ranks.astype(np.int64) - 1] = items
        for name, values in _found(lake, first.spec, shard, pairs, split, line).items():
            found.setdefault(name, np.zeros(len(split.eligible), dtype=np.float32))
            found[name] += values
    if served != len(split.eligible):
        raise ProtocolError(
            f"{served} of {len(split.eligible)} listeners are in the snapshot of "
            f"{view.info.as_of}; all are needed. Check that lake and split belong together."
        )
    wanted = np.bincount(line[split.test_listener], minlength=len(split.eligible))
    return lists, {name: float((hits / wanted).mean()) for name, hits in found.items()}


def _found(
    lake: RealLake, spec: ModelSpec, shard: Shard, pairs: Pairs, split: Split, line: Codes
) -> dict[str, Floats]:
    """How many of the wanted items are among the first candidates, by source, float32 (n,)."""
    code = lake.listeners(shard.listeners)[pairs.listener]
    item = lake.items(shard.catalog.items[pairs.item])
    wanted = split.test_listener * split.n_items + split.test_item
    hit = np.isin(code * split.n_items + item, wanted)
    any_first = np.zeros(len(pairs), dtype=np.bool_)
    out = {}
    for source in spec.sources:
        first = pairs.sources[f"{source.name}_rank"] <= DEPTH
        any_first |= first
        out[source.name] = _count(hit & first, line[code], len(split.eligible))
    out["union"] = _count(hit & any_first, line[code], len(split.eligible))
    out["all candidates"] = _count(hit, line[code], len(split.eligible))
    return out


def _count(hit: np.ndarray[tuple[int], np.dtype[np.bool_]], line: Codes, n: int) -> Floats:
    return np.bincount(line[hit], minlength=n).astype(np.float32)
