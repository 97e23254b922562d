"""What was left at once and is played after all, for :mod:`homerec.candidates.starts`.

What somebody has put on is in their mind, even if they left it within 30 s. They do not come
across it as something new then; it is recalled, among all that is familiar to them. So it takes a
large part of the familiar listens of somebody who knows two shows, and next to nothing of somebody
who knows fifty; and who tries much soon forgets it, and comes across it again as if it were new.
"""

from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from homerec.candidates.starts.vectors import Doubles, Integers
from homerec.columns import ITEM_TYPES
from homerec.compiling import compiled_adding_freely, entry_point
from homerec.features.tables import Floats, Rows, Shard

#: Who wants a podcast recalls podcasts, who wants music recalls music: by item type.
_SPACE: Final = np.array([int(name == "show") for name in ITEM_TYPES])
_N_TYPES: Final = len(ITEM_TYPES)
_N_SPACES: Final = 2
#: What a listen that was left at once is to the memory, of one that was not.
_LEFT: Final = 0.3
#: Returns to what is familiar, beside one start of something new, that everybody is given besides.
_RETURNS: Final = 4.0
#: Returns to an item on a day, in the mean of days with any.
_RETURNS_A_DAY: Final = 1.25
#: A listener's memory ends within about this share of what it holds.
_BLUR: Final = 1.0 / 8.0
#: An item that was left in the last hours is not infinitely present.
_LEAST_DAYS: Final = 0.5


@dataclass(frozen=True)
class Left:
    """What listeners of a shard have only ever left within 30 s, in the order of its skips.

    Attributes
    ----------
    log_forgotten : float64 (n_skips,)
        Log of the probability that it has to be found anew.
    log_recalled : float64 (n_skips,)
        Log of how often it is recalled, for one start of something new of its type.
    """

    log_forgotten: Doubles
    log_recalled: Doubles

    @classmethod
    def read(cls, shard: Shard, memory: int, skipped: float) -> Self:
        """Read how familiar everything is to each listener.

        An item is recalled with odds of exp(activation), ACT-R's base-level activation: the sum of
        t^-0.5 over its listens, t days ago. Days with a listen of an item after its first are what
        was recalled before; starts are what was new. All that a listener left is kept in mind
        together, or forgotten.

        Parameters
        ----------
        shard : Shard
        memory : int
            Items that a listener has in mind. Those who put on more have forgotten what they left.
        skipped : float
            What a start counts if the item was only ever left.

        References
        ----------
        Anderson, Schooler 1991, Reflections of the environment in memory.
        """
        types, n = shard.catalog.types.astype(np.int64), shard.n_listeners
        put_on = np.flatnonzero(shard.pair_columns["n_chosen"] > 0)
        pair_listener, pair_item = shard.pair_listener[put_on], shard.pair_item[put_on]
        of_pair = pair_listener * _N_SPACES + _SPACE[types[pair_item]]
        activation = shard.pair_columns["activation"][put_on].astype(np.float64)
        present = _sums(of_pair, np.exp(activation), n * _N_SPACES)
        later_days = shard.pair_columns["n_days"][put_on].astype(np.float64) - 1.0
        returns = _sums(of_pair, later_days, n * _N_SPACES)
        listener, type_ = shard.skip_listener, types[shard.skip_item]
        of_skip = listener * _N_SPACES + _SPACE[type_]
        days = np.maximum(shard.skip_columns["days_since_last"].astype(np.float64), _LEAST_DAYS)
        left = _LEFT * shard.skip_columns["n_skips"] / np.sqrt(days)
        present += _sums(of_skip, left, n * _N_SPACES)
        starts = np.bincount(pair_listener * _N_TYPES + types[pair_item], minlength=n * _N_TYPES)
        of_type = listener * _N_TYPES + type_
        started = starts + skipped * np.bincount(of_type, minlength=len(starts))
        every = np.concatenate([pair_item, shard.skip_item, shard.pick_item])
        who = np.concatenate([pair_listener, listener, shard.pick_listener])
        known = np.unique(who * len(types) + every) // max(len(types), 1)
        over = (np.bincount(known, minlength=n)[listener] - memory) / (_BLUR * memory)
        rate = _RETURNS_A_DAY * (returns[of_skip] + _RETURNS) / (started[of_type] + 1.0)
        # The logistic of what is beyond the memory, and one less that.
        forgotten, kept = -np.logaddexp(0.0, -over), -np.logaddexp(0.0, over)
        return cls(forgotten, kept + np.log(left / present[of_skip] * rate))

    def among(self, log_total: Doubles) -> "Left":
        """Measure against scores.

        Parameters
        ----------
        log_total : float64 (n_skips,)
            Log of the sum of exp(score) over what is new to the listener; -inf without any.
        """
        return Left(self.log_forgotten, self.log_recalled + log_total)

    def score(self, scores: Floats, at: Rows) -> Floats:
        """Turn scores of skips at positions, as if they were new, into what they are.

        Parameters
        ----------
        scores : float32 (k,)
        at : int64 (k,)

        Returns
        -------
        float32 (k,)
        """
        found = np.logaddexp(scores + self.log_forgotten[at], self.log_recalled[at])
        return found.astype(np.float32)


def _sums(at: Rows, values: Doubles, n: int) -> Doubles:
    """Sum values by number; each sum in their order, so that shards do not matter."""
    return np.bincount(at, values, minlength=n).astype(np.float64)


def log_totals(
    places: tuple[Floats, Floats],
    vectors: tuple[Floats, Floats],
    present: Floats,
    markets: npt.NDArray[np.integer],
    there: npt.NDArray[np.bool_],
    ceiling: float,
) -> Doubles:
    """Log of the sum of exp(score) over items, listener by listener.

    Parameters
    ----------
    places : tuple of float32 (n, f), (n, g)
        Learned coordinates of listeners, and the others.
    vectors : tuple of float32 (s, f), (s, g)
    present : float32 (n_markets, s)
        Added to scores; logs of how many items each stands for among them.
    markets : int (n,)
    there : bool (n, s)
        Which items count for whom.
    ceiling : float

    Returns
    -------
    float64 (n,)
        -inf where none counts.
    """
    out = np.empty(len(there))
    _log_totals(*places, *vectors, present, markets.astype(np.int64), there, ceiling, out)
    return out


@compiled_adding_freely
def _product(left: Any, right: Any) -> float:
    total = 0.0
    for j in range(len(left)):
        total += np.float64(left[j]) * np.float64(right[j])
    return total


@entry_point
def _log_totals(
    learned: Any, rest: Any, of_learned: Any, of_rest: Any, present: Any, markets: Integers,
    there: Any, ceiling: float, out: Any,
) -> None:  # fmt: skip
    for i in range(len(out)):
        total = 0.0
        for s in range(len(of_learned)):
            if there[i, s]:
                taste = _product(learned[i], of_learned[s])
                bound = np.log1p(np.exp(min(taste - ceiling, 80.0)))
                score = min(taste - bound, ceiling) + _product(rest[i], of_rest[s])
                total += np.exp(score + present[markets[i], s])
        out[i] = np.log(total) if total > 0.0 else -np.inf
