"""The two stages of a night for one model: candidates, then ranked cards."""

import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.features.assembly import Pairs
from homerec.features.snapshot import SnapshotInfo
from homerec.features.tables import Catalog, Floats, Shard, find, load_shard, shard_ranges
from homerec.home.cards import Cards
from homerec.home.rules import SPARE
from homerec.home.sources import NUMBERS
from homerec.lake import atomic_folder, write_parquet
from homerec.models import get_model
from homerec.models.fitted import FittedModel, baseline_pairs, rank, used_sources
from homerec.models.spec import ModelSpec
from homerec.night.plan import ModelPlan, model_folder
from homerec.registry.loading import load_version, open_registry
from homerec.settings import Settings

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
_SCORE: Final = "score"


def make_candidates(
    settings: Settings,
    info: SnapshotInfo,
    catalog: Catalog,
    plan: ModelPlan,
    progress: Progress = logger.info,
) -> Path:
    """Stage 1 for every eligible listener, one Parquet file a shard.

    Returns
    -------
    Path
        Folder with columns ``listener``, ``item`` (keys), ``daypart`` and what the sources say.
    """
    target = model_folder(settings, info.as_of, plan.model) / "candidates"
    fitted = _load(settings, plan)
    spec = fitted.spec if fitted else get_model(plan.model, settings)
    n_pairs = n_listeners = 0
    with atomic_folder(target) as folder:
        for number, (low, high) in enumerate(shard_ranges(info, settings.shard_listeners)):
            shard = load_shard(info, catalog, low, high)
            if fitted:
                pairs = fitted.candidates(shard)
            else:
                pairs, scores = baseline_pairs(spec, shard)
                pairs.sources[_SCORE] = scores
            _write_pairs(pairs, shard, folder / f"part-{number:05d}.parquet")
            n_pairs += len(pairs)
            n_listeners += len(np.unique(pairs.listener))
    progress(f"night {info.as_of}: {plan.model}, {n_pairs:,} candidates, {n_listeners:,} listeners")
    return target


def rank_candidates(
    settings: Settings,
    info: SnapshotInfo,
    catalog: Catalog,
    plan: ModelPlan,
    progress: Progress = logger.info,
) -> Path:
    """Stage 2: the candidates in order, cut at what the shelf keeps.

    Returns
    -------
    Path
        Folder of :class:`homerec.home.cards.Cards`, one file a shard.
    """
    source = model_folder(settings, info.as_of, plan.model) / "candidates"
    target = model_folder(settings, info.as_of, plan.model) / "ranked"
    fitted = _load(settings, plan)
    spec = fitted.spec if fitted else get_model(plan.model, settings)
    n_cards = 0
    with atomic_folder(target) as folder:
        for number, (low, high) in enumerate(shard_ranges(info, settings.shard_listeners)):
            name = f"part-{number:05d}.parquet"
            shard = load_shard(info, catalog, low, high)
            pairs = _read_pairs(source / name, shard)
            cards = _ranked(spec, fitted, pairs, shard)
            cards.write(folder / name)
            n_cards += len(cards)
    progress(f"night {info.as_of}: {plan.model}, {n_cards:,} ranked cards")
    return target


def _load(settings: Settings, plan: ModelPlan) -> FittedModel | None:
    if plan.mode != "champion" or plan.version is None:
        return None
    return load_version(open_registry(settings).version(plan.model, plan.version))


def _ranked(spec: ModelSpec, fitted: FittedModel | None, pairs: Pairs, shard: Shard) -> Cards:
    scores: Floats = fitted.score(pairs, shard) if fitted else pairs.sources[_SCORE]
    best, _, ranks = rank(pairs, scores, spec.cards + 2 * SPARE)
    if fitted:
        names = used_sources(fitted, best)
        source = np.array([NUMBERS[name] for name in names], dtype=np.int16)
    else:
        source = np.full(len(best), NUMBERS["baseline"], dtype=np.int16)
    return Cards(
        shard.listeners[best.listener],
        shard.catalog.items[best.item],
        best.daypart,
        ranks.astype(np.int32),
        source,
        np.zeros(len(best), dtype=np.int32),
    )


def _write_pairs(pairs: Pairs, shard: Shard, path: Path) -> None:
    columns = {
        "listener": pa.array(shard.listeners[pairs.listener]),
        "item": pa.array(shard.catalog.items[pairs.item]),
        "daypart": pa.array(pairs.daypart),
        **{name: pa.array(values) for name, values in pairs.sources.items()},
    }
    write_parquet(pa.table(columns), path)


def _read_pairs(path: Path, shard: Shard) -> Pairs:
    table = pq.read_table(path)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return Pairs(
        find(shard.listeners, columns.pop("listener")),
        shard.catalog.rows(columns.pop("item")),
        columns.pop("daypart"),
        columns,
    )


def ranked_parts(settings: Settings, as_of: date, model: str) -> Path:
    """Folder that :func:`rank_candidates` wrote."""
    return model_folder(settings, as_of, model) / "ranked"
