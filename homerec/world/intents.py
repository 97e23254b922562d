"""What one session of listening sets out to do: the formulas of `listening`, for many at once."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.world.attraction import Day
from homerec.world.catalog import ALBUM, ARTIST, DAY_S, PLAYLIST, SHOW
from homerec.world.generating import World
from homerec.world.listening import PART_S, REDRAWS
from homerec.world.parameters import Parameters
from homerec.world.population import People
from homerec.world.remembering import Minds
from homerec.world.truth import accepted, affinity, clicked, proposal

Doubles = npt.NDArray[np.float64]

#: Moments of a daypart at which it is looked up which local day they belong to.
_MOMENTS: Final = 72


@dataclass(frozen=True)
class Intents:
    """New things of one type that sessions may begin with.

    Attributes
    ----------
    explore : float64 (n,)
        Probability that a session looks for something new.
    kind_share : float64 (n,)
        Share of the type among what is new in its space (music or podcasts).
    tried : float64 (n, n_items)
        Probability of each item of the type when one is tried.
    lasts, lasts_familiar : float64 (n, n_items)
        Probability that such a session has a play of 30 s or more, of a new or a familiar item.
    """

    explore: Doubles
    kind_share: Doubles
    tried: Doubles
    lasts: Doubles
    lasts_familiar: Doubles


def new_intents(world: World, people: People, minds: Minds, today: Day, kind: int) -> Intents:
    """Tabulate what listeners of one market try of a type.

    Parameters
    ----------
    world : World
    people, minds
        n listeners of one market and what they have in mind.
    today : Day
    kind : int
        0 artist, 1 album, 2 playlist, 3 show.
    """
    p, catalog = world.p, world.catalog
    low, high = int(catalog.first[kind]), int(catalog.first[kind + 1])
    market = int(people["market"][0])
    accept = affinity(p, catalog, people, low, high)
    tried = accepted(proposal(catalog, today, people, market, kind), accept, p.taste.attempts)
    in_mind = _in_mind(minds, low, high)
    # What is familiar is drawn again, a few times; then it is played as it is.
    repeat = (tried * in_mind).sum(axis=1, keepdims=True)
    again = sum(repeat**n for n in range(REDRAWS))
    drawn = tried * np.where(in_mind, repeat ** (REDRAWS - 1), again)
    cards = np.where(in_mind, 0.0, clicked(world, accept, today, market, kind))
    drawn = cards + (1.0 - cards.sum(axis=1, keepdims=True)) * drawn
    space = int(kind == SHOW)
    age = np.maximum(today.day - people["registered_s"] / DAY_S, 0.0)
    boost = 1.0 + p.novelty.new_listener_boost * np.exp(-age / p.novelty.new_listener_days)
    shares = {ARTIST: p.novelty.artist_share, ALBUM: p.novelty.album_share, SHOW: 1.0}
    share = shares.get(kind, 1.0 - p.novelty.artist_share - p.novelty.album_share)
    return Intents(
        explore=np.minimum(people["explore"][:, space] * boost, 0.9).astype(np.float64),
        kind_share=np.full(len(people), share),
        tried=drawn,
        lasts=1.0 - _all_skipped(world, people, accept, kind, 1.0),
        lasts_familiar=1.0
        - _all_skipped(world, people, accept, kind, p.playing.familiar_skip_factor),
    )


def _in_mind(minds: Minds, low: int, high: int) -> npt.NDArray[np.bool_]:
    out = np.zeros((len(minds), high - low), np.bool_)
    line, slot = np.nonzero((minds["item"] >= low) & (minds["item"] < high))
    out[line, minds["item"][line, slot] - low] = True
    return out


def _all_skipped(
    world: World, people: People, accept: Doubles, kind: int, factor: float
) -> Doubles:
    """Probability that a session's plays are all skipped: one, or two in a row."""
    p, catalog = world.p, world.catalog
    mean = p.rhythm.episodes_per_session if kind == SHOW else p.rhythm.tracks_per_session
    only_one = 1.0 / max(mean, 1.0)
    if kind != PLAYLIST:
        skip = factor * p.playing.skip_ratio * (1.0 - accept)
        both: Doubles = skip * (only_one + (1.0 - only_one) * skip)
        return both
    # On a playlist it is the track's artist who is liked or not.
    artists = affinity(p, catalog, people, 0, int(catalog.first[ALBUM]))
    skip = factor * p.playing.skip_ratio * (1.0 - artists)
    tracks = catalog.things.contents["artist"][catalog.things.playlist_tracks]
    out = np.zeros_like(accept)
    for place in range(tracks.shape[1]):
        here, then = skip[:, tracks[:, place]], skip[:, tracks[:, (place + 1) % tracks.shape[1]]]
        out += here * (only_one + (1.0 - only_one) * then)
    out /= tracks.shape[1]
    return out


def sessions(p: Parameters, people: People, day: int) -> Doubles:
    """Mean sessions of a day, float64 (n,)."""
    weekend = (p.calendar.start.weekday() + day) % 7 >= 5
    registered = people["registered_s"] / DAY_S
    active = np.where(registered >= day - 2, 1.0, people["active"].astype(np.float64))
    active = np.where(registered >= day + 1, 0.0, active)
    result: Doubles = people["rate"] * active * (p.rhythm.weekend_factor if weekend else 1.0)
    return result


def space_shares(people: People, part: int) -> tuple[Doubles, Doubles]:
    """Share of music and of podcasts in the sessions of a daypart, each float64 (n,)."""
    podcasts = people["podcast"][:, part].astype(np.float64)
    return 1.0 - podcasts, podcasts


def pulls(
    world: World, people: People, minds: Minds, today: Day, space: int, part: int, weekend: int
) -> Doubles:
    """Odds of each familiar item in a session, float64 (n, capacity), 0 where it cannot come up.

    See `homerec.world.remembering.recall`.
    """
    p, shows = world.p, world.catalog.things.first_show
    item = np.maximum(minds["item"], 0)
    here = (minds["item"] >= 0) & ((item >= shows) == (space == 1))
    here &= today.available[people["market"][:, None], item] == 1
    bound = minds["daypart"] >= 0
    in_time = (minds["daypart"] == part) & ((minds["week"] < 0) | (minds["week"] == weekend))
    factor = np.where(in_time, p.memory.habit_boost, p.memory.habit_damp)
    pull = minds["odds"].astype(np.float64) * np.where(bound, factor, 1.0)
    if space == 1:
        show = today.shows[np.maximum(item - shows, 0)]
        here &= show["latest"] >= 0
        pull = pull * np.where(show["fresh"] == 1, p.memory.episode_boost, 1.0)
    result: Doubles = np.where(here, pull, 0.0)
    return result


def weekend_share(world: World, people: People, day: int) -> Doubles:
    """Share of the sessions of each local daypart of a UTC day that fall on a local weekend.

    Returns
    -------
    float64 (n, 4)
    """
    at = (np.arange(_MOMENTS) + 0.5) / _MOMENTS
    weight = np.minimum(at, 1.0 - at)
    ahead = world.zones.offset_s[people["zone"], day].astype(np.int64)
    out = np.zeros((len(people), 4))
    for part in range(4):
        local = (PART_S * (part + at)).astype(np.int64)
        start = (local[None, :] - ahead[:, None]) % DAY_S
        local_day = day + (start + ahead[:, None]) // DAY_S
        weekend = (world.p.calendar.start.weekday() + local_day) % 7 >= 5
        out[:, part] = (weekend * weight).sum(axis=1) / weight.sum()
    return out


def first_content(world: World, today: Day, market: int) -> sparse.csr_matrix:
    """Tabulate what the first track of a session counts for, by the item that is played.

    Returns
    -------
    csr_matrix float64 (n_items, n_items)
        Row: the item played. Column: probability that its first playable track is of that artist or
        album; 1 for the item itself.
    """
    catalog = world.catalog
    things, n = catalog.things, catalog.n_items
    contents = things.contents[: catalog.n_tracks]
    there = (contents["day"] <= today.day) & (today.available[market, contents["artist"]] == 1)
    item: list[npt.NDArray[np.integer]] = []
    track: list[npt.NDArray[np.integer]] = []
    weight: list[Doubles] = []
    for kind in (ARTIST, ALBUM):
        for number in range(int(catalog.first[kind]), int(catalog.first[kind + 1])):
            low, high = int(things.items["low"][number]), int(things.items["high"][number])
            # Both begin near the front: the place is a squared uniform number.
            edges = np.sqrt(np.arange(high - low + 1) / max(high - low, 1))
            item.append(np.full(high - low, number))
            track.append(np.arange(low, high))
            weight.append(np.diff(edges))
    lists = things.playlist_tracks
    item.append(np.repeat(np.arange(len(lists)) + things.first_playlist, lists.shape[1]))
    track.append(lists.ravel())
    weight.append(np.ones(lists.size))
    row, at = np.concatenate(item), np.concatenate(track)
    value = np.concatenate(weight) * there[at]
    total = np.bincount(row, weights=value, minlength=n)[row]
    value = np.divide(value, total, out=np.zeros_like(value), where=total > 0)
    columns = np.concatenate([contents["artist"][at], contents["album"][at]])
    matrix = sparse.csr_matrix(
        (np.concatenate([value, value]), (np.concatenate([row, row]), columns)), shape=(n, n)
    )
    return (matrix + sparse.diags(1.0 - matrix.diagonal())).tocsr()
