"""What the drift check looks at: a model's features in the snapshot, and as its ranker reads them.

Both are measured over the same population, in the same way, when a version is trained and every
night: eligible listeners, before any label filter or negative sampling, a stable sample of them.
"""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from homerec.drift.histogram import Histograms, count, freeze, merge
from homerec.features.assembly import FEATURES
from homerec.features.tables import Catalog, Floats, Rows, Shard
from homerec.models.fitted import FittedModel
from homerec.models.spec import ModelSpec
from homerec.sampling import uniform

#: Features that follow the day of the week.
WEEKDAY_FEATURES: Final = frozenset({"pair_same_weekday_ratio"})
#: Rows below which a place fails as loudly as drift.
MIN_ROWS: Final = {"listener": 50, "item": 20, "pair": 200, "features": 500}
#: Listeners whose candidates are counted; enough to see a shift of two hundredths.
SAMPLE: Final = 2_000
#: Listeners whose rows of the snapshot a version's histograms are made of, at most: all rows of a
#: million listeners would not fit into memory at once, and quantiles need no more than these.
FROZEN_LISTENERS: Final = 20_000

#: Name of a place, and the prefix of the features that are looked at there.
SNAPSHOT_PLACES: Final = {"listener": "listener_", "item": "item_", "pair": "pair_"}

Measured = dict[str, tuple[list[str], Floats]]


def snapshot_columns(spec: ModelSpec, shard: Shard, rows: Rows | None = None) -> Measured:
    """Raw columns of the snapshot that the model's features are made of, for one shard.

    Parameters
    ----------
    spec : ModelSpec
    shard : Shard
    rows : int64 (n,), optional
        Eligible listener rows to look at, ascending; by default all.

    Returns
    -------
    dict of str to (names, float32 (n, f))
        By place: ``listener`` (eligible listeners) and ``pair`` (what they played of the model's
        item types). Places without a feature are left out.
    """
    rows = spec.eligible(shard) if rows is None else rows
    out: Measured = {}
    names = _raw(spec, "listener", shard.columns)
    if names:
        columns = [shard.columns[n.removeprefix("listener_")][rows] for n in names]
        out["listener"] = names, np.column_stack(columns)
    names = _raw(spec, "pair", shard.pair_columns)
    if names:
        chosen = np.zeros(shard.n_listeners, dtype=np.bool_)
        chosen[rows] = True
        shown = np.zeros(len(shard.catalog.items), dtype=np.bool_)
        shown[_of_types(spec, shard.catalog)] = True
        kept = chosen[shard.pair_listener] & shown[shard.pair_item]
        columns = [shard.pair_columns[n.removeprefix("pair_")][kept] for n in names]
        out["pair"] = names, np.column_stack(columns)
    return out


def item_columns(spec: ModelSpec, catalog: Catalog) -> Measured:
    """Raw columns of the items that the model's shelf may show, under the place ``item``."""
    names = _raw(spec, "item", catalog.columns)
    if not names:
        return {}
    rows = _of_types(spec, catalog)
    columns = [catalog.columns[n.removeprefix("item_")][rows] for n in names]
    return {"item": (names, np.column_stack(columns))}


def _raw(spec: ModelSpec, place: str, columns: Iterable[str]) -> list[str]:
    prefix, known = SNAPSHOT_PLACES[place], set(columns)
    return [f for f in spec.features if f in FEATURES and f.removeprefix(prefix) in known]


def _of_types(spec: ModelSpec, catalog: Catalog) -> Rows:
    return np.concatenate([catalog.of_type(t) for t in spec.item_types])


def sample_rows(model: FittedModel, shard: Shard, share: float, seed: int) -> Rows:
    """Eligible rows of a stable sample of listeners, int64 ascending."""
    rows = model.spec.eligible(shard)
    return rows[uniform(seed, shard.listeners[rows]) < share]


def feature_matrix(model: FittedModel, shard: Shard, share: float, seed: int) -> Floats | None:
    """Features of the candidates of a stable sample, float32 (n, f); ``None`` for an empty one."""
    rows = sample_rows(model, shard, share, seed)
    if len(rows) == 0:
        return None
    pairs = model.candidates(shard, rows)
    return model.features(pairs, shard) if len(pairs) else None


Shards = Callable[[], Iterable[Shard]]


def n_eligible(spec: ModelSpec, shards: Shards) -> int:
    """Count the eligible listeners."""
    return sum(len(spec.eligible(shard)) for shard in shards())


def freeze_all(
    model: FittedModel, catalog: Catalog, shards: Shards, *, eligible: int, seed: int, label: str
) -> dict[str, Histograms]:
    """Histograms of every place, with edges chosen from these rows: what a version keeps.

    Parameters
    ----------
    model : FittedModel
        Of the version.
    catalog : Catalog
        Of the snapshot that its ranker learned from last.
    shards : callable
        Yields the listeners of the same snapshot.
    eligible : int
        How many of them get the model's shelf. Of more than :data:`FROZEN_LISTENERS` a stable
        sample stands for all.
    seed : int
        Of the samples.
    label : str
        Names these rows in messages, such as ``"podcasts v7"``.
    """
    share, whole = (min(1.0, most / max(eligible, 1)) for most in (SAMPLE, FROZEN_LISTENERS))
    parts: dict[str, list[Floats]] = {}
    names: dict[str, list[str]] = {"features": list(model.spec.features)}
    for shard in shards():
        rows = sample_rows(model, shard, whole, seed)
        for place, (columns, values) in snapshot_columns(model.spec, shard, rows).items():
            names[place] = columns
            parts.setdefault(place, []).append(values)
        matrix = feature_matrix(model, shard, share, seed)
        if matrix is not None:
            parts.setdefault("features", []).append(matrix)
    for place, (columns, values) in item_columns(model.spec, catalog).items():
        names[place] = columns
        parts[place] = [values]
    return {
        place: freeze(np.concatenate(found), names[place], label=f"{label} {place}")
        for place, found in parts.items()
    }


def count_snapshot(
    spec: ModelSpec,
    catalog: Catalog,
    shards: Shards,
    frozen: dict[str, Histograms],
    *,
    label: str,
) -> dict[str, Histograms]:
    """Count tonight's snapshot on the version's edges: places ``listener``, ``pair``, ``item``."""
    found: dict[str, list[Histograms]] = {}
    for shard in shards():
        for place, (names, values) in snapshot_columns(spec, shard).items():
            if place in frozen and len(values):
                part = count(frozen[place], values, names, label=label)
                found.setdefault(place, []).append(part)
    for place, (names, values) in item_columns(spec, catalog).items():
        if place in frozen and len(values):
            found[place] = [count(frozen[place], values, names, label=label)]
    return {place: merge(parts) for place, parts in found.items()}


def count_features(
    model: FittedModel, shards: Shards, frozen: Histograms, *, seed: int, label: str
) -> Histograms | None:
    """Count what the ranker reads tonight on the version's edges; ``None`` without candidates."""
    share = min(1.0, SAMPLE / max(n_eligible(model.spec, shards), 1))
    found = []
    for shard in shards():
        matrix = feature_matrix(model, shard, share, seed)
        if matrix is not None:
            found.append(count(frozen, matrix, model.spec.features, label=label))
    return merge(found) if found else None
