"""Random numbers that depend on what they are for, not on when they are drawn.

References
----------
Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators (the SplitMix64 finaliser).
"""

from typing import Final

import numpy as np
import numpy.typing as npt

_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))


def uniform(seed: int, *keys: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """One number in [0, 1) per row of keys; equal seeds and keys give equal numbers.

    Parameters
    ----------
    seed : int
        Any non-negative seed.
    keys : integer (n,)
        What the number is for, such as listener keys and item keys.

    Returns
    -------
    float64 (n,)

    Examples
    --------
    >>> import numpy as np
    >>> both = uniform(1, np.array([5, 6]))
    >>> bool(uniform(1, np.array([6]))[0] == both[1])
    True
    """
    with np.errstate(over="ignore"):
        state = np.full(len(keys[0]), np.uint64(seed), dtype=np.uint64)
        for key in keys:
            state = _mix((state ^ key.astype(np.int64).view(np.uint64)) + _GOLDEN)
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
