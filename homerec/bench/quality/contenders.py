"""Who ranks in the quality benchmark beside the model and its baseline."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from homerec.candidates.base import CandidateSource
from homerec.columns import ANY_DAYPART, DAYPARTS
from homerec.features.assembly import Pairs
from homerec.features.tables import Catalog, Floats, Rows, Shard, find
from homerec.home.rules import SPARE, Showable, read_blocked
from homerec.lake import Lake
from homerec.models.fitted import FittedModel
from homerec.models.spec import ModelSpec
from homerec.settings import Settings
from homerec.training.evaluation import Contender
from homerec.world.foreseeing import Foresight


@dataclass(frozen=True)
class TextIds:
    """From a deployment's keys to text ids.

    Attributes
    ----------
    listener, item : dict of int to str
    """

    listener: dict[int, str]
    item: dict[int, str]

    @classmethod
    def read(cls, settings: Settings) -> "TextIds":
        """Read the dictionaries that ingest keeps."""
        lake = Lake(settings.home)
        both = []
        for name in ("listeners", "items"):
            table = pq.read_table(lake.dictionary(name))
            both.append(dict(zip(table["key"].to_pylist(), table["id"].to_pylist(), strict=True)))
        return cls(*both)


@dataclass(frozen=True)
class Oracle:
    """Ranks everything that may be shown by the generator's own probability of a play.

    Parameters
    ----------
    foresight : Foresight
        As of the first day of the label window.
    spec : ModelSpec
        Which shelf; its label and its window say what is foreseen.
    ids : TextIds
    """

    foresight: Foresight
    spec: ModelSpec
    ids: TextIds

    def __call__(self, shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        """All allowed pairs of the listeners, with their probabilities as scores."""
        query = self.spec.query(shard, rows)
        allowed = query.allowed(rows, query.items)
        line, column = np.nonzero(allowed)
        values = self.values(shard, rows, query.items)
        listener, item = rows[line], query.items[column]
        if not self.spec.by_daypart:
            daypart = np.full(len(line), ANY_DAYPART, np.int8)
            return Pairs(listener, item, daypart), values[0][line, column]
        n = len(DAYPARTS)
        pairs = Pairs(
            np.tile(listener, n),
            np.tile(item, n),
            np.repeat(np.arange(n, dtype=np.int8), len(line)),
        )
        return pairs, np.concatenate([v[line, column] for v in values])

    def reorder(self, model: FittedModel) -> Contender:
        """Make a contender that puts a model's candidates into the true order.

        What it reaches is what stage 1 leaves possible; what the model lacks to it is stage 2's.
        """

        def ranked(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
            pairs = model.candidates(shard, rows)
            items = self.spec.query(shard, rows).items
            values = np.stack(self.values(shard, rows, items))
            part = np.maximum(pairs.daypart.astype(np.int64), 0)
            return pairs, values[part, find(rows, pairs.listener), find(items, pairs.item)]

        return ranked

    def values(self, shard: Shard, rows: Rows, items: Rows) -> list[Floats]:
        """Probabilities by daypart (one for all, where the shelf has one list).

        Returns
        -------
        list of float32 (len(rows), len(items))
        """
        names = [self.ids.listener[int(key)] for key in shard.listeners[rows]]
        if not self.spec.by_daypart:
            found, probability = self.foresight.new_plays(
                names, self.spec.item_types[0], self.spec.label_window_days
            )
            return [probability[:, self._columns(shard, items, found)]]
        everything = self.foresight.item_ids
        every = np.arange(len(shard.catalog.items))
        place = self._columns(shard, every, everything)
        line = np.full(shard.n_listeners, -1, np.int64)
        line[rows] = np.arange(len(rows))
        own = line[shard.pair_listener] >= 0
        known = np.zeros((len(rows), len(everything)), np.bool_)
        known[line[shard.pair_listener[own]], place[shard.pair_item[own]]] = True
        chance = self.foresight.familiar_plays(names, known)
        return [chance[:, part][:, place[items]] for part in range(len(DAYPARTS))]

    def _columns(self, shard: Shard, items: Rows, ids: npt.NDArray[np.object_]) -> Rows:
        """Where the catalog rows stand among text ids, int64 (len(items),)."""
        at = {text: number for number, text in enumerate(ids)}
        keys = shard.catalog.items[items]
        return np.array([at[self.ids.item[int(key)]] for key in keys], np.int64)


def as_read(settings: Settings, catalog: Catalog, as_of: date) -> Callable[[Contender], Contender]:
    """Let contenders rank what a Home shows when it is read: nothing that was taken down since.

    A take-down never waits for a night (``sql/serving/10_home.sql``): the cards below move up. A
    demo world takes items down on the first judged day, for that whole day and ever after. No
    contender can know of that, and none would show them.

    Parameters
    ----------
    settings : Settings
        The deployment, whose lake reaches beyond that day.
    catalog : Catalog
    as_of : date
        First judged day.
    """
    shown = Showable(catalog, read_blocked(settings, as_of + timedelta(days=1)))

    def reading(contender: Contender) -> Contender:
        def ranked(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
            pairs, scores = contender(shard, rows)
            kept = shown.allowed_for(shard.markets[pairs.listener], pairs.item)
            return pairs.take(kept), scores[kept]

        return ranked

    return reading


def by_pair_column(spec: ModelSpec, column: str, sign: float = 1.0) -> Contender:
    """Rank a listener's own items by a column of ``listener_item``.

    Parameters
    ----------
    spec : ModelSpec
        A shelf of familiar items.
    column : str
        Such as ``n_plays`` (most frequent) or, with ``sign`` -1, ``days_since_last`` (most recent).
    sign : float
        -1 where less is better.
    """

    def ranked(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        query = spec.query(shard, rows)
        line, at = np.nonzero(query.allowed(rows, query.items))
        listener, item = rows[line], query.items[at]
        score = np.float32(sign) * shard.pair_columns[column][shard.pair_rows(listener, item)]
        n = len(DAYPARTS)
        parts = np.repeat(np.arange(n, dtype=np.int8), len(line))
        return Pairs(np.tile(listener, n), np.tile(item, n), parts), np.tile(score, n)

    return ranked


def by_source(spec: ModelSpec, source: CandidateSource, k: int) -> Contender:
    """Rank by one candidate source alone, k items a listener and spare ones, see `as_read`."""

    def ranked(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        top = source.prepare(spec.query(shard, rows)).top(k + SPARE)
        if not spec.by_daypart:
            daypart = np.full(len(top.item), ANY_DAYPART, np.int8)
            return Pairs(top.listener, top.item, daypart), -top.rank
        n = len(DAYPARTS)
        parts = np.repeat(np.arange(n, dtype=np.int8), len(top.item))
        return Pairs(np.tile(top.listener, n), np.tile(top.item, n), parts), np.tile(-top.rank, n)

    return ranked


def in_random_order(model: FittedModel, seed: int) -> Contender:
    """Rank a model's candidates by chance."""

    def ranked(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        pairs = model.candidates(shard, rows)
        luck = np.random.default_rng([seed, int(shard.listeners[0])]).random(len(pairs))
        return pairs, luck.astype(np.float32)

    return ranked
