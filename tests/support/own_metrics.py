"""Metrics of one's own, good and bad, for tests of experiments."""

import numpy as np
import numpy.typing as npt

from homerec.training.experiments.measures import JudgedLists


def first_hit(lists: JudgedLists, k: int) -> npt.NDArray[np.float64]:
    """Whether the first card was played, by list."""
    ranked = lists.ranked
    top = ranked.lists[ranked.hit & (ranked.rank == 1)]
    return np.bincount(top, minlength=len(ranked.n_relevant)).astype(np.float64)


def reciprocal(lists: JudgedLists, k: int) -> npt.NDArray[np.float64]:
    """Write homerec's own reciprocal rank once more."""
    ranked = lists.ranked
    found = np.zeros(len(ranked.n_relevant))
    hit = ranked.hit & (ranked.rank <= k)
    np.maximum.at(found, ranked.lists[hit], 1 / ranked.rank[hit].astype(np.float64))
    return found


def breaks(lists: JudgedLists, k: int) -> npt.NDArray[np.float64]:
    """Divide by nothing."""
    raise ZeroDivisionError("nothing to divide by")


def too_short(lists: JudgedLists, k: int) -> npt.NDArray[np.float64]:
    """Return one number too few."""
    return np.zeros(len(lists.ranked.n_relevant) - 1)


def no_number(lists: JudgedLists, k: int) -> npt.NDArray[np.float64]:
    """Return no numbers."""
    return np.full(len(lists.ranked.n_relevant), np.nan)
