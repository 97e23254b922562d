"""The bundle of a night: every listener's page, from ranked cards, rules and editors."""

import logging
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

from homerec.errors import EmptyInput, SnapshotError
from homerec.features.snapshot import SnapshotInfo
from homerec.features.tables import Catalog, Shard, find, load_shard
from homerec.home.cards import Cards
from homerec.home.page import Slot, deduplicate, shelf_table
from homerec.home.rules import (
    EDITORIAL_CARDS,
    EDITORIAL_POSITION,
    RULES,
    SPARE,
    RuleContext,
    popular_lists,
)
from homerec.home.sources import NUMBERS, source_rows
from homerec.ingest.reading import expose_table
from homerec.lake import Lake, atomic_folder, connect, read_sql, write_json
from homerec.models import get_model
from homerec.night.models import ranked_parts
from homerec.night.plan import NightPlan, ShardPlan
from homerec.release.bundle import SCHEMA
from homerec.settings import Settings

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]
#: Stands for "market not known".
ANY_MARKET: Final = "*"
#: The editors' shelf that is on every page, so that a first pin by SQL or CLI has a place.
DEFAULT_EDITORIAL: Final = "Editors' picks"
#: The market list repeats what shelves above show; this many cards leave enough.
_POPULAR_DEPTH: Final = 60


def bundle_folder(settings: Settings, as_of: date) -> Path:
    """Folder that :func:`assemble_homes` writes and a release is published from."""
    return Lake(settings.home).night(as_of) / "bundle"


def assemble_homes(
    settings: Settings,
    info: SnapshotInfo,
    catalog: Catalog,
    plan: NightPlan,
    progress: Progress = logger.info,
) -> Path:
    """Put every listener's page together.

    Returns
    -------
    Path
        The bundle: ``shelves.parquet`` and ``release.json``, see :mod:`homerec.release.bundle`.

    Raises
    ------
    EmptyInput
        The snapshot has no listener.
    """
    slots = page_slots(settings, info.as_of, plan)
    context = RuleContext.read(settings, catalog, info.as_of, info.known_at)
    if not plan.shards:
        raise EmptyInput(f"The snapshot of {info.as_of} has no listener. Ingest listeners first.")
    n_listeners = 0
    with atomic_folder(bundle_folder(settings, info.as_of)) as folder:
        with pq.ParquetWriter(folder / "shelves.parquet", _schema(), compression="zstd") as writer:
            defaults, markets = _default_cards(settings, context, plan)
            keys = np.sort(np.array(sorted(markets.values()), dtype=np.int32))
            writer.write_table(
                shelf_table(deduplicate(defaults, slots), slots, keys, editorial=True).cast(
                    _schema()
                )
            )
            for one in plan.shards:
                shard = load_shard(info, catalog, one.low, one.high)
                shelves = _shard_shelves(settings, shard, context, plan, one)
                table = shelf_table(
                    deduplicate(shelves, slots), slots, shard.listeners, editorial=True
                )
                writer.write_table(table.cast(_schema()))
                n_listeners += shard.n_listeners
        about = _release(info.as_of, plan, slots, markets, n_listeners, catalog.tags)
        write_json(about, folder / "release.json")
    progress(f"night {info.as_of}: pages of {n_listeners:,} listeners, {len(slots)} shelves")
    return bundle_folder(settings, info.as_of)


def page_slots(settings: Settings, as_of: date, plan: NightPlan) -> list[Slot]:
    """Shelves of the page in order: models, rules and the editors', by position."""
    placed: list[tuple[int, str, Slot]] = []
    for model in plan.models:
        if model.mode != "skipped":
            spec = get_model(model.model, settings)
            slot = Slot(0, spec.name, spec.shelf, "model", spec.cards)
            placed.append((spec.position, spec.name, slot))
    for rule in RULES:
        slot = Slot(0, rule.name, rule.title, "rule", rule.cards)
        placed.append((rule.position, rule.name, slot))
    for title in _editorial_titles(settings, as_of):
        slot = Slot(0, title, title, "editorial", EDITORIAL_CARDS)
        placed.append((EDITORIAL_POSITION, title, slot))
    ordered = [slot for _, _, slot in sorted(placed, key=lambda entry: entry[:2])]
    return [Slot(**{**asdict(slot), "number": n}) for n, slot in enumerate(ordered, start=1)]


def _editorial_titles(settings: Settings, as_of: date) -> list[str]:
    with connect(settings) as connection:
        # What the editors say now: a shelf is for readers of today, and no feature.
        expose_table(connection, Lake(settings.home), "editorial", None)
        rows = connection.execute(
            read_sql("home/editorial_titles.sql"), {"as_of": as_of}
        ).fetchall()
    return sorted({DEFAULT_EDITORIAL, *(str(title) for (title,) in rows)})


def _shard_shelves(
    settings: Settings, shard: Shard, context: RuleContext, plan: NightPlan, one: ShardPlan
) -> dict[str, Cards]:
    shelves = {}
    for model in plan.models:
        if model.mode == "skipped":
            continue
        folder = ranked_parts(settings, context.as_of, model.model)
        cards = Cards.read(folder / one.file)
        strangers = int((find(shard.listeners, cards.listener) < 0).sum())
        if strangers:
            raise SnapshotError(
                f"{folder} has {strangers} cards in {one.file} of listeners that its shard of the "
                "snapshot does not have. Make this night's candidates again: clear the task `plan` "
                "and all that follows it, or run `homerec night` for its date."
            )
        shelves[model.model] = _without_blocked(cards, shard, context)
    for rule in RULES:
        depth = _POPULAR_DEPTH if rule.name == "popular" else rule.cards + 2 * SPARE
        shelves[rule.name] = rule.rule(shard, context, depth)
    return shelves


def _without_blocked(cards: Cards, shard: Shard, context: RuleContext) -> Cards:
    if not context.blocked:
        return cards
    markets = shard.markets[np.searchsorted(shard.listeners, cards.listener)]
    return cards.take(context.allowed_for(markets, shard.catalog.rows(cards.item)))


def _default_cards(
    settings: Settings, context: RuleContext, plan: NightPlan
) -> tuple[dict[str, Cards], dict[str, int]]:
    """Pages for listeners that nobody knows: what each market plays most, shelf by shelf."""
    names = context.catalog.markets
    markets = {name: -(code + 1) for code, name in enumerate(names)}
    markets[ANY_MARKET] = -(len(names) + 1)
    shelves = {}
    for model in plan.models:
        spec = get_model(model.model, settings)
        if model.mode != "skipped" and spec.seen == "excluded":
            shelves[spec.name] = _market_cards(context, spec.item_types, spec.cards, markets)
    shelves["popular"] = _market_cards(context, ("album", "playlist", "show"), 60, markets)
    return shelves, markets


def _market_cards(
    context: RuleContext, types: tuple[str, ...], cards: int, markets: dict[str, int]
) -> Cards:
    lists = popular_lists(context, cards + SPARE, types)
    named = {markets[context.catalog.markets[code]]: items for code, items in lists.items()}
    everywhere = [items for items in lists.values() if len(items)]
    if everywhere:
        # Items at the top of many markets that every market may show.
        shared = set(everywhere[0].tolist()).intersection(*(set(i.tolist()) for i in everywhere))
        ranks = {
            item: sum(int(np.flatnonzero(items == item)[0]) for items in everywhere)
            for item in shared
        }
        best = sorted(shared, key=lambda item: (ranks[item], item))
        named[markets[ANY_MARKET]] = np.array(best, dtype=np.int32)
    parts = [
        Cards.of(
            np.full(len(items), key),
            items,
            np.arange(1, len(items) + 1),
            source=NUMBERS["popular_in_market"],
        )
        for key, items in sorted(named.items())
    ]
    return Cards.join(parts)


def _release(
    as_of: date,
    plan: NightPlan,
    slots: list[Slot],
    markets: dict[str, int],
    eligible: int,
    tags: list[str],
) -> dict[str, Any]:
    reasons = plan.degraded
    return {
        "as_of": as_of.isoformat(),
        "degraded": bool(reasons),
        "reasons": reasons,
        "versions": {
            p.model: {"mode": p.mode, "version": p.version, "hindsight": p.hindsight}
            for p in plan.models
        },
        "shelves": [
            {"shelf": s.number, "name": s.name, "title": s.title, "kind": s.kind, "size": s.cards}
            for s in slots
        ],
        "sources": source_rows(tags),
        "market_defaults": markets,
        "eligible": eligible,
    }


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(list(SCHEMA.items()))
