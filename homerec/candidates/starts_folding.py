"""Where listeners stand among the items they start: one concave maximum each, found by itself.

Every listener is computed alone and in one order of operations, so the answer is the same to the
last bit whoever else is asked for, and in whatever shard.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from homerec.compiling import compiled, entry_point

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

#: A step is cut to this length, in standard deviations of the prior.
_LONGEST: Final = 1.5


@dataclass(frozen=True)
class Vectors:
    """Items as the kernel reads them: learned factors, and few fixed attributes.

    Attributes
    ----------
    factors : float64 (m, k)
    attribute : int64 (m, r)
        Numbers of an item's attributes (tags, language), padded with 0.
    strength : float64 (m, r)
        Their values; 0 for padding.
    n_attributes : int
    """

    factors: Doubles
    attribute: Integers
    strength: Doubles
    n_attributes: int

    @property
    def width(self) -> int:
        """Coordinates of a listener: factors, then attributes."""
        return int(self.factors.shape[1]) + self.n_attributes

    def take(self, at: Integers) -> "Vectors":
        """Return the vectors at positions."""
        return Vectors(self.factors[at], self.attribute[at], self.strength[at], self.n_attributes)

    def dense(self) -> Doubles:
        """Full vectors, float64 (m, width)."""
        k = self.factors.shape[1]
        out = np.zeros((len(self.factors), self.width))
        out[:, :k] = self.factors
        row = np.repeat(np.arange(len(out)), self.attribute.shape[1])
        np.add.at(out, (row, k + self.attribute.ravel()), self.strength.ravel())
        return out


@dataclass(frozen=True)
class Support:
    """Items that stand for all others in the sums over a type, with their weights.

    Attributes
    ----------
    vectors : Vectors
        Of the s support items, type by type.
    bounds : int64 (n_types + 1,)
        Where each type begins.
    weight : float64 (n_markets + 1, s)
        Chance of being started by a listener without taste, divided by the chance of being among
        the support; the last row is for markets that are not known.
    """

    vectors: Vectors
    bounds: Integers
    weight: Doubles

    def curvature(self) -> Doubles:
        """Spread of each type's vectors in each market, float64 (n_markets + 1, n_types, w, w)."""
        wide = self.vectors.dense()
        n_types, width = len(self.bounds) - 1, wide.shape[1]
        out = np.zeros((len(self.weight), n_types, width, width))
        for kind in range(n_types):
            own = slice(self.bounds[kind], self.bounds[kind + 1])
            share = self.weight[:, own] / self.weight[:, own].sum(axis=1, keepdims=True)
            for market, weights in enumerate(share):
                centred = wide[own] - weights @ wide[own]
                out[market, kind] = (centred * weights[:, None]).T @ centred
        return out


def fold(
    started: sparse.csr_matrix,
    types: Integers,
    vectors: Vectors,
    support: Support,
    markets: Integers,
    *,
    begin: Doubles | None = None,
    steps: int = 8,
) -> Doubles:
    """Most probable coordinates of listeners, given what they started.

    With w_i the chance of item i in the listener's market and v_i its vector, a start of a type is
    drawn with probability w_i exp(x' v_i) / sum_j w_j exp(x' v_j) over the items of the type; x has
    a standard normal prior. Steps are Newton's with the curvature taken at x = 0, which needs one
    inverse a listener.

    Parameters
    ----------
    started : csr_matrix float64 (n, m)
        Weight of each start, in [0, 1].
    types : int64 (m,)
        Number of the type of each item, as in ``support.bounds``.
    vectors : Vectors
        Of the m items.
    support : Support
    markets : int64 (n,)
        Market of each listener; -1 for one that is not known.
    begin : float64 (n, width), optional
        Where to begin; at 0 by default.
    steps : int

    Returns
    -------
    float64 (n, width)
        0 for a listener who started nothing.
    """
    n, kind = started.shape[0], types[started.indices]
    amount = np.zeros((n, len(support.bounds) - 1))
    row = np.repeat(np.arange(n), np.diff(started.indptr))
    np.add.at(amount, (row, kind), started.data)
    out = np.zeros((n, vectors.width)) if begin is None else begin.copy()
    others = support.vectors
    # Products with several threads would add in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        _fold(
            started.indptr.astype(np.int64),
            started.indices.astype(np.int64),
            started.data.astype(np.float64),
            amount,
            np.where(markets < 0, len(support.weight) - 1, markets).astype(np.int64),
            (np.ascontiguousarray(vectors.factors), vectors.attribute, vectors.strength),
            (np.ascontiguousarray(others.factors.T), others.attribute, others.strength),
            support.bounds,
            support.weight,
            support.curvature(),
            steps,
            out,
        )
    return out


@compiled
def _curved(amount: Any, curvature: Any) -> Any:
    """Inverse of the prior's and all types' curvature of one listener."""
    hessian = np.eye(curvature.shape[1])
    for kind in range(len(amount)):
        if amount[kind] > 0.0:
            hessian += amount[kind] * curvature[kind]
    return np.linalg.inv(hessian)


@compiled
def _evidence(out: Any, at: Any, amount: Any, factors: Any, attribute: Any, strength: Any) -> None:
    """Sum the vectors of a listener's items into ``out``."""
    k = factors.shape[1]
    out[:] = 0.0
    for e in range(len(at)):
        out[:k] += amount[e] * factors[at[e]]
        for a in range(attribute.shape[1]):
            out[k + attribute[at[e], a]] += amount[e] * strength[at[e], a]


@compiled
def _shared_out(chance: Any, amount: Any, bounds: Any, weight: Any) -> None:
    """Turn exponents into the expected starts of each support item."""
    for kind in range(len(amount)):
        low, high = bounds[kind], bounds[kind + 1]
        if amount[kind] == 0.0:
            chance[low:high] = 0.0
            continue
        largest, total = chance[low:high].max(), 0.0
        for s in range(low, high):
            chance[s] = weight[s] * np.exp(chance[s] - largest)
            total += chance[s]
        chance[low:high] *= amount[kind] / total


@compiled
def _slope(x: Any, fixed: Any, amount: Any, support: Any, bounds: Any, weight: Any) -> Any:
    """Gradient of the log posterior of one listener at x."""
    # The support's factors lie factor by factor, so that products run along memory.
    across, attribute, strength = support
    k = across.shape[0]
    chance = np.dot(x[:k].copy(), across)
    for s in range(len(chance)):
        for a in range(attribute.shape[1]):
            chance[s] += x[k + attribute[s, a]] * strength[s, a]
    _shared_out(chance, amount, bounds, weight)
    slope = fixed - x
    slope[:k] -= np.dot(across, chance)
    for s in range(len(chance)):
        for a in range(attribute.shape[1]):
            slope[k + attribute[s, a]] -= chance[s] * strength[s, a]
    return slope


@entry_point
def _fold(
    indptr: Any, indices: Any, data: Any, amount: Any, markets: Any, items: Any, support: Any,
    bounds: Any, weight: Any, curvature: Any, steps: int, out: Any,
) -> None:  # fmt: skip
    factors, attribute, strength = items
    fixed = np.zeros(out.shape[1])
    for i in range(len(out)):
        low, high = indptr[i], indptr[i + 1]
        if low == high:
            out[i] = 0.0
            continue
        _evidence(fixed, indices[low:high], data[low:high], factors, attribute, strength)
        inverse = _curved(amount[i], curvature[markets[i]])
        for _ in range(steps):
            step = _slope(out[i], fixed, amount[i], support, bounds, weight[markets[i]])
            step = np.dot(inverse, step)
            length = np.sqrt((step * step).sum())
            out[i] += step * min(1.0, _LONGEST / max(length, _LONGEST))
