"""The two stages of a night for one model: candidates, then ranked cards."""

import logging
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.candidates.base import Reasons
from homerec.errors import SnapshotError
from homerec.features.assembly import Pairs
from homerec.features.snapshot import SnapshotInfo
from homerec.features.tables import Catalog, Floats, Shard, find, load_shard
from homerec.home.cards import Cards
from homerec.home.rules import SPARE, read_blocked
from homerec.home.sources import NUMBERS, numbers_with_reasons, pack_proposers
from homerec.lake import write_parquet
from homerec.models import get_model
from homerec.models.fitted import FittedModel, baseline_pairs, explain, rank, used_sources
from homerec.models.spec import ModelSpec
from homerec.night.plan import ModelPlan, ShardPlan, champion_manifest, model_folder
from homerec.registry.loading import load_fitted
from homerec.settings import Settings

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
_SCORE: Final = "score"


def make_candidates(
    settings: Settings,
    info: SnapshotInfo,
    catalog: Catalog,
    plan: ModelPlan,
    shards: Sequence[ShardPlan],
    progress: Progress = logger.info,
) -> Path:
    """Stage 1 for every eligible listener of some shards, one Parquet file a shard.

    Parameters
    ----------
    settings : Settings
    info : SnapshotInfo
        The night's snapshot.
    catalog : Catalog
        Its item side.
    plan : ModelPlan
        Of the model.
    shards : sequence of ShardPlan
        Of the night; those of other calls keep their files.
    progress : callable
        Receives one line per shard.

    Returns
    -------
    Path
        Folder with columns ``listener``, ``item`` (keys), ``daypart`` and what the sources say.
    """
    target = model_folder(settings, info.as_of, plan.model) / "candidates"
    fitted = _load(settings, plan)
    spec = fitted.spec if fitted else get_model(plan.model, settings)
    for one in shards:
        shard = load_shard(info, catalog, one.low, one.high)
        if fitted:
            pairs = fitted.candidates(shard)
        else:
            pairs, scores = baseline_pairs(spec, shard)
            pairs.sources[_SCORE] = scores
        _write_pairs(pairs, shard, target / one.file)
        progress(
            f"night {info.as_of}: {plan.model}, shard {one.number}: {len(pairs):,} candidates of "
            f"{len(np.unique(pairs.listener)):,} listeners"
        )
    return target


def rank_candidates(
    settings: Settings,
    info: SnapshotInfo,
    catalog: Catalog,
    plan: ModelPlan,
    shards: Sequence[ShardPlan],
    progress: Progress = logger.info,
) -> Path:
    """Stage 2: the candidates of some shards in order, cut at what the shelf keeps.

    Parameters
    ----------
    settings, info, catalog, plan, shards, progress
        As for :func:`make_candidates`.

    Returns
    -------
    Path
        Folder of :class:`homerec.home.cards.Cards`, one file a shard.

    Raises
    ------
    SnapshotError
        A shard has no candidates yet.
    """
    source = model_folder(settings, info.as_of, plan.model) / "candidates"
    target = model_folder(settings, info.as_of, plan.model) / "ranked"
    fitted = _load(settings, plan)
    spec = fitted.spec if fitted else get_model(plan.model, settings)
    # Blocked in one market, an item is no reason in any: it costs little and cannot leak.
    barred = np.isin(catalog.items, [key for key, _ in read_blocked(settings, info.as_of)])
    for one in shards:
        if not (source / one.file).exists():
            raise SnapshotError(
                f"{plan.model} has no candidates of shard {one.number} as of {info.as_of}: "
                f"{source / one.file} is not there. Run its candidates first."
            )
        shard = load_shard(info, catalog, one.low, one.high)
        cards = _ranked(spec, fitted, _read_pairs(source / one.file, shard), shard, barred)
        cards.write(target / one.file)
        progress(
            f"night {info.as_of}: {plan.model}, shard {one.number}: {len(cards):,} ranked cards"
        )
    return target


def _load(settings: Settings, plan: ModelPlan) -> FittedModel | None:
    manifest = champion_manifest(settings, plan)
    return load_fitted(manifest) if manifest is not None else None


def _ranked(
    spec: ModelSpec,
    fitted: FittedModel | None,
    pairs: Pairs,
    shard: Shard,
    barred: npt.NDArray[np.bool_],
) -> Cards:
    scores: Floats = fitted.score(pairs, shard) if fitted else pairs.sources[_SCORE]
    best, _, ranks = rank(pairs, scores, spec.cards + 2 * SPARE)
    if fitted:
        names = used_sources(fitted, best)
        reasons = explain(fitted, best, shard, names, barred)
        source = numbers_with_reasons(names, reasons)
        every = [one.name for one in fitted.sources]
        ranks_by_source = np.stack([best.sources[f"{name}_rank"] for name in every])
        proposers = pack_proposers(every, ranks_by_source)
    else:
        reasons = Reasons.none(len(best))
        source = np.full(len(best), NUMBERS["baseline"], dtype=np.int16)
        proposers = np.zeros(len(best), dtype=np.int32)
    named = reasons.item >= 0
    return Cards(
        shard.listeners[best.listener],
        shard.catalog.items[best.item],
        best.daypart,
        ranks.astype(np.int32),
        source,
        np.where(named, shard.catalog.items[np.maximum(reasons.item, 0)], 0).astype(np.int32),
        proposers,
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
    rows = find(shard.listeners, columns.pop("listener"))
    if (rows < 0).any():
        # A listener was forgotten since, and the shards were cut anew.
        raise SnapshotError(
            f"{path} has {int((rows < 0).sum())} candidates of listeners that its shard of the "
            "snapshot does not have. Make the candidates of this night again: clear the task "
            "`candidates`, or run `homerec night` for its date."
        )
    return Pairs(
        rows,
        shard.catalog.rows(columns.pop("item")),
        columns.pop("daypart"),
        columns,
    )


def ranked_parts(settings: Settings, as_of: date, model: str) -> Path:
    """Folder that :func:`rank_candidates` wrote."""
    return model_folder(settings, as_of, model) / "ranked"
