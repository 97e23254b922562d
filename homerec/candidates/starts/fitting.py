"""The item side of :mod:`homerec.candidates.starts`: factors, learned as listeners are placed."""

import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from scipy import sparse

from homerec.candidates.starts.acceptance import (
    MOST_VARIANCE,
    Moderated,
    ModeratedLog,
    moderated,
    moderated_log,
)
from homerec.candidates.starts.attributes import Attributes
from homerec.candidates.starts.folding import fold
from homerec.candidates.starts.languages import Languages
from homerec.candidates.starts.support import Chooser, Support
from homerec.candidates.starts.vectors import Doubles, Integers, Vectors
from homerec.features.tables import Floats

logger = logging.getLogger(__name__)

#: Precision of an item's bias: its popularity is known apart from small corrections.
_BIAS_PRECISION: Final = 1.0
#: Penalty of the attributes' factors, in items.
_RIDGE: Final = 1.0
#: Items at a time: their expected starts of all listeners stay in the cache.
_BLOCK: Final = 32
#: Pairs of listener and item at a time: their vectors are laid side by side.
_PAIRS: Final = 20_000


@dataclass(frozen=True)
class Fitted:
    """What alternating maximisation found.

    Attributes
    ----------
    factors : float64 (m, k)
    bias : float64 (m,)
        Added to the log of the chance.
    of_attributes : float64 (n_tags, k)
        Factors of a tag: those of an item that was never started follow from them.
    languages : Languages
    x : float64 (n, width)
        Places of the listeners.
    """

    factors: Doubles
    bias: Doubles
    of_attributes: Doubles
    languages: Languages
    x: Doubles


def fit_items(
    started: sparse.csr_matrix,
    types: Integers,
    markets: Integers,
    chance: Doubles,
    shares: Doubles,
    spoken: Integers,
    attributes: Attributes,
    *,
    k: int,
    precision: float,
    iterations: int,
    rng: np.random.Generator,
    support: Chooser,
    known: Doubles,
    foreign: float,
) -> Fitted:
    """Alternate between listeners (:func:`fold`) and items, one Newton step each.

    Items are fitted to what listeners may be, not to the one place where each most probably is:
    around it they are normal with the variance of :func:`_spread`, and odds are means over that
    (:func:`homerec.candidates.starts.acceptance.moderated`). Without that, items follow what is
    luck in a listener's place.

    Given the listeners, items are independent: the starts of an item are Poisson with the mean
    n_u (1 - q_ui) w_i exp(b_i) o_i(x_u) / Z_u over listeners, and its factors have a normal prior
    around those that its attributes give. As in :func:`fold`, o_i(x_u) are the item's odds and q_ui
    says for how much of the listener's choosing it was known.

    Parameters
    ----------
    started, types, markets
        As in :func:`fold`; types ascend from 0.
    chance : float64 (n_markets + 1, m)
        From :func:`homerec.candidates.starts.popularity.chances`.
    shares : float64 (m, n_tags)
    spoken : int64 (m,)
        Both as ``attributes`` reads them.
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
    foreign : float
        See :class:`homerec.candidates.starts.languages.Languages`; who follows what is learned.

    References
    ----------
    Canny 2004, GaP: a factor model for discrete data (alternating Poisson fits).
    Blei, Kucukelbir, McAuliffe 2017, Variational inference (a Gaussian mean field).
    """
    order = np.argsort(markets, kind="stable")
    missing = sparse.csr_matrix((known, started.indices, started.indptr), shape=started.shape)
    started, markets, missing = started[order], markets[order], missing[order]
    m = started.shape[1]
    of_type = _one_hot(types)
    amount = (started @ of_type).toarray()
    of_attributes = 0.5 * rng.standard_normal((shares.shape[1], k))
    factors = shares @ of_attributes + 0.1 * rng.standard_normal((m, k))
    bias = np.zeros(m)
    x = np.zeros((started.shape[0], k + len(attributes)))
    languages = Languages.begin(len(chance) - 1, len(attributes.languages), foreign)
    ridge = shares.T @ shares + _RIDGE * np.eye(shares.shape[1])
    prior = np.array([_BIAS_PRECISION, *[precision] * k])
    for number in range(iterations):
        vectors = attributes.vectors(factors, shares, spoken)
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
            languages=languages,
            begin=x,
            steps=2 if number else 6,
        )
        spread = _spread(amount, chosen, markets)
        gone, totals, own, own_log = _choices(
            missing, vectors, log_chance, types, chosen, markets, x, spread
        )
        with np.errstate(divide="ignore"):
            scale = np.log(amount / totals).astype(np.float32)
        expected = _expected(
            vectors, log_chance, types, x, spread, scale, markets, support.ceiling
        ).less(_unexpected(gone, own, types, x, spread, scale, k))
        curvature = expected.curvature(factors)
        gradient = _seen(started, own_log, x, spread, factors) - curvature[:, 0]
        gradient -= prior * np.column_stack([bias, factors - shares @ of_attributes])
        step = np.linalg.solve(curvature + np.diag(prior), gradient[:, :, None])[:, :, 0]
        # Far from the maximum a whole step may lead away from it.
        step *= np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-9))
        bias += step[:, 0]
        factors += step[:, 1:]
        of_attributes[:] = np.linalg.solve(ridge, shares.T @ factors)
        stepped = vectors.n_stepped
        bias += _centred(x[:, :stepped], vectors.flat(chosen.ceiling)[:, :stepped])
        languages = languages.learn(x[:, stepped:], markets)
        logger.debug("starts: iteration %d of %d", number + 1, iterations)
    places = np.empty_like(x)
    places[order] = x
    return Fitted(factors, bias, of_attributes, languages, places)


def _centred(x: Doubles, vectors: Doubles) -> Doubles:
    """Move the places so that their mean is 0, and tell by how much items become more popular.

    A place of 0 is what the prior expects, and where a listener without starts is: it must be what
    listeners are in the mean, which items can otherwise drift away from.

    Parameters
    ----------
    x : float64 (n, width)
        Moved in place.
    vectors : float64 (m, width)

    Returns
    -------
    float64 (m,)
    """
    mean = x.mean(axis=0)
    x -= mean
    out: Doubles = vectors @ mean
    return out


def _one_hot(types: Integers) -> sparse.csr_matrix:
    """Type of each item as a matrix, csr_matrix float64 (m, n_types)."""
    return sparse.csr_matrix((np.ones(len(types)), (np.arange(len(types)), types)))


def _spread(amount: Doubles, support: Support, markets: Integers) -> Doubles:
    """Variance of each coordinate of listeners, given the others, float64 (n, width).

    The curvature is that of a listener without taste, as in :func:`fold`. What languages do is a
    mean already.
    """
    diagonal = np.einsum("mtii->mti", support.curvature)
    out: Doubles = 1.0 / (1.0 + np.einsum("nt,nti->ni", amount, diagonal[markets]))
    out[:, support.vectors.n_stepped :] = 0.0
    return out


@dataclass(frozen=True)
class Sums:
    """Sums over listeners by how many starts of each of m items are expected of them.

    Attributes
    ----------
    starts : float64 (m,)
    places : float64 (m, k)
        Of the listeners' learned coordinates x times the slope of the odds.
    squares : float64 (m, k, k)
        Of x x' times the squared slope.
    spreads : float64 (m, k)
        Of the variances of x times the squared slope.
    bends : float64 (m, k)
        Of the variances of x times the bend of the odds.
    """

    starts: Doubles
    places: Doubles
    squares: Doubles
    spreads: Doubles
    bends: Doubles

    @classmethod
    def empty(cls, m: int, k: int) -> "Sums":
        """Room for the sums."""
        return cls(
            np.empty(m), np.empty((m, k)), np.empty((m, k, k)), np.empty((m, k)), np.empty((m, k))
        )

    def less(self, other: "Sums") -> "Sums":
        """Take sums from these."""
        return Sums(
            self.starts - other.starts,
            self.places - other.places,
            self.squares - other.squares,
            self.spreads - other.spreads,
            self.bends - other.bends,
        )

    def curvature(self, factors: Doubles) -> Doubles:
        """Second moments of the derivatives of the logs of expected starts.

        Parameters
        ----------
        factors : float64 (m, k)
            Of those who may be nearer to an item than their place, more starts are expected.

        Returns
        -------
        float64 (m, k + 1, k + 1)
            By bias and factors. The first row is the derivative of the expected starts, as near as
            means of odds are; of the rest the moves are taken as the same for all listeners.
        """
        moved = self.bends * factors
        mean = moved / np.maximum(self.starts, 1e-300)[:, None]
        m, k = factors.shape
        out = np.empty((m, k + 1, k + 1))
        out[:, 0, 0] = self.starts
        out[:, 0, 1:] = out[:, 1:, 0] = self.places + moved
        across = self.places[:, :, None] * mean[:, None, :]
        out[:, 1:, 1:] = self.squares + across + across.transpose(0, 2, 1)
        out[:, 1:, 1:] += moved[:, :, None] * mean[:, None, :]
        own = np.arange(1, k + 1)
        out[:, own, own] += self.spreads
        return out


def _expected(
    vectors: Vectors,
    log_chance: Doubles,
    types: Integers,
    x: Doubles,
    spread: Doubles,
    scale: Floats,
    markets: Integers,
    ceiling: float,
) -> Sums:
    """Sum up what is expected, as if nothing were known.

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
    ceiling : float
    """
    m, k = vectors.factors.shape
    upper = np.triu_indices(k)
    places = x[:, :k].astype(np.float32)
    square = places[:, upper[0]] * places[:, upper[1]]
    learned = np.ascontiguousarray(spread[:, :k], dtype=np.float32)
    across = np.ascontiguousarray(x.T, dtype=np.float32)
    around = np.ascontiguousarray(spread.T, dtype=np.float32)
    of_type = np.ascontiguousarray(scale.T)
    wide, log_chance = vectors.dense().astype(np.float32), log_chance.astype(np.float32)
    cuts = np.searchsorted(markets, np.arange(len(log_chance)))
    out = Sums.empty(m, k)
    for start in range(0, m, _BLOCK):
        at = slice(start, min(start + _BLOCK, m))
        own, twice = wide[at], np.square(wide[at])
        mean, variance = own[:, :k] @ across[:k], twice[:, :k] @ around[:k]
        np.minimum(variance, MOST_VARIANCE, out=variance)
        liked = moderated(mean, variance, ceiling)
        starts = own[:, k:] @ across[k:] + mean
        variance += twice[:, k:] @ around[k:]
        variance *= 0.5
        starts += variance
        for market, (low, high) in enumerate(pairwise(cuts)):
            starts[:, low:high] += log_chance[market, at, None]
        starts += of_type[types[at]]
        np.exp(starts, out=starts)
        starts *= liked.bound
        out.starts[at] = starts.sum(axis=1)
        out.bends[at] = (starts * liked.bend) @ learned
        starts *= liked.slope
        out.places[at] = starts @ places
        starts *= liked.slope
        sums = starts @ square
        out.squares[at, upper[0], upper[1]] = sums
        out.squares[at, upper[1], upper[0]] = sums
        out.spreads[at] = starts @ learned
    return out


def _choices(
    known: sparse.csr_matrix,
    vectors: Vectors,
    log_chance: Doubles,
    types: Integers,
    support: Support,
    markets: Integers,
    x: Doubles,
    spread: Doubles,
) -> tuple[sparse.csr_matrix, Doubles, Moderated, ModeratedLog]:
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
    own : Moderated
    own_log : ModeratedLog
        What the learned factors do for a listener's own items, float64 (nnz,) each.
    """
    row, column = np.repeat(np.arange(known.shape[0]), np.diff(known.indptr)), known.indices
    wide, k = vectors.dense(), vectors.factors.shape[1]
    rest, mean, variance = np.empty(known.nnz), np.empty(known.nnz), np.empty(known.nnz)
    for start in range(0, known.nnz, _PAIRS):
        at = slice(start, start + _PAIRS)
        item, place, around = wide[column[at]], x[row[at]], spread[row[at]]
        mean[at] = np.einsum("ij,ij->i", place[:, :k], item[:, :k])
        rest[at] = np.einsum("ij,ij->i", place[:, k:], item[:, k:])
        np.square(item, out=item)
        variance[at] = np.einsum("ij,ij->i", around[:, :k], item[:, :k])
        rest[at] += 0.5 * np.einsum("ij,ij->i", around[:, k:], item[:, k:])
    np.minimum(variance, MOST_VARIANCE, out=variance)
    own = moderated(mean, variance, support.ceiling)
    taste = np.exp(rest + mean + 0.5 * variance) * own.bound
    odds = taste * np.exp(log_chance[markets[row], column])
    at_sample = support.place[column]
    sampled = np.where(at_sample >= 0, taste * support.weight[markets[row], at_sample], 0.0)
    whole = _totals(support, markets, x, spread)
    in_sample, mine = np.zeros(whole.shape), np.zeros(whole.shape)
    np.add.at(in_sample, (row, types[column]), sampled)
    np.add.at(mine, (row, types[column]), (1.0 - known.data) * odds)
    # In single precision the rest may come out below 0 where the own items are nearly all.
    totals = np.maximum(whole - in_sample, 1e-6 * whole) + mine
    gone = sparse.csr_matrix((known.data * odds, column, known.indptr), shape=known.shape)
    return gone, totals, own, moderated_log(mean, variance, support.ceiling)


def _unexpected(
    gone: sparse.csr_matrix,
    own: Moderated,
    types: Integers,
    x: Doubles,
    spread: Doubles,
    scale: Floats,
    k: int,
) -> Sums:
    """Sum up the starts that are missing since the listener knew the item.

    Parameters
    ----------
    gone : csr_matrix float64 (n, m)
    own : Moderated
        Both from :func:`_choices`.
    types, x, spread, scale
        As in :func:`_expected`.
    k : int
        Learned coordinates.
    """
    row = np.repeat(np.arange(gone.shape[0]), np.diff(gone.indptr))
    starts = gone.data * np.exp(scale[row, types[gone.indices]].astype(np.float64))
    places, learned = x[:, :k], spread[:, :k]
    square = (places[:, :, None] * places[:, None, :]).reshape(len(places), k * k)
    sloped = starts * own.slope
    twice = _by_item(gone, sloped * own.slope)
    return Sums(
        np.asarray(_by_item(gone, starts).sum(axis=1)).ravel(),
        _by_item(gone, sloped) @ places,
        (twice @ square).reshape(-1, k, k),
        twice @ learned,
        _by_item(gone, starts * own.bend) @ learned,
    )


def _seen(
    started: sparse.csr_matrix, own: ModeratedLog, x: Doubles, spread: Doubles, factors: Doubles
) -> Doubles:
    """Derive, by bias and factors, the mean logs of the odds of what was started.

    Parameters
    ----------
    started : csr_matrix float64 (n, m)
    own : ModeratedLog
        From :func:`_choices`, in the order of ``started.data``.
    x, spread : float64 (n, width)
    factors : float64 (m, k)

    Returns
    -------
    float64 (m, k + 1)
    """
    k, weight = factors.shape[1], started.data
    out = np.empty((len(factors), k + 1))
    out[:, 0] = np.asarray(started.sum(axis=0)).ravel()
    out[:, 1:] = _by_item(started, weight * own.slope) @ x[:, :k]
    out[:, 1:] += (_by_item(started, weight * own.bend) @ spread[:, :k]) * factors
    return out


def _by_item(like: sparse.csr_matrix, values: Doubles) -> sparse.csr_matrix:
    """Put values where a matrix has some, and turn it: items by listeners."""
    return sparse.csr_matrix((values, like.indices, like.indptr), shape=like.shape).T.tocsr()


def _totals(support: Support, markets: Integers, x: Doubles, spread: Doubles) -> Doubles:
    """Sum of a type's odds for each listener, as if nothing were known, float64 (n, n_types)."""
    out = np.empty((len(x), len(support.bounds) - 1))
    k = support.vectors.factors.shape[1]
    across, wide = x.astype(np.float32), support.vectors.dense().astype(np.float32)
    around = spread.astype(np.float32)
    log_weight = np.log(support.weight).astype(np.float32)
    for kind, (low, high) in enumerate(pairwise(support.bounds)):
        own = wide[low:high].T
        twice = np.square(own)
        mean, variance = across[:, :k] @ own[:k], around[:, :k] @ twice[:k]
        np.minimum(variance, MOST_VARIANCE, out=variance)
        bound = moderated(mean, variance, support.ceiling).bound
        odds = across[:, k:] @ own[k:] + mean
        odds += 0.5 * (variance + around[:, k:] @ twice[k:])
        odds += log_weight[markets, low:high]
        np.exp(odds, out=odds)
        odds *= bound
        out[:, kind] = odds.sum(axis=1)
    return out
