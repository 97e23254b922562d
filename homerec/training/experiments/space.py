"""What a search tries: grids and random draws, by scikit-learn's ways and scipy's distributions.

References
----------
Bergstra and Bengio 2012, Random search for hyper-parameter optimization.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from homerec.training.experiments.reading import MAX_CONFIGURATIONS, ExperimentFile, Place

Values = dict[str, Any]

_DISTRIBUTIONS: Final = ("uniform", "log_uniform", "int", "log_int", "choice")
_FORMS: Final = (
    "{uniform: [a, b]}, {log_uniform: [a, b]}, {int: [a, b]}, {log_int: [a, b]} (both ends "
    "included), or {choice: [...]}"
)


def points(file: ExperimentFile) -> list[tuple[Values, Place]]:
    """Every set of values that a file tries, with its place in the file; fixed ones not yet in.

    Returns
    -------
    list of (dict, Place)
        The grids first, in the order of :class:`sklearn.model_selection.ParameterGrid`, then the
        draws of :class:`sklearn.model_selection.ParameterSampler`. Equal seeds give equal draws;
        more draws begin with the same ones while the space has no lists only.

    Raises
    ------
    ExperimentError
        A distribution is not known or its range is empty, or there are too many configurations.
    """
    from sklearn.model_selection import ParameterGrid

    found: list[tuple[Values, Place]] = []
    total = sum(math.prod(len(v) for v in grid.values()) for grid in file.grids) + file.n_random
    if total > MAX_CONFIGURATIONS:
        raise file.source.error(
            ("grid",) if file.grids else ("random",),
            f"the file tries {total:,} configurations, {MAX_CONFIGURATIONS:,} are allowed. Use "
            "fewer values, or a random search.",
        )
    several = ("grid", 0) in file.source.lines
    for n, grid in enumerate(file.grids):
        place: Place = ("grid", n) if several else ("grid",)
        found += [(dict(values), place) for values in ParameterGrid(dict(grid))]
    return found + _draws(file)


def _draws(file: ExperimentFile) -> list[tuple[Values, Place]]:
    if not file.random:
        return []
    from sklearn.model_selection import ParameterGrid, ParameterSampler

    several = ("random", "space", 0) in file.source.lines
    spaces, finite = [], True
    for n, space in enumerate(file.random):
        place: Place = ("random", "space", n) if several else ("random", "space")
        spaces.append({k: _distribution(file, (*place, k), k, v) for k, v in space.items()})
        finite = finite and all(isinstance(v, list) for v in spaces[-1].values())
    wanted = file.n_random
    if finite:
        # From lists alone the sampler draws without putting back: there are no more than all.
        wanted = min(wanted, len(ParameterGrid(spaces)))
    drawn = ParameterSampler(spaces, wanted, random_state=file.random_seed)
    return [({k: _plain(v) for k, v in one.items()}, ("random", "space")) for one in drawn]


def _distribution(file: ExperimentFile, place: Place, name: str, given: Any) -> Any:
    from scipy import stats

    if not isinstance(given, Mapping) or len(given) != 1:
        raise file.source.error(place, f"{name} is {given!r}; write {_FORMS}.")
    ((kind, values),) = given.items()
    if kind not in _DISTRIBUTIONS:
        raise file.source.error((*place, kind), f"there is no distribution {kind}; write {_FORMS}.")
    if kind == "choice":
        if not isinstance(values, list) or not values:
            raise file.source.error((*place, kind), f"{name} has nothing to choose from.")
        return list(values)
    low, high = _range(file, (*place, kind), name, kind, values)
    if kind == "uniform":
        return stats.uniform(low, high - low)
    if kind == "log_uniform":
        return stats.loguniform(low, high)
    if kind == "int":
        return stats.randint(int(low), int(high) + 1)
    return _LogInt(int(low), int(high))


class _LogInt:
    """Whole numbers of [low, high] whose logarithms are uniform, to a rounding."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def rvs(self, random_state: Any = None) -> int:
        """Draw one."""
        from scipy import stats

        drawn = stats.loguniform(self._low, self._high + 1).rvs(random_state=random_state)
        return min(int(drawn), self._high)


def _range(
    file: ExperimentFile, place: Place, name: str, kind: str, values: Any
) -> tuple[float, float]:
    whole = kind in ("int", "log_int")
    if (
        not isinstance(values, list)
        or len(values) != 2
        or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values)
    ):
        raise file.source.error(place, f"{name}: {kind} is {values!r}; two numbers are needed.")
    low, high = values
    if whole and any(not isinstance(v, int) for v in values):
        raise file.source.error(place, f"{name}: {kind} is {values!r}; whole numbers are needed.")
    if not low < high or not all(math.isfinite(v) for v in values):
        raise file.source.error(place, f"{name}: {kind} is {values!r}; the first must be less.")
    if kind.startswith("log") and low <= 0:
        raise file.source.error(place, f"{name}: {kind} is {values!r}; it must lie above 0.")
    return low, high


def _plain(value: Any) -> Any:
    """Return numpy's numbers as Python's; floats keep six digits, finer than any effect."""
    if hasattr(value, "item"):
        value = value.item()
    return float(f"{value:.6g}") if isinstance(value, float) else value
