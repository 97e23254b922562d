"""The item side of :mod:`homerec.candidates.starts`: attributes, popularity, learned factors."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.candidates.starts_folding import Doubles, Integers, Support, Vectors, fold
from homerec.features.tables import Catalog, Floats, Rows

logger = logging.getLogger(__name__)

#: Tags and language of an item that count at most.
_ATTRIBUTES: Final = 8
#: Starts that every item is given in a market besides its own, in the mean.
_PRIOR_STARTS: Final = 0.04
#: Precision of an item's bias: its popularity is known apart from small corrections.
_BIAS_PRECISION: Final = 1.0
#: Penalty of the attributes' factors, in items.
_RIDGE: Final = 1.0
#: Items at a time: their expected starts of all listeners stay in the cache.
_BLOCK: Final = 64
#: Pairs of listener and item at a time: their vectors are laid side by side.
_PAIRS: Final = 20_000


@dataclass(frozen=True)
class Attributes:
    """Which attributes items can have: the most common tags, and languages.

    Attributes
    ----------
    tags, languages : tuple of str
    tag_strength, language_strength : float
        Standard deviation, over listeners, of what an attribute adds to the log of a chance.
    """

    tags: tuple[str, ...]
    languages: tuple[str, ...]
    tag_strength: float
    language_strength: float

    def __len__(self) -> int:
        return len(self.tags) + len(self.languages)

    def shares(self, catalog: Catalog, items: Rows) -> Doubles:
        """Attributes of catalog rows: tags sum to 1 at most, a language is 1.

        Returns
        -------
        float64 (len(items), len(self))
        """
        out = np.zeros((len(items), len(self)))
        known = {name: at for at, name in enumerate(catalog.tags)}
        for at, name in enumerate(self.tags):
            if name in known:
                # A unit row squared is the item's distribution over its tags.
                out[:, at] = catalog.item_tags[items, known[name]].astype(np.float64) ** 2
        spoken = catalog.languages[items]
        for at, name in enumerate(self.languages, start=len(self.tags)):
            if name in catalog.language_names:
                out[:, at] = spoken == catalog.language_names.index(name)
        return out

    def vectors(self, factors: Doubles, shares: Doubles) -> Vectors:
        """Vectors of items from their factors and :meth:`shares`."""
        scale = np.repeat(
            [self.tag_strength, self.language_strength], [len(self.tags), len(self.languages)]
        )
        strength = shares * scale
        most = int((strength > 0).sum(axis=1).max(initial=0))
        width = min(_ATTRIBUTES, most)
        best = np.argsort(-strength, axis=1, kind="stable")[:, :width]
        return Vectors(
            factors, best.astype(np.int64), np.take_along_axis(strength, best, 1), len(self)
        )


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
        Rows sum to 1 within a type; the last one is over all markets.
    """
    member = sparse.csr_matrix(
        (np.ones(len(markets)), (markets, np.arange(len(markets)))), shape=(n_markets, len(markets))
    )
    counts = np.asarray((member @ started).todense(), dtype=np.float64)
    out = np.zeros((n_markets + 1, len(types)))
    for kind in np.unique(types):
        own = types == kind
        everywhere = counts[:, own].sum(axis=0) + 0.5
        share = everywhere / everywhere.sum()
        here = counts[:, own] + _PRIOR_STARTS * own.sum() * share
        out[:-1, own] = here / here.sum(axis=1, keepdims=True)
        out[-1, own] = share
    return out


@dataclass(frozen=True)
class Fitted:
    """What alternating maximisation found.

    Attributes
    ----------
    factors : float64 (m, k)
    bias : float64 (m,)
        Added to the log of the chance.
    of_attributes : float64 (n_attributes, k)
        Factors of an attribute: those of an item that was never started follow from them.
    x : float64 (n, width)
        Places of the listeners.
    """

    factors: Doubles
    bias: Doubles
    of_attributes: Doubles
    x: Doubles


def fit_items(
    started: sparse.csr_matrix,
    types: Integers,
    markets: Integers,
    chance: Doubles,
    shares: Doubles,
    attributes: Attributes,
    *,
    k: int,
    precision: float,
    iterations: int,
    rng: np.random.Generator,
    support: "Chooser",
    known: Doubles,
) -> Fitted:
    """Alternate between listeners (:func:`fold`) and items, one Newton step each.

    Items are fitted to what listeners may be, not to the one place where each most probably is:
    around it they are normal with the variance of :func:`_spread`, so the mean of exp(x' v) is
    exp(x' v + v' S v / 2). Without that, items follow what is luck in a listener's place.

    Given the listeners, items are independent: the starts of an item are Poisson with the mean
    n_u (1 - q_ui) w_i exp(b_i + x_u' v_i) / Z_u over listeners, and its factors have a normal
    prior around those that its attributes give. As in :func:`fold`, q_ui says for how much of the
    listener's choosing the item was known.

    Parameters
    ----------
    started, types, markets
        As in :func:`fold`; types ascend from 0.
    chance : float64 (n_markets + 1, m)
        From :func:`chances`.
    shares : float64 (m, n_attributes)
    attributes : Attributes
    k : int
        Learned factors.
    precision : float
        Of the factors around what the attributes say.
    iterations : int
    rng : numpy.random.Generator
        Where to begin.
    support : Chooser
    known : float64 (nnz,)
        As in :func:`fold`.

    References
    ----------
    Canny 2004, GaP: a factor model for discrete data (alternating Poisson fits).
    Blei, Kucukelbir, McAuliffe 2017, Variational inference (a Gaussian mean field).
    """
    order = np.argsort(markets, kind="stable")
    missing = sparse.csr_matrix((known, started.indices, started.indptr), shape=started.shape)
    started, markets, missing = started[order], markets[order], missing[order]
    m, listener_of = started.shape[1], started.T.tocsr()
    of_type = _one_hot(types)
    amount = (started @ of_type).toarray()
    of_attributes = 0.5 * rng.standard_normal((shares.shape[1], k))
    factors = shares @ of_attributes + 0.1 * rng.standard_normal((m, k))
    bias = np.zeros(m)
    x = np.zeros((started.shape[0], k + len(attributes)))
    ridge = shares.T @ shares + _RIDGE * np.eye(shares.shape[1])
    prior = np.array([_BIAS_PRECISION, *[precision] * k])
    for number in range(iterations):
        vectors = attributes.vectors(factors, shares)
        chosen = support.of(vectors, chance, bias)
        log_chance = np.log(chance) + bias
        x = fold(
            started,
            types,
            vectors,
            chosen,
            markets,
            known=missing.data,
            log_chance=log_chance,
            begin=x,
            steps=2 if number else 6,
        )
        tilted = np.hstack([np.ones((len(x), 1)), x[:, :k]])
        spread = _spread(amount, chosen, markets)
        gone, totals = _choices(missing, vectors, log_chance, types, chosen, markets, x, spread)
        with np.errstate(divide="ignore"):
            scale = np.log(amount / totals).astype(np.float32)
        products, spreads = _expected(vectors, log_chance, types, x, spread, scale, markets, tilted)
        less, less_spreads = _unexpected(gone, types, scale, tilted, spread)
        products -= less
        _add_spreads(products, spreads - less_spreads, factors)
        gradient = listener_of @ tilted - products[:, 0]
        gradient -= prior * np.column_stack([bias, factors - shares @ of_attributes])
        step = np.linalg.solve(products + np.diag(prior), gradient[:, :, None])[:, :, 0]
        # Far from the maximum a whole step may lead away from it.
        step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-9))
        bias += step[:, 0]
        factors += step[:, 1:]
        of_attributes[:] = np.linalg.solve(ridge, shares.T @ factors)
        logger.debug("starts: iteration %d of %d", number + 1, iterations)
    places = np.empty_like(x)
    places[order] = x
    return Fitted(factors, bias, of_attributes, places)


def _one_hot(types: Integers) -> sparse.csr_matrix:
    """Type of each item as a matrix, csr_matrix float64 (m, n_types)."""
    return sparse.csr_matrix((np.ones(len(types)), (np.arange(len(types)), types)))


def _spread(amount: Doubles, support: Support, markets: Integers) -> Doubles:
    """Variance of each coordinate of listeners, given the others, float64 (n, width).

    The curvature is that of a listener without taste, as in :func:`fold`.
    """
    diagonal = np.einsum("mtii->mti", support.curvature)
    out: Doubles = 1.0 / (1.0 + np.einsum("nt,nti->ni", amount, diagonal[markets]))
    return out


def _add_spreads(products: Doubles, spreads: Doubles, factors: Doubles) -> None:
    """Complete sums over places to sums over what listeners may be, in place.

    Parameters
    ----------
    products : float64 (m, k + 1, k + 1)
        Sums of t t' by expected starts.
    spreads : float64 (m, k)
        Sums of the learned coordinates' variances by the same.
    factors : float64 (m, k)
        Of those who may be nearer to an item than their place, more starts of it are expected.
    """
    expected, places = products[:, 0, 0], products[:, 0, 1:].copy()
    moved, own = spreads * factors, np.arange(1, products.shape[1])
    mean = moved / np.maximum(expected, 1e-300)[:, None]
    across = places[:, :, None] * mean[:, None, :]
    products[:, 1:, 1:] += across + across.transpose(0, 2, 1)
    products[:, 1:, 1:] += moved[:, :, None] * mean[:, None, :]
    products[:, own, own] += spreads
    products[:, 0, 1:] += moved
    products[:, 1:, 0] += moved


def _expected(
    vectors: Vectors,
    log_chance: Doubles,
    types: Integers,
    x: Doubles,
    spread: Doubles,
    scale: Floats,
    markets: Integers,
    tilted: Doubles,
) -> tuple[Doubles, Doubles]:
    """Sum t t' over listeners, by how many starts of each item are expected of each.

    Single precision is enough: a sum is compared with a count of starts.

    Parameters
    ----------
    vectors : Vectors
        Of m items.
    log_chance : float64 (n_markets + 1, m)
    types : int64 (m,)
    x : float64 (n, width)
    spread : float64 (n, width)
        From :func:`_spread`.
    scale : float32 (n, n_types)
        Log of a listener's starts of a type less log of the sum of their odds; -inf without.
    markets : int64 (n,)
        Ascending.
    tilted : float64 (n, k + 1)
        The t of each listener: 1, then what of x is learned.

    Returns
    -------
    products : float64 (m, k + 1, k + 1)
        Symmetric; the first row is the sum of t.
    spreads : float64 (m, k)
        Sum of the learned coordinates' variances by the same starts.
    """
    upper = np.triu_indices(tilted.shape[1])
    square = (tilted[:, upper[0]] * tilted[:, upper[1]]).astype(np.float32)
    across = np.ascontiguousarray(x.T, dtype=np.float32)
    of_type = np.ascontiguousarray(scale.T)
    around = np.ascontiguousarray(0.5 * spread.T, dtype=np.float32)
    learned = np.ascontiguousarray(spread[:, : tilted.shape[1] - 1], dtype=np.float32)
    wide, log_chance = vectors.dense().astype(np.float32), log_chance.astype(np.float32)
    cuts = np.searchsorted(markets, np.arange(len(log_chance)))
    m = len(wide)
    out = np.empty((m, tilted.shape[1], tilted.shape[1]))
    spreads = np.empty((m, learned.shape[1]))
    for start in range(0, m, _BLOCK):
        at = slice(start, min(start + _BLOCK, m))
        mean = wide[at] @ across
        mean += np.square(wide[at]) @ around
        for market, (low, high) in enumerate(pairwise(cuts)):
            mean[:, low:high] += log_chance[market, at, None]
        mean += of_type[types[at]]
        np.exp(mean, out=mean)
        sums = mean @ square
        out[at, upper[0], upper[1]] = sums
        out[at, upper[1], upper[0]] = sums
        spreads[at] = mean @ learned
    return out, spreads


def _choices(
    known: sparse.csr_matrix,
    vectors: Vectors,
    log_chance: Doubles,
    types: Integers,
    support: Support,
    markets: Integers,
    x: Doubles,
    spread: Doubles,
) -> tuple[sparse.csr_matrix, Doubles]:
    """Sum what listeners chose among; their own items one by one, as :func:`fold` does.

    Parameters
    ----------
    known : csr_matrix float64 (n, m)
        For how much of a listener's choosing each of their items was known.
    vectors, log_chance, types, markets, x, spread
        As in :func:`_expected`.
    support : Support

    Returns
    -------
    gone : csr_matrix float64 (n, m)
        Odds of what was known, for as long as it was.
    totals : float64 (n, n_types)
        Sum of the odds of a type, without those.
    """
    row, column = np.repeat(np.arange(known.shape[0]), np.diff(known.indptr)), known.indices
    wide, taste = vectors.dense(), np.empty(known.nnz)
    for start in range(0, known.nnz, _PAIRS):
        at = slice(start, start + _PAIRS)
        own = wide[column[at]]
        taste[at] = np.einsum("ij,ij->i", x[row[at]], own)
        taste[at] += 0.5 * np.einsum("ij,ij->i", spread[row[at]], np.square(own))
    odds = np.exp(taste + log_chance[markets[row], column])
    place = support.place[column]
    sampled = np.where(place >= 0, np.exp(taste) * support.weight[markets[row], place], 0.0)
    whole = _totals(support, markets, x, spread)
    in_sample, mine = np.zeros(whole.shape), np.zeros(whole.shape)
    np.add.at(in_sample, (row, types[column]), sampled)
    np.add.at(mine, (row, types[column]), (1.0 - known.data) * odds)
    # In single precision the rest may come out below 0 where the own items are nearly all.
    totals = np.maximum(whole - in_sample, 1e-6 * whole) + mine
    return sparse.csr_matrix((known.data * odds, column, known.indptr), shape=known.shape), totals


def _unexpected(
    gone: sparse.csr_matrix, types: Integers, scale: Floats, tilted: Doubles, spread: Doubles
) -> tuple[Doubles, Doubles]:
    """Sum t t' over listeners by the starts that are missing since they knew the item.

    Parameters
    ----------
    gone : csr_matrix float64 (n, m)
        From :func:`_choices`.
    types, scale, tilted, spread
        As in :func:`_expected`.

    Returns
    -------
    products : float64 (m, k + 1, k + 1)
    spreads : float64 (m, k)
    """
    row = np.repeat(np.arange(gone.shape[0]), np.diff(gone.indptr))
    starts = gone.data * np.exp(scale[row, types[gone.indices]].astype(np.float64))
    missing = sparse.csr_matrix((starts, gone.indices, gone.indptr), shape=gone.shape)
    width, listener_of = tilted.shape[1], missing.T.tocsr()
    square = (tilted[:, :, None] * tilted[:, None, :]).reshape(len(tilted), width * width)
    products: Doubles = np.asarray(listener_of @ square).reshape(-1, width, width)
    return products, np.asarray(listener_of @ spread[:, : width - 1])


def _totals(support: Support, markets: Integers, x: Doubles, spread: Doubles) -> Doubles:
    """Sum of a type's odds for each listener, as if nothing were known, float64 (n, n_types)."""
    out = np.empty((len(x), len(support.bounds) - 1))
    across, wide = x.astype(np.float32), support.vectors.dense().astype(np.float32)
    around = (0.5 * spread).astype(np.float32)
    log_weight = np.log(support.weight).astype(np.float32)
    for kind, (low, high) in enumerate(pairwise(support.bounds)):
        taste = across @ wide[low:high].T + around @ np.square(wide[low:high]).T
        odds = np.exp(taste + log_weight[markets, low:high])
        out[:, kind] = odds.sum(axis=1)
    return out


@dataclass(frozen=True)
class Chooser:
    """The items that stand for all in the sums, and how likely each was to be chosen.

    Attributes
    ----------
    items : int64 (s,)
        Positions, type by type.
    bounds : int64 (n_types + 1,)
    inclusion : float64 (s,)
    """

    items: Integers
    bounds: Integers
    inclusion: Doubles

    @classmethod
    def draw(
        cls, chance: npt.NDArray[np.float64], types: Integers, most: int, rng: np.random.Generator
    ) -> "Chooser":
        """Draw at most about ``most`` items a type, popular ones surely (systematic sampling).

        Parameters
        ----------
        chance : float64 (m,)
            The largest in any market: an item of one market must not be left to luck.
        types : int64 (m,)
            Ascending from 0.
        most : int
        rng : numpy.random.Generator
        """
        items, inclusion = [], []
        for kind in range(int(types.max()) + 1):
            own = np.flatnonzero(types == kind)
            share = np.ones(len(own))
            if len(own) > most:
                root = np.sqrt(chance[own])
                low, high = 0.0, most / root.min()
                for _ in range(60):
                    middle = (low + high) / 2
                    enough = np.minimum(middle * root, 1.0).sum() > most
                    low, high = (low, middle) if enough else (middle, high)
                share = np.minimum(low * root, 1.0)
            at = np.floor(np.cumsum(share) + rng.random()).astype(np.int64)
            taken = (np.diff(at, prepend=0) > 0) | (share >= 1.0)
            items.append(own[taken])
            inclusion.append(share[taken])
        bounds = np.cumsum([0, *(len(part) for part in items)]).astype(np.int64)
        return cls(np.concatenate(items).astype(np.int64), bounds, np.concatenate(inclusion))

    def of(self, vectors: Vectors, chance: Doubles, bias: Doubles) -> Support:
        """Weigh the chosen items so that they stand for all."""
        at = self.items
        weight = chance[:, at] * np.exp(bias[at]) / self.inclusion
        return Support(vectors.take(at), self.bounds, weight, self.places(len(bias)))

    def places(self, m: int) -> Integers:
        """Where each of m items stands among the chosen ones, -1 elsewhere, int64 (m,)."""
        out = np.full(m, -1, dtype=np.int64)
        out[self.items] = np.arange(len(self.items))
        return out


def common(names: Sequence[str], counts: npt.NDArray[np.floating], most: int) -> tuple[str, ...]:
    """Names with the largest counts, at most so many, in alphabetical order."""
    best = np.argsort(-counts, kind="stable")[:most]
    return tuple(sorted(names[at] for at in best if counts[at] > 0))
