"""Candidates by a model of what a listener starts next: popularity times taste, in logarithms.

ALS asks how much somebody plays an item; this asks which item is started when something new is
tried. A start of a type is drawn from all items of the type, by their popularity in the market
times exp(listener' item). An item's vector has learned factors, which its tags and its language
predict (so a new item has some too), and those attributes themselves, so that a listener may like
a tag or follow a language for no other reason. Sign-up picks are starts; whoever has started
nothing gets what the market starts.

References
----------
Canny 2004, GaP: a factor model for discrete data.
Gopalan, Hofman, Blei 2015, Scalable recommendation with hierarchical Poisson factorization.
Agarwal, Chen 2009, Regression-based latent factor models (factors around what attributes say).
"""

from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from homerec.candidates.base import CandidateSource, FitData, Prepared, Query, Reasons, Top
from homerec.candidates.starts_fitting import Attributes, Chooser, chances, common, fit_items
from homerec.candidates.starts_folding import Doubles, Integers, Support, Vectors, fold
from homerec.candidates.topk import dot_pairs, top_k
from homerec.columns import ITEM_TYPES
from homerec.errors import TrainingError
from homerec.features.tables import Catalog, Floats, Keys, Rows, Shard, find

_MIN_ITEMS: Final = 2
#: A play of a track counts for its artist too, whatever was started: weak evidence of taste.
_WEIGHTS: Final = {"artist": 0.2, "playlist": 1.0, "show": 1.0}
#: Starts elsewhere against those in the market, and starts that every item is given.
_ELSEWHERE: Final = 0.05
_PRIOR_STARTS: Final = 0.5


class StartsSource(CandidateSource):
    """A log-bilinear model of the items that listeners start, of all types together.

    Parameters
    ----------
    factors : int
        Learned factors of an item.
    precision : float
        Of the factors around what tags and language say; larger ones trust items less.
    tag_strength, language_strength : float
        Standard deviation, over listeners, of what a tag or a language adds to the log of a chance.
    weights : dict of str to float
        What a start of each item type counts, in [0, 1]. The shelf's own types count 1 unless they
        stand here; others that are left out are not read.
    iterations : int
        Alternations between items and listeners.
    column : str
        Column of ``item`` and ``item_market`` that says what is started at present.
    min_listeners : int
        Items with fewer get the factors that their attributes say.
    max_items, max_listeners, max_support : int
        Bounds of a fit: items with factors of their own (those with most listeners), listeners it
        learns from, items of a type that stand for all of them in a listener's sums.
    max_tags : int
        Tags that are attributes: the most common ones.

    Attributes
    ----------
    item_keys_ : int32 (m,)
        Keys of the items with factors of their own.
    factors_ : float64 (m, factors)
    of_attributes_ : float64 (n_attributes, factors)
    """

    name: ClassVar[str] = "starts"

    def __init__(
        self,
        *,
        factors: int = 8,
        precision: float = 15.0,
        tag_strength: float = 0.5,
        language_strength: float = 1.0,
        weights: dict[str, float] | None = None,
        iterations: int = 15,
        column: str = "n_starts_28d",
        min_listeners: int = 3,
        max_items: int = 10_000,
        max_listeners: int = 20_000,
        max_support: int = 512,
        max_tags: int = 64,
    ) -> None:
        super().__init__(
            factors=factors,
            precision=precision,
            tag_strength=tag_strength,
            language_strength=language_strength,
            weights=dict(_WEIGHTS if weights is None else weights),
            iterations=iterations,
            column=column,
            min_listeners=min_listeners,
            max_items=max_items,
            max_listeners=max_listeners,
            max_support=max_support,
            max_tags=max_tags,
        )
        self.item_keys_: Keys = np.zeros(0, dtype=np.int32)
        self.factors_: Doubles = np.zeros((0, factors))
        self.of_attributes_: Doubles = np.zeros((0, factors))
        self._weights: dict[str, float] = {}
        self._types: Integers = np.zeros(0, dtype=np.int64)
        self._shares: Doubles = np.zeros((0, 0))
        self._attributes = self._named((), ())
        self._markets: tuple[str, ...] = ()
        self._chooser = Chooser(self._types, np.zeros(1, dtype=np.int64), np.zeros(0))
        self._support_weight: Doubles = np.zeros((1, 0))

    def fit(self, data: FitData) -> Self:
        """Learn the items' factors from who has started what.

        Raises
        ------
        TrainingError
            Fewer than two items have enough listeners.
        """
        rng = np.random.default_rng(data.seed)
        catalog = data.catalog
        self._weights = {**dict.fromkeys(data.item_types, 1.0), **self.parameters["weights"]}
        items, started, markets = self._gather(data)
        kinds = catalog.types[items]
        order = np.argsort(kinds, kind="stable")
        items, started = items[order], started[:, order].tocsr()
        types = np.unique(kinds[order], return_inverse=True)[1].astype(np.int64)
        attributes = self._named(
            common(catalog.tags, catalog.item_tags.sum(axis=0), self.parameters["max_tags"]),
            tuple(catalog.language_names),
        )
        shares = attributes.shares(catalog, items)
        chance = chances(started, types, markets, len(catalog.markets))
        chooser = Chooser.draw(chance.max(axis=0), types, self.parameters["max_support"], rng)
        # More threads would add in another order, and the factors would differ in their last bits.
        with threadpool_limits(limits=1, user_api="blas"):
            fitted = fit_items(
                started,
                types,
                markets,
                chance,
                shares,
                attributes,
                k=self.parameters["factors"],
                precision=self.parameters["precision"],
                iterations=self.parameters["iterations"],
                rng=rng,
                support=chooser,
            )
        vectors = attributes.vectors(fitted.factors, shares)
        self.item_keys_, self._types, self._shares = catalog.items[items], types, shares
        self.factors_, self.of_attributes_ = fitted.factors, fitted.of_attributes
        self._attributes, self._markets = attributes, tuple(catalog.markets)
        self._chooser = chooser
        self._support_weight = chooser.of(vectors, chance, fitted.bias).weight
        return self

    def prepare(self, query: Query) -> "PreparedStarts":
        """Find the place of each listener of a query among the items."""
        shard = query.shard
        catalog = shard.catalog
        columns = catalog.rows(self.item_keys_)
        vectors = self._vectors()
        chosen = vectors.take(self._chooser.items)
        place = {name: number for number, name in enumerate(self._markets)}
        number = np.array([place.get(name, -1) for name in catalog.markets], dtype=np.int64)
        x = fold(
            self._started(shard, columns)[query.rows],
            self._types,
            vectors,
            Support(chosen, self._chooser.bounds, self._support_weight),
            number[shard.markets[query.rows]],
        )
        return PreparedStarts(
            query, x.astype(np.float32), self._of_items(query), self._present(query)
        )

    def explain(
        self, query: Query, listener: Rows, item: Rows, barred: npt.NDArray[np.bool_]
    ) -> Reasons:
        """Name the listener's start that speaks most for the item.

        The first step from no taste at all is the sum of the starts' vectors, each less the mean
        of its type; the start whose part in the item's score is largest explains it.
        """
        catalog = query.shard.catalog
        columns = catalog.rows(self.item_keys_)
        wide = self._vectors().dense()
        apart = wide - self._means(wide)[self._types]
        place = np.full(len(catalog.items), -1, dtype=np.int64)
        place[query.items] = np.arange(len(query.items))
        shown = self._of_items(query).astype(np.float64)
        started = self._started(query.shard, columns)
        usable = ~np.append(barred, True)[columns]
        order = np.argsort(listener, kind="stable")
        rows, cuts = np.unique(listener[order], return_index=True)
        best = np.full(len(listener), -1, dtype=np.int64)
        ends = np.append(cuts, len(order))[1:]
        for row, low, high in zip(rows, cuts, ends, strict=True):
            at = order[low:high]
            own = slice(started.indptr[row], started.indptr[row + 1])
            mine = started.indices[own]
            at = at[place[item[at]] >= 0]
            if len(mine) == 0 or len(at) == 0:
                continue
            # Summed pair by pair, so that a part does not depend on what else is asked.
            parts = (apart[mine][:, None, :] * shown[place[item[at]]][None]).sum(axis=2)
            parts *= started.data[own][:, None]
            # An item is no reason for itself.
            parts[~usable[mine][:, None] | (columns[mine][:, None] == item[at])] = -np.inf
            top = parts.argmax(axis=0)
            good = parts[top, np.arange(len(at))] > 0
            best[at[good]] = columns[mine[top[good]]]
        return Reasons.of_items(query.shard, listener, best)

    def save(self, folder: Path) -> None:
        """Write the items' side; listeners are never kept."""
        np.savez(
            folder / f"{self.name}.npz",
            weights=np.array([self._weights.get(t, 0.0) for t in ITEM_TYPES]),
            item_keys=self.item_keys_,
            factors=self.factors_,
            of_attributes=self.of_attributes_,
            types=self._types,
            shares=self._shares,
            tags=np.array(self._attributes.tags, dtype=np.str_),
            languages=np.array(self._attributes.languages, dtype=np.str_),
            markets=np.array(self._markets, dtype=np.str_),
            support=self._chooser.items,
            bounds=self._chooser.bounds,
            support_weight=self._support_weight,
        )

    def load(self, folder: Path) -> Self:
        """Read the items' side."""
        with np.load(folder / f"{self.name}.npz", allow_pickle=False) as arrays:
            self.item_keys_, self.factors_ = arrays["item_keys"], arrays["factors"]
            self.of_attributes_ = arrays["of_attributes"]
            self._weights = dict(zip(ITEM_TYPES, arrays["weights"].tolist(), strict=True))
            self._types, self._shares = arrays["types"], arrays["shares"]
            self._attributes = self._named(
                tuple(str(t) for t in arrays["tags"]), tuple(str(t) for t in arrays["languages"])
            )
            self._markets = tuple(str(m) for m in arrays["markets"])
            self._support_weight = arrays["support_weight"]
            # How likely an item was to be chosen is in the weights already.
            self._chooser = Chooser(
                arrays["support"], arrays["bounds"], np.ones(len(arrays["support"]))
            )
        return self

    def _vectors(self) -> Vectors:
        return self._attributes.vectors(self.factors_, self._shares)

    def _means(self, wide: Doubles) -> Doubles:
        """Mean vector of each type by what all markets start, float64 (n_types, width)."""
        bounds, weight = self._chooser.bounds, self._support_weight[-1]
        parts = []
        for low, high in pairwise(bounds):
            at = self._chooser.items[low:high]
            parts.append((weight[low:high, None] * wide[at]).sum(axis=0) / weight[low:high].sum())
        return np.stack(parts)

    def _named(self, tags: tuple[str, ...], languages: tuple[str, ...]) -> Attributes:
        return Attributes(
            tags,
            languages,
            self.parameters["tag_strength"],
            self.parameters["language_strength"],
        )

    def _gather(self, data: FitData) -> tuple[Rows, sparse.csr_matrix, Rows]:
        """Items with enough listeners, who started them, and the listeners' markets."""
        catalog = data.catalog
        read = [ITEM_TYPES.index(name) for name, weight in self._weights.items() if weight > 0]
        items = np.flatnonzero(np.isin(catalog.types, read)).astype(np.int64)
        parts, of_market = [], []
        for shard in data.shards():
            parts.append(self._started(shard, items))
            of_market.append(shard.markets.astype(np.int64))
        empty = sparse.csr_matrix((0, len(items)))
        started = sparse.vstack(parts, format="csr") if parts else empty
        markets = np.concatenate(of_market) if of_market else np.zeros(0, dtype=np.int64)
        listeners = np.bincount(started.indices, minlength=len(items))
        enough = np.flatnonzero(listeners >= self.parameters["min_listeners"])
        if len(enough) < _MIN_ITEMS:
            raise TrainingError(
                f"The model of starts needs {_MIN_ITEMS} items of type "
                f"{', '.join(self._weights)} with "
                f"{self.parameters['min_listeners']} listeners each; there are {len(enough)}. Take "
                "a longer history or more listeners."
            )
        enough = enough[np.lexsort((enough, -listeners[enough]))[: self.parameters["max_items"]]]
        enough.sort()
        rows = np.flatnonzero(np.diff(started.indptr) > 0)
        if len(rows) > self.parameters["max_listeners"]:
            rng = np.random.default_rng(data.seed)
            rows = np.sort(rng.choice(rows, self.parameters["max_listeners"], replace=False))
        return items[enough], started[rows][:, enough].tocsr(), markets[rows]

    def _started(self, shard: Shard, items: Rows) -> sparse.csr_matrix:
        """Weight of each listener's start of each item, csr_matrix float64 (n, len(items))."""
        catalog = shard.catalog
        column = np.full(len(catalog.items) + 1, -1, dtype=np.int64)
        column[items] = np.arange(len(items))
        column[-1] = -1
        weights = np.array([self._weights.get(t, 0.0) for t in ITEM_TYPES])
        listener = np.concatenate([shard.pair_listener, shard.pick_listener])
        item = np.concatenate([shard.pair_item, shard.pick_item])
        # A pick is a start beyond doubt.
        weight = np.concatenate(
            [weights[catalog.types[shard.pair_item]], np.ones(len(shard.pick_item))]
        )
        kept = (column[item] >= 0) & (weight > 0)
        matrix = sparse.csr_matrix(
            (weight[kept], (listener[kept], column[item[kept]])),
            shape=(shard.n_listeners, len(items)),
        )
        matrix.sum_duplicates()
        np.minimum(matrix.data, 1.0, out=matrix.data)
        return matrix

    def _of_items(self, query: Query) -> Floats:
        """Vectors of the query's items, float32 (n, width), also of items newer than the fit."""
        catalog = query.shard.catalog
        shares = self._attributes.shares(catalog, query.items)
        factors = shares @ self.of_attributes_
        order = np.argsort(self.item_keys_)
        at = find(self.item_keys_[order], catalog.items[query.items])
        factors[at >= 0] = self.factors_[order[at[at >= 0]]]
        return self._attributes.vectors(factors, shares).dense().astype(np.float32)

    def _present(self, query: Query) -> Floats:
        """Log of what the markets start at present, float32 (n_markets, len(query.items))."""
        catalog, items, column = query.shard.catalog, query.items, self.parameters["column"]
        out = np.zeros((len(catalog.markets), len(items)), dtype=np.float32)
        for kind in np.unique(catalog.types[items]):
            own = catalog.types[items] == kind
            everywhere = _column(catalog, column, items[own]) + _PRIOR_STARTS
            for market in range(len(catalog.markets)):
                here = catalog.market_column(column, items[own], np.full(own.sum(), market))
                total = max(float(here.sum()), 1.0)
                starts = here + _ELSEWHERE * everywhere * total / everywhere.sum()
                out[market, own] = np.log(starts / starts.sum())
        return out


def _column(catalog: Catalog, column: str, items: Rows) -> Doubles:
    """Sum of an ``item_market`` column over the markets, float64 (len(items),)."""
    total = np.zeros(len(items))
    for market in range(len(catalog.markets)):
        total += catalog.market_column(column, items, np.full(len(items), market))
    return total


class PreparedStarts(Prepared):
    """Places of the listeners beside the items' vectors and what the markets start."""

    def __init__(self, query: Query, x: Floats, vectors: Floats, present: Floats) -> None:
        self._query, self._x, self._vectors, self._present = query, x, vectors, present
        self._line = np.full(query.shard.n_listeners, -1, dtype=np.int64)
        self._line[query.rows] = np.arange(len(query.rows))
        self._column = np.full(len(query.shard.catalog.items), -1, dtype=np.int64)
        self._column[query.items] = np.arange(len(query.items))

    def top(self, k: int) -> Top:
        """Best k allowed items, for everybody: without starts those that the market starts."""
        query, markets = self._query, self._query.shard.markets
        transposed = np.ascontiguousarray(self._vectors.T)

        def block(rows: Rows) -> Floats:
            scores: Floats = self._x[self._line[rows]] @ transposed + self._present[markets[rows]]
            return scores

        return top_k(query, query.items, k, block, self.score)

    def score(self, listener: Rows, item: Rows) -> Floats:
        """Log of the chance up to a constant of the listener; NaN for other types of items."""
        line, column = self._line[listener], self._column[item]
        usable = (line >= 0) & (column >= 0)
        out = np.full(len(listener), np.nan, dtype=np.float32)
        line, column = line[usable], column[usable]
        taste = dot_pairs(self._x, self._vectors, line, column)
        out[usable] = taste + self._present[self._query.shard.markets[listener[usable]], column]
        return out
