"""How new items are started, for :mod:`homerec.candidates.starts`.

What counts of starts say of an item of two days is little, and of one that appears tonight nothing;
and what is new is started more than it will be. So a fit learns from the new items that it has seen
how fast that passes, how much a new item is started in the mean, and how much they differ. An item
without a fit is then expected to do as they did, and ever more as its own starts say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from homerec.candidates.starts.crowds import Bools, Crowds
from homerec.candidates.starts.evidence import Evidence, by_market
from homerec.candidates.starts.vectors import Doubles, Integers
from homerec.columns import ITEM_TYPES
from homerec.features.tables import Catalog, Rows, ages

#: Days back that are looked at.
_HISTORY_DAYS: Final = 90
#: Without evidence: days in which novelty passes, and the standard deviation of their logarithm.
_USUAL_DAYS: Final = 10.0
_USUAL_SPREAD: Final = 0.7
#: Mean of the exponential prior of the boost: without evidence, new items have none.
_USUAL_BOOST: Final = 2.0
_BOOSTS: Final = (0.0, 20.0)
_DAYS: Final = (2.0, 60.0)
_SHAPES: Final = (0.2, 5.0)
#: Starts that every language is given, shared out among markets as all starts are.
_PRIOR_STARTS: Final = 30.0
#: How many starts of an item are worth as much as its language, in telling the market.
_OF_LANGUAGE: Final = 20.0
#: Starts on days of release that are added, as if such days counted whole.
_PRIOR_OPENING: Final = 2.0
#: Older than this is old, in days.
_OLD: Final = 1e6
#: Days ahead that an item's novelty is averaged over: those that labels look at.
_AHEAD_DAYS: Final = 7.0


@dataclass(frozen=True)
class Novelty:
    """What is known of the new items of one type.

    Attributes
    ----------
    boost, days : float
        At an age of a days an item is started 1 + boost * exp(-a / days) times as much as when it
        is old.
    rate : float
        Mean share of the type's starts that a new item gets, boost apart.
    shape : float
        Of the gamma distribution of that share: its squared mean by its variance.
    opening : float
        For how much the rest of the day of its release counts, in (0, 1]: where a new item cannot
        be started before the next day, that nobody has says nothing. 1 where releases are told by
        date alone: then that day is a whole one.
    lift : dict of str to float64 (n_markets,)
        By language, how much more of its starts an item has in a market than other items.
    """

    boost: float
    days: float
    rate: float
    shape: float
    opening: float
    lift: Mapping[str, Doubles]

    @classmethod
    def learn(
        cls, daily: Doubles, age: Doubles, here: Doubles, languages: list[str], of_many: Bools
    ) -> Self:
        """Learn from the starts of all m items of a type.

        Parameters
        ----------
        daily : float64 (m, n_days)
            Starts of each item on the day that was so many days ago.
        age : float64 (m,)
            Days since release; infinite where it is not known.
        here : float64 (n_markets, m)
            Starts by market.
        languages : list of str
            Of each item; empty for one without.
        of_many : bool (n_markets,)
            Markets with enough listeners; to the others every language is alike.

        Notes
        -----
        How fast novelty passes is told by when an item's starts came, given how many there were:
        their number, which differs more from item to item, has no part in it. Days count by the
        starts of all items. The distribution of rates is fitted by maximum likelihood (negative
        binomial); one item with the mean of all is added to the new ones, so that there is a mean.

        References
        ----------
        Wu, Huberman 2007, Novelty and collective attention (decay of what is new).
        Robbins 1956, An empirical Bayes approach to statistics.
        """
        of_day = daily.sum(axis=0)
        n_days = daily.shape[1]
        # What is left of the item's life when a day ends, counted from its release.
        before = np.minimum(age, _OLD)[:, None] - np.arange(n_days)
        there = np.clip(before, 0.0, 1.0)
        new = age < n_days
        # A start before the release tells nothing of how novelty passes.
        known = daily * (there > 0)
        middle = np.maximum(before - 0.5, 0.0)
        # The day of the release is there for a part; what it is worth is learned from the others.
        whole = there >= 1.0
        boost, days = _decay((known * whole)[new], middle[new], (there * whole)[new] * of_day)
        due = _times(middle, boost, days) * there * of_day
        opening = _opening(known[new], due[new], whole[new])
        exposure = (due * np.where(whole, 1.0, opening)).sum(axis=1)
        starts = known.sum(axis=1)
        told = starts.sum() > 0 and exposure.sum() > 0
        usual = starts.sum() / exposure.sum() if told else 1.0 / max(len(age), 1)
        one = max(float(of_day.sum()), 1.0)
        rate = (starts[new].sum() + usual * one) / (exposure[new].sum() + one)
        shape = _shape(starts[new], rate * exposure[new])
        heard = here[of_many]
        everywhere = heard.sum(axis=1) + 1.0
        everywhere /= everywhere.sum()
        lift = {}
        spoken = np.array(languages, dtype=np.str_)
        for language in sorted(set(languages)):
            own = heard[:, spoken == language].sum(axis=1) + _PRIOR_STARTS * everywhere
            lift[language] = np.ones(len(here))
            lift[language][of_many] = own / own.sum() / everywhere
        return cls(boost, days, float(rate), shape, opening, lift)

    def log_chance(
        self, starts: Doubles, age: Doubles, languages: list[str], of_market: Doubles,
        n_days: float, rows: Integers,
    ) -> Doubles:  # fmt: skip
        """Tell the chance of k items to be the one started, from what is known of new ones.

        Parameters
        ----------
        starts : float64 (n_markets, k)
            Their starts in the last days.
        age : float64 (k,)
            Days since release; infinite where it is not known.
        languages : list of str
            Of each item; empty for one without.
        of_market : float64 (n_markets,)
            Starts of the whole type in the same days.
        n_days : float
            How many days those are; fewer where the history is shorter.
        rows : int64 (n_markets,)
            Which market of :attr:`lift` each one is; -1 for one that is not there.

        Returns
        -------
        float64 (n_markets, k)
            Logs of the chances, means over the coming week.
        """
        age = np.clip(age, 0.0, _OLD)
        seen = np.minimum(age, n_days)
        days = self._sum(age - seen, age)
        # As of a midnight, what exceeds whole days is the day of the release.
        first = np.where(age < n_days, age % 1.0, 0.0)
        days -= (1.0 - self.opening) * self._sum(np.zeros(len(age)), first)
        exposure = of_market.sum() / n_days * days
        count = starts.sum(axis=0)
        share = (self.shape + count) / (self.shape / self.rate + exposure)
        share *= self._sum(age, age + _AHEAD_DAYS) / _AHEAD_DAYS
        market = of_market + 1.0
        market /= market.sum()
        usual = np.ones(starts.shape)
        for at, language in enumerate(languages):
            if language in self.lift:
                usual[:, at] = np.where(rows >= 0, self.lift[language][rows], 1.0)
        usual *= market[:, None]
        usual /= usual.sum(axis=0)
        here = (starts + _OF_LANGUAGE * usual) / (count + _OF_LANGUAGE)
        out: Doubles = np.log(share * here / market[:, None])
        return out

    def to_json(self) -> dict[str, Any]:
        """Write as plain values."""
        lift = {language: times.tolist() for language, times in self.lift.items()}
        return {**vars(self), "lift": lift}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        lift = {language: np.array(times) for language, times in values["lift"].items()}
        return cls(**{**values, "lift": lift})

    def _sum(self, low: Doubles, high: Doubles) -> Doubles:
        """Sum the factor of novelty over the days from one age to another."""
        fading = np.exp(-low / self.days) - np.exp(-high / self.days)
        out: Doubles = high - low + self.boost * self.days * fading
        return out


def _times(age: Doubles, boost: float, days: float) -> Doubles:
    out: Doubles = 1.0 + boost * np.exp(-age / days)
    return out


def _decay(starts: Doubles, age: Doubles, exposure: Doubles) -> tuple[float, float]:
    """Most probable boost and days, given how many starts each new item has in all.

    Parameters
    ----------
    starts, age, exposure : float64 (n_new, n_days)
        By item and day; days count by ``exposure``.
    """
    number = starts.sum(axis=1)

    def loss(at: npt.NDArray[np.float64]) -> float:
        boost, days = float(at[0]), float(np.exp(at[1]))
        times = _times(age, boost, days)
        due = np.maximum((times * exposure).sum(axis=1), 1e-12)
        told = float((starts * np.log(times)).sum() - (number * np.log(due)).sum())
        apart = (np.log(days) - usual) / _USUAL_SPREAD
        return float(boost / _USUAL_BOOST + 0.5 * apart**2 - told)

    usual = float(np.log(_USUAL_DAYS))
    found = optimize.minimize(
        loss, np.array([1.0, usual]), bounds=[_BOOSTS, tuple(np.log(_DAYS))], method="L-BFGS-B"
    )
    return float(found.x[0]), float(np.exp(found.x[1]))


def _opening(starts: Doubles, due: Doubles, whole: Bools) -> float:
    """Tell for how much the day of the release counts, by the starts of new items.

    Parameters
    ----------
    starts, due : float64 (n_new, n_days)
        By item and day; ``due`` up to a factor of the item.
    whole : bool (n_new, n_days)
        Days on which the item was there from the begin; others count only if it came then.

    Notes
    -----
    Each item's later days say how many starts were due on its first one. As many more as
    ``_PRIOR_OPENING`` are added to both sides.
    """
    later = np.where(whole, due, 0.0).sum(axis=1)
    has = later > 0
    scale = np.where(whole, starts, 0.0).sum(axis=1)[has] / later[has]
    seen = np.where(whole, 0.0, starts)[has].sum()
    expected = (np.where(whole, 0.0, due)[has].sum(axis=1) * scale).sum()
    return float(min((seen + _PRIOR_OPENING) / (expected + _PRIOR_OPENING), 1.0))


def _shape(starts: Doubles, expected: Doubles) -> float:
    """Most probable shape of a gamma that spreads items around what is expected of each."""

    def loss(log_shape: float) -> float:
        shape = np.exp(log_shape)
        told = special.gammaln(shape + starts) - special.gammaln(shape)
        told += shape * np.log(shape / (shape + expected))
        told += special.xlogy(starts, expected / (shape + expected))
        # Weak: without new items it is the distribution that knows least, an exponential one.
        return float(0.5 * log_shape**2 - told.sum())

    found = optimize.minimize_scalar(loss, bounds=tuple(np.log(_SHAPES)), method="bounded")
    return float(np.exp(found.x))


def novelties(
    catalog: Catalog,
    item_types: Sequence[str],
    items: Rows,
    evidence: Evidence,
    markets: Integers,
) -> dict[str, Novelty]:
    """Learn, by type, how new items are started.

    Parameters
    ----------
    catalog : Catalog
    item_types : sequence of str
    items : int64 (m,)
        Catalog rows.
    evidence : Evidence
        Who started them.
    markets : int64 (n,)
        Of the listeners.
    """
    age = ages(catalog, items)
    here = by_market(evidence.started, markets, len(catalog.markets))
    spoken = [*catalog.language_names, ""]
    out = {}
    for name in item_types:
        own = np.flatnonzero(catalog.types[items] == ITEM_TYPES.index(name))
        languages = [spoken[code] for code in catalog.languages[items[own]]]
        crowds = Crowds.of_starters(evidence.started[:, own], markets, len(catalog.markets))
        # Of few listeners not even the day of a start is kept.
        daily = evidence.take(np.flatnonzero(crowds.counted), own).daily(_HISTORY_DAYS)
        out[name] = Novelty.learn(daily, age[own], here[:, own], languages, crowds.markets)
    return out
