"""One day of listening, compiled: sessions, what they play, what Home shows meanwhile.

Every listener's day is drawn from streams of (seed, number, day), so a slice of listeners can be
simulated in any thread. `plan_slice` tells how many rows a day may need, `listen_slice` fills
them.
"""

import math
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from homerec.compiling import compiled, entry_point
from homerec.world.attraction import affinity, click_card, try_new
from homerec.world.playing import arrival_ms, next_content, played_ms
from homerec.world.randomness import (
    BEGINNING,
    PLAN,
    PLAYS,
    STATE,
    WEEK,
    exponential,
    geometric,
    normal,
    poisson,
    start_stream,
    uniform,
)  # fmt: skip
from homerec.world.remembering import find, forget, learn, recall, reinforce, strongest

DAY_S: Final = 86_400
DAY_MS: Final = 86_400_000
PART_S: Final = 21_600
MAX_SESSIONS: Final = 40
JUMP_CARDS: Final = 6
SURFACE_NAMES: Final = ("home", "search", "library", "browse")
SHELF_NAMES: Final = ("Popular shows", "Popular playlists", "Jump back in")
#: How often a liked but unheard draw is put aside because it is familiar.
REDRAWS: Final = 4


#: One event; times in microseconds since 1970, -1 for no context.
EVENT: Final = np.dtype(
    [
        ("started", np.int64),
        ("arrived", np.int64),
        ("listener", np.int32),
        ("sequence", np.int32),
        ("content", np.int32),
        ("context", np.int32),
        ("ms_played", np.int32),
        ("surface", np.int32),
    ],
    align=True,
)
#: One impression; positions from 1.
IMPRESSION: Final = np.dtype(
    [
        ("shown", np.int64),
        ("arrived", np.int64),
        ("listener", np.int32),
        ("item", np.int32),
        ("shelf", np.int32),
        ("position", np.int32),
    ],
    align=True,
)
#: A planned session: start in the UTC day, most rows, whether Home is opened.
SESSION: Final = np.dtype([("start_s", np.int64), ("rows", np.int64), ("opened", np.int64)])


class Room(NamedTuple):
    """Working space of one thread: `STATE` (2,), `SESSION` (MAX_SESSIONS,), int64 (JUMP_CARDS,)."""

    states: npt.NDArray[np.void]
    sessions: npt.NDArray[np.void]
    slots: npt.NDArray[np.int64]


def make_room() -> Room:
    """Return working space."""
    return Room(np.zeros(2, STATE), np.zeros(MAX_SESSIONS, SESSION), np.zeros(JUMP_CARDS, np.int64))


class Scene(NamedTuple):
    """What all listeners of a day share: `Things`, `Day`, and the record of `make_rules`."""

    things: Any
    day: Any
    rules: Any


@compiled
def _sessions_today(state: Any, scene: Any, person: Any) -> int:
    """Draw how many sessions the listener has today; at least one on the day of sign-up."""
    rules, day = scene.rules, scene.day.day
    registered = person.registered_s
    if registered >= (day + 1) * DAY_S:
        return 0
    number = person.number
    start_stream(state, rules.seed, number, WEEK, (day + number % 7) // 7)
    # Nobody goes silent in their first days.
    if uniform(state) >= person.active and registered < (day - 2) * DAY_S:
        return 0
    rate = float(person.rate)
    if (rules.weekday + day) % 7 >= 5:
        rate *= rules.weekend
    start_stream(state, rules.seed, number, PLAN, day)
    n = poisson(state, rate)
    return max(n, 1) if registered >= day * DAY_S else n


@compiled
def _plan(state: Any, scene: Any, person: Any, sessions: Any) -> int:
    """Draw today's sessions into ``sessions``, by start; returns how many there are."""
    rules, day = scene.rules, scene.day.day
    n = _sessions_today(state, scene, person)
    weekend = 1 if (rules.weekday + day) % 7 >= 5 else 0
    for s in range(n):
        aim = uniform(state)
        part = 0
        while part < 3 and aim >= person.daypart[weekend, part]:
            aim -= person.daypart[weekend, part]
            part += 1
        local = PART_S * (part + 0.5 * (uniform(state) + uniform(state)))
        start_s = (int(local) - person.ahead_s) % DAY_S
        length = geometric(state, rules.tracks) + 1
        opened = 1 if uniform(state) < rules.open else 0
        place = s
        while place > 0 and sessions[place - 1].start_s > start_s:
            sessions[place].start_s = sessions[place - 1].start_s
            sessions[place].rows = sessions[place - 1].rows
            sessions[place].opened = sessions[place - 1].opened
            place -= 1
        sessions[place].start_s = start_s
        sessions[place].rows = length
        sessions[place].opened = opened
    return n


@entry_point
def plan_slice(
    low: int, high: int, scene: Any, rules: Any, people: Any, minds: Any, room: Any
) -> None:
    """Bound today's rows and cards of listeners low..high-1: their ``n_rows`` and ``n_cards``."""
    shared = Scene(scene.things, scene.day, rules[0])
    state = room.states[0]
    for i in range(low, high):
        mind = minds[i]
        n = _plan(state, shared, people[i], room.sessions)
        rows = 0
        cards = 0
        for s in range(n):
            rows += room.sessions[s].rows
            cards += room.sessions[s].opened * (shared.rules.cards + JUMP_CARDS)
        mind.n_rows = rows
        mind.n_cards = cards


@compiled
def _kind(state: Any, rules: Any, space: int) -> int:
    """Draw which type of item is tried: 0 artist, 1 album, 2 playlist, 3 show."""
    if space == 1:
        return 3
    aim = uniform(state)
    if aim < rules.artist_share:
        return 0
    return 1 if aim < rules.artist_share + rules.album_share else 2


@compiled
def _begin(state: Any, scene: Any, person: Any, mind: Any) -> None:
    """Fill a listener's mind on the first day: picks at sign-up, and a past if there was one."""
    rules, things, day = scene.rules, scene.things, scene.day
    start_stream(state, rules.seed, person.number, BEGINNING, 0)
    known_days = day.day - person.registered_s / 86_400.0
    if uniform(state) < rules.signup:
        spread = rules.signup_max - rules.signup_min + 1
        wanted = rules.signup_min + int(uniform(state) * spread)
        n = 0
        for _ in range(4 * wanted):
            item = try_new(state, person, things, rules, day, 0)
            if n < wanted and item >= 0 and find(mind, item) < 0:
                liking = affinity(person, things, rules, item)
                slot = learn(state, person, mind, rules, item, liking)
                reinforce(mind, slot, rules, 1.0, max(known_days, 0.0))
                mind.picks[n] = item
                n += 1
    if known_days <= 0.0:
        return
    share = 1.0 - math.exp(-known_days / 20.0)
    for _ in range(int(rules.items_at_start * share * math.exp(0.4 * normal(state)))):
        space = 1 if uniform(state) < person.podcast[1] else 0
        item = try_new(state, person, things, rules, day, _kind(state, rules, space))
        if item < 0 or find(mind, item) >= 0:
            continue
        liking = affinity(person, things, rules, item)
        slot = learn(state, person, mind, rules, item, liking)
        for _ in range(geometric(state, 4.0)):
            reinforce(mind, slot, rules, 1.0, min(exponential(state, 25.0), known_days))


@compiled
def _new_item(state: Any, scene: Any, person: Any, mind: Any, kind: int, opened: int) -> Any:
    """Draw something new; returns (item or -1, position of the clicked card or -1)."""
    things, day = scene.things, scene.day
    if opened == 1:
        position = click_card(state, person, things, scene.rules, day, kind)
        if position >= 0:
            item = day.cards[3 - kind, person.market, position]
            if find(mind, item) < 0:
                return item, position
    item = -1
    for _ in range(REDRAWS):
        item = try_new(state, person, things, scene.rules, day, kind)
        if item < 0 or find(mind, item) < 0:
            break
    if item >= things.first_show and day.shows[item - things.first_show].latest < 0:
        return -1, -1
    return item, -1


@compiled
def _choose(state: Any, scene: Any, person: Any, mind: Any, local_s: int, opened: int) -> Any:
    """Decide what a session plays: (item or -1, its slot or -1 if new, clicked position or -1)."""
    rules = scene.rules
    part = local_s % DAY_S // PART_S
    weekend = 1 if (rules.weekday + local_s // DAY_S) % 7 >= 5 else 0
    space = 1 if uniform(state) < person.podcast[part] else 0
    age = max(scene.day.day - person.registered_s / 86_400.0, 0.0)
    explore = person.explore[space] * (1.0 + rules.boost * math.exp(-age / rules.boost_days))
    slot = -1
    if uniform(state) >= min(explore, 0.9):
        slot = recall(state, person, mind, rules, scene.things, scene.day, space, part, weekend)
    if slot >= 0:
        return mind.item[slot], slot, -1
    item, position = _new_item(state, scene, person, mind, _kind(state, rules, space), opened)
    slot = find(mind, item) if item >= 0 else -1
    return item, slot, position


@compiled
def _log_card(
    mind: Any, cards: Any, item: int, shelf: int, place: int, at_us: int, arrived_us: int
) -> None:
    card = cards[mind.card_at]
    card.listener = mind.row
    card.item = item
    card.shelf = shelf
    card.position = place + 1
    card.shown = at_us
    card.arrived = arrived_us
    mind.card_at += 1


@compiled
def _show_home(
    state: Any, scene: Any, person: Any, mind: Any, cards: Any, slots: Any, item: int,
    position: int, at_us: int,
) -> None:  # fmt: skip
    """Log what the old Home showed at the begin of a session."""
    rules = scene.rules
    arrived_us = at_us + int(60e6 * exponential(state, rules.minutes))
    if position < 0 and uniform(state) < 0.5:
        for k in range(strongest(mind, slots)):
            _log_card(mind, cards, mind.item[slots[k]], 2, k, at_us, arrived_us)
    shelf = 1 if 0 <= item < scene.things.first_show else 0
    depth = max(min(geometric(state, rules.depth), rules.cards), position + 1)
    for k in range(depth):
        card = scene.day.cards[shelf, person.market, k]
        if card < 0:
            break
        _log_card(mind, cards, card, shelf, k, at_us, arrived_us)


@compiled
def _surface(state: Any, new: bool, clicked: bool, opened: int) -> int:
    """Draw where a session came from, an index of SURFACE_NAMES."""
    aim = uniform(state)
    if clicked or (opened == 1 and not new):
        return 0
    if new:
        return 1 if aim < 0.55 else 3
    return 2 if aim < 0.75 else 1


@compiled
def _remember(
    state: Any, scene: Any, person: Any, mind: Any, item: int, liked: int, liking: float
) -> None:
    """Keep what a session played: ``liked`` plays of at least 30 s."""
    slot = find(mind, item)
    if slot < 0:
        slot = learn(state, person, mind, scene.rules, item, liking)
    amount = 0.3 if liked == 0 else 1.0 + 0.15 * (liked - 1)
    reinforce(mind, slot, scene.rules, amount, 0.0)


@compiled
def _discover(
    state: Any, scene: Any, person: Any, mind: Any, item: int, artist: int, liking: float
) -> None:
    """Make the artist of a liked track familiar, sometimes."""
    if artist < 0 or artist == item or uniform(state) >= scene.rules.discovery * liking:
        return
    if find(mind, artist) < 0:
        slot = learn(state, person, mind, scene.rules, artist, liking)
        reinforce(mind, slot, scene.rules, 0.7, 0.0)


@compiled
def _log_play(
    state: Any, scene: Any, mind: Any, rows: Any, content: int, context: int, surface: int,
    at_ms: int, played: int,
) -> None:  # fmt: skip
    rules = scene.rules
    row = rows[mind.row_at]
    row.started = rules.start_us + at_ms * 1000
    row.arrived = rules.start_us + (at_ms + played + arrival_ms(state, rules)) * 1000
    row.listener = mind.row
    row.sequence = mind.played
    row.content = content
    row.context = context
    row.ms_played = played
    row.surface = surface
    mind.played += 1
    mind.row_at += 1


@compiled
def _skips(
    state: Any, scene: Any, person: Any, item: int, artist: int, liking: float, new: bool
) -> Any:
    """Draw whether a play is skipped; returns (skipped, liking of what was played)."""
    if artist >= 0 and artist != item:
        liking = affinity(person, scene.things, scene.rules, artist)
    share = scene.rules.skip * (1.0 - liking)
    if not new:
        share *= scene.rules.familiar_skip
    return uniform(state) < share, liking


@compiled
def _play_session(
    state: Any, scene: Any, person: Any, mind: Any, rows: Any, item: int, new: bool, surface: int,
    most: int, at_ms: int,
) -> int:  # fmt: skip
    """Play an item; returns the time after the session, in ms since the world's start."""
    rules, things, day = scene.rules, scene.things, scene.day
    is_show = item >= things.first_show
    n = min(geometric(state, rules.episodes), most) if is_show else most - 1
    context = item
    if item < things.first_album and uniform(state) < rules.no_context:
        context = -1
    whole = affinity(person, things, rules, item)
    aim = uniform(state)
    skips, liked, step = 0, 0, 0
    for _ in range(n):
        content, step = next_content(state, things, day, person.market, item, aim, step)
        if content < 0 or at_ms >= (day.day + 1) * DAY_MS or skips >= 2:
            break
        artist = things.contents[content].artist
        skipped, liking = _skips(state, scene, person, item, artist, whole, new)
        played = played_ms(state, things.contents[content].seconds * 1000, is_show, skipped)
        _log_play(state, scene, mind, rows, content, context, surface, at_ms, played)
        at_ms += played + 500 + int(uniform(state) * 3000)
        if skipped:
            skips += 1
            if new and liked == 0 and uniform(state) < rules.dismissal:
                mind.dismissed = item
                mind.dismissed_us = rules.start_us + at_ms * 1000
        else:
            skips = 0
            liked += 1
            _discover(state, scene, person, mind, item, artist, liking)
    _remember(state, scene, person, mind, item, liked, whole)
    return at_ms


@compiled
def _listen(
    state: Any, scene: Any, person: Any, mind: Any, rows: Any, cards: Any, room: Any, n: int
) -> None:
    """Go through today's n sessions of one listener."""
    rules = scene.rules
    begin_ms = scene.day.day * DAY_MS
    free_ms = max(begin_ms, person.registered_s * 1000 + 90_000)
    for s in range(n):
        session = room.sessions[s]
        at_ms = begin_ms + session.start_s * 1000 + int(uniform(state) * 1000)
        at_ms = max(at_ms, free_ms)
        if at_ms >= begin_ms + DAY_MS:
            break
        local_s = at_ms // 1000 + person.ahead_s
        item, slot, position = _choose(state, scene, person, mind, local_s, session.opened)
        if session.opened == 1:
            at_us = rules.start_us + at_ms * 1000
            _show_home(state, scene, person, mind, cards, room.slots, item, position, at_us)
            at_ms += 5000
        if item >= 0:
            surface = _surface(state, slot < 0, position >= 0, session.opened)
            at_ms = _play_session(
                state, scene, person, mind, rows, item, slot < 0, surface, session.rows, at_ms
            )
        free_ms = at_ms + 60_000


@entry_point
def listen_slice(
    low: int, high: int, scene: Any, rules: Any, people: Any, minds: Any, rows: Any, cards: Any,
    room: Any,
) -> None:  # fmt: skip
    """Simulate today for listeners low..high-1.

    Each writes from its ``row_at`` and ``card_at`` on, and leaves there where it ended.
    """
    shared = Scene(scene.things, scene.day, rules[0])
    plan, state = room.states[0], room.states[1]
    day = scene.day.day
    for i in range(low, high):
        person, mind = people[i], minds[i]
        mind.dismissed = -1
        mind.row = i
        if person.registered_s >= (day + 1) * DAY_S:
            continue
        if day == 0 or person.registered_s >= day * DAY_S:
            _begin(state, shared, person, mind)
        else:
            forget(mind, shared.rules)
        n = _plan(plan, shared, person, room.sessions)
        start_stream(state, shared.rules.seed, person.number, PLAYS, day)
        _listen(state, shared, person, mind, rows, cards, room, n)
