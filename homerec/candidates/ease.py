"""Candidates by a linear item-item model (EASE), which learns what each item adds to the others.

References
----------
Steck 2019, Embarrassingly shallow autoencoders for sparse data.
Steck 2019, Collaborative filtering via high-dimensional regression (keeping few weights per item).
"""

import logging
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from homerec.candidates.base import FitData, Prepared, Query, Top
from homerec.candidates.item_item import ItemItemSource
from homerec.candidates.topk import BLOCK, top_k
from homerec.columns import ITEM_TYPES
from homerec.errors import TrainingError
from homerec.features.tables import Floats, Rows
from homerec.parameters import Count, ItemType, NotNegative, Positive, checked

logger = logging.getLogger(__name__)

_MIN_ITEMS: Final = 2
#: Items whose weights are picked at once; bounds a block to 80 MB at 20,000 items.
_BLOCK: Final = 512

Doubles = npt.NDArray[np.float64]


class EaseSource(ItemItemSource):
    """Ridge regression of every item on all the others, over who has played what, or how much.

    The exact solution needs one dense inverse: of (items, items), or of (listeners, listeners)
    where those are fewer. Time grows with the third power of that side, memory with its square.

    Parameters
    ----------
    l2 : float
        Ridge penalty, in listeners; larger ones trust rare items less.
    n_neighbours : int
        Weights kept per item shown, the largest in absolute value.
    min_listeners : int
        Items with fewer listeners are not modelled.
    max_items : int
        Items modelled at most: those with most listeners. The others get no score, are left to the
        other sources, and the log says how many they are. 10,000 take about 40 s on one core
        and 4 GB.
    column : str
        Column of ``listener_item`` that measures plays; it matters with ``alpha`` above 0 only.
    alpha : float
        A pair weighs 1 + alpha ln(1 + plays), when fitted and when folded in; 0 says only that it
        was played. Weights call for an ``l2`` larger by their square.
    context_types : sequence of str
        Item types whose plays count beside those of the shelf (artists speak for shows).
    """

    name: ClassVar[str] = "ease"

    @checked
    def __init__(
        self,
        *,
        l2: Positive = 200.0,
        n_neighbours: Count = 200,
        min_listeners: Count = 3,
        max_items: Count = 10_000,
        column: str = "n_plays",
        alpha: NotNegative = 0.0,
        context_types: tuple[ItemType, ...] = (),
    ) -> None:
        super().__init__(
            l2=l2,
            n_neighbours=n_neighbours,
            min_listeners=min_listeners,
            max_items=max_items,
            column=column,
            alpha=alpha,
            context_types=list(context_types),
        )
        self._forget()

    def fit(self, data: FitData) -> Self:
        """Solve for the weights and keep the largest of each item shown.

        Raises
        ------
        TrainingError
            Fewer than two items have enough listeners.
        """
        history = self._history(data.item_types)
        items = history.columns(data.catalog)
        parts = [history.matrix(shard, items) for shard in data.shards()]
        matrix = sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((0, len(items)))
        chosen = self._modelled(matrix, history.types)
        matrix = matrix[:, chosen].astype(np.float64)
        matrix = matrix[np.diff(matrix.indptr) > 0]
        items = items[chosen]
        shown = np.isin(data.catalog.types[items], [ITEM_TYPES.index(t) for t in data.item_types])
        # More threads would add in another order, and the weights would differ in their last bits.
        with threadpool_limits(limits=1, user_api="blas"):
            self.similarity_ = solve(
                matrix,
                np.flatnonzero(shown).astype(np.int64),
                self.parameters["l2"],
                self.parameters["n_neighbours"],
            )
        self._types = history.types
        self.from_keys_ = data.catalog.items[items]
        self.to_keys_ = data.catalog.items[items[shown]]
        return self

    def prepare(self, query: Query) -> "PreparedEase":
        """Read the history of each listener of a query."""
        shown = query.shard.catalog.rows(self.to_keys_)
        return PreparedEase(query, shown, self._played(query), self.similarity_)

    def _modelled(self, matrix: sparse.csr_matrix, types: tuple[str, ...]) -> Rows:
        """Columns to model, ascending."""
        listeners = np.bincount(matrix.indices, minlength=matrix.shape[1])
        least, most = self.parameters["min_listeners"], self.parameters["max_items"]
        enough = np.flatnonzero(listeners >= least)
        if len(enough) < _MIN_ITEMS:
            raise TrainingError(
                f"EASE needs {_MIN_ITEMS} items of type {', '.join(types)} with {least} listeners "
                f"each; there are {len(enough)}."
            )
        if len(enough) > most:
            logger.warning(
                "EASE: %d items have %d listeners or more, max_items is %d: the %d with the fewest "
                "get no score and are left to the other sources. Raise max_items if there is time: "
                "it grows with the third power.",
                *(len(enough), least, most, len(enough) - most),
            )
            enough = enough[np.lexsort((enough, -listeners[enough]))[:most]]
        return np.sort(enough).astype(np.int64)


class PreparedEase(Prepared):
    """Histories of the listeners of one query, beside the weights.

    Most items get a score from some item of a history, so blocks of listeners are scored densely,
    and anew for each question: the scores of a whole shard would not be small.
    """

    def __init__(
        self, query: Query, columns: Rows, played: sparse.csr_matrix, weights: sparse.csr_matrix
    ) -> None:
        self._query = query
        self._played = played
        self._known = np.diff(played.indptr) > 0
        self._line = np.full(query.shard.n_listeners, -1, dtype=np.int64)
        self._line[query.rows] = np.arange(len(query.rows))
        # Items that have left the catalog are not shown.
        there = np.flatnonzero(columns >= 0)
        order = there[np.argsort(columns[there], kind="stable")]
        self._items = columns[order]
        self._weights = weights[:, order].tocsr()
        self._column = np.full(len(query.shard.catalog.items) + 1, -1, dtype=np.int64)
        self._column[self._items] = np.arange(len(self._items))

    def top(self, k: int) -> Top:
        """Best k allowed items among those with a positive score."""
        query = self._query
        warm = Query(query.shard, query.rows[self._known], query.item_types, query.seen)

        def block(rows: Rows) -> Floats:
            scores = self._scores(self._line[rows])
            return np.where(scores > 0, scores, np.float32(-np.inf))

        return top_k(warm, self._items, k, block, self.score)

    def score(self, listener: Rows, item: Rows) -> Floats:
        """Sum the weights over the history; NaN for an unknown item or an empty history."""
        line, column = self._line[listener], self._column[item]
        usable = (line >= 0) & (column >= 0)
        usable &= self._known[np.maximum(line, 0)] if len(self._known) else False
        out = np.full(len(listener), np.nan, dtype=np.float32)
        asked = np.flatnonzero(usable)
        asked = asked[np.argsort(line[asked], kind="stable")]
        lines, at = np.unique(line[asked], return_inverse=True)
        for start in range(0, len(lines), BLOCK):
            low, high = np.searchsorted(at, [start, start + BLOCK])
            scores = self._scores(lines[start : start + BLOCK])
            out[asked[low:high]] = scores[at[low:high] - start, column[asked[low:high]]]
        return out

    def _scores(self, lines: Rows) -> Floats:
        """Scores float32 (len(lines), n items); a line's sums do not depend on the other lines."""
        dense: Floats = (self._played[lines] @ self._weights).toarray()
        return dense


def solve(
    matrix: sparse.csr_matrix, shown: Rows, l2: float, n_neighbours: int
) -> sparse.csr_matrix:
    """Weights of the linear model, the largest ones of each item shown.

    Parameters
    ----------
    matrix : csr_matrix float64 (n, m)
        Weight of a pair that was played.
    shown : int64 (s,)
        Columns whose weights are wanted.
    l2 : float
        Ridge penalty, above 0.
    n_neighbours : int
        Weights kept per item shown.

    Returns
    -------
    csr_matrix float32 (m, s)
        B, so that ``matrix @ B`` are the scores; 0 for an item and itself.

    Raises
    ------
    TrainingError
        Rounding made the matrix singular.

    Notes
    -----
    B = -P / diag(P) outside the diagonal, with P = (X'X + l I)^-1. With fewer listeners than items
    P = (I - X'(XX' + l I)^-1 X) / l (Woodbury), so that only (n, n) is inverted.
    """
    n, m = matrix.shape
    transposed = matrix.T.tocsr()
    if n < m:
        half = _inverse((matrix @ transposed).toarray(), l2) @ matrix.toarray()
        diagonal = (1 - np.asarray(matrix.multiply(half).sum(axis=0)).ravel()) / l2
    else:
        half = _inverse((transposed @ matrix).toarray(), l2)
        diagonal = np.diag(half).copy()
    width = min(n_neighbours, m)
    rows, columns, values = [], [], []
    for start in range(0, len(shown), _BLOCK):
        at = shown[start : start + _BLOCK]
        block = (transposed @ half[:, at]) / l2 if n < m else -half[:, at]
        # One line an item shown: picking the largest runs along memory.
        line = np.ascontiguousarray((block / diagonal[at]).T)
        line[np.arange(len(at)), at] = 0
        kept = np.argpartition(np.abs(line), m - width, axis=1)[:, m - width :]
        rows.append(kept.ravel())
        columns.append(np.repeat(start + np.arange(len(at)), width))
        values.append(np.take_along_axis(line, kept, axis=1).ravel())
    if not rows:
        return sparse.csr_matrix((m, 0), dtype=np.float32)
    weights = sparse.csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
        shape=(m, len(shown)),
        dtype=np.float32,
    )
    weights.eliminate_zeros()
    weights.sort_indices()
    return weights


def _inverse(gram: Doubles, l2: float) -> Doubles:
    """Inverse of a Gram matrix plus a ridge, float64, by Cholesky."""
    gram[np.diag_indices_from(gram)] += l2
    factor, failed = linalg.lapack.dpotrf(gram, lower=1, overwrite_a=1)
    inverse, failed_too = linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise TrainingError(
            f"EASE with l2 = {l2} is numerically singular on {len(gram):,} rows (LAPACK says "
            f"{failed or failed_too}). Take a larger l2."
        )
    lower = np.tril(inverse)
    full: Doubles = lower + np.tril(lower, -1).T
    return full
