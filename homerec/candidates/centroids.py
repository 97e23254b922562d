"""Candidates for listeners of whom little is known: where listeners like them stand.

Whoever has played much has a place of their own among the ALS factors. These places are clustered;
a new listener is put at the mean of the clusters' centres, each weighed by how probable it is given
the listener's market and the few items picked at sign-up or played so far.

References
----------
Briand, Salha-Galvan, Bendada, Morlon, Tran 2021, A Semi-Personalized System for User Cold Start
Recommendation on Music Streaming Apps, KDD (clusters of warm listeners; a new one is put among
them by what is known at sign-up). Here a multinomial naive Bayes takes the neural network's place.
"""

import logging
from pathlib import Path
from typing import Annotated, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import sparse
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from homerec.candidates.als import AlsSource
from homerec.candidates.base import CandidateSource, FitData, Prepared, Query, Top
from homerec.candidates.history import History
from homerec.candidates.topk import dot_pairs, top_k
from homerec.features.tables import Floats, Rows
from homerec.parameters import Count, ItemType, NotNegative, Number, checked

logger = logging.getLogger(__name__)

Doubles = npt.NDArray[np.float64]

#: Listeners of a market that each cluster is given besides its own, spread like all listeners.
_PRIOR_LISTENERS: Final = 5.0
#: Starts that each cluster is given besides its own, spread like all starts.
_PRIOR_STARTS: Final = 50.0
_BLOCK: Final = 4096


class CentroidsSource(CandidateSource):
    """Weighted centroid of clusters of known listeners, for those with few items so far.

    Parameters
    ----------
    clusters : int
        At most; never more than a tenth of the known listeners.
    known_items : int
        Listeners with this many items or more are the known ones, who are clustered.
    few_items : int
        Listeners with this many items or more get no candidates here.
    trust : float
        Power of the evidence of each item, in (0, 1]: items of one listener are not independent.
    factors, regularization, alpha, column, context_types, min_listeners
        Of the ALS model that the places are taken from, see
        :class:`homerec.candidates.als.AlsSource`.

    Attributes
    ----------
    centroids_ : float64 (n_clusters, factors)
    of_market_ : float64 (n_markets + 1, n_clusters)
        Log of the share of each cluster; the last row is for markets that are not known.
    of_item_ : float64 (m, n_clusters)
        Log of how much likelier an item is in a cluster than among all known listeners, for the
        items of the ALS model.
    """

    name: ClassVar[str] = "centroids"

    @checked
    def __init__(
        self,
        *,
        clusters: Count = 32,
        known_items: Count = 15,
        few_items: Number = 15,
        trust: Annotated[float, Field(gt=0, le=1, strict=True)] = 0.7,
        factors: Count = 12,
        regularization: NotNegative = 10.0,
        alpha: NotNegative = 10.0,
        column: str = "decay_60d",
        context_types: tuple[ItemType, ...] = ("artist", "show"),
        min_listeners: Count = 3,
    ) -> None:
        super().__init__(
            clusters=clusters,
            known_items=known_items,
            few_items=few_items,
            trust=trust,
            factors=factors,
            regularization=regularization,
            alpha=alpha,
            column=column,
            context_types=list(context_types),
            min_listeners=min_listeners,
        )
        self._als = self._new_als()
        self._markets: tuple[str, ...] = ()
        self.centroids_: Doubles = np.zeros((0, factors))
        self.of_market_: Doubles = np.zeros((1, 0))
        self.of_item_: Doubles = np.zeros((0, 0))

    def fit(self, data: FitData) -> Self:
        """Cluster the known listeners and count what each cluster starts.

        With fewer than ten known listeners there are no clusters, which is logged.

        Raises
        ------
        TrainingError
            Fewer than two items have enough listeners.
        """
        self._als = self._new_als().fit(data)
        places, started, markets = [], [], []
        for shard in data.shards():
            everyone = np.arange(shard.n_listeners, dtype=np.int64)
            query = Query(shard, everyone, data.item_types)
            tried = self._started(query)
            known = np.flatnonzero(np.diff(tried.indptr) >= self.parameters["known_items"])
            if len(known):
                places.append(self._als.places(Query(shard, known, data.item_types)))
                started.append(tried[known])
                markets.append(shard.markets[known].astype(np.int64))
        self._markets = tuple(data.catalog.markets)
        n = sum(len(part) for part in places)
        n_clusters = min(self.parameters["clusters"], n // 10)
        if n_clusters < 1:
            logger.warning(
                "centroids: %d listeners have %d items or more, 10 are needed: nobody gets "
                "candidates from clusters until the next training.",
                *(n, self.parameters["known_items"]),
            )
            self._forget()
            return self
        place = np.concatenate(places).astype(np.float64)
        with threadpool_limits(limits=1):
            model = KMeans(n_clusters, n_init=2, random_state=data.seed)
            # Directions: how much somebody plays says nothing of whom they are like.
            label = model.fit_predict(place / np.linalg.norm(place, axis=1, keepdims=True))
        member = sparse.csr_matrix((np.ones(n), (label, np.arange(n))), shape=(n_clusters, n))
        size = np.bincount(label, minlength=n_clusters)
        self.centroids_ = np.asarray(member @ place) / size[:, None]
        self.of_market_ = self._shares(label, np.concatenate(markets), size)
        counts = np.asarray((member @ sparse.vstack(started, format="csr")).todense()).T
        everywhere = (counts.sum(axis=1) + 1) / (counts.sum() + len(counts))
        here = counts + _PRIOR_STARTS * everywhere[:, None]
        here /= here.sum(axis=0)
        self.of_item_ = np.log(here / everywhere[:, None])
        return self

    def prepare(self, query: Query) -> "PreparedCentroids":
        """Put the listeners of a query with few items among the clusters."""
        started = self._started(query)
        new = np.diff(started.indptr) < self.parameters["few_items"]
        new &= len(self.centroids_) > 0
        catalog = query.shard.catalog
        number = {name: at for at, name in enumerate(self._markets)}
        market = np.array([number.get(name, -1) for name in catalog.markets], dtype=np.int64)
        place = np.zeros((len(query.rows), self.centroids_.shape[1]), dtype=np.float32)
        lines = np.flatnonzero(new)
        for start in range(0, len(lines), _BLOCK):
            at = lines[start : start + _BLOCK]
            # The last row stands for a market that is not known.
            log = self.of_market_[market[query.shard.markets[query.rows[at]]]]
            log = log + self.parameters["trust"] * (started[at] @ self.of_item_)
            weight = np.exp(log - log.max(axis=1, keepdims=True))
            weight /= weight.sum(axis=1, keepdims=True)
            # Summed listener by listener, so that a place does not depend on who stands beside.
            place[at] = (weight[:, :, None] * self.centroids_).sum(axis=1)
        columns = catalog.rows(self._als.item_keys_)
        return PreparedCentroids(query, columns, place, new, self._als.item_factors_)

    def save(self, folder: Path) -> None:
        """Write clusters and item factors; listeners are never kept."""
        inner = folder / self.name
        inner.mkdir(exist_ok=True)
        self._als.save(inner)
        np.savez(
            inner / "clusters.npz",
            centroids=self.centroids_,
            of_market=self.of_market_,
            of_item=self.of_item_,
            markets=np.array(self._markets, dtype=np.str_),
        )

    def load(self, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
        self._als = self._new_als().load(folder / self.name)
        with np.load(folder / self.name / "clusters.npz", allow_pickle=False) as arrays:
            self.centroids_, self.of_market_ = arrays["centroids"], arrays["of_market"]
            self.of_item_ = arrays["of_item"]
            self._markets = tuple(str(name) for name in arrays["markets"])
        return self

    def _forget(self) -> None:
        self.centroids_ = np.zeros((0, self.parameters["factors"]))
        self.of_market_, self.of_item_ = np.zeros((1, 0)), np.zeros((0, 0))

    def _new_als(self) -> AlsSource:
        names = ("factors", "regularization", "alpha", "column", "context_types", "min_listeners")
        return AlsSource(**{name: self.parameters[name] for name in names})

    def _started(self, query: Query) -> sparse.csr_matrix:
        """Items of the ALS model that the listeners of a query have, csr_matrix of ones."""
        columns = query.shard.catalog.rows(self._als.item_keys_)
        history = History(self._als.types, self.parameters["column"])
        matrix = history.matrix(query.shard, columns, query.rows).astype(np.float64)
        matrix.data[:] = 1
        return matrix

    def _shares(self, label: Rows, markets: Rows, size: npt.NDArray[np.int64]) -> Doubles:
        """Log share of each cluster in each market, and over all of them in the last row."""
        counts = np.zeros((len(self._markets) + 1, len(size)))
        np.add.at(counts, (markets, label), 1)
        counts += _PRIOR_LISTENERS * size / size.sum()
        result: Doubles = np.log(counts / counts.sum(axis=1, keepdims=True))
        return result


class PreparedCentroids(Prepared):
    """Places of the new listeners beside the items' factors."""

    def __init__(
        self,
        query: Query,
        columns: Rows,
        place: Floats,
        new: npt.NDArray[np.bool_],
        item_factors: Floats,
    ) -> None:
        self._query, self._place, self._new, self._factors = query, place, new, item_factors
        self._line = np.full(query.shard.n_listeners, -1, dtype=np.int64)
        self._line[query.rows[new]] = np.flatnonzero(new)
        self._row = np.full(len(query.shard.catalog.items) + 1, -1, dtype=np.int64)
        self._row[columns] = np.arange(len(columns))
        self._row[-1] = -1
        # Items that have left the catalog are not shown.
        self._shown = np.sort(columns[np.isin(columns, query.items)])

    def top(self, k: int) -> Top:
        """Best k allowed items of the listeners who are not known yet."""
        query = self._query
        few = Query(query.shard, query.rows[self._new], query.item_types, query.seen)
        transposed = np.ascontiguousarray(self._factors[self._row[self._shown]].T)

        def block(rows: Rows) -> Floats:
            scores: Floats = self._place[self._line[rows]] @ transposed
            return scores

        return top_k(few, self._shown, k, block, self.score)

    def score(self, listener: Rows, item: Rows) -> Floats:
        """Inner product of place and factors; NaN for known listeners and unknown items."""
        line, row = self._line[listener], self._row[item]
        usable = (line >= 0) & (row >= 0)
        out = np.full(len(listener), np.nan, dtype=np.float32)
        out[usable] = dot_pairs(self._place, self._factors, line[usable], row[usable])
        return out
