"""What a fit of :mod:`homerec.candidates.starts` keeps, and how nights read it."""

from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Final

import numpy as np

from homerec.candidates.starts.attributes import Attributes
from homerec.candidates.starts.languages import Languages
from homerec.candidates.starts.novelty import Novelty
from homerec.candidates.starts.popularity import RECENT_DAYS, TREND_DAYS, Popularity, window
from homerec.candidates.starts.prepared import Sides
from homerec.candidates.starts.support import Chooser, Support
from homerec.candidates.starts.vectors import Doubles, Integers, Vectors
from homerec.columns import ITEM_TYPES
from homerec.errors import OutdatedArtifactError
from homerec.features.tables import Catalog, Floats, Keys, Rows, ages, find

#: Power of what the markets start in a score.
_CERTAINTY: Final = 0.94


@dataclass(frozen=True)
class Member:
    """One fit of the items, from a beginning of its own.

    Attributes
    ----------
    factors : float64 (m, factors)
        Of the items.
    of_attributes : float64 (n_tags, factors)
    support_weight : float64 (n_markets + 1, s)
        Weights of the items that stand for all, see
        :class:`homerec.candidates.starts.support.Support`.
    languages : Languages
    popularity : Popularity
    """

    factors: Doubles
    of_attributes: Doubles
    support_weight: Doubles
    languages: Languages
    popularity: Popularity


@dataclass(frozen=True)
class Learned:
    """The items' side of a fit; listeners are never kept.

    Attributes
    ----------
    members : tuple of Member
        At least one.
    item_keys : int32 (m,)
        Items with factors of their own, type by type.
    types : int64 (m,)
        Number of the type of each, a position in ``kinds``.
    kinds : tuple of str
        Item types that are read.
    shares : float64 (m, n_tags)
    spoken : int64 (m,)
        Both as ``attributes`` reads them.
    attributes : Attributes
    markets : tuple of str
    chooser : Chooser
    novelty : dict of str to Novelty
        Of the item types that are shown.
    began : date
        First day of which a start is known.
    weights : dict of str to float
        What a start of each item type that is read counts.
    """

    members: tuple[Member, ...]
    item_keys: Keys
    types: Integers
    kinds: tuple[str, ...]
    shares: Doubles
    spoken: Integers
    attributes: Attributes
    markets: tuple[str, ...]
    chooser: Chooser
    novelty: dict[str, Novelty]
    began: date
    weights: dict[str, float]

    @property
    def n_factors(self) -> int:
        """Learned coordinates of a member."""
        return int(self.members[0].factors.shape[1])

    def vectors(self) -> list[Vectors]:
        """Items as each member has them."""
        return self._of_each([m.factors for m in self.members], self.shares, self.spoken)

    def support(self, member: Member, vectors: Vectors) -> Support:
        """Items that stand for all, with the weights of a member."""
        chooser = self.chooser
        return Support(
            vectors.take(chooser.items),
            chooser.bounds,
            member.support_weight,
            chooser.places(len(self.types)),
            chooser.ceiling,
        )

    def apart(self) -> Doubles:
        """Vectors less the mean of their type by what all markets start, side by side as items are.

        At no taste the bound takes the same of what each learned factor does, on both sides. That
        somebody follows a language explains no item by another one.
        """
        parts = []
        for member, vectors in zip(self.members, self.vectors(), strict=True):
            wide, weight = vectors.dense(), member.support_weight[-1]
            wide[:, : vectors.factors.shape[1]] /= np.square(1.0 + np.exp(-self.chooser.ceiling))
            wide[:, vectors.n_stepped :] = 0.0
            means = []
            for low, high in pairwise(self.chooser.bounds):
                at = self.chooser.items[low:high]
                mean = (weight[low:high, None] * wide[at]).sum(axis=0) / weight[low:high].sum()
                means.append(mean)
            parts.append(wide - np.stack(means)[self.types])
        return np.hstack(Sides.of(parts, self.n_factors)).astype(np.float64)

    def known_markets(self, catalog: Catalog) -> Integers:
        """Look up a catalog's markets in the fit, int64; -1 for one that it did not know."""
        place = {name: number for number, name in enumerate(self.markets)}
        return np.array([place.get(name, -1) for name in catalog.markets], dtype=np.int64)

    def _positions(self, keys: Keys) -> Integers:
        """Positions of item keys in the fit, int64; -1 for an item without factors of its own."""
        order = np.argsort(self.item_keys)
        at = find(self.item_keys[order], keys)
        return np.where(at >= 0, np.append(order, -1)[at], -1)

    def sides(self, catalog: Catalog, items: Rows) -> Sides:
        """Vectors of catalog rows, also of those newer than the fit.

        They are divided by the number of members, so that products with places are means.
        """
        shares, spoken = self._attributes_of(catalog, items)
        factors = self._factors_of(catalog, items, shares)
        wide = [
            vectors.dense() / len(factors) for vectors in self._of_each(factors, shares, spoken)
        ]
        return Sides.of(wide, self.n_factors)

    def present(self, catalog: Catalog, items: Rows) -> Floats:
        """Log of what the markets start at present, as far as that is certain.

        What is estimated from counts scatters more than it is: it counts somewhat less beside what
        is known of the listener.

        Parameters
        ----------
        catalog : Catalog
        items : int64 (k,)
            Catalog rows: all of their types, for the starts of a type are shared out among them.

        Returns
        -------
        float32 (n_markets, k)

        Raises
        ------
        OutdatedArtifactError
            The fit was not made to show items of a type.
        """
        asked = {ITEM_TYPES[kind] for kind in np.unique(catalog.types[items])}
        if unknown := sorted(asked - self.novelty.keys()):
            raise OutdatedArtifactError(
                f"The source starts was fitted to show {', '.join(sorted(self.novelty))}, not "
                f"{', '.join(unknown)}. Train the model again (homerec train)."
            )
        at, number = self._positions(catalog.items[items]), self.known_markets(catalog)
        age = ages(catalog, items)
        recent, latest = (window(catalog, items, days) for days in (RECENT_DAYS, TREND_DAYS))
        out = np.zeros((len(catalog.markets), len(items)))
        # What came out within the recent days has all its starts in them: the long run, which a
        # fit takes for as long as its history, would only hold it down.
        fitted = (at >= 0) & (age >= RECENT_DAYS)
        out[:, fitted] = np.mean(
            [
                m.popularity.at_present(
                    recent.take(fitted),
                    latest.take(fitted),
                    at[fitted],
                    self.types[at[fitted]],
                    number,
                )
                for m in self.members
            ],
            axis=0,
        )
        spoken = [*catalog.language_names, ""]
        for kind in np.unique(catalog.types[items]):
            of_type = catalog.types[items] == kind
            new = np.flatnonzero(of_type & ~fitted)
            out[:, new] = self.novelty[ITEM_TYPES[kind]].log_chance(
                recent.starts[:, new],
                age[new],
                [spoken[code] for code in catalog.languages[items[new]]],
                recent.starts[:, of_type].sum(axis=1),
                np.clip((catalog.as_of - self.began).days, 1, RECENT_DAYS),
                number,
            ) - self._log_share(catalog, items[new], int(kind))
        return (_CERTAINTY * out).astype(np.float32)

    def _log_share(self, catalog: Catalog, items: Rows, kind: int) -> Doubles:
        """Log of what new items of a type would get of its starts if their chance were 1."""
        name = ITEM_TYPES[kind]
        if name not in self.kinds:
            return np.zeros(len(items))
        number = self.kinds.index(name)
        shares, spoken = self._attributes_of(catalog, items)
        factors = self._factors_of(catalog, items, shares)
        of_members = np.mean(
            [
                member.popularity.choosing.log_share(vectors, number, self.chooser.ceiling)
                for member, vectors in zip(
                    self.members, self._of_each(factors, shares, spoken), strict=True
                )
            ],
            axis=0,
        )
        return np.asarray(of_members, dtype=np.float64)

    def _of_each(self, factors: list[Doubles], shares: Doubles, spoken: Integers) -> list[Vectors]:
        """Vectors of the same items by the factors of each member: only those differ."""
        first = self.attributes.vectors(factors[0], shares, spoken)
        return [replace(first, factors=own) for own in factors]

    def _attributes_of(self, catalog: Catalog, items: Rows) -> tuple[Doubles, Integers]:
        return self.attributes.shares(catalog, items), self.attributes.spoken(catalog, items)

    def _factors_of(self, catalog: Catalog, items: Rows, shares: Doubles) -> list[Doubles]:
        """Factors by member: an item's own, or those that the attributes give."""
        at = self._positions(catalog.items[items])
        out = [shares @ member.of_attributes for member in self.members]
        for own, member in zip(out, self.members, strict=True):
            own[at >= 0] = member.factors[at[at >= 0]]
        return out
