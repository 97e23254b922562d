"""The truth behind a world: how likely each listener is to try each item.

It is recomputed from parameters and seed alone.

What someone tries depends on taste, popularity, language, freshness and trends, not on what was
played before, so no event has to be replayed. The formulas are those of
`homerec.world.attraction`, written out instead of drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from homerec.columns import ITEM_TYPES
from homerec.errors import SettingsError
from homerec.world.attraction import Day, make_day
from homerec.world.catalog import ALBUM, ARTIST, PLAYLIST, SHOW, Catalog
from homerec.world.generating import World, make_world
from homerec.world.parameters import Parameters
from homerec.world.population import People, make_people
from homerec.world.rules import make_rules

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """An oracle over one world.

    Attributes
    ----------
    world : World
        The world's fixed parts.
    """

    world: World

    def novel_probability(
        self, listener_ids: Sequence[str], item_type: str, as_of: date
    ) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float32]]:
        """Probability of each item when a listener tries something new of a type.

        Items that the listener already knows are drawn again when they come up; ranking what is
        left by these probabilities is the best that can be done without reading the future.

        Parameters
        ----------
        listener_ids : sequence of str
            Text ids of n listeners.
        item_type : {"artist", "album", "playlist", "show"}
            The type.
        as_of : date
            The day on which they choose; from the world's start to the day after its end.

        Returns
        -------
        items : object (n_items,)
            Text ids of all items of that type.
        probability : float32 (n, n_items)
            Rows sum to 1; all 0 where the market has no item of the type.

        Raises
        ------
        SettingsError
            An unknown listener or type, or a day outside the world.
        """
        day = self._day(as_of, last=self.world.p.calendar.days)
        kind = _kind(item_type)
        people = self._people(listener_ids)
        catalog, p = self.world.catalog, self.world.p
        low, high = int(catalog.first[kind]), int(catalog.first[kind + 1])
        n_markets = len(p.markets)
        blocked = self.world.blocked.mask(n_markets, catalog.n_items, day)
        today = make_day(p, catalog, day, blocked)
        probability = np.zeros((len(people), high - low), np.float32)
        for m in range(n_markets):
            rows = np.flatnonzero(people["market"] == m)
            if len(rows):
                some = people[rows]
                accept = affinity(p, catalog, some, low, high)
                proposed = proposal(catalog, today, some, m, kind)
                tried = accepted(proposed, accept, p.taste.attempts)
                cards = clicked(self.world, accept, today, m, kind)
                probability[rows] = (1.0 - cards.sum(axis=1, keepdims=True)) * tried + cards
        items = np.array(catalog.item_ids()[low:high].to_pylist(), object)
        return items, probability

    def expected_draws(
        self, listener_ids: Sequence[str], item_type: str, as_of: date, n_days: int = 7
    ) -> Doubles:
        """Mean number of times that listeners try something new of a type from ``as_of`` on.

        Parameters
        ----------
        listener_ids : sequence of str
            Text ids of n listeners.
        item_type : {"artist", "album", "playlist", "show"}
            The type.
        as_of : date
            First day.
        n_days : int
            Days counted.

        Returns
        -------
        float64 (n,)

        Raises
        ------
        SettingsError
            An unknown listener or type, or days outside the world.
        """
        p = self.world.p
        first = self._day(as_of, last=p.calendar.days)
        kind = _kind(item_type)
        people = self._people(listener_ids)
        total = np.zeros(len(people))
        for day in range(first, first + n_days):
            total += _draws(p, people, kind, day)
        return total

    def _day(self, as_of: date, last: int) -> int:
        start = self.world.p.calendar.start
        day = (as_of - start).days
        if not 0 <= day <= last:
            raise SettingsError(
                f"{as_of} is outside the world, which has {last} days from {start} on."
            )
        return day

    def numbers(self, listener_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Numbers of listeners, from 0, by their text ids.

        Raises
        ------
        SettingsError
            An unknown listener.
        """
        return np.array([self._number(text) for text in listener_ids], np.int64)

    def _people(self, listener_ids: Sequence[str]) -> People:
        return make_people(self.world.p, self.numbers(listener_ids), self.world.catalog.centres)

    def _number(self, listener_id: str) -> int:
        digits = listener_id.removeprefix("listener-")
        if digits != listener_id and digits.isdecimal():
            number = int(digits) - 1
            if 0 <= number < self.world.n_listeners:
                return number
        raise SettingsError(
            f"{listener_id!r} is not a listener of this world of {self.world.n_listeners}."
        )


def truth(
    *,
    listeners: int | None = None,
    days: int | None = None,
    start: date | None = None,
    seed: int | None = None,
    parameters: Path | Parameters | None = None,
) -> Truth:
    """Return the truth of the world that `generate` writes for the same arguments.

    Raises
    ------
    SettingsError
        A parameter or argument is out of its range.
    """
    return Truth(
        make_world(listeners=listeners, days=days, start=start, seed=seed, parameters=parameters)
    )


def _kind(item_type: str) -> int:
    if item_type not in ITEM_TYPES:
        raise SettingsError(f"item_type is {item_type!r}, allowed are {', '.join(ITEM_TYPES)}.")
    return ITEM_TYPES.index(item_type)


def affinity(p: Parameters, catalog: Catalog, people: People, low: int, high: int) -> Doubles:
    """Probability that listeners accept the items low..high-1 of one type, float64 (n, n_items)."""
    space = int(low >= catalog.things.first_show)
    items = catalog.things.items[low:high]
    cosine = people["vector"][:, space].astype(np.float64) @ items["vector"].T.astype(np.float64)
    accept = 1.0 / (1.0 + np.exp(-(p.taste.affinity_slope * cosine + p.taste.affinity_offset)))
    spoken = items["language"][None, :]
    own = people["own_language"][:, None]
    follows = (spoken < 0) | (spoken == own) | ((spoken == 0) & (people["bilingual"][:, None] == 1))
    result: Doubles = accept * np.where(follows, 1.0, p.taste.foreign_accept)
    return result


def proposal(catalog: Catalog, today: Day, people: People, market: int, kind: int) -> Doubles:
    """Probability of each item before acceptance: tag shares mixed with the weights of the day."""
    things = catalog.things
    low, high = int(catalog.first[kind]), int(catalog.first[kind + 1])
    n_tags = things.segment.shape[1] - 1
    by_tag = np.zeros((n_tags, high - low))
    there = np.zeros(n_tags, np.bool_)
    for g in range(n_tags):
        part = slice(things.segment[kind, g], things.segment[kind, g + 1])
        running = today.cumulative[market, part]
        if len(running) and running[-1] > 0.0:
            there[g] = True
            by_tag[g, things.entry[part] - low] = np.diff(running, prepend=0.0) / running[-1]
    shares = people["tags"][:, int(kind == SHOW)].astype(np.float64) * there
    total = shares.sum(axis=1, keepdims=True)
    result: Doubles = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0) @ by_tag
    return result


def accepted(proposed: Doubles, accept: Doubles, attempts: int) -> Doubles:
    """Probability of each item if refused proposals are redrawn, and the last is taken as it is."""
    wanted = proposed * accept
    share = wanted.sum(axis=1, keepdims=True)
    still = (1.0 - share) ** (attempts - 1)
    tries = np.divide(1.0 - still, share, out=np.zeros_like(share), where=share > 0)
    result: Doubles = wanted * tries + proposed * still
    return result


def clicked(world: World, accept: Doubles, today: Day, market: int, kind: int) -> Doubles:
    """Probability that a try comes from each popular card of the old Home.

    Parameters
    ----------
    world : World
    accept : float64 (n, n_items)
        Affinity for the items of the type.
    today : Day
    market, kind : int
        Market and type.

    Returns
    -------
    float64 (n, n_items)
        All 0 for types that Home has no cards of.
    """
    out = np.zeros_like(accept)
    if kind not in (PLAYLIST, SHOW):
        return out
    p = world.p
    share = np.diff(make_rules(p, 0)["position"][0], prepend=0.0)
    for place, card in enumerate(today.cards[SHOW - kind, market]):
        if card >= 0:
            column = int(card - world.catalog.first[kind])
            out[:, column] = share[place] * accept[:, column]
    out *= p.home.open_ratio * p.home.click_ratio
    return out


def _draws(p: Parameters, people: People, kind: int, day: int) -> Doubles:
    """Mean number of novel draws of a type on one day."""
    weekend = int((p.calendar.start.weekday() + day) % 7 >= 5)
    registered = people["registered_s"] / 86_400.0
    age = np.maximum(day - registered, 0.0)
    active = np.where(registered >= day - 2, 1.0, people["active"].astype(np.float64))
    active = np.where(registered >= day + 1, 0.0, active)
    sessions = people["rate"] * active * (p.rhythm.weekend_factor if weekend else 1.0)
    podcasts = (people["daypart"][:, weekend] * people["podcast"]).sum(axis=1)
    boost = 1.0 + p.novelty.new_listener_boost * np.exp(-age / p.novelty.new_listener_days)
    space = int(kind == SHOW)
    explore = np.minimum(people["explore"][:, space] * boost, 0.9)
    shares = {
        ARTIST: p.novelty.artist_share,
        ALBUM: p.novelty.album_share,
        PLAYLIST: 1.0 - p.novelty.artist_share - p.novelty.album_share,
    }
    kind_share = podcasts if kind == SHOW else (1.0 - podcasts) * shares[kind]
    result: Doubles = np.asarray(sessions * explore * kind_share, np.float64)
    return result
