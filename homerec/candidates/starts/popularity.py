"""What the markets start, apart from taste, for :mod:`homerec.candidates.starts`.

The starts of the last days mislead in two ways. An item that most listeners have played is started
by few, however much the others would like it; and in a small market the counts are mostly luck. So
the long run says how popular an item is, and recent starts only correct it: by how many there were
against how many there should have been, had nothing changed, among those who could still start the
item, each by their own taste. Both sides of that ratio get the same prior count. Trends last
shorter than that: what the last week shows beyond it counts as far as it is no luck.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from homerec.candidates.starts.acceptance import MOST_VARIANCE, log_acceptance, moderated
from homerec.candidates.starts.crowds import Crowds
from homerec.candidates.starts.evidence import by_market
from homerec.candidates.starts.vectors import Doubles, Integers, Vectors
from homerec.features.tables import Catalog, Rows, ages

#: Days whose starts correct the long run, and those that show a trend.
RECENT_DAYS: Final = 28
TREND_DAYS: Final = 7
#: Starts that every item is given in a market besides its own, in the mean.
_EVERYWHERE: Final = 0.04
#: Starts that are added to both sides of the ratios: of an item anywhere, and in one market.
_ANYWHERE: Final = 200.0
_HERE: Final = 100.0
#: Share of items that trend, standard deviation of the log of by how much, and how far starts of a
#: week that do not trend scatter: as a gamma of this shape.
_TRENDING: Final = 0.02
_HEIGHT: Final = 0.8
_STEADY: Final = 50.0
_TRENDS: Final = np.linspace(-2.0, 2.0, 81)
#: Of an item of some hours nobody knows yet how it does on a whole day.
_MIN_AGE_DAYS: Final = 2.0
#: Starts by listeners as the prior has them, that who chooses is made of besides.
_AS_PRIOR: Final = 50.0
#: Listeners at a time.
_BLOCK: Final = 512


class Window(NamedTuple):
    """Starts of k items in the last days.

    Attributes
    ----------
    starts : float64 (n_markets, k)
    exposure : float64 (k,)
        Share of those days in which the item was there, in (0, 1].
    """

    starts: Doubles
    exposure: Doubles

    def take(self, at: Integers | npt.NDArray[np.bool_]) -> "Window":
        """Return some of the items."""
        return Window(self.starts[:, at], self.exposure[at])


@dataclass(frozen=True)
class Choosing:
    """Who starts items of each type: places, weighed by starts and what they choose from.

    Attributes
    ----------
    log_mass : float64 (n_types,)
        Log of how many of the type's starts an item of chance 1 would get, for a start, if nobody
        had a taste.
    mean : float64 (n_types, width)
    covariance : float64 (n_types, width, width)
    """

    log_mass: Doubles
    mean: Doubles
    covariance: Doubles

    def log_share(self, vectors: Vectors, kind: int, ceiling: float) -> Doubles:
        """Log of what items nobody knows would get of the type's starts if their chance were 1.

        So the chance of an item is its share of the starts divided by that.

        Parameters
        ----------
        vectors : Vectors
            Of the items.
        kind : int
            Number of their type in the fit.
        ceiling : float

        Returns
        -------
        float64 (len(vectors.factors),)
        """
        wide, k = vectors.dense(), vectors.factors.shape[1]
        mean, covariance = self.mean[kind], self.covariance[kind]
        rest = wide.copy()
        rest[:, :k] = 0.0
        towards = rest @ covariance
        out = self.log_mass[kind] + rest @ mean + 0.5 * (towards * rest).sum(axis=1)
        # Those whom the attributes draw have other learned coordinates than all have.
        taste = (wide[:, :k] * (mean[:k] + towards[:, :k])).sum(axis=1)
        variance = ((wide[:, :k] @ covariance[:k, :k]) * wide[:, :k]).sum(axis=1)
        np.minimum(variance, MOST_VARIANCE, out=variance)
        out += taste + 0.5 * variance + np.log(moderated(taste, variance, ceiling).bound)
        return np.asarray(out, dtype=np.float64)


@dataclass(frozen=True)
class Popularity:
    """What a fit knows of the popularity of its m items; the last row is over all markets.

    Attributes
    ----------
    log_chance : float64 (n_markets + 1, m)
        Log of the chance to be the one started, for a listener without taste, in the long run.
    due : float64 (n_markets + 1, m)
        Starts of the fit's last days that the long run leads one to expect.
    choosing : Choosing
    """

    log_chance: Doubles
    due: Doubles
    choosing: Choosing

    def at_present(
        self, recent: Window, latest: Window, at: Integers, types: Integers, row: Integers
    ) -> Doubles:
        """Correct the long run by what is started at present.

        Parameters
        ----------
        recent, latest : Window
            Starts of k items in n markets, in the last 28 and in the last 7 days.
        at : int64 (k,)
            Positions of the items.
        types : int64 (k,)
            Their types: a type's starts are shared out among its items.
        row : int64 (n,)
            Row of each market; -1 for one that the fit did not know.

        Returns
        -------
        float64 (n, k)
            Logs of chances.
        """
        out = self.log_chance[np.ix_(row, at)]
        for kind in np.unique(types):
            own = types == kind
            due = self.due[np.ix_(row, at[own])]
            # A market without a start in the fit's last days: what was due everywhere must do,
            # or, if nothing was, the long run; each as far as the market's long run is the same.
            everywhere = self.due[-1, at[own]]
            if not everywhere.any():
                everywhere = np.exp(self.log_chance[-1, at[own]])
            apart = self.log_chance[np.ix_(row, at[own])] - self.log_chance[-1, at[own]]
            due = np.where(due.sum(axis=1, keepdims=True) > 0, due, everywhere * np.exp(apart))
            seen = recent.take(own)
            expected = _shared(due, seen)
            anywhere = (seen.starts.sum(axis=0) + _ANYWHERE) / (expected.sum(axis=0) + _ANYWHERE)
            here = (seen.starts + _HERE) / (expected * anywhere + _HERE)
            times = anywhere * here
            seen = latest.take(own)
            trend = trends(seen.starts.sum(axis=0), _shared(due * times, seen).sum(axis=0))
            out[:, own] += np.log(times * trend)
        return out


def _shared(due: Doubles, seen: Window) -> Doubles:
    """Share out the starts of each market that were seen as they were due, by who was there."""
    total = due.sum(axis=1, keepdims=True)
    amount = seen.starts.sum(axis=1, keepdims=True)
    times = np.divide(amount, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(due * times * seen.exposure, dtype=np.float64)


def trends(seen: Doubles, due: Doubles) -> Doubles:
    """Tell how many times as much items are started as is due, luck apart.

    Few items trend; what most show beyond what is due is luck, or scatters from week to week. So
    this is the posterior mean, of the logarithm, with a prior that has a spike at 0.

    Parameters
    ----------
    seen, due : float64 (k,)
        Starts of a week.

    References
    ----------
    Mitchell, Beauchamp 1988, Bayesian variable selection in linear regression (spike and slab).

    Examples
    --------
    >>> import numpy as np
    >>> trends(np.array([12.0, 300.0]), np.array([10.0, 100.0])).round(1).tolist()
    [1.0, 2.7]
    """
    prior = np.exp(-0.5 * np.square(_TRENDS / _HEIGHT))
    prior *= _TRENDING / prior.sum()
    prior[np.abs(_TRENDS).argmin()] += 1.0 - _TRENDING
    mean = np.maximum(due, 1e-9)[:, None] * np.exp(_TRENDS)
    # Negative binomial, without what does not depend on the mean.
    told = special.xlogy(seen[:, None], mean / (mean + _STEADY)) - _STEADY * np.log1p(
        mean / _STEADY
    )
    posterior = prior * np.exp(told - told.max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    # Of what was not expected at all, nothing is more than expected.
    return np.where(due > 0, np.exp(posterior @ _TRENDS), 1.0)


def chances(
    started: sparse.csr_matrix, types: Integers, markets: Integers, n_markets: int
) -> Doubles:
    """Chance of each item to be the one started, within its type, by market.

    Parameters
    ----------
    started : csr_matrix (n, m)
    types : int64 (m,)
    markets : int64 (n,)
    n_markets : int

    Returns
    -------
    float64 (n_markets + 1, m)
        Rows sum to 1 within a type; the last one is over all markets, and is what a market has with
        too few who started the type, see :mod:`homerec.candidates.starts.crowds`.
    """
    out = np.zeros((n_markets + 1, len(types)))
    for kind in np.unique(types):
        own = types == kind
        of_kind = started[:, own]
        crowds = Crowds.of_starters(of_kind, markets, n_markets)
        counted = crowds.counted
        counts = by_market(of_kind[counted], markets[counted], n_markets)
        everywhere = counts.sum(axis=0) + 0.5
        share = everywhere / everywhere.sum()
        here = counts + _EVERYWHERE * own.sum() * share
        here /= here.sum(axis=1, keepdims=True)
        out[:-1, own] = np.where(crowds.markets[:, None], here, share)
        out[-1, own] = share
    return out


def measure(
    started: sparse.csr_matrix,
    recent: sparse.csr_matrix,
    types: Integers,
    markets: Integers,
    x: Doubles,
    vectors: Vectors,
    chance: Doubles,
    bias: Doubles,
    ceiling: float,
) -> Popularity:
    """Sum up by market which recent starts were due, by everybody's taste, and who chooses.

    Parameters
    ----------
    started, recent : csr_matrix float64 (n, m)
        What listeners have started, at any time and within the last days.
    types : int64 (m,)
        Ascending from 0, without gaps.
    markets : int64 (n,)
    x : float64 (n, width)
        Places of the listeners, as :func:`homerec.candidates.starts.folding.fold` finds them.
    vectors : Vectors
        Of the m items.
    chance : float64 (n_markets + 1, m)
        From :func:`chances`.
    bias : float64 (m,)
    ceiling : float
    """
    log_chance = np.log(chance) + bias
    wide, k = vectors.dense(), vectors.factors.shape[1]
    bounds = np.searchsorted(types, np.arange(int(types.max()) + 1))
    due, n_types, width = np.zeros_like(log_chance), len(bounds), wide.shape[1]
    mass, starts = np.zeros(n_types), np.zeros(n_types)
    places, squares = np.zeros((n_types, width)), np.zeros((n_types, width, width))
    crowds = [
        Crowds.of_starters(recent[:, types == kind], markets, len(chance) - 1)
        for kind in range(n_types)
    ]
    counted = np.stack([one.counted for one in crowds], axis=1)
    for start in range(0, started.shape[0], _BLOCK):
        rows = slice(start, start + _BLOCK)
        new = recent[rows].toarray() > 0
        place = x[rows]
        odds = place[:, k:] @ wide[:, k:].T + log_chance[markets[rows]]
        odds += log_acceptance(place[:, :k] @ wide[:, :k].T, ceiling)
        np.exp(odds, out=odds)
        # What counts as started before the last days began could not be started in them.
        odds[(started[rows].toarray() > 0) & ~new] = 0.0
        total = np.add.reduceat(odds, bounds, axis=1)
        amount = np.add.reduceat(new.astype(np.float64), bounds, axis=1) * counted[rows]
        each = np.divide(amount, total, out=np.zeros_like(total), where=total > 0)
        odds *= each[:, types]
        mass += each.sum(axis=0)
        starts += amount.sum(axis=0)
        places += each.T @ place
        squares += np.einsum("nt,ni,nj->tij", each, place, place, optimize=True)
        for market in np.unique(markets[rows]):
            due[market] += odds[markets[rows] == market].sum(axis=0)
    due[-1] = due[:-1].sum(axis=0)
    # A market of few counts as one without a start.
    for kind, one in enumerate(crowds):
        due[np.ix_(np.flatnonzero(~one.markets), types == kind)] = 0.0
    # Some starts are added as the prior has them.
    each_mass = np.divide(mass, starts, out=np.ones(n_types), where=starts > 0)
    total = each_mass * (starts + _AS_PRIOR)
    mean = places / total[:, None]
    # What languages do is none in the mean.
    prior = np.diag(np.arange(width) < vectors.n_stepped).astype(np.float64)
    squares += _AS_PRIOR * each_mass[:, None, None] * prior
    covariance = squares / total[:, None, None] - mean[:, :, None] * mean[:, None, :]
    log_mass = np.log(each_mass)
    return Popularity(log_chance, due, Choosing(log_mass, mean, covariance))


def window(catalog: Catalog, items: Rows, days: int) -> Window:
    """Read the starts of the last 7 or 28 days by market, and how long items were there."""
    column, starts = f"n_starts_{days}d", np.zeros((len(catalog.markets), len(items)))
    for market in range(len(catalog.markets)):
        starts[market] = catalog.market_column(column, items, np.full(len(items), market))
    age = np.maximum(ages(catalog, items), _MIN_AGE_DAYS)
    return Window(starts, np.minimum(age, days) / days)
