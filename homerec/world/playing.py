"""One play: which content comes next, how long it is played, when its event arrives."""

import math
from typing import Any

from homerec.columns import CARD_PLAY_MIN_MS
from homerec.compiling import compiled
from homerec.world.randomness import exponential, uniform

_MIN_MS = CARD_PLAY_MIN_MS


@compiled
def _playable(things: Any, day: Any, market: int, content: int) -> bool:
    artist = things.contents[content].artist
    if things.contents[content].day > day.day:
        return False
    return bool(artist < 0 or day.available[market, artist] == 1)


@compiled
def _episode(state: Any, things: Any, day: Any, item: int, step: int) -> int:
    show = item - things.first_show
    latest = day.shows[show].latest
    if latest < 0:
        return -1
    back = step
    if step == 0 and day.shows[show].fresh == 0 and uniform(state) < 0.5:
        back = int(exponential(state, 4.0))
    return int(max(latest - back, things.items[item].low))


@compiled
def _track(state: Any, things: Any, item: int, aim: float, step: int) -> int:
    low, high = things.items[item].low, things.items[item].high
    if item < things.first_album:
        # The first tracks of an artist are the known ones.
        return int(low + int(uniform(state) ** 2 * (high - low)))
    if item < things.first_playlist:
        return int(low + (int(aim * aim * (high - low)) + step) % (high - low))
    n = things.playlist_tracks.shape[1]
    place = (int(aim * n) + step) % n
    return int(things.playlist_tracks[item - things.first_playlist, place])


@compiled
def next_content(
    state: Any, things: Any, day: Any, market: int, item: int, aim: float, step: int
) -> Any:
    """Choose the next content of an item; returns (content or -1, next step).

    Parameters
    ----------
    state, things, day
        Stream, catalog and day.
    market : int
        Market in which it must be playable.
    item : int
        Item number.
    aim : float
        Where in the item the session began, in [0, 1).
    step : int
        Plays of the session so far; returned advanced.
    """
    if item >= things.first_show:
        return _episode(state, things, day, item, step), step + 1
    for _ in range(6):
        content = _track(state, things, item, aim, step)
        step += 1
        if _playable(things, day, market, content):
            return content, step
    return -1, step


@compiled
def played_ms(state: Any, duration_ms: int, is_show: bool, skipped: bool) -> int:
    """Draw how long a content is played, in ms; under 30 s exactly if skipped."""
    if skipped:
        return 1500 + int(uniform(state) * (_MIN_MS - 1501))
    to_the_end = 0.4 if is_show else 0.78
    if uniform(state) < to_the_end:
        return int(duration_ms)
    return max(_MIN_MS, int(duration_ms * math.sqrt(uniform(state))))


@compiled
def arrival_ms(state: Any, rules: Any) -> int:
    """Draw how long after a play's end its event arrives, in ms."""
    kind = uniform(state)
    if kind < rules.stray:
        return 86_400_000 + int(86_400_000 * exponential(state, rules.stray_days))
    if kind < rules.stray + rules.late:
        return int(3_600_000 * exponential(state, rules.late_hours))
    return 1000 + int(60_000 * exponential(state, rules.minutes))
