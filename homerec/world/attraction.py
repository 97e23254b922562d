"""How likely a listener is to try an item on a day: one text for listening and the truth.

A new item of a type is drawn by proposing a tag by the listener's shares, an item of that tag by
its weight of the day in the market, and accepting it with the listener's affinity for it. What
comes out has probabilities proportional to (shares mixed with weights) times affinity;
`homerec.world.truth` writes them out in full.
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from homerec.compiling import compiled, entry_point
from homerec.world.catalog import PLAYLIST, SHOW, Catalog, Floats, Ints
from homerec.world.parameters import Parameters
from homerec.world.randomness import uniform

#: What a show offers on a day.
SHOW_DAY: Final = np.dtype([("latest", np.int32), ("fresh", np.int32)])


class Day(NamedTuple):
    """What is the same for all listeners of a market on one day.

    Attributes
    ----------
    day : int
        Days since the world's start.
    cumulative : float64 (n_markets, n_entries)
        Running sums of the entries' weights, begun anew in every segment of ``Things.segment``.
    available : uint8 (n_markets, n_items)
        Whether an item may be played: released, available in the market, not taken down.
    shows : SHOW_DAY (n_shows,)
        Newest playable content of each show, -1 while there is none, and whether it became
        playable today.
    cards : int32 (2, n_markets, n_cards)
        Popular cards of the app's old Home: shows, playlists; -1 where there are too few.
    """

    day: int
    cumulative: npt.NDArray[np.float64]
    available: npt.NDArray[np.uint8]
    shows: npt.NDArray[np.void]
    cards: Ints


def day_factor(p: Parameters, catalog: Catalog, day: int) -> Floats:
    """Return each item's popularity on a day relative to its weight, float32 (n_items,).

    Release, freshness and trends are in it.
    """
    age = day - catalog.release_s / 86_400.0
    pop = p.popularity
    fresh = 1.0 + pop.fresh_boost * np.exp(-np.maximum(age, 0.0) / pop.fresh_days)
    since = np.maximum(day - catalog.trend_day.astype(np.float64), 0.0)
    rise = 1.0 - np.exp(-since / pop.trend_rise_days)
    shape = rise * np.exp(-since / pop.trend_decay_days)
    factor = np.where(age >= 0.0, fresh * np.exp(catalog.trend_height * shape), 0.0)
    return factor.astype(np.float32)


def make_day(p: Parameters, catalog: Catalog, day: int, blocked: npt.NDArray[np.bool_]) -> Day:
    """Tabulate one day.

    Parameters
    ----------
    p : Parameters
        The world's parameters.
    catalog : Catalog
        Its catalog.
    day : int
        Days since the world's start.
    blocked : bool (n_markets, n_items)
        Items taken down by then.
    """
    things = catalog.things
    factor = day_factor(p, catalog, day)
    weight = catalog.weight * factor
    weight[blocked] = 0.0
    cumulative = np.empty((len(weight), len(things.entry)), np.float64)
    _accumulate(weight, things.entry, catalog.entry_weight, things.segment, cumulative)
    available = catalog.available & (factor > 0.0) & ~blocked
    first, last = catalog.show_episodes[:-1], catalog.show_episodes[1:]
    episodes = catalog.contents["day"][first[0] :]
    playable = np.add.reduceat((episodes <= day).astype(np.int64), first - first[0])
    newest = np.minimum(first + playable, last) - 1
    shows = np.zeros(len(first), SHOW_DAY)
    shows["latest"] = np.where(playable > 0, newest, -1)
    shows["fresh"] = (playable > 0) & (catalog.contents["day"][np.maximum(newest, 0)] == day)
    cards = np.stack(
        [_popular(weight, catalog.first, kind, p.home.cards) for kind in (SHOW, PLAYLIST)]
    )
    return Day(day, cumulative, available.astype(np.uint8), shows, cards)


def _popular(weight: Floats, first: npt.NDArray[np.int64], kind: int, n_cards: int) -> Ints:
    own = weight[:, first[kind] : first[kind + 1]]
    k = min(n_cards, own.shape[1])
    best = np.argpartition(-own, k - 1, axis=1)[:, :k]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(own, best, 1), 1), 1)
    top = np.full((len(weight), n_cards), -1, np.int32)
    top[:, :k] = np.where(np.take_along_axis(own, best, 1) > 0.0, first[kind] + best, -1)
    return top


@entry_point
def _accumulate(weight: Any, entry: Any, entry_weight: Any, segment: Any, out: Any) -> None:
    for m in range(weight.shape[0]):
        for kind in range(segment.shape[0]):
            for g in range(segment.shape[1] - 1):
                total = 0.0
                for e in range(segment[kind, g], segment[kind, g + 1]):
                    total += weight[m, entry[e]] * entry_weight[e]
                    out[m, e] = total


@compiled
def affinity(person: Any, things: Any, rules: Any, item: int) -> float:
    """Probability that listener ``i`` accepts an item put before them, in (0, 1)."""
    space = 1 if item >= things.first_show else 0
    cosine = 0.0
    for k in range(person.vector.shape[1]):
        cosine += person.vector[space, k] * things.items[item].vector[k]
    accept = 1.0 / (1.0 + math.exp(-(rules.slope * cosine + rules.offset)))
    spoken = things.items[item].language
    own = person.own_language
    if spoken < 0 or spoken == own or (spoken == 0 and person.bilingual == 1):
        return accept
    return accept * float(rules.foreign)


@compiled
def segment_total(day: Any, things: Any, market: int, kind: int, tag: int) -> float:
    """Weight of all items of a type and tag in a market on a day."""
    end = things.segment[kind, tag + 1]
    if end == things.segment[kind, tag]:
        return 0.0
    return float(day.cumulative[market, end - 1])


@compiled
def propose(state: Any, person: Any, things: Any, day: Any, kind: int) -> int:
    """Draw an item of a type by tag shares and weights alone; -1 if the market has none."""
    space = 1 if kind == 3 else 0
    m = person.market
    n_tags = things.segment.shape[1] - 1
    total = 0.0
    for g in range(n_tags):
        if segment_total(day, things, m, kind, g) > 0.0:
            total += person.tags[space, g]
    if total <= 0.0:
        return -1
    left = uniform(state) * total
    tag = -1
    for g in range(n_tags):
        share = person.tags[space, g]
        if share > 0.0 and segment_total(day, things, m, kind, g) > 0.0:
            tag = g
            left -= share
            if left < 0.0:
                break
    low = things.segment[kind, tag]
    high = things.segment[kind, tag + 1] - 1
    aim = uniform(state) * day.cumulative[m, high]
    while low < high:
        middle = (low + high) // 2
        if day.cumulative[m, middle] > aim:
            high = middle
        else:
            low = middle + 1
    return int(things.entry[low])


@compiled
def try_new(state: Any, person: Any, things: Any, rules: Any, day: Any, kind: int) -> int:
    """Draw a new item of a type for listener ``i``; -1 if the market has none."""
    item = -1
    for attempt in range(rules.attempts):
        item = propose(state, person, things, day, kind)
        if item < 0 or attempt == rules.attempts - 1:
            break
        if uniform(state) < affinity(person, things, rules, item):
            break
    return item


@compiled
def click_card(state: Any, person: Any, things: Any, rules: Any, day: Any, kind: int) -> int:
    """Position (from 0) of the popular card that listener ``i`` clicks on the old Home, or -1."""
    if kind < 2 or uniform(state) >= rules.click:
        return -1
    aim = uniform(state)
    position = 0
    while position < len(rules.position) - 1 and aim >= rules.position[position]:
        position += 1
    item = day.cards[3 - kind, person.market, position]
    if item >= 0 and uniform(state) < affinity(person, things, rules, item):
        return position
    return -1
