"""What the markets start, apart from taste, for :mod:`homerec.candidates.starts`.

The starts of the last days mislead in two ways. An item that most listeners have played is started
by few, however much the others would like it; and in a small market the counts are mostly luck. So
the long run says how popular an item is, and recent starts only correct it: by how many there were
against how many there should have been, had nothing changed, among those who could still start the
item, each by their own taste. Both sides of that ratio get the same prior count.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.candidates.starts_folding import Doubles, Integers, Vectors
from homerec.features.tables import Catalog, Rows

#: Starts that are added to both sides of the ratios: of an item anywhere, and in one market.
_ANYWHERE: Final = 60.0
_HERE: Final = 30.0
#: Without a fit: starts elsewhere against those in the market, and starts every item is given.
_ELSEWHERE: Final = 0.05
_PRIOR_STARTS: Final = 0.5
#: Of an item of some hours nobody knows yet how it does on a whole day.
_MIN_AGE_DAYS: Final = 2.0
#: Listeners at a time.
_BLOCK: Final = 512


@dataclass(frozen=True)
class Popularity:
    """What a fit knows of the popularity of its m items; the last row is over all markets.

    Attributes
    ----------
    log_chance : float64 (n_markets + 1, m)
        Log of the chance to be the one started, for a listener without taste, in the long run.
    due : float64 (n_markets + 1, m)
        Starts of the fit's last days that the long run leads one to expect.
    """

    log_chance: Doubles
    due: Doubles

    def at_present(
        self, starts: Doubles, exposure: Doubles, at: Integers, types: Integers, row: Integers
    ) -> Doubles:
        """Correct the long run by what is started at present.

        Parameters
        ----------
        starts : float64 (n, k)
            Starts of the last days of k items in n markets.
        exposure : float64 (k,)
            Share of those days in which the item was there, in (0, 1].
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
            seen = starts[:, own]
            due = self.due[np.ix_(row, at[own])]
            total = due.sum(axis=1, keepdims=True)
            # A market without a start in the fit's last days: what was due everywhere must do.
            due = np.where(total > 0, due, self.due[-1, at[own]])
            total = due.sum(axis=1, keepdims=True)
            due = due * np.divide(
                seen.sum(axis=1, keepdims=True), total, out=np.zeros_like(total), where=total > 0
            )
            due *= exposure[own]
            anywhere = (seen.sum(axis=0) + _ANYWHERE) / (due.sum(axis=0) + _ANYWHERE)
            here = (seen + _HERE) / (due * anywhere + _HERE)
            out[:, own] += np.log(anywhere * here)
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
) -> Popularity:
    """Sum up by market which recent starts were due, by everybody's taste.

    Parameters
    ----------
    started, recent : csr_matrix float64 (n, m)
        What listeners have started, at any time and within the last days.
    types : int64 (m,)
        Ascending from 0, without gaps.
    markets : int64 (n,)
    x : float64 (n, width)
        Places of the listeners, as :func:`homerec.candidates.starts_folding.fold` finds them.
    vectors : Vectors
        Of the m items.
    chance : float64 (n_markets + 1, m)
        From :func:`homerec.candidates.starts_fitting.chances`.
    bias : float64 (m,)
    """
    log_chance = np.log(chance) + bias
    wide = vectors.dense()
    bounds = np.searchsorted(types, np.arange(int(types.max()) + 1))
    due = np.zeros_like(log_chance)
    for start in range(0, started.shape[0], _BLOCK):
        rows = slice(start, start + _BLOCK)
        new = recent[rows].toarray() > 0
        odds = np.exp(x[rows] @ wide.T + log_chance[markets[rows]])
        # What counts as started before the last days began could not be started in them.
        odds[(started[rows].toarray() > 0) & ~new] = 0.0
        total = np.add.reduceat(odds, bounds, axis=1)
        amount = np.add.reduceat(new.astype(np.float64), bounds, axis=1)
        odds *= np.divide(amount, total, out=np.zeros_like(total), where=total > 0)[:, types]
        for market in np.unique(markets[rows]):
            due[market] += odds[markets[rows] == market].sum(axis=0)
    due[-1] = due[:-1].sum(axis=0)
    return Popularity(log_chance, due)


def recent_starts(catalog: Catalog, items: Rows, days: int) -> Doubles:
    """Return the starts of the last 7 or 28 days by market, float64 (n_markets, len(items))."""
    column, starts = f"n_starts_{days}d", np.zeros((len(catalog.markets), len(items)))
    for market in range(len(catalog.markets)):
        starts[market] = catalog.market_column(column, items, np.full(len(items), market))
    return starts


def exposures(catalog: Catalog, items: Rows, days: int) -> Doubles:
    """Share of the last days in which items were there, float64 (len(items),)."""
    age = catalog.columns["age_days"][items].astype(np.float64)
    age = np.where(np.isnan(age), np.inf, np.maximum(age, _MIN_AGE_DAYS))
    return np.asarray(np.minimum(age, days) / days)


def by_starts_alone(starts: Doubles, exposure: Doubles, types: npt.NDArray[np.integer]) -> Doubles:
    """Tell logs of chances where there is no fit: of newer items, starts are all there is.

    Parameters
    ----------
    starts : float64 (n, k)
        Starts of the last days of k items in n markets.
    exposure : float64 (k,)
    types : integer (k,)

    Returns
    -------
    float64 (n, k)
        Chances sum to 1 within a type.
    """
    out = np.zeros_like(starts)
    for kind in np.unique(types):
        own = types == kind
        here = starts[:, own] / exposure[own]
        everywhere = here.sum(axis=0) + _PRIOR_STARTS
        total = np.maximum(here.sum(axis=1, keepdims=True), 1.0)
        here = here + _ELSEWHERE * everywhere * total / everywhere.sum()
        out[:, own] = np.log(here / here.sum(axis=1, keepdims=True))
    return out
