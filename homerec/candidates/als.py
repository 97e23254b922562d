"""Candidates by matrix factorisation: implicit ALS, with every listener folded in each night.

References
----------
Hu, Koren, Volinsky 2008, Collaborative filtering for implicit feedback datasets.
Takács, Pilászy, Tikk 2011, Applications of the conjugate gradient method for implicit feedback.
"""

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from homerec.candidates.base import CandidateSource, FitData, Prepared, Query, Reasons, Top
from homerec.candidates.history import History
from homerec.candidates.reasons import Doubles, strongest
from homerec.candidates.topk import dot_pairs, top_k
from homerec.errors import TrainingError
from homerec.features.tables import Floats, Keys, Rows
from homerec.parameters import Count, ItemType, NotNegative, checked

_MIN_ITEMS: Final = 2


class AlsSource(CandidateSource):
    """Implicit ALS over the shelf's item types and, if asked, others that speak for taste.

    Parameters
    ----------
    factors : int
        Dimensions of the factors.
    regularization : float
        L2 weight.
    alpha : float
        See :class:`homerec.candidates.history.History`.
    iterations : int
        Alternations.
    column : str
        Column of ``listener_item`` that measures plays.
    context_types : sequence of str
        Item types that are factorised too but never shown.
    min_listeners : int
        Items with fewer listeners get no factor.

    Attributes
    ----------
    item_keys_ : int32 (m,)
        Keys of the items with a factor, ascending.
    item_factors_ : float32 (m, factors)
    """

    name: ClassVar[str] = "als"

    @checked
    def __init__(
        self,
        *,
        factors: Count = 32,
        regularization: NotNegative = 1.0,
        alpha: NotNegative = 4.0,
        iterations: Count = 15,
        column: str = "decay_60d",
        context_types: tuple[ItemType, ...] = (),
        min_listeners: Count = 3,
    ) -> None:
        super().__init__(
            factors=factors,
            regularization=regularization,
            alpha=alpha,
            iterations=iterations,
            column=column,
            context_types=list(context_types),
            min_listeners=min_listeners,
        )
        self.item_keys_: Keys = np.zeros(0, dtype=np.int32)
        self.item_factors_: Floats = np.zeros((0, factors), dtype=np.float32)
        self._types: tuple[str, ...] = ()

    def fit(self, data: FitData) -> Self:
        """Factorise the history of every listener.

        Raises
        ------
        TrainingError
            Fewer than two items have enough listeners.
        """
        history = self._history(data.item_types)
        items = history.columns(data.catalog)
        parts = [history.matrix(shard, items) for shard in data.shards()]
        matrix = sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((0, len(items)))
        popular = (
            np.bincount(matrix.indices, minlength=len(items)) >= self.parameters["min_listeners"]
        )
        if popular.sum() < _MIN_ITEMS:
            raise TrainingError(
                f"ALS needs {_MIN_ITEMS} items of type {', '.join(history.types)} with "
                f"{self.parameters['min_listeners']} listeners each; there are "
                f"{int(popular.sum())}."
            )
        with threadpool_limits(limits=1, user_api="blas"):
            model = self._model(data.seed, data.n_threads)
            model.fit(matrix[:, popular].tocsr(), show_progress=False)
        self._types = history.types
        self.item_keys_ = data.catalog.items[items[popular]]
        self.item_factors_ = np.ascontiguousarray(model.item_factors, dtype=np.float32)
        return self

    def prepare(self, query: Query) -> "PreparedAls":
        """Fold the listeners of a query into the item factors."""
        columns, matrix = self._matrix(query)
        known = np.diff(matrix.indptr) > 0
        return PreparedAls(query, columns, self._fold(matrix), known, self.item_factors_)

    @property
    def types(self) -> tuple[str, ...]:
        """Item types that were factorised."""
        return self._types

    def places(self, query: Query) -> Floats:
        """Factors of the listeners of a query, float32 (len(query.rows), factors)."""
        return self._fold(self._matrix(query)[1])

    def explain(
        self, query: Query, listener: Rows, item: Rows, barred: npt.NDArray[np.bool_]
    ) -> Reasons:
        """Name the item of the listener's history that adds most to the score.

        With A the matrix that the listener's factors solve, the score of item i is the sum over
        the history of c_j y_i' A^-1 y_j, and its largest part explains it.

        References
        ----------
        Hu, Koren, Volinsky 2008, section 5, Explaining recommendations.
        """
        catalog = query.shard.catalog
        columns = catalog.rows(self.item_keys_)
        rows, line = np.unique(listener, return_inverse=True)
        history = self._history(self._types).matrix(query.shard, columns, rows)
        factor_of = np.full(len(catalog.items) + 1, -1, dtype=np.int64)
        factor_of[columns] = np.arange(len(columns))
        factor_of[-1] = -1
        asked = factor_of[item]
        wide = self.item_factors_.astype(np.float64)
        gram = wide.T @ wide + self.parameters["regularization"] * np.eye(wide.shape[1])

        def parts(played: Rows, confidence: Doubles, at: Rows) -> Doubles:
            mine = wide[played]
            solved = np.linalg.solve(
                gram + (mine.T * (confidence - 1)) @ mine, wide[asked[known[at]]].T
            )
            added: Doubles = confidence[:, None] * (mine @ solved)
            return added

        known = np.flatnonzero(asked >= 0)
        best = np.full(len(listener), -1, dtype=np.int64)
        with threadpool_limits(limits=1, user_api="blas"):
            best[known] = strongest(history, columns, barred, line[known], item[known], parts)
        return Reasons.of_items(query.shard, listener, best)

    def save(self, folder: Path) -> None:
        """Write the item factors; listeners' factors are never kept."""
        np.savez(
            folder / "als.npz",
            item_keys=self.item_keys_,
            item_factors=self.item_factors_,
            types=np.array(self._types),
        )

    def load(self, folder: Path) -> Self:
        """Read the item factors."""
        with np.load(folder / "als.npz", allow_pickle=False) as arrays:
            self.item_keys_ = arrays["item_keys"]
            self.item_factors_ = arrays["item_factors"]
            self._types = tuple(str(t) for t in arrays["types"])
        return self

    def _matrix(self, query: Query) -> tuple[Rows, sparse.csr_matrix]:
        """Catalog rows of the items with a factor, and the confidence of a query's listeners."""
        columns = query.shard.catalog.rows(self.item_keys_)
        history = self._history(self._types)
        return columns, history.matrix(query.shard, columns, query.rows)

    def _fold(self, matrix: sparse.csr_matrix) -> Floats:
        with threadpool_limits(limits=1, user_api="blas"):
            model = self._model(seed=0, n_threads=1)
            model.item_factors = self.item_factors_
            factors: Floats = model.recalculate_user(np.arange(matrix.shape[0]), matrix)
        return factors

    def _history(self, item_types: tuple[str, ...]) -> History:
        types = dict.fromkeys([*item_types, *self.parameters["context_types"]])
        return History(tuple(types), self.parameters["column"], self.parameters["alpha"])

    def _model(self, seed: int, n_threads: int) -> AlternatingLeastSquares:
        # alpha is in the matrix already.
        return AlternatingLeastSquares(
            factors=self.parameters["factors"],
            regularization=self.parameters["regularization"],
            alpha=1.0,
            iterations=self.parameters["iterations"],
            num_threads=n_threads,
            random_state=seed,
        )


class PreparedAls(Prepared):
    """Listeners' factors beside the items'."""

    def __init__(
        self,
        query: Query,
        columns: Rows,
        factors: Floats,
        known: np.ndarray[tuple[int], np.dtype[np.bool_]],
        item_factors: Floats,
    ) -> None:
        self._query = query
        self._factors = factors
        self._known = known
        self._item_factors = item_factors
        self._line = np.full(query.shard.n_listeners, -1, dtype=np.int64)
        self._line[query.rows] = np.arange(len(query.rows))
        self._factor_row = np.full(len(query.shard.catalog.items) + 1, -1, dtype=np.int64)
        self._factor_row[columns] = np.arange(len(columns))
        self._factor_row[-1] = -1
        shown = np.isin(columns, query.items)
        self._shown = columns[shown]
        self._shown_factors = item_factors[shown]

    def top(self, k: int) -> Top:
        """Best k items of the shelf's types; listeners with no history get none."""
        query = self._query
        warm = Query(query.shard, query.rows[self._known], query.item_types, query.seen)
        order = np.argsort(self._shown)
        transposed = np.ascontiguousarray(self._shown_factors[order].T)

        def block(rows: Rows) -> Floats:
            return self._factors[self._line[rows]] @ transposed

        return top_k(warm, self._shown[order], k, block, self.score)

    def score(self, listener: Rows, item: Rows) -> Floats:
        """Inner product of the factors; NaN where the listener or the item has none."""
        line, factor = self._line[listener], self._factor_row[item]
        usable = (line >= 0) & (factor >= 0)
        usable &= self._known[np.maximum(line, 0)] if len(self._known) else False
        out = np.full(len(listener), np.nan, dtype=np.float32)
        out[usable] = dot_pairs(self._factors, self._item_factors, line[usable], factor[usable])
        return out
