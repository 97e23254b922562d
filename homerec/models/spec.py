"""What a model is: a shelf's candidate sources, ranker, label, baseline and thresholds, as data.

A file in this package that defines ``MODEL`` is a model; nothing else needs to know of it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal

import numpy as np
from pydantic import ValidationError

from homerec.candidates.als import AlsSource
from homerec.candidates.base import CandidateSource, Query, Seen
from homerec.candidates.by_tags import ByTagsSource, NewItemsSource
from homerec.candidates.centroids import CentroidsSource
from homerec.candidates.co_listening import CoListeningSource
from homerec.candidates.ease import EaseSource
from homerec.candidates.familiar import FamiliarSource
from homerec.candidates.popular import PopularSource
from homerec.candidates.starts.source import StartsSource
from homerec.columns import ITEM_TYPES
from homerec.errors import SettingsError
from homerec.features.tables import Rows, Shard
from homerec.models.catalogue import DEFAULT_CADENCE
from homerec.parameters import (
    Count,
    Finite,
    Flag,
    NotNegative,
    Number,
    Share,
    Whole,
    complaint,
    misfit,
)
from homerec.ranking.base import Ranker
from homerec.ranking.boosting import BoostingRanker
from homerec.ranking.listwise import LambdaRanker
from homerec.ranking.logistic import LogisticRanker

SOURCES: Final[dict[str, type[CandidateSource]]] = {
    kind.name: kind
    for kind in (
        AlsSource,
        ByTagsSource,
        CentroidsSource,
        CoListeningSource,
        EaseSource,
        FamiliarSource,
        NewItemsSource,
        PopularSource,
        StartsSource,
    )
}
RANKERS: Final[dict[str, type[Ranker]]] = {
    kind.name: kind for kind in (BoostingRanker, LambdaRanker, LogisticRanker)
}

Label = Literal["new_plays", "next_familiar"]

#: Fields of a spec that are checked part by part.
_TABLES: Final = frozenset({"limits", "sources", "baseline", "ranker_parameters"})


@dataclass(frozen=True)
class SourceSpec:
    """A candidate source by name, how many candidates it gives, and its parameters."""

    name: str
    k: int
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> CandidateSource:
        """Make an unfitted source.

        Raises
        ------
        SettingsError
            No such source, it has no such parameter, or one is out of its range.
        """
        if self.name not in SOURCES:
            known = ", ".join(sorted(SOURCES))
            raise SettingsError(f"There is no candidate source {self.name}; known are {known}.")
        try:
            return SOURCES[self.name](**self.parameters)
        except ValidationError as error:
            raise SettingsError(
                f"Candidate source {self.name}: {complaint(error, SOURCES[self.name])}."
            ) from error


@dataclass(frozen=True)
class GateLimits:
    """What a challenger must reach.

    Attributes
    ----------
    metric_floor : float
        The metric must lie above it, strictly.
    segment_floor : float
        The metric of no segment of 200 listeners or more may lie below it.
    coverage_floor : float
        Share of the eligible catalog that the top k of all listeners together must reach.
    tolerance : float
        How much worse than the champion the lower bound may be.
    min_listeners : int
        Fewer evaluated listeners make the verdict "underpowered".
    """

    metric_floor: Finite
    segment_floor: Finite = 0.0
    coverage_floor: Share = 0.0
    tolerance: NotNegative = 0.01
    min_listeners: Number = 100


@dataclass(frozen=True)
class ModelSpec:
    """One model of Home.

    Attributes
    ----------
    name : str
        Name in the registry, the CLI and the DAGs.
    shelf : str
        Title of the shelf.
    item_types : tuple of str
        What the shelf shows.
    label : {"new_plays", "next_familiar"}
        File in ``sql/labels`` that says what counts as a hit.
    label_window_days : int
        Days from as_of on in which a prediction is judged.
    seen : {"excluded", "required"}
        Whether items played before are left out, or are the only ones.
    sources : tuple of SourceSpec
        Stage 1.
    baseline : SourceSpec
        The heuristic it must beat; it also fills the shelf while there is no champion.
    features : tuple of str
        What the ranker reads, see :mod:`homerec.features.assembly`.
    ranker : str
        Name of the ranker; ``ranker_parameters`` are its parameters.
    limits : GateLimits
        The gate's thresholds.
    by_daypart : bool
        One list per local daypart.
    max_tenure_days : float, optional
        Only listeners registered at most this long ago.
    min_items : int
        Only listeners who have played at least this many items.
    cards : int
        Cards on the shelf.
    metric_k : int
        Cut-off of the metrics.
    ranker_windows : int
        Label windows the ranker learns from, one before the other.
    refit_sources : bool
        Whether stage 1 is fitted anew for each of the ranker's windows, on the events before it,
        and a last time with the same parameters on all events before the gate's window. Both
        stages are still one version, judged together: the ranker has learned over several fits
        made alike, and the served one has seen the latest events.
    negatives : int
        Unplayed candidates per list that the ranker learns from.
    max_lists : int
        Lists the ranker learns from at most; the rest is left out at random, by listener.
    cadence : str
        Cron expression of the retraining.
    position : int
        Place of the shelf on the page, ascending; those of the rules are in
        :mod:`homerec.home.rules`.
    enabled : bool
        A deployment may switch a model off: it is neither trained nor on the page.
    drift_limit : float
        Largest Chebyshev distance of a feature that passes, in [0, 1]; ``drift_limits`` replaces
        it for single features.
    """

    name: str
    shelf: str
    item_types: tuple[str, ...]
    label: Label
    label_window_days: Count
    seen: Seen
    sources: tuple[SourceSpec, ...]
    baseline: SourceSpec
    features: tuple[str, ...]
    limits: GateLimits
    ranker: str = BoostingRanker.name
    ranker_parameters: Mapping[str, Any] = field(default_factory=dict)
    by_daypart: Flag = False
    max_tenure_days: NotNegative | None = None
    min_items: Number = 0
    cards: Count = 10
    metric_k: Count = 10
    ranker_windows: Count = 1
    refit_sources: Flag = False
    negatives: Count = 40
    max_lists: Count = 60_000
    cadence: str = DEFAULT_CADENCE
    position: Whole = 45
    enabled: Flag = True
    drift_limit: Share = 0.2
    drift_limits: Mapping[str, Share] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what a typing mistake would break much later."""
        unknown = [t for t in self.item_types if t not in ITEM_TYPES]
        if unknown or not self.item_types:
            raise SettingsError(f"Model {self.name}: item types {unknown} are not in {ITEM_TYPES}.")
        for name in ("label_window_days", "ranker_windows", "cards", "metric_k", "negatives"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise SettingsError(
                    f"Model {self.name}: {name} is {value!r}, a whole number of at least 1 is "
                    "needed."
                )
        if self.ranker not in RANKERS:
            known = ", ".join(sorted(RANKERS))
            raise SettingsError(
                f"Model {self.name}: there is no ranker {self.ranker}; known are {known}."
            )

    def eligible(self, shard: Shard) -> Rows:
        """Rows of the listeners who get this shelf, int64 ascending."""
        keep = np.ones(shard.n_listeners, dtype=np.bool_)
        if self.max_tenure_days is not None:
            keep &= shard.columns["tenure_days"] <= self.max_tenure_days
        if self.min_items:
            keep &= shard.columns["n_items"] >= self.min_items
        return np.flatnonzero(keep).astype(np.int64)

    def query(self, shard: Shard, rows: Rows | None = None) -> Query:
        """Ask stage 1 for these listeners, by default for all eligible ones of the shard."""
        chosen = self.eligible(shard) if rows is None else rows
        return Query(shard, chosen, self.item_types, self.seen)

    def build_sources(self) -> list[CandidateSource]:
        """Unfitted candidate sources, in order."""
        return [source.build() for source in self.sources]

    def build_ranker(self, seed: int) -> Ranker:
        """Unfitted ranker.

        Raises
        ------
        SettingsError
            The ranker has no such parameter, one is out of its range, or names a feature that the
            model does not read.
        """
        try:
            ranker = RANKERS[self.ranker](**{"seed": seed, **self.ranker_parameters})
        except ValidationError as error:
            raise SettingsError(
                f"Ranker {self.ranker} of model {self.name}: "
                f"{complaint(error, RANKERS[self.ranker])}."
            ) from error
        return ranker.read(self.features)

    def to_json(self) -> dict[str, Any]:
        """Plain values, kept in a version's manifest."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ModelSpec":
        """Rebuild the spec that a version was trained with.

        Raises
        ------
        SettingsError
            The version was written by an incompatible homerec.
        """
        plain = dict(value)
        try:
            plain["limits"] = GateLimits(**plain["limits"])
            plain["baseline"] = SourceSpec(**plain["baseline"])
            plain["sources"] = tuple(SourceSpec(**source) for source in plain["sources"])
            plain["item_types"] = tuple(plain["item_types"])
            plain["features"] = tuple(plain["features"])
            return cls(**plain)
        except (KeyError, TypeError) as error:
            raise SettingsError(f"This version's spec cannot be read: {error}.") from error

    def with_overrides(self, overrides: Mapping[str, Any]) -> "ModelSpec":
        """Replace parameters, as a deployment's ``[models.<name>]`` says.

        Parameters
        ----------
        overrides : mapping
            Fields of the spec; ``limits``, ``ranker_parameters`` and ``sources``
            (parameters by source name, ``k`` among them) are tables.

        Raises
        ------
        SettingsError
            A name that the spec does not have, or a value that does not fit.
        """
        changes: dict[str, Any] = {}
        allowed = {f.name for f in fields(self)} - {
            "name",
            "label",
            "item_types",
            "seen",
            "features",
        }
        for name, value in overrides.items():
            if name not in allowed:
                raise SettingsError(
                    f"[models.{self.name}] sets {name}; known are {', '.join(sorted(allowed))}."
                )
            if name == "limits":
                changes[name] = self._new_limits(value)
            elif name == "sources":
                changes[name] = self._new_sources(value)
            elif name == "baseline":
                changes[name] = replace(
                    self.baseline, parameters={**self.baseline.parameters, **value}
                )
            elif name == "ranker_parameters":
                kept = overrides.get("ranker", self.ranker) == self.ranker
                changes[name] = {**(self.ranker_parameters if kept else {}), **value}
            elif name == "drift_limits":
                changes[name] = {**self.drift_limits, **value}
            else:
                changes[name] = value
        plain = {name: value for name, value in changes.items() if name not in _TABLES}
        _check_values(f"[models.{self.name}]", {f.name: f.type for f in fields(self)}, plain)
        # Parameters belong to their ranker: another one starts from its own defaults.
        if changes.get("ranker", self.ranker) != self.ranker:
            changes.setdefault("ranker_parameters", {})
        changed = replace(self, **changes)
        # A parameter that does not fit is found here, not after an hour of training.
        changed.build_sources()
        changed.build_ranker(0)
        changed.baseline.build()
        return changed

    def _new_limits(self, value: Mapping[str, Any]) -> GateLimits:
        annotations = {f.name: f.type for f in fields(GateLimits)}
        for name in value:
            if name not in annotations:
                raise SettingsError(
                    f"[models.{self.name}.limits] sets {name}; known are {', '.join(annotations)}."
                )
        _check_values(f"[models.{self.name}.limits]", annotations, value)
        return replace(self.limits, **value)

    def _new_sources(self, value: Mapping[str, Mapping[str, Any]]) -> tuple[SourceSpec, ...]:
        unknown = set(value) - {source.name for source in self.sources}
        if unknown:
            raise SettingsError(f"Model {self.name} has no source {', '.join(sorted(unknown))}.")
        changed = []
        for source in self.sources:
            new = dict(value.get(source.name, {}))
            k = new.pop("k", source.k)
            _check_values(f"[models.{self.name}.sources.{source.name}]", {"k": Count}, {"k": k})
            changed.append(SourceSpec(source.name, k, {**source.parameters, **new}))
        return tuple(changed)


def _check_values(place: str, annotations: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        wrong = misfit(annotations[name], value)
        if wrong:
            raise SettingsError(f"{place} {name} is {value!r}: {wrong}.")
