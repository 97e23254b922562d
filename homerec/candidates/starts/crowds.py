"""What is kept of a market: only what 20 listeners or more have in common.

An artifact holds no listener. A sum over a few of them would tell of each, and so would the
difference of two sums; so who is of a small market counts for all markets only if there are enough
of their kind.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.candidates.starts.vectors import Integers

Bools = npt.NDArray[np.bool_]

#: Fewer are nobody else's business.
LEAST_LISTENERS: Final = 20


class Crowds(NamedTuple):
    """Of whom something is kept.

    Attributes
    ----------
    markets : bool (n_markets,)
        Those with enough listeners.
    counted : bool (n,)
        Listeners that count for all markets together: those of these markets, and all others if
        there are enough of them.
    """

    markets: Bools
    counted: Bools

    @classmethod
    def of(cls, there: Bools, markets: Integers, n_markets: int) -> "Crowds":
        """Count listeners by market.

        Parameters
        ----------
        there : bool (n,)
            Who has something to tell.
        markets : int64 (n,)
        n_markets : int
        """
        listeners = np.bincount(markets[there], minlength=n_markets)
        enough = listeners >= LEAST_LISTENERS
        others = int(listeners[~enough].sum())
        return cls(enough, there & (enough[markets] | (others >= LEAST_LISTENERS)))

    @classmethod
    def of_starters(cls, started: sparse.csr_matrix, markets: Integers, n_markets: int) -> "Crowds":
        """Count those who started any of some items, csr_matrix (n, m)."""
        return cls.of(started.getnnz(axis=1) > 0, markets, n_markets)
