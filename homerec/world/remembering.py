"""What a listener keeps in mind: familiar items, how they fade, and their habits.

An item's activation decays as a power of time: as in ACT-R it is ``ln sum t^-d`` over past plays.
The sum is kept as four exponential traces per item, because ``t^-d`` is the Laplace transform of
``rate^(d-1) / Gamma(d)``, sampled here at four rates in geometric steps; a day's forgetting is
then four multiplications.

References
----------
Anderson, Schooler: Reflections of the environment in memory. Psychological Science 1991.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from homerec.compiling import compiled
from homerec.world.randomness import uniform
from homerec.world.rules import RATES

#: No habit; workdays and weekends are 0 and 1.
_ANY: Final = -1


#: Room for picks at sign-up.
MAX_PICKS: Final = 8
#: Listeners' minds: an array (n,) of `mind_type`.
Minds = npt.NDArray[np.void]


def mind_type(capacity: int) -> np.dtype[np.void]:
    """Layout of what one listener has in mind, and of today's results.

    Fields by slot: item (-1 for an empty slot), odds (of a replay apart from habits), liking
    (affinity), trace (4,) (parts of sum t^-d), daypart and week (the habit's, -1 for none). Then
    played (events so far), n_rows and n_cards (most that today may need), row and row_at and
    card_at (place in the chunk; where to write next), dismissed and dismissed_us (today's
    dismissal, -1 for none), picks (at sign-up, -1 for none).
    """
    return np.dtype(
        [
            ("item", np.int32, (capacity,)),
            ("odds", np.float32, (capacity,)),
            ("liking", np.float32, (capacity,)),
            ("trace", np.float32, (capacity, len(RATES))),
            ("daypart", np.int8, (capacity,)),
            ("week", np.int8, (capacity,)),
            ("picks", np.int32, (MAX_PICKS,)),
            ("pull", np.float32, (capacity,)),
            ("row", np.int32),
            ("played", np.int32),
            ("dismissed", np.int32),
            ("n_rows", np.int64),
            ("n_cards", np.int64),
            ("row_at", np.int64),
            ("card_at", np.int64),
            ("dismissed_us", np.int64),
        ],
        align=True,
    )


def make_minds(n: int, capacity: int) -> Minds:
    """Return empty minds."""
    minds: Minds = np.zeros(n, mind_type(capacity))
    for name in ("item", "daypart", "week", "picks", "dismissed"):
        minds[name] = _ANY
    return minds


@compiled
def weigh(mind: Any, slot: int, rules: Any) -> None:
    """Recompute the odds of one slot from its traces."""
    total = 0.0
    for k in range(4):
        total += mind.trace[slot, k]
    mind.odds[slot] = total**rules.power * (0.2 + mind.liking[slot])


@compiled
def forget(mind: Any, rules: Any) -> None:
    """Let one day pass."""
    for slot in range(len(mind.item)):
        if mind.item[slot] >= 0:
            for k in range(4):
                mind.trace[slot, k] *= rules.keep[k]
            weigh(mind, slot, rules)


@compiled
def find(mind: Any, item: int) -> int:
    """Slot of an item, or -1."""
    for slot in range(len(mind.item)):
        if mind.item[slot] == item:
            return slot
    return -1


@compiled
def reinforce(mind: Any, slot: int, rules: Any, amount: float, age: float) -> None:
    """Add plays of ``age`` days ago to a slot."""
    for k in range(4):
        mind.trace[slot, k] += amount * rules.trace[k] * rules.keep[k] ** age
    weigh(mind, slot, rules)


@compiled
def learn(state: Any, person: Any, mind: Any, rules: Any, item: int, liking: float) -> int:
    """Give an item a slot, the weakest if none is empty, and perhaps a habit; returns the slot."""
    slot = 0
    for s in range(len(mind.item)):
        if mind.item[s] < 0:
            slot = s
            break
        if mind.odds[s] < mind.odds[slot]:
            slot = s
    mind.item[slot] = item
    for k in range(4):
        mind.trace[slot, k] = 0.0
    mind.liking[slot] = liking
    mind.daypart[slot] = -1
    mind.week[slot] = -1
    if uniform(state) < rules.habit:
        aim = uniform(state)
        part = 0
        while part < 3 and aim >= person.daypart[0, part]:
            aim -= person.daypart[0, part]
            part += 1
        mind.daypart[slot] = part
        if uniform(state) < rules.habit_week:
            mind.week[slot] = 0 if uniform(state) < 0.6 else 1
    return slot


@compiled
def _pull(mind: Any, slot: int, rules: Any, part: int, weekend: int) -> float:
    pull = mind.odds[slot]
    if mind.daypart[slot] >= 0:
        if mind.daypart[slot] != part:
            return float(pull * rules.habit_damp)
        if mind.week[slot] >= 0 and mind.week[slot] != weekend:
            return float(pull * rules.habit_damp)
        pull *= rules.habit_boost
    return float(pull)


@compiled
def recall(
    state: Any, person: Any, mind: Any, rules: Any, things: Any, day: Any, space: int,
    part: int, weekend: int,
) -> int:  # fmt: skip
    """Choose a familiar item of music (``space`` 0) or podcasts (1); returns its slot, or -1."""
    total = 0.0
    shows = things.first_show
    m = person.market
    for slot in range(len(mind.item)):
        mind.pull[slot] = 0.0
        item = mind.item[slot]
        if item < 0 or (item >= shows) != (space == 1) or day.available[m, item] == 0:
            continue
        pull = _pull(mind, slot, rules, part, weekend)
        if space == 1:
            if day.shows[item - shows].latest < 0:
                continue
            if day.shows[item - shows].fresh == 1:
                pull *= rules.episode_boost
        mind.pull[slot] = pull
        total += pull
    if total <= 0.0:
        return -1
    aim = uniform(state) * total
    best = -1
    for slot in range(len(mind.item)):
        if mind.pull[slot] > 0.0:
            best = slot
            aim -= mind.pull[slot]
            if aim < 0.0:
                break
    return best


@compiled
def strongest(mind: Any, out: Any) -> int:
    """Write the most active items into ``out``, best first; returns how many there are."""
    n = 0
    for slot in range(len(mind.item)):
        if mind.item[slot] < 0:
            continue
        place = n if n < len(out) else len(out) - 1
        if n == len(out) and mind.odds[slot] <= mind.odds[out[place]]:
            continue
        while place > 0 and mind.odds[out[place - 1]] < mind.odds[slot]:
            out[place] = out[place - 1]
            place -= 1
        out[place] = slot
        n = min(n + 1, len(out))
    return n
