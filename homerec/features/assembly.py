"""The one assembly: from pairs and a snapshot to the matrix that a ranker reads.

Training and the night both call :func:`assemble`. A feature is added by one entry below.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.columns import DAYPARTS
from homerec.errors import TrainingError
from homerec.features.tables import Catalog, Floats, Rows, Shard
from homerec.features.taste import language_share, start_affinity


@dataclass(frozen=True)
class Pairs:
    """Candidates to be scored.

    Attributes
    ----------
    listener : int64 (n,)
        Row of the listener in the shard, ascending.
    item : int64 (n,)
        Row of the item in the catalog.
    daypart : int8 (n,)
        Local daypart asked for, -1 for any.
    sources : dict of str to float32 (n,)
        What stage 1 says of the pair, ``<source>_score`` and ``<source>_rank`` (1-based); NaN where
        it says nothing.
    """

    listener: Rows
    item: Rows
    daypart: npt.NDArray[np.int8]
    sources: dict[str, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.listener)

    def take(self, at: npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> "Pairs":
        """Return the pairs at positions, or where a mask is true."""
        return Pairs(
            self.listener[at],
            self.item[at],
            self.daypart[at],
            {name: values[at] for name, values in self.sources.items()},
        )


class _Context:
    """The rows of a set of pairs in each table, looked up once."""

    def __init__(self, pairs: Pairs, shard: Shard) -> None:
        self.pairs = pairs
        self.shard = shard
        self.catalog: Catalog = shard.catalog
        self.markets = shard.markets[pairs.listener]

    @cached_property
    def pair_rows(self) -> Rows:
        return self.shard.pair_rows(self.pairs.listener, self.pairs.item)

    def pair(self, name: str, missing: float) -> Floats:
        values = self.shard.pair_columns[name]
        if len(values) == 0:
            return np.full(len(self.pairs), missing, dtype=np.float32)
        return np.where(self.pair_rows >= 0, values[self.pair_rows], np.float32(missing))

    def listener(self, name: str) -> Floats:
        return self.shard.columns[name][self.pairs.listener]


Feature = Callable[[_Context], Floats]


def _of_listener(name: str, context: _Context) -> Floats:
    return context.listener(name)


def _of_item(name: str, context: _Context) -> Floats:
    return context.catalog.columns[name][context.pairs.item]


def _in_market(name: str, context: _Context) -> Floats:
    return context.catalog.market_column(name, context.pairs.item, context.markets)


def _of_pair(name: str, missing: float, context: _Context) -> Floats:
    return context.pair(name, missing)


def _from_source(name: str, context: _Context) -> Floats:
    return context.pairs.sources[name]


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _by_daypart(read: Callable[[str], Floats], daypart: npt.NDArray[np.int8]) -> Floats:
    out = np.full(len(daypart), np.nan, dtype=np.float32)
    for code, name in enumerate(DAYPARTS):
        asked = daypart == code
        if asked.any():
            out[asked] = read(name)[asked]
    return out


def _pair_daypart_plays(context: _Context) -> Floats:
    return _by_daypart(lambda name: context.pair(f"n_{name}", 0), context.pairs.daypart)


def _pair_daypart_ratio(context: _Context) -> Floats:
    # One play is weak evidence of a habit: shrink towards the listener's own share of that daypart.
    prior = np.nan_to_num(_listener_daypart_ratio(context), nan=0.25)
    plays = context.pair("n_plays", 0)
    smoothed = (_pair_daypart_plays(context) + 4 * prior) / (plays + 4)
    return smoothed.astype(np.float32)


def _listener_daypart_ratio(context: _Context) -> Floats:
    return _by_daypart(lambda name: context.listener(f"{name}_ratio"), context.pairs.daypart)


def _pair_weekend_ratio(context: _Context) -> Floats:
    return _ratio(context.pair("n_weekend", 0), context.pair("n_plays", 0))


def _pair_same_weekday_ratio(context: _Context) -> Floats:
    return _ratio(context.pair("n_same_weekday", 0), context.pair("n_plays", 0))


def _pair_regularity(context: _Context) -> Floats:
    days = context.pair("n_days", 0)
    span = context.pair("days_since_first", 0) - context.pair("days_since_last", 0) + 1
    return _ratio(days, span)


def _pair_share(context: _Context) -> Floats:
    own = context.shard
    totals = np.bincount(
        own.pair_listener, weights=own.pair_columns["decay_14d"], minlength=own.n_listeners
    ).astype(np.float32)
    return _ratio(context.pair("decay_14d", 0), totals[context.pairs.listener])


def _rank_within_listener(column: str, descending: bool, context: _Context) -> Floats:
    own = context.shard
    if len(own.pair_item) == 0:
        return np.full(len(context.pairs), np.nan, dtype=np.float32)
    values = -own.pair_columns[column] if descending else own.pair_columns[column]
    order = np.lexsort((own.pair_item, values, own.pair_listener))
    starts = np.searchsorted(own.pair_listener, own.pair_listener[order])
    ranks = np.empty(len(order), dtype=np.float32)
    ranks[order] = np.arange(len(order)) - starts + 1
    return np.where(context.pair_rows >= 0, ranks[context.pair_rows], np.float32(np.nan))


def _tag_affinity(context: _Context) -> Floats:
    """Cosine of the listener's taste and the item's tags, in [0, 1]."""
    left = context.shard.listener_tags
    right = context.catalog.item_tags
    out = np.zeros(len(context.pairs), dtype=np.float32)
    # Blocks bound the memory; the sum runs along the tags of one pair, so blocks do not change it.
    for start in range(0, len(out), 65_536):
        rows = slice(start, start + 65_536)
        block = left[context.pairs.listener[rows]] * right[context.pairs.item[rows]]
        out[rows] = block.sum(axis=1)
    return out


def _language_match(context: _Context) -> Floats:
    spoken = context.shard.languages[context.pairs.listener]
    written = context.catalog.languages[context.pairs.item]
    known = (spoken >= 0) & (written >= 0)
    return np.where(known, (spoken == written).astype(np.float32), np.float32(np.nan))


def _days_since_skip(context: _Context) -> Floats:
    """Days since an item that was never played was last put on and left within 30 s."""
    shard = context.shard
    at = shard.skip_rows(context.pairs.listener, context.pairs.item)
    if not len(shard.skip_item):
        return np.full(len(at), np.nan, dtype=np.float32)
    return np.where(at >= 0, shard.skip_columns["days_since_last"][at], np.float32(np.nan))


def _item_type(context: _Context) -> Floats:
    return context.catalog.types[context.pairs.item].astype(np.float32)


def _market_start_ratio(context: _Context) -> Floats:
    here = _in_market("n_starts_28d", context)
    return _ratio(here, _of_item("n_starts_28d", context))


def _start_affinity(context: _Context) -> Floats:
    return start_affinity(context.pairs.listener, context.pairs.item, context.shard)


def _language_share(context: _Context) -> Floats:
    return language_share(context.pairs.listener, context.pairs.item, context.shard)


_LISTENER: Final = (
    "tenure_days", "n_plays", "n_plays_7d", "n_plays_28d", "n_items", "n_active_days_28d",
    "days_since_last", "night_ratio", "morning_ratio", "afternoon_ratio", "evening_ratio",
    "weekend_ratio", "n_shows", "n_playlists", "show_starts_28d", "playlist_starts_28d",
    "show_play_ratio", "playlist_play_ratio", "n_picks", "n_active_days_7d", "n_active_weekdays",
    "streak_days", "is_streak_running", "n_languages", "language_ratio", "start_ratio",
    "completion_ratio",
)  # fmt: skip
_ITEM: Final = (
    "age_days", "n_tags", "n_listeners", "n_listeners_28d", "n_starts_7d", "n_starts_28d",
    "n_plays_7d", "n_plays_28d", "plays_per_listener", "trend", "new_listener_ratio",
    "recent_listener_ratio", "settled_listener_ratio", "play_trend", "days_since_last",
    "completion_ratio",
)  # fmt: skip
_MARKET: Final = (
    "n_listeners", "n_listeners_7d", "n_listeners_28d", "n_starts_7d", "n_starts_28d",
    "n_plays_7d", "n_plays_28d", "n_new_listener_plays_28d", "n_new_listener_starts_28d",
    "decay_3d", "decay_14d", "decay_60d", "n_recent_listener_plays_28d",
    "n_settled_listener_plays_28d", "play_trend", "completion_ratio", "days_since_last",
)  # fmt: skip
#: Columns of listener_item, and the value for a pair that was never played.
_PAIR: Final = {
    "n_plays": 0, "n_plays_7d": 0, "n_plays_28d": 0, "n_days": 0, "n_days_7d": 0, "minutes": 0,
    "days_since_first": np.nan, "days_since_last": np.nan, "decay_3d": 0, "decay_14d": 0,
    "decay_60d": 0, "activation": np.nan, "decay_1d": 0, "decay_7d": 0, "n_weekdays": 0,
    "streak_days": 0, "is_streak_running": 0, "completion_ratio": np.nan,
}  # fmt: skip

#: Every feature by name. ``source_*`` features come from the candidates and are resolved by name.
FEATURES: Final[dict[str, Feature]] = {
    **{f"listener_{name}": partial(_of_listener, name) for name in _LISTENER},
    **{f"item_{name}": partial(_of_item, name) for name in _ITEM},
    **{f"market_{name}": partial(_in_market, name) for name in _MARKET},
    **{f"pair_{name}": partial(_of_pair, name, missing) for name, missing in _PAIR.items()},
    "pair_daypart_plays": _pair_daypart_plays,
    "pair_daypart_ratio": _pair_daypart_ratio,
    "listener_daypart_ratio": _listener_daypart_ratio,
    "pair_weekend_ratio": _pair_weekend_ratio,
    "pair_same_weekday_ratio": _pair_same_weekday_ratio,
    "pair_regularity": _pair_regularity,
    "pair_share": _pair_share,
    "pair_recency_rank": partial(_rank_within_listener, "days_since_last", False),
    "pair_activation_rank": partial(_rank_within_listener, "activation", True),
    "tag_affinity": _tag_affinity,
    "start_affinity": _start_affinity,
    "language_match": _language_match,
    "language_share": _language_share,
    "item_type": _item_type,
    "days_since_skip": _days_since_skip,
    "market_start_ratio": _market_start_ratio,
}
SOURCE_PREFIX: Final = "source_"


def assemble(pairs: Pairs, shard: Shard, names: Sequence[str]) -> Floats:
    """Compute the features of pairs.

    Parameters
    ----------
    pairs : Pairs
        n pairs whose rows point into ``shard`` and its catalog.
    shard : Shard
        Listeners of one snapshot.
    names : sequence of str
        Feature names, keys of :data:`FEATURES` or ``source_<name>`` for a key of ``pairs.sources``.

    Returns
    -------
    float32 (n, len(names))
        Column-major; NaN means missing. A value depends on its pair alone, never on the other
        pairs.

    Raises
    ------
    TrainingError
        A name is not a feature, or its source is not among the candidates.
    """
    context = _Context(pairs, shard)
    out = np.empty((len(pairs), len(names)), dtype=np.float32, order="F")
    for column, name in enumerate(names):
        out[:, column] = _resolve(name, pairs)(context)
    return out


def _resolve(name: str, pairs: Pairs) -> Feature:
    if name.startswith(SOURCE_PREFIX):
        source = name.removeprefix(SOURCE_PREFIX)
        if source in pairs.sources:
            return partial(_from_source, source)
        known = ", ".join(sorted(pairs.sources)) or "none"
        raise TrainingError(f"Feature {name} needs candidates with {source}; they have {known}.")
    if name not in FEATURES:
        raise TrainingError(f"There is no feature {name}. homerec/features/assembly.py lists them.")
    return FEATURES[name]
