"""Candidates by a model of what a listener starts next: popularity times taste, in logarithms.

ALS asks how much somebody plays an item; this asks which item is started when something new is
tried. A start of a type is drawn from all items of the type that the listener does not know yet,
by their popularity in the market times what the listener's taste makes of them. An item's vector
has learned factors, which its tags predict (so a new item has some too) and whose
effect is bounded, and the tags themselves, so that a listener may like one for no other reason.
A language is followed or not. Sign-up picks are starts; whoever has started nothing gets what the
market starts.

References
----------
Canny 2004, GaP: a factor model for discrete data.
Gopalan, Hofman, Blei 2015, Scalable recommendation with hierarchical Poisson factorization.
Agarwal, Chen 2009, Regression-based latent factor models (factors around what attributes say).
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from homerec.candidates.base import CandidateSource, FitData, Query, Reasons
from homerec.candidates.reasons import strongest
from homerec.candidates.starts_attributes import Attributes, common
from homerec.candidates.starts_evidence import Evidence
from homerec.candidates.starts_fitting import Chooser, fit_items
from homerec.candidates.starts_folding import Doubles, Integers, Support, Vectors, fold
from homerec.candidates.starts_languages import Languages
from homerec.candidates.starts_novelty import Novelty, novelties
from homerec.candidates.starts_popularity import (
    RECENT_DAYS,
    TREND_DAYS,
    Choosing,
    Popularity,
    chances,
    measure,
    window,
)
from homerec.candidates.starts_prepared import PreparedStarts, Sides
from homerec.columns import ITEM_TYPES
from homerec.errors import OutdatedArtifactError, TrainingError
from homerec.features.tables import Catalog, Floats, Keys, Rows, Shard, ages, find
from homerec.parameters import Count, ItemType, NotNegative, Positive, Ratio, Share, checked

_MIN_ITEMS: Final = 2
_WEIGHTS: Final = {"artist": 1.0, "album": 1.0, "playlist": 1.0, "show": 1.0}
#: Who plays a playlist has not chosen the artists of its tracks: weak evidence of taste.
_PASSIVE_WEIGHTS: Final = {"artist": 0.1}
#: Newton steps at night: enough to come within .02 of the maximum, in the mean of squares.
_STEPS: Final = 4
#: Arrays of an artifact with one line for each member.
_OF_MEMBERS: Final = (
    "factors", "of_attributes", "support_weight", "followed", "log_chance", "due", "log_mass",
    "mean", "covariance",
)  # fmt: skip
#: Written into artifacts: raised when the same factors would give a listener another place.
_READING: Final = 4


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
        :class:`homerec.candidates.starts_folding.Support`.
    languages : Languages
    popularity : Popularity
    """

    factors: Doubles
    of_attributes: Doubles
    support_weight: Doubles
    languages: Languages
    popularity: Popularity


class StartsSource(CandidateSource):
    """A log-bilinear model of the items that listeners start, of all types together.

    Parameters
    ----------
    factors : int
        Learned factors of an item.
    precision : float
        Of the factors around what tags say; larger ones trust items less.
    tag_strength : float
        Standard deviation, over listeners, of what a tag adds to the log of a chance.
    foreign : float
        How many times as likely somebody starts what is in a language they do not follow, in
        (0, 1).
    weights : dict of str to float
        What a start of each item type counts, in [0, 1]. The shelf's own types count 1 unless they
        stand here; others that are left out are not read. A sign-up pick of a type that is read
        counts 1.
    passive_weights : dict of str to float
        The same for items that were played, but never put on themselves; 0 for types that do not
        stand here, and at most what ``weights`` says.
    iterations : int
        Alternations between items and listeners.
    members : int
        Fits that begin at different points and whose scores are averaged: what one of them makes
        of few starts is partly luck, and each finds another maximum.
    ceiling : float
        Log of how many times as likely taste can make an item, apart from tags and language.
    min_listeners : int
        Items with fewer get the factors that their attributes say.
    max_items, max_listeners, max_support : int
        Bounds of a fit: items with factors of their own (those with most listeners), listeners it
        learns from, items of a type (about so many) that stand for all of them in a listener's
        sums.
    max_tags : int
        Tags that are attributes: the most common ones.

    Attributes
    ----------
    item_keys_ : int32 (m,)
        Keys of the items with factors of their own.
    members_ : tuple of Member
    """

    name: ClassVar[str] = "starts"

    @checked
    def __init__(
        self,
        *,
        factors: Count = 8,
        precision: Positive = 30.0,
        tag_strength: NotNegative = 0.5,
        foreign: Ratio = 0.25,
        weights: dict[ItemType, Share] | None = None,
        passive_weights: dict[ItemType, Share] | None = None,
        iterations: Count = 25,
        members: Count = 3,
        ceiling: Positive = 2.0,
        min_listeners: Count = 3,
        max_items: Count = 10_000,
        max_listeners: Count = 10_000,
        max_support: Count = 512,
        max_tags: Count = 64,
    ) -> None:
        super().__init__(
            factors=factors,
            precision=precision,
            tag_strength=tag_strength,
            foreign=foreign,
            weights=dict(_WEIGHTS if weights is None else weights),
            passive_weights=dict(_PASSIVE_WEIGHTS if passive_weights is None else passive_weights),
            iterations=iterations,
            members=members,
            ceiling=ceiling,
            min_listeners=min_listeners,
            max_items=max_items,
            max_listeners=max_listeners,
            max_support=max_support,
            max_tags=max_tags,
        )
        self.item_keys_: Keys = np.zeros(0, dtype=np.int32)
        self.members_: tuple[Member, ...] = ()
        self._weights: dict[str, float] = {}
        self._types: Integers = np.zeros(0, dtype=np.int64)
        self._kinds: tuple[str, ...] = ()
        self._shares: Doubles = np.zeros((0, 0))
        self._spoken: Integers = np.zeros(0, dtype=np.int64)
        self._attributes = self._named((), ())
        self._markets: tuple[str, ...] = ()
        self._chooser = Chooser(self._types, np.zeros(1, dtype=np.int64), np.zeros(0), ceiling)
        self._novelty: dict[str, Novelty] = {}
        #: First day of which a start is known.
        self._began = date.min

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
        ceiling = self.parameters["ceiling"]
        items, evidence, markets = self._gather(data)
        self._novelty = novelties(catalog, data.item_types, items, evidence, markets)
        past = evidence.since[np.isfinite(evidence.since)]
        self._began = catalog.as_of - timedelta(days=int(np.ceil(past.max(initial=0.0))))
        items, evidence, markets = self._select(data, items, evidence, markets)
        kinds, types = np.unique(catalog.types[items], return_inverse=True)
        types = types.astype(np.int64)
        started, known = evidence.started, evidence.known(types)
        recent = evidence.recent(RECENT_DAYS)
        attributes = self._named(
            common(catalog.tags, catalog.item_tags.sum(axis=0), self.parameters["max_tags"]),
            tuple(catalog.language_names),
        )
        shares, spoken = attributes.shares(catalog, items), attributes.spoken(catalog, items)
        chance = chances(started, types, markets, len(catalog.markets))
        chooser = Chooser.draw(
            chance.max(axis=0), types, self.parameters["max_support"], rng, ceiling
        )

        def member(number: int) -> Member:
            fitted = fit_items(
                started,
                types,
                markets,
                chance,
                shares,
                spoken,
                attributes,
                k=self.parameters["factors"],
                precision=self.parameters["precision"],
                iterations=self.parameters["iterations"],
                rng=np.random.default_rng([data.seed, number]),
                support=chooser,
                known=known,
                foreign=self.parameters["foreign"],
            )
            vectors = attributes.vectors(fitted.factors, shares, spoken)
            return Member(
                fitted.factors,
                fitted.of_attributes,
                chooser.of(vectors, chance, fitted.bias).weight,
                fitted.languages,
                measure(
                    started, recent, types, markets, fitted.x, vectors, chance, fitted.bias, ceiling
                ),
            )

        n_members = self.parameters["members"]
        # With more threads, products would add in another order: other last bits.
        with (
            threadpool_limits(limits=1, user_api="blas"),
            ThreadPoolExecutor(min(data.n_threads, n_members)) as pool,
        ):
            self.members_ = tuple(pool.map(member, range(n_members)))
        self.item_keys_, self._types = catalog.items[items], types
        self._shares, self._spoken = shares, spoken
        self._kinds = tuple(ITEM_TYPES[kind] for kind in kinds)
        self._attributes, self._markets = attributes, tuple(catalog.markets)
        self._chooser = chooser
        return self

    def prepare(self, query: Query) -> PreparedStarts:
        """Find the place of each listener of a query among the items."""
        shard = query.shard
        catalog = shard.catalog
        columns = catalog.rows(self.item_keys_)
        evidence = self._evidence(shard, columns).take(query.rows)
        known = evidence.known(self._types)
        markets = self._known_markets(catalog)[shard.markets[query.rows]]
        places = [
            fold(
                evidence.started,
                self._types,
                vectors,
                self._support(member, vectors),
                markets,
                known=known,
                log_chance=member.popularity.log_chance,
                languages=member.languages,
                steps=_STEPS,
            )
            for member, vectors in zip(self.members_, self._vectors(), strict=True)
        ]
        return PreparedStarts(
            query,
            Sides.of(places, self.parameters["factors"]),
            self._of_items(query),
            self._present(query),
            self.parameters["ceiling"],
        )

    def explain(
        self, query: Query, listener: Rows, item: Rows, barred: npt.NDArray[np.bool_]
    ) -> Reasons:
        """Name the listener's start that speaks most for the item.

        At no taste at all the slope of the posterior is the sum of the starts' vectors, each less
        the mean of its type; the start whose part in its product with the item is largest explains
        it. That is simpler than the score, which bends the slope by the posterior's curvature.
        """
        catalog = query.shard.catalog
        columns = catalog.rows(self.item_keys_)
        apart = self._apart()
        place = np.full(len(catalog.items), -1, dtype=np.int64)
        place[query.items] = np.arange(len(query.items))
        shown = np.hstack(self._of_items(query)).astype(np.float64)
        asked = place[item]

        def parts(mine: Rows, weight: Doubles, at: Rows) -> Doubles:
            # Summed pair by pair, so that a part does not depend on what else is asked.
            added: Doubles = (apart[mine][:, None, :] * shown[asked[known[at]]][None]).sum(axis=2)
            return added * weight[:, None]

        known = np.flatnonzero(asked >= 0)
        started = self._evidence(query.shard, columns).started
        best = np.full(len(listener), -1, dtype=np.int64)
        best[known] = strongest(started, columns, barred, listener[known], item[known], parts)
        return Reasons.of_items(query.shard, listener, best)

    def save(self, folder: Path) -> None:
        """Write the items' side; listeners are never kept."""
        np.savez(
            folder / f"{self.name}.npz",
            reading=np.array(_READING),
            weights=np.array([self._weights.get(t, 0.0) for t in ITEM_TYPES]),
            item_keys=self.item_keys_,
            factors=np.stack([m.factors for m in self.members_]),
            of_attributes=np.stack([m.of_attributes for m in self.members_]),
            support_weight=np.stack([m.support_weight for m in self.members_]),
            followed=np.stack([m.languages.share for m in self.members_]),
            log_chance=np.stack([m.popularity.log_chance for m in self.members_]),
            due=np.stack([m.popularity.due for m in self.members_]),
            log_mass=np.stack([m.popularity.choosing.log_mass for m in self.members_]),
            mean=np.stack([m.popularity.choosing.mean for m in self.members_]),
            covariance=np.stack([m.popularity.choosing.covariance for m in self.members_]),
            began=np.array(self._began.isoformat()),
            novelty=np.array(json.dumps({t: n.to_json() for t, n in self._novelty.items()})),
            types=self._types,
            kinds=np.array(self._kinds, dtype=np.str_),
            shares=self._shares,
            spoken=self._spoken,
            tags=np.array(self._attributes.tags, dtype=np.str_),
            languages=np.array(self._attributes.languages, dtype=np.str_),
            markets=np.array(self._markets, dtype=np.str_),
            support=self._chooser.items,
            bounds=self._chooser.bounds,
        )

    def load(self, folder: Path) -> Self:
        """Read the items' side.

        Raises
        ------
        OutdatedArtifactError
            Its factors were learned from starts that were read in another way.
        """
        path = folder / f"{self.name}.npz"
        with np.load(path, allow_pickle=False) as arrays:
            if "reading" not in arrays.files or arrays["reading"] != _READING:
                raise OutdatedArtifactError(
                    f"{path} is of an older homerec, which read starts in another way. "
                    "Train the model again (homerec train), or use the version that wrote it."
                )
            self.item_keys_ = arrays["item_keys"]
            columns = {name: arrays[name] for name in _OF_MEMBERS}
            self.members_ = tuple(
                Member(
                    one["factors"],
                    one["of_attributes"],
                    one["support_weight"],
                    Languages(one["followed"], self.parameters["foreign"]),
                    Popularity(
                        one["log_chance"],
                        one["due"],
                        Choosing(one["log_mass"], one["mean"], one["covariance"]),
                    ),
                )
                for one in (
                    {name: values[number] for name, values in columns.items()}
                    for number in range(len(columns["factors"]))
                )
            )
            self._began = date.fromisoformat(str(arrays["began"]))
            self._novelty = {
                item_type: Novelty.from_json(values)
                for item_type, values in json.loads(str(arrays["novelty"])).items()
            }
            self._weights = dict(zip(ITEM_TYPES, arrays["weights"].tolist(), strict=True))
            self._types = arrays["types"]
            self._shares, self._spoken = arrays["shares"], arrays["spoken"]
            self._kinds = tuple(str(kind) for kind in arrays["kinds"])
            self._attributes = self._named(
                tuple(str(t) for t in arrays["tags"]), tuple(str(t) for t in arrays["languages"])
            )
            self._markets = tuple(str(m) for m in arrays["markets"])
            # How likely an item was to be chosen is in the weights already.
            self._chooser = Chooser(
                arrays["support"],
                arrays["bounds"],
                np.ones(len(arrays["support"])),
                self.parameters["ceiling"],
            )
        return self

    def _vectors(self) -> list[Vectors]:
        """Items as each member has them."""
        return self._of_each([m.factors for m in self.members_], self._shares, self._spoken)

    def _of_each(self, factors: list[Doubles], shares: Doubles, spoken: Integers) -> list[Vectors]:
        """Vectors of the same items by the factors of each member: only those differ."""
        first = self._attributes.vectors(factors[0], shares, spoken)
        return [replace(first, factors=own) for own in factors]

    def _support(self, member: Member, vectors: Vectors) -> Support:
        chooser = self._chooser
        place = chooser.places(len(self._types))
        return Support(
            vectors.take(chooser.items),
            chooser.bounds,
            member.support_weight,
            place,
            chooser.ceiling,
        )

    def _apart(self) -> Doubles:
        """Vectors less the mean of their type by what all markets start, side by side as items are.

        At no taste the bound takes the same of what each learned factor does, on both sides. That
        somebody follows a language explains no item by another one.
        """
        parts = []
        for member, vectors in zip(self.members_, self._vectors(), strict=True):
            wide, weight = vectors.dense(), member.support_weight[-1]
            wide[:, : vectors.factors.shape[1]] /= np.square(1.0 + np.exp(-self._chooser.ceiling))
            wide[:, vectors.n_stepped :] = 0.0
            means = []
            for low, high in pairwise(self._chooser.bounds):
                at = self._chooser.items[low:high]
                mean = (weight[low:high, None] * wide[at]).sum(axis=0) / weight[low:high].sum()
                means.append(mean)
            parts.append(wide - np.stack(means)[self._types])
        return np.hstack(Sides.of(parts, self.parameters["factors"])).astype(np.float64)

    def _named(self, tags: tuple[str, ...], languages: tuple[str, ...]) -> Attributes:
        return Attributes(
            tags,
            languages,
            self.parameters["tag_strength"],
        )

    def _gather(self, data: FitData) -> tuple[Rows, Evidence, Integers]:
        """Items of the types that are read; who started them; the listeners' markets."""
        catalog = data.catalog
        read = [ITEM_TYPES.index(name) for name, weight in self._weights.items() if weight > 0]
        items = np.flatnonzero(np.isin(catalog.types, read)).astype(np.int64)
        parts, of_market = [], []
        for shard in data.shards():
            parts.append(self._evidence(shard, items))
            of_market.append(shard.markets.astype(np.int64))
        markets = np.concatenate(of_market) if of_market else np.zeros(0, dtype=np.int64)
        return items, Evidence.stack(parts, len(items)), markets

    def _select(
        self, data: FitData, items: Rows, evidence: Evidence, markets: Integers
    ) -> tuple[Rows, Evidence, Integers]:
        """Take items with enough listeners, type by type, and who started any of them."""
        listeners = np.bincount(evidence.started.indices, minlength=len(items))
        enough = np.flatnonzero(listeners >= self.parameters["min_listeners"])
        if len(enough) < _MIN_ITEMS:
            raise TrainingError(
                f"The model of starts needs {_MIN_ITEMS} items of type "
                f"{', '.join(self._weights)} with "
                f"{self.parameters['min_listeners']} listeners each; there are {len(enough)}. Take "
                "a longer history or more listeners."
            )
        enough = enough[np.lexsort((enough, -listeners[enough]))[: self.parameters["max_items"]]]
        enough = enough[np.lexsort((enough, data.catalog.types[items[enough]]))]
        rows = np.flatnonzero(np.diff(evidence.started.indptr) > 0)
        if len(rows) > self.parameters["max_listeners"]:
            rng = np.random.default_rng(data.seed)
            rows = np.sort(rng.choice(rows, self.parameters["max_listeners"], replace=False))
        return items[enough], evidence.take(rows, enough), markets[rows]

    def _evidence(self, shard: Shard, items: Rows) -> Evidence:
        return Evidence.read(shard, items, self._weights, self.parameters["passive_weights"])

    def _known_markets(self, catalog: Catalog) -> Integers:
        """Look up a catalog's markets in the fit, int64; -1 for one that it did not know."""
        place = {name: number for number, name in enumerate(self._markets)}
        return np.array([place.get(name, -1) for name in catalog.markets], dtype=np.int64)

    def _of_items(self, query: Query) -> Sides:
        """Vectors of the query's items, also of those newer than the fit.

        They are divided by the number of members, so that products with places are means.
        """
        catalog = query.shard.catalog
        shares = self._attributes.shares(catalog, query.items)
        spoken = self._attributes.spoken(catalog, query.items)
        at = self._fitted(catalog.items[query.items])
        factors = [shares @ m.of_attributes for m in self.members_]
        for own, member in zip(factors, self.members_, strict=True):
            own[at >= 0] = member.factors[at[at >= 0]]
        wide = [
            vectors.dense() / len(factors) for vectors in self._of_each(factors, shares, spoken)
        ]
        return Sides.of(wide, self.parameters["factors"])

    def _fitted(self, keys: Keys) -> Integers:
        """Positions of item keys in the fit, int64; -1 for an item without factors of its own."""
        order = np.argsort(self.item_keys_)
        at = find(self.item_keys_[order], keys)
        return np.where(at >= 0, np.append(order, -1)[at], -1)

    def _present(self, query: Query) -> Floats:
        """Log of what the markets start at present, float32 (n_markets, len(query.items))."""
        catalog, items = query.shard.catalog, query.items
        at, number = self._fitted(catalog.items[items]), self._known_markets(catalog)
        recent, latest = (window(catalog, items, days) for days in (RECENT_DAYS, TREND_DAYS))
        out = np.zeros((len(catalog.markets), len(items)))
        fitted = at >= 0
        out[:, fitted] = np.mean(
            [
                m.popularity.at_present(
                    recent.take(fitted),
                    latest.take(fitted),
                    at[fitted],
                    self._types[at[fitted]],
                    number,
                )
                for m in self.members_
            ],
            axis=0,
        )
        spoken = [*catalog.language_names, ""]
        for kind in np.unique(catalog.types[items]):
            of_type = catalog.types[items] == kind
            new = np.flatnonzero(of_type & ~fitted)
            out[:, new] = self._novelty[ITEM_TYPES[kind]].log_chance(
                recent.starts[:, new],
                ages(catalog, items[new]),
                [spoken[code] for code in catalog.languages[items[new]]],
                recent.starts[:, of_type].sum(axis=1),
                np.clip((catalog.as_of - self._began).days, 1, RECENT_DAYS),
                number,
            ) - self._log_share(catalog, items[new], int(kind))
        return out.astype(np.float32)

    def _log_share(self, catalog: Catalog, items: Rows, kind: int) -> Doubles:
        """Log of what new items of a type would get of its starts if their chance were 1."""
        name = ITEM_TYPES[kind]
        if name not in self._kinds:
            return np.zeros(len(items))
        number, shares = self._kinds.index(name), self._attributes.shares(catalog, items)
        spoken = self._attributes.spoken(catalog, items)
        factors = [shares @ m.of_attributes for m in self.members_]
        of_members = np.mean(
            [
                member.popularity.choosing.log_share(vectors, number, self.parameters["ceiling"])
                for member, vectors in zip(
                    self.members_, self._of_each(factors, shares, spoken), strict=True
                )
            ],
            axis=0,
        )
        return np.asarray(of_members, dtype=np.float64)
