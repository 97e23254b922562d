"""The items that stand for all others of a type in the sums over it, and how they are drawn."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from homerec.candidates.starts.vectors import Doubles, Integers, Vectors


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
    place : int64 (m,)
        Where each of all items stands in the support; -1 for those it stands for.
    ceiling : float
        Of what taste can do, see :mod:`homerec.candidates.starts.acceptance`.
    """

    vectors: Vectors
    bounds: Integers
    weight: Doubles
    place: Integers
    ceiling: float

    @cached_property
    def curvature(self) -> Doubles:
        """Spread of each type's vectors in each market, float64 (n_markets + 1, n_types, w, w).

        Of what they do at no taste, where the bound takes something already. What languages do is
        not found by steps, so it has none.
        """
        wide = self.vectors.flat(self.ceiling)
        wide[:, self.vectors.n_stepped :] = 0.0
        n_types, width = len(self.bounds) - 1, wide.shape[1]
        out = np.zeros((len(self.weight), n_types, width, width))
        for kind in range(n_types):
            own = slice(self.bounds[kind], self.bounds[kind + 1])
            share = self.weight[:, own] / self.weight[:, own].sum(axis=1, keepdims=True)
            for market, weights in enumerate(share):
                centred = wide[own] - weights @ wide[own]
                out[market, kind] = (centred * weights[:, None]).T @ centred
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
    ceiling : float
        Of what taste can do, see :mod:`homerec.candidates.starts.acceptance`.
    """

    items: Integers
    bounds: Integers
    inclusion: Doubles
    ceiling: float

    @classmethod
    def draw(
        cls,
        chance: Doubles,
        types: Integers,
        most: int,
        rng: np.random.Generator,
        ceiling: float,
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
        ceiling : float
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
        return cls(
            np.concatenate(items).astype(np.int64), bounds, np.concatenate(inclusion), ceiling
        )

    def of(self, vectors: Vectors, chance: Doubles, bias: Doubles) -> Support:
        """Weigh the chosen items so that they stand for all."""
        at = self.items
        weight = chance[:, at] * np.exp(bias[at]) / self.inclusion
        return Support(vectors.take(at), self.bounds, weight, self.places(len(bias)), self.ceiling)

    def places(self, m: int) -> Integers:
        """Where each of m items stands among the chosen ones, -1 elsewhere, int64 (m,)."""
        out = np.full(m, -1, dtype=np.int64)
        out[self.items] = np.arange(len(self.items))
        return out
