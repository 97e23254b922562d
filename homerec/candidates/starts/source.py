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

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from homerec.candidates.base import CandidateSource, FitData, Query, Reasons
from homerec.candidates.reasons import strongest
from homerec.candidates.starts import artifact
from homerec.candidates.starts.attributes import Attributes, common
from homerec.candidates.starts.evidence import Evidence
from homerec.candidates.starts.fitting import fit_items
from homerec.candidates.starts.folding import fold
from homerec.candidates.starts.learned import Learned, Member
from homerec.candidates.starts.novelty import novelties
from homerec.candidates.starts.popularity import RECENT_DAYS, chances, measure
from homerec.candidates.starts.prepared import PreparedStarts, Sides
from homerec.candidates.starts.recalled import Left
from homerec.candidates.starts.support import Chooser
from homerec.candidates.starts.vectors import Doubles, Integers
from homerec.columns import ITEM_TYPES
from homerec.errors import TrainingError
from homerec.features.tables import Keys, Rows, Shard
from homerec.parameters import (
    Count,
    ItemType,
    NotNegative,
    Positive,
    Ratio,
    Share,
    checked,
)  # fmt: skip

_MIN_ITEMS: Final = 2
_WEIGHTS: Final = {"artist": 1.0, "album": 1.0, "playlist": 1.0, "show": 1.0}
#: Who plays a playlist has not chosen the artists of its tracks: weak evidence of taste.
_PASSIVE_WEIGHTS: Final = {"artist": 0.1}
#: Newton steps at night: enough to come within .02 of the maximum, in the mean of squares.
_STEPS: Final = 4


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
        stand here; others that are left out are not read. A sign-up pick counts as a start.
    passive_weights : dict of str to float
        The same for items that were played, but never put on themselves; 0 for types that do not
        stand here, and at most what ``weights`` says.
    skipped : float
        What a start counts if the item was only ever left within 30 s, of one that was played, in
        [0, 1].
    memory : int
        Items that a listener has in mind: who put on, left at once or picked more has forgotten
        what they left, and comes across it again as something new; others recall it, see
        :mod:`homerec.candidates.starts.recalled`.
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
    learned_ : Learned
        What a fit keeps; not there before.
    """

    name: ClassVar[str] = "starts"
    learned_: Learned

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
        skipped: Share = 0.5,
        memory: Count = 48,
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
            skipped=skipped,
            memory=memory,
            iterations=iterations,
            members=members,
            ceiling=ceiling,
            min_listeners=min_listeners,
            max_items=max_items,
            max_listeners=max_listeners,
            max_support=max_support,
            max_tags=max_tags,
        )

    @property
    def item_keys_(self) -> Keys:
        """Keys of the items with factors of their own, int32 (m,)."""
        return self.learned_.item_keys

    def fit(self, data: FitData) -> Self:
        """Learn the items' factors from who has started what.

        Raises
        ------
        TrainingError
            Fewer than two items have enough listeners.
        """
        rng = np.random.default_rng(data.seed)
        catalog = data.catalog
        weights = {**dict.fromkeys(data.item_types, 1.0), **self.parameters["weights"]}
        weights = {name: weight for name, weight in weights.items() if weight > 0}
        ceiling = self.parameters["ceiling"]
        items, evidence, markets = self._gather(data, weights)
        novelty = novelties(catalog, data.item_types, items, evidence, markets)
        past = evidence.since[np.isfinite(evidence.since)]
        began = catalog.as_of - timedelta(days=int(np.ceil(past.max(initial=0.0))))
        items, evidence, markets = self._select(data, items, evidence, markets, weights)
        kinds, types = np.unique(catalog.types[items], return_inverse=True)
        types = types.astype(np.int64)
        started, known = evidence.started, evidence.known(types)
        recent = evidence.recent(RECENT_DAYS)
        attributes = Attributes(
            common(catalog.tags, catalog.item_tags.sum(axis=0), self.parameters["max_tags"]),
            tuple(catalog.language_names),
            self.parameters["tag_strength"],
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
            members = tuple(pool.map(member, range(n_members)))
        self.learned_ = Learned(
            members=members,
            item_keys=catalog.items[items],
            types=types,
            kinds=tuple(ITEM_TYPES[kind] for kind in kinds),
            shares=shares,
            spoken=spoken,
            attributes=attributes,
            markets=tuple(catalog.markets),
            chooser=chooser,
            novelty=novelty,
            began=began,
            weights=weights,
        )
        return self

    def prepare(self, query: Query) -> PreparedStarts:
        """Find the place of each listener of a query among the items."""
        shard, learned = query.shard, self.learned_
        catalog = shard.catalog
        columns = catalog.rows(learned.item_keys)
        evidence = self._evidence(shard, columns, learned.weights).take(query.rows)
        known = evidence.known(learned.types)
        markets = learned.known_markets(catalog)[shard.markets[query.rows]]
        places = [
            fold(
                evidence.started,
                learned.types,
                vectors,
                learned.support(member, vectors),
                markets,
                known=known,
                log_chance=member.popularity.log_chance,
                languages=member.languages,
                steps=_STEPS,
            )
            for member, vectors in zip(learned.members, learned.vectors(), strict=True)
        ]
        return PreparedStarts(
            query,
            Sides.of(places, learned.n_factors),
            learned.sides(catalog, query.items),
            learned.present(catalog, query.items),
            learned.chooser.ceiling,
            Left.read(shard, self.parameters["memory"], self.parameters["skipped"]),
            self.parameters["max_support"],
        )

    def explain(
        self, query: Query, listener: Rows, item: Rows, barred: npt.NDArray[np.bool_]
    ) -> Reasons:
        """Name the listener's start that speaks most for the item.

        At no taste at all the slope of the posterior is the sum of the starts' vectors, each less
        the mean of its type; the start whose part in its product with the item is largest explains
        it. That is simpler than the score, which bends the slope by the posterior's curvature.
        """
        catalog, learned = query.shard.catalog, self.learned_
        columns = catalog.rows(learned.item_keys)
        apart = learned.apart()
        place = np.full(len(catalog.items), -1, dtype=np.int64)
        place[query.items] = np.arange(len(query.items))
        shown = np.hstack(learned.sides(catalog, query.items)).astype(np.float64)
        asked = place[item]

        def parts(mine: Rows, weight: Doubles, at: Rows) -> Doubles:
            # Summed pair by pair, so that a part does not depend on what else is asked.
            added: Doubles = (apart[mine][:, None, :] * shown[asked[known[at]]][None]).sum(axis=2)
            return added * weight[:, None]

        known = np.flatnonzero(asked >= 0)
        # What was left at once is evidence, but nobody is told that it is why.
        started = self._evidence(query.shard, columns, learned.weights, skipped=0.0).started
        best = np.full(len(listener), -1, dtype=np.int64)
        best[known] = strongest(started, columns, barred, listener[known], item[known], parts)
        return Reasons.of_items(query.shard, listener, best)

    def save(self, folder: Path) -> None:
        """Write the items' side; listeners are never kept."""
        artifact.write(self.learned_, folder / f"{self.name}.npz")

    def load(self, folder: Path) -> Self:
        """Read the items' side.

        Raises
        ------
        OutdatedArtifactError
            Its factors were learned from starts that were read in another way.
        """
        self.learned_ = artifact.read(
            folder / f"{self.name}.npz",
            **{name: self.parameters[name] for name in ("tag_strength", "foreign", "ceiling")},
        )
        return self

    def _gather(self, data: FitData, weights: dict[str, float]) -> tuple[Rows, Evidence, Integers]:
        """Items of the types that are read; who started them; the listeners' markets."""
        catalog = data.catalog
        read = [ITEM_TYPES.index(name) for name in weights]
        items = np.flatnonzero(np.isin(catalog.types, read)).astype(np.int64)
        parts, of_market = [], []
        for shard in data.shards():
            parts.append(self._evidence(shard, items, weights))
            of_market.append(shard.markets.astype(np.int64))
        markets = np.concatenate(of_market) if of_market else np.zeros(0, dtype=np.int64)
        return items, Evidence.stack(parts, len(items)), markets

    def _select(
        self,
        data: FitData,
        items: Rows,
        evidence: Evidence,
        markets: Integers,
        weights: dict[str, float],
    ) -> tuple[Rows, Evidence, Integers]:
        """Take items with enough listeners, type by type, and who started any of them."""
        listeners = np.bincount(evidence.started.indices, minlength=len(items))
        enough = np.flatnonzero(listeners >= self.parameters["min_listeners"])
        if len(enough) < _MIN_ITEMS:
            raise TrainingError(
                f"The model of starts needs {_MIN_ITEMS} items of type "
                f"{', '.join(weights)} with "
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

    def _evidence(
        self, shard: Shard, items: Rows, weights: dict[str, float], skipped: float | None = None
    ) -> Evidence:
        of_skipped = self.parameters["skipped"] if skipped is None else skipped
        return Evidence.read(shard, items, weights, self.parameters["passive_weights"], of_skipped)
