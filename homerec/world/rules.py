"""The constants of listening as one record, so that compiled functions hand on a single pointer."""

import math
from typing import Any, Final

import numpy as np

from homerec.world.parameters import Parameters

#: Rates of forgetting per day, and the logarithm of their step; see `homerec.world.remembering`.
RATES: Final = (2.0, 0.4, 0.08, 0.016)
_STEP: Final = math.log(5.0)
MAX_CARDS: Final = 20


def make_rules(p: Parameters, start_us: int) -> Any:
    """Collect the constants in an array (1,).

    ``start_us`` is the world's start in microseconds since 1970.
    """
    rates = np.array(RATES)
    bias = np.arange(1, MAX_CARDS + 1, dtype=np.float64) ** -p.home.position_bias
    bias[p.home.cards :] = 0.0
    integers = {
        "seed": p.seed,
        "start_us": start_us,
        "weekday": p.calendar.start.weekday(),
        "attempts": p.taste.attempts,
        "cards": p.home.cards,
        "signup_min": p.population.signup_min,
        "signup_max": p.population.signup_max,
    }
    floats = {
        "slope": p.taste.affinity_slope,
        "offset": p.taste.affinity_offset,
        "foreign": p.taste.foreign_accept,
        "click": p.home.click_ratio,
        "open": p.home.open_ratio,
        "depth": p.home.depth,
        "weekend": p.rhythm.weekend_factor,
        "tracks": p.rhythm.tracks_per_session,
        "episodes": p.rhythm.episodes_per_session,
        "boost": p.novelty.new_listener_boost,
        "boost_days": p.novelty.new_listener_days,
        "artist_share": p.novelty.artist_share,
        "album_share": p.novelty.album_share,
        "discovery": p.novelty.discovery_ratio,
        "skip": p.playing.skip_ratio,
        "familiar_skip": p.playing.familiar_skip_factor,
        "dismissal": p.playing.dismissal_ratio,
        "no_context": p.playing.no_context_ratio,
        "minutes": p.arrival.minutes,
        "late": p.arrival.late_ratio,
        "late_hours": p.arrival.late_hours,
        "stray": p.arrival.stray_ratio,
        "stray_days": p.arrival.stray_days,
        "items_at_start": float(p.memory.items_at_start),
        "signup": p.population.signup_ratio,
        "power": p.memory.retrieval_power,
        "habit": p.memory.habit_ratio,
        "habit_week": p.memory.habit_week_ratio,
        "habit_boost": p.memory.habit_boost,
        "habit_damp": p.memory.habit_damp,
        "episode_boost": p.memory.episode_boost,
    }
    arrays = {
        "trace": _STEP / math.gamma(p.memory.decay) * rates**p.memory.decay,
        "keep": np.exp(-rates),
        "position": np.cumsum(bias / bias.sum()),
    }
    kinds = [
        *((name, np.int64) for name in integers),
        *((name, np.float64) for name in floats),
        *((name, np.float64, value.shape) for name, value in arrays.items()),
    ]
    rules = np.zeros(1, np.dtype(kinds, align=True))
    for name, value in {**integers, **floats, **arrays}.items():
        rules[name][0] = value
    return rules
