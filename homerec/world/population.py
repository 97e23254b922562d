"""Who listens: each listener is drawn from (seed, number) alone."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from homerec.compiling import compiled, entry_point
from homerec.world.catalog import DAY_S, Floats, languages, tag_popularity
from homerec.world.parameters import Parameters
from homerec.world.randomness import (
    PERSON,
    exponential,
    new_state,
    normal,
    start_stream,
    uniform,
)  # fmt: skip

#: Listeners: an array (n,) of `person_type`.
People = npt.NDArray[np.void]

#: Logit spread of how often listeners are active and how much they like podcasts.
_ACTIVE_SPREAD: Final = 0.8
_PODCAST_SPREAD: Final = 0.9


def person_type(p: Parameters) -> np.dtype[np.void]:
    """Layout of one listener.

    Fields: number (from 0; decides everything else), market, zone (indices), registered_s
    (sign-up in seconds since the world's start, negative before it), ahead_s (local time minus
    UTC on the current day), own_language (of the market), bilingual (also follows the first
    market's language), rate (mean sessions on a workday of an active week), active (probability
    of an active week), explore (2,) (share of sessions that try something new: music, podcasts),
    podcast (4,) (share of podcasts by daypart), daypart (2, 4) (shares of sessions: workdays,
    weekends), vector (2, dimensions) (hidden taste, unit vectors: music, podcasts), tags (2,
    n_tags) (share of each tag in what is tried).
    """
    n_tags = max(len(p.tags.music), len(p.tags.podcast))
    return np.dtype(
        [
            ("number", np.int64),
            ("registered_s", np.int64),
            ("market", np.int32),
            ("zone", np.int32),
            ("ahead_s", np.int32),
            ("own_language", np.int32),
            ("bilingual", np.int32),
            ("rate", np.float32),
            ("active", np.float32),
            ("explore", np.float32, (2,)),
            ("podcast", np.float32, (4,)),
            ("daypart", np.float32, (2, 4)),
            ("vector", np.float32, (2, p.taste.dimensions)),
            ("tags", np.float32, (2, n_tags)),
        ],
        align=True,
    )


class _Recipe(NamedTuple):
    seed: int
    days: float
    oldest_days: float
    joining: float
    bilingual: float
    rate: float
    rate_spread: float
    active: float
    explore_music: float
    explore_podcast: float
    explore_spread: float
    podcast: float
    podcast_daypart_spread: float
    daypart_spread: float
    correlation: float
    music_sharpness: float
    podcast_sharpness: float
    tag_noise: float
    market_shares: npt.NDArray[np.float64]
    zone_first: npt.NDArray[np.int64]
    dayparts: npt.NDArray[np.float64]
    music: Floats
    shows: Floats
    music_popularity: Floats
    show_popularity: Floats


@dataclass(frozen=True)
class Zones:
    """The time zones of all markets, in order.

    Attributes
    ----------
    names : tuple of str
        IANA names.
    offset_s : int32 (n_zones, n_days)
        Seconds that local time is ahead of UTC, by day of the world (taken at noon UTC).
    """

    names: tuple[str, ...]
    offset_s: npt.NDArray[np.int32]


def make_zones(p: Parameters) -> Zones:
    """Tabulate the zones' offsets over the world's days."""
    names = tuple(zone for m in p.markets for zone in m.zones)
    noon = datetime.combine(p.calendar.start, time(12), UTC)
    offset = np.zeros((len(names), p.calendar.days), np.int32)
    for i, name in enumerate(names):
        zone = ZoneInfo(name)
        for d in range(p.calendar.days):
            ahead = (noon + timedelta(days=d)).astimezone(zone).utcoffset()
            offset[i, d] = int(ahead.total_seconds()) if ahead else 0
    return Zones(names, offset)


def make_people(
    p: Parameters, numbers: npt.NDArray[np.int64], centres: tuple[Floats, Floats]
) -> People:
    """Draw the listeners of those numbers.

    Parameters
    ----------
    p : Parameters
        The world's parameters.
    numbers : int64 (n,)
        Listener numbers, from 0.
    centres : tuple of float32 (n_tags, dimensions)
        Tags in the hidden space: ``Catalog.centres``.
    """
    people: People = np.zeros(len(numbers), person_type(p))
    people["number"] = numbers
    _draw(people, _recipe(p, centres), new_state())
    codes = languages(p)
    own = np.array([codes.index(m.language) for m in p.markets])
    people["own_language"] = own[people["market"]]
    return people


def _recipe(p: Parameters, centres: tuple[Floats, Floats]) -> _Recipe:
    shares = np.array([m.share for m in p.markets], np.float64)
    both = np.array([p.rhythm.dayparts, p.rhythm.weekend_dayparts], np.float64)
    music, shows = tag_popularity(p)
    return _Recipe(
        seed=p.seed,
        days=float(p.calendar.days),
        oldest_days=float(p.population.oldest_days),
        # With n(t) growing by exp(joining * t), the last 30 days hold recent_ratio of everyone on
        # any day.
        joining=-math.log(1.0 - p.population.recent_ratio) / 30.0,
        bilingual=p.population.bilingual_ratio,
        rate=p.rhythm.sessions_per_day,
        rate_spread=p.rhythm.sessions_spread,
        active=_logit(p.rhythm.active_week_ratio),
        explore_music=p.novelty.music_ratio,
        explore_podcast=p.novelty.podcast_ratio,
        explore_spread=p.novelty.spread,
        podcast=_logit(p.rhythm.podcast_ratio),
        podcast_daypart_spread=p.rhythm.daypart_podcast_spread,
        daypart_spread=p.rhythm.daypart_spread,
        correlation=p.taste.cross_domain_correlation,
        music_sharpness=p.taste.music_sharpness,
        podcast_sharpness=p.taste.podcast_sharpness,
        tag_noise=p.taste.tag_noise,
        market_shares=np.cumsum(shares / shares.sum()),
        zone_first=np.cumsum([0, *(len(m.zones) for m in p.markets)]).astype(np.int64),
        dayparts=both / both.sum(axis=1, keepdims=True),
        music=centres[0],
        shows=centres[1],
        music_popularity=music,
        show_popularity=shows,
    )


def _logit(share: float) -> float:
    return math.log(share / (1.0 - share))


@compiled
def _tag_shares(state: Any, taste: Any, centre: Any, popular: Any, recipe: Any, sharp: float, out:
Any) -> None:  # fmt: skip
    total = 0.0
    # Shares are a softmax, so that the sharpness is in the same unit whatever the number of
    # dimensions.
    for g in range(len(centre)):
        likeness = 0.0
        for k in range(len(taste)):
            likeness += taste[k] * centre[g, k]
        odds = math.exp(sharp * likeness + popular[g] + recipe.tag_noise * normal(state))
        out[g] = odds
        total += odds
    for g in range(len(centre)):
        out[g] /= total


@compiled
def _unit(rows: Any) -> None:
    length = 0.0
    for k in range(len(rows)):
        length += rows[k] * rows[k]
    length = max(math.sqrt(length), 1e-9)
    for k in range(len(rows)):
        rows[k] /= length


@compiled
def _taste(state: Any, person: Any, recipe: Any) -> None:
    music, shows = person.vector[0], person.vector[1]
    own = math.sqrt(1.0 - recipe.correlation * recipe.correlation)
    for k in range(len(music)):
        music[k] = normal(state)
        shows[k] = recipe.correlation * music[k] + own * normal(state)
    _unit(music)
    _unit(shows)
    m = person.market
    _tag_shares(
        state, music, recipe.music, recipe.music_popularity[m], recipe, recipe.music_sharpness,
        person.tags[0],
    )  # fmt: skip
    _tag_shares(
        state, shows, recipe.shows, recipe.show_popularity[m], recipe, recipe.podcast_sharpness,
        person.tags[1],
    )  # fmt: skip


@compiled
def _spread(state: Any, mean: float, spread: float) -> float:
    """Draw a log-normal number of that mean."""
    return mean * math.exp(spread * normal(state) - 0.5 * spread * spread)


@compiled
def _habits(state: Any, person: Any, recipe: Any) -> None:
    person.rate = min(_spread(state, recipe.rate, recipe.rate_spread), 20.0)
    person.active = 1.0 / (1.0 + math.exp(-(recipe.active + _ACTIVE_SPREAD * normal(state))))
    person.explore[0] = min(0.9, _spread(state, recipe.explore_music, recipe.explore_spread))
    person.explore[1] = min(0.9, _spread(state, recipe.explore_podcast, recipe.explore_spread))
    likes = recipe.podcast + _PODCAST_SPREAD * normal(state)
    total = np.zeros(2)
    for part in range(4):
        at = likes + recipe.podcast_daypart_spread * normal(state)
        person.podcast[part] = 1.0 / (1.0 + math.exp(-at))
        lean = math.exp(recipe.daypart_spread * normal(state))
        for week in range(2):
            person.daypart[week, part] = recipe.dayparts[week, part] * lean
            total[week] += person.daypart[week, part]
    for part in range(4):
        for week in range(2):
            person.daypart[week, part] /= total[week]


@entry_point
def _draw(people: Any, recipe: Any, states: Any) -> None:
    state = states[0]
    for i in range(len(people)):
        person = people[i]
        start_stream(state, recipe.seed, person.number, PERSON, 0)
        place = uniform(state)
        m = 0
        while m < len(recipe.market_shares) - 1 and place >= recipe.market_shares[m]:
            m += 1
        person.market = m
        n_zones = recipe.zone_first[m + 1] - recipe.zone_first[m]
        person.zone = recipe.zone_first[m] + int(uniform(state) * n_zones)
        anywhere = uniform(state)
        age = exponential(state, 1.0 / recipe.joining) if recipe.joining > 0.0 else 1e9
        if age > recipe.oldest_days:
            age = recipe.oldest_days - anywhere * max(recipe.oldest_days - recipe.days, 0.0)
        # An hour is left, so that whoever signs up last can still listen.
        latest = int(recipe.days * DAY_S) - 3600
        person.registered_s = min(int((recipe.days - age) * DAY_S), latest)
        person.bilingual = 1 if uniform(state) < recipe.bilingual else 0
        _habits(state, person, recipe)
        _taste(state, person, recipe)
