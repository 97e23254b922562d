"""Which of a listener's own items speaks most for a card, where a score is a sum over them."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.features.tables import Rows

Doubles = npt.NDArray[np.float64]


def strongest(
    history: sparse.csr_matrix,
    columns: Rows,
    barred: npt.NDArray[np.bool_],
    line: Rows,
    item: Rows,
    parts: Callable[[Rows, Doubles, Rows], Doubles],
) -> Rows:
    """Find the own item with the largest positive part in the score of each pair.

    Parameters
    ----------
    history : csr_matrix (n, m)
        Weight of each listener's own items.
    columns : int64 (m,)
        Their catalog rows; -1 for one that the catalog does not have.
    barred : bool (n_items,)
        Catalog rows that no reason may name.
    line, item : int64 (p,)
        The pairs: row of the listener in ``history``, catalog row of the card.
    parts : callable
        Given positions of a listener's own items (q,), their weights (q,) and positions of pairs
        (r,), what each item adds to each pair's score, float64 (q, r).

    Returns
    -------
    int64 (p,)
        Catalog rows; -1 where nothing speaks for the pair. Of equal ones, the first in ``history``.
    """
    usable = ~np.append(barred, True)[columns]
    best = np.full(len(line), -1, dtype=np.int64)
    order = np.argsort(line, kind="stable")
    rows, cuts = np.unique(line[order], return_index=True)
    for row, at in zip(rows, np.split(order, cuts)[1:], strict=True):
        own = slice(history.indptr[row], history.indptr[row + 1])
        mine = history.indices[own]
        if len(mine) == 0:
            continue
        added = parts(mine, history.data[own].astype(np.float64), at)
        # An item is no reason for itself.
        added[~usable[mine][:, None] | (columns[mine][:, None] == item[at])] = -np.inf
        top = added.argmax(axis=0)
        good = added[top, np.arange(len(at))] > 0
        best[at[good]] = columns[mine[top[good]]]
    return best
