"""Small counter-based random numbers for compiled code.

A stream is named by (seed, listener number, purpose, day), so what a listener does never depends
on which thread, chunk or batch it was simulated in. The generator is SplitMix64.

References
----------
Steele, Lea, Flood: Fast splittable pseudorandom number generators. OOPSLA 2014.
"""

import math
from typing import Any, Final

import numpy as np

from homerec.compiling import compiled

#: A stream's state. Compiled code hands on ``states[0]``: unlike an array, a record is not
#: reference-counted, which made the simulation several times faster.
STATE: Final = np.dtype([("word", np.uint64)])

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_A: Final = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B: Final = np.uint64(0x94D049BB133111EB)
_SHIFT_30: Final = np.uint64(30)
_SHIFT_27: Final = np.uint64(27)
_SHIFT_31: Final = np.uint64(31)
_SHIFT_11: Final = np.uint64(11)
_UNIT: Final = 1.0 / 9007199254740992.0  # 2**-53

#: Purposes of a listener's streams.
PERSON: Final = 1
PLAN: Final = 2
PLAYS: Final = 3
BEGINNING: Final = 4
WEEK: Final = 5


def new_state() -> Any:
    """Return room for one stream: an array (1,) of `STATE`."""
    return np.zeros(1, STATE)


@compiled
def mix(value: Any) -> Any:
    """Scramble 64 bits (the finaliser of SplitMix64)."""
    z = np.uint64(value)
    z = (z ^ (z >> _SHIFT_30)) * _MIX_A
    z = (z ^ (z >> _SHIFT_27)) * _MIX_B
    return z ^ (z >> _SHIFT_31)


@compiled
def start_stream(state: Any, seed: int, number: int, purpose: int, day: int) -> None:
    """Set ``state`` to the beginning of the stream of that name."""
    z = mix(np.uint64(seed) + _GOLDEN)
    z = mix(z ^ (np.uint64(number) * _GOLDEN + np.uint64(purpose)))
    state.word = mix(z + np.uint64(day + 100_000) * _MIX_A)


@compiled
def uniform(state: Any) -> float:
    """Next number in [0, 1)."""
    state.word = state.word + _GOLDEN
    return float(mix(state.word) >> _SHIFT_11) * _UNIT


@compiled
def normal(state: Any) -> float:
    """Next number of a standard normal distribution (Box-Muller, one of the pair)."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(state)))
    return radius * math.cos(2.0 * math.pi * uniform(state))


@compiled
def exponential(state: Any, mean: float) -> float:
    """Next number of an exponential distribution."""
    return -mean * math.log(1.0 - uniform(state))


@compiled
def geometric(state: Any, mean: float) -> int:
    """Next number of a geometric distribution on 1, 2, ...; at most 64."""
    if mean <= 1.0:
        return 1
    return min(64, 1 + int(math.log(1.0 - uniform(state)) / math.log(1.0 - 1.0 / mean)))


@compiled
def poisson(state: Any, mean: float) -> int:
    """Next number of a Poisson distribution, at most 40; for means of up to about 30."""
    limit = math.exp(-min(mean, 30.0))
    product = uniform(state)
    n = 0
    while product > limit and n < 40:
        product *= uniform(state)
        n += 1
    return n
