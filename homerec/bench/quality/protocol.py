"""The protocol that every contender on real data is judged by.

All items of the catalog are ranked, items of the listener's training pairs are left out, and the
first k are compared with the held-out pairs. Peers and the product answer for the same listeners.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.errors import HomerecError
from homerec.training.metrics import Ranked, list_metrics

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Listeners scored at once: 80 MB of scores at 20,000 items.
_BLOCK: Final = 1024

#: Positions of eligible listeners (b,) to scores float32 (b, n_items).
Scores = Callable[[Ints], Floats]


class ProtocolError(HomerecError, ValueError):
    """A split or a ranking that cannot be judged."""


@dataclass(frozen=True)
class Split:
    """Training pairs, held-out pairs, and the listeners to be judged.

    Attributes
    ----------
    name : str
        For people and for the cache.
    n_listeners, n_items : int
        Sizes; listeners and items are numbered from 0.
    listener, item : int64 (n,)
        Training pairs, each once.
    plays : float32 (n,)
        Plays of each pair, 1 where the data only says that there was one.
    age_days : float32 (n,)
        Days from the pair to the split; 0 where the data has no times.
    test_listener, test_item : int64 (m,)
        Held-out pairs of the eligible listeners, none of them a training pair.
    """

    name: str
    n_listeners: int
    n_items: int
    listener: Ints
    item: Ints
    plays: Floats
    age_days: Floats
    test_listener: Ints
    test_item: Ints

    def __post_init__(self) -> None:
        """Check that nothing held out is trained on."""
        if len(self.test_listener) == 0:
            raise ProtocolError(f"Split {self.name} holds no pair out: there is nothing to judge.")
        known = np.unique(self.listener * self.n_items + self.item)
        if len(known) != len(self.listener):
            raise ProtocolError(
                f"Split {self.name}: {len(self.listener) - len(known)} training pairs are there "
                "twice; each pair may be there once."
            )
        leaked = np.isin(self.test_listener * self.n_items + self.test_item, known).sum()
        if leaked:
            raise ProtocolError(
                f"Split {self.name}: {leaked} held-out pairs are training pairs; none may be."
            )

    @cached_property
    def eligible(self) -> Ints:
        """Listeners with a held-out pair, ascending."""
        return np.unique(self.test_listener)

    def matrix(self, values: Floats | None = None) -> sparse.csr_matrix:
        """Training pairs as csr_matrix float32 (n_listeners, n_items), by default of ones."""
        data = np.ones(len(self.item), dtype=np.float32) if values is None else values
        return sparse.csr_matrix(
            (data, (self.listener, self.item)), shape=(self.n_listeners, self.n_items)
        )

    def top(self, scores: Scores, k: int) -> Ints:
        """Rank every item for every eligible listener.

        Parameters
        ----------
        scores : callable
            Gives the scores of a block of eligible listeners.
        k : int
            Items per listener.

        Returns
        -------
        int64 (len(eligible), k)
            Items best first, ties to the lower number; -1 where there are fewer than k.
        """
        seen = self.matrix()
        parts = []
        for start in range(0, len(self.eligible), _BLOCK):
            rows = self.eligible[start : start + _BLOCK]
            block = np.array(scores(rows), dtype=np.float32)
            own = seen[rows].tocoo()
            block[own.row, own.col] = -np.inf
            parts.append(_best(block, k))
        return np.concatenate(parts)

    def judge(self, top: Ints) -> dict[str, Doubles]:
        """Metrics of each eligible listener.

        Parameters
        ----------
        top : int64 (len(eligible), k)
            What :meth:`top` gives.

        Returns
        -------
        dict of str to float64 (len(eligible),)
            ``ndcg`` and ``recall`` at k among them (:mod:`homerec.training.metrics`).
        """
        if top.shape[0] != len(self.eligible):
            raise ProtocolError(
                f"Split {self.name}: rankings of {top.shape[0]} listeners, {len(self.eligible)} "
                "are judged."
            )
        held = np.unique(self.test_listener * self.n_items + self.test_item)
        keys = self.eligible[:, None] * self.n_items + top
        hit = np.isin(keys, held) & (top >= 0)
        k = top.shape[1]
        counts = np.bincount(np.searchsorted(self.eligible, held // self.n_items))
        ranked = Ranked(
            lists=np.repeat(np.arange(len(top)), k),
            rank=np.tile(np.arange(1, k + 1, dtype=np.float32), len(top)),
            hit=hit.ravel(),
            n_relevant=counts.astype(np.int64),
        )
        return list_metrics(ranked, k)


def _best(block: Floats, k: int) -> Ints:
    """Columns of the k largest scores of each line, -1 where the score is not finite."""
    n = block.shape[1]
    width = min(k, n)
    kth = np.partition(block, n - width, axis=1)[:, n - width]
    out = np.full((len(block), k), -1, dtype=np.int64)
    for line, floor in enumerate(kth):
        columns = np.flatnonzero((block[line] >= floor) & np.isfinite(block[line]))
        order = np.lexsort((columns, -block[line, columns]))[:k]
        out[line, : len(order)] = columns[order]
    return out
