"""Shelves by rule: what needs no model."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.candidates.topk import rank_pairs
from homerec.columns import ITEM_TYPES
from homerec.features.tables import Catalog, Floats, Keys, Rows, Shard
from homerec.home.cards import Cards
from homerec.home.sources import NUMBERS
from homerec.ingest.reading import expose_table
from homerec.lake import Lake, connect, read_sql
from homerec.settings import Settings

#: Cards kept beyond the size of a shelf: they move up when others are blocked, dismissed or
#: already on a shelf above.
SPARE: Final = 10


@dataclass(frozen=True)
class Showable:
    """Which items may be shown where.

    Attributes
    ----------
    catalog : Catalog
    blocked : set of (item key, market name or None)
    """

    catalog: Catalog
    blocked: frozenset[tuple[int, str | None]]

    def allowed(self, item: Rows, market: int) -> npt.NDArray[np.bool_]:
        """Whether items (catalog rows) may be shown in a market: available and not blocked."""
        ok = self.catalog.available(item, market)
        name = self.catalog.markets[market]
        barred = [key for key, where in self.blocked if where in (None, name)]
        return ok & ~np.isin(self.catalog.items[item], np.array(barred, dtype=np.int32))

    def allowed_for(self, markets: npt.NDArray[np.integer], item: Rows) -> npt.NDArray[np.bool_]:
        """Whether each item may be shown in the market beside it, bool (n,)."""
        ok = np.zeros(len(item), dtype=np.bool_)
        for market in np.unique(markets):
            here = markets == market
            ok[here] = self.allowed(item[here], int(market))
        return ok


@dataclass(frozen=True)
class RuleContext(Showable):
    """What rules read beside the shard.

    Attributes
    ----------
    as_of : date
    fresh_shows : int64 (n,)
        Catalog rows of the shows with an episode released in the 7 days before as_of, ascending.
    """

    as_of: date
    fresh_shows: Rows

    @classmethod
    def read(
        cls, settings: Settings, catalog: Catalog, as_of: date, known_at: datetime
    ) -> "RuleContext":
        """Read blocked items and fresh episodes from the lake."""
        fresh = _fresh_shows(settings, catalog, as_of, known_at)
        return cls(catalog, read_blocked(settings, as_of), as_of, fresh)


def read_blocked(settings: Settings, as_of: date) -> frozenset[tuple[int, str | None]]:
    """Items taken down before as_of, with the market or ``None`` for all."""
    with connect(settings) as connection:
        # As the lake knows it now: a take-down that came late must be heeded all the same.
        expose_table(connection, Lake(settings.home), "blocked", None)
        rows = connection.execute(
            "SELECT item, market FROM blocked WHERE blocked_at < $as_of", {"as_of": as_of}
        ).fetchall()
    return frozenset((int(item), market) for item, market in rows)


def _fresh_shows(settings: Settings, catalog: Catalog, as_of: date, known_at: datetime) -> Rows:
    with connect(settings) as connection:
        expose_table(connection, Lake(settings.home), "contents", known_at)
        shows = connection.execute(read_sql("home/fresh_shows.sql"), {"as_of": as_of}).fetchnumpy()[
            "item"
        ]
    rows = catalog.rows(np.asarray(shows, dtype=np.int32))
    return np.sort(rows[rows >= 0])


Rule = Callable[[Shard, RuleContext, int], Cards]


@dataclass(frozen=True)
class RuleShelf:
    """A shelf by rule: its name, title, place on the page, size, and the rule."""

    name: str
    title: str
    position: int
    cards: int
    rule: Rule


def _own(
    shard: Shard,
    context: RuleContext,
    keep: npt.NDArray[np.bool_],
    score: Floats,
    k: int,
    source: str,
) -> Cards:
    markets = shard.markets[shard.pair_listener]
    kept = np.flatnonzero(keep)
    kept = kept[context.allowed_for(markets[kept], shard.pair_item[kept])]
    top = rank_pairs(shard.pair_listener[kept], shard.pair_item[kept], score[kept], k)
    return Cards.of(
        shard.listeners[top.listener],
        shard.catalog.items[top.item],
        top.rank,
        source=NUMBERS[source],
    )


def jump_back_in(shard: Shard, context: RuleContext, k: int) -> Cards:
    """Items played last, latest first, within the last 30 days."""
    days = shard.pair_columns["days_since_last"]
    return _own(shard, context, days <= 30, -days, k, "recent")


def new_episodes(shard: Shard, context: RuleContext, k: int) -> Cards:
    """List shows played in the last 28 days that have an episode of the last week."""
    fresh = np.isin(shard.pair_item, context.fresh_shows)
    keep = fresh & (shard.pair_columns["days_since_last"] <= 28)
    return _own(shard, context, keep, shard.pair_columns["activation"], k, "new_episode")


def popular_lists(context: RuleContext, k: int, types: tuple[str, ...]) -> dict[int, Keys]:
    """Most listened items of every market, best first, by market code; keys int32 (at most k,)."""
    catalog = context.catalog
    rows = np.flatnonzero(np.isin(catalog.types, [ITEM_TYPES.index(t) for t in types]))
    rows = rows.astype(np.int64)
    everywhere = catalog.columns["n_listeners_28d"][rows].astype(np.float64)
    lists = {}
    for market in range(len(catalog.markets)):
        here = catalog.market_column("n_listeners_28d", rows, np.full(len(rows), market))
        # What the market plays comes first; items it never played follow by what all others do.
        score = here + everywhere / (everywhere.max(initial=0) + 1)
        usable = context.allowed(rows, market) & (score > 0)
        order = np.lexsort((rows[usable], -score[usable]))[:k]
        lists[market] = catalog.items[rows[usable][order]]
    return lists


def popular_in_market(shard: Shard, context: RuleContext, k: int) -> Cards:
    """List the market's most listened albums, playlists and shows, the same for everybody."""
    lists = popular_lists(context, k, ("album", "playlist", "show"))
    listener, item, rank = [], [], []
    for market, items in lists.items():
        mine = shard.listeners[shard.markets == market]
        listener.append(np.repeat(mine, len(items)))
        item.append(np.tile(items, len(mine)))
        rank.append(np.tile(np.arange(1, len(items) + 1), len(mine)))
    cards = Cards.of(
        np.concatenate(listener),
        np.concatenate(item),
        np.concatenate(rank),
        source=NUMBERS["popular_in_market"],
    )
    return cards.take(np.lexsort((cards.rank, cards.listener)))


RULES: Final = (
    RuleShelf("jump_back_in", "Jump back in", 20, 10, jump_back_in),
    RuleShelf("new_episodes", "New episodes from your shows", 40, 10, new_episodes),
    RuleShelf("popular", "Popular in {market}", 70, 10, popular_in_market),
)
#: The editors' shelf: its cards come live from ``editorial_card`` when a Home is read.
EDITORIAL_POSITION: Final = 60
EDITORIAL_CARDS: Final = 10
