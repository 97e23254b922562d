"""Fitting both stages of a version on past snapshots and the label windows that follow them."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.candidates.base import FitData
from homerec.columns import DAYPARTS
from homerec.errors import TrainingError
from homerec.features.assembly import Pairs
from homerec.features.snapshot import SnapshotInfo, ensure_snapshot
from homerec.features.tables import (
    Catalog,
    Floats,
    Keys,
    Rows,
    Shard,
    iter_shards,
    load_catalog,
    load_listeners,
)
from homerec.models.fitted import FittedModel, list_numbers
from homerec.models.spec import ModelSpec
from homerec.sampling import uniform
from homerec.settings import Settings
from homerec.training.evaluation import is_hit, shard_labels
from homerec.training.labels import Labels, lists_with_hits, read_labels

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]

_MIN_POSITIVES: Final = 20


@dataclass(frozen=True)
class Plan:
    """The dates of one training run, for label windows of w days before as_of T.

    Attributes
    ----------
    as_of : date
        T: labels known at T are used, none later.
    gate_date : date
        T - w; the gate judges on [T - w, T). Nothing of the version has seen a later event.
    ranker_dates : tuple of date
        T - 2w and, with more windows, the ones before it, descending.
    sources_date : date
        The earliest of the ranker's dates. Stage 1 sees events before it, or with
        ``refit_sources`` before each of them in turn and at last before ``gate_date``.
    """

    as_of: date
    gate_date: date
    ranker_dates: tuple[date, ...]
    sources_date: date

    @classmethod
    def of(cls, spec: ModelSpec, as_of: date) -> "Plan":
        """Lay the windows of a model before as_of."""
        width = timedelta(days=spec.label_window_days)
        dates = tuple(as_of - (j + 2) * width for j in range(spec.ranker_windows))
        return cls(as_of, as_of - width, dates, dates[-1])

    @property
    def labels_end(self) -> date:
        """End of the last label window that the version learned from."""
        return self.gate_date


@dataclass(frozen=True)
class TrainingSet:
    """Labelled candidates.

    Attributes
    ----------
    features : float32 (n, n_features)
    labels : float32 (n,)
    groups : int64 (n,)
        List of each pair, ascending.
    """

    features: Floats
    labels: npt.NDArray[np.float32]
    groups: npt.NDArray[np.int64]


class SnapshotView:
    """A snapshot with its catalog, read once, and its shards."""

    def __init__(self, settings: Settings, info: SnapshotInfo) -> None:
        self.info = info
        self.catalog: Catalog = load_catalog(info)
        self._size = settings.shard_listeners

    def shards(self) -> Iterator[Shard]:
        """Every listener once, shard by shard."""
        return iter_shards(self.info, self.catalog, self._size)

    def eligible(self, spec: ModelSpec) -> Keys:
        """Keys of all listeners who get the model's shelf, int32 ascending."""
        everybody = load_listeners(self.info, self.catalog)
        return everybody.listeners[spec.eligible(everybody)]


def has_items(view: SnapshotView, spec: ModelSpec) -> bool:
    """Whether the catalog has anything that the model's shelf could show."""
    return any(len(view.catalog.of_type(t)) for t in spec.item_types)


def fit_model(
    settings: Settings, spec: ModelSpec, plan: Plan, progress: Progress = logger.info
) -> tuple[FittedModel, TrainingSet]:
    """Fit stage 1, then the ranker on candidates of listeners folded in as at night.

    Parameters
    ----------
    settings : Settings
    spec : ModelSpec
    plan : Plan
    progress : callable
        Receives one line per step.

    Returns
    -------
    FittedModel, TrainingSet
        The version, and what its ranker learned from.

    Raises
    ------
    TrainingError
        Too few candidates were played in the label windows.
    """
    views: dict[date, SnapshotView] = {}

    def fitted(day: date) -> FittedModel:
        view = _view(settings, day, views, progress)
        progress(f"train {spec.name}: stage 1 on events before {day}")
        data = FitData(
            view.catalog, view.shards, spec.item_types, settings.seed, settings.n_threads
        )
        return FittedModel.fit_sources(spec, data)

    model = fitted(plan.ranker_dates[0] if spec.refit_sources else plan.sources_date)
    parts = []
    for day in plan.ranker_dates:
        if spec.refit_sources and day != plan.ranker_dates[0]:
            model = fitted(day)
        view = _view(settings, day, views, progress)
        progress(f"train {spec.name}: candidates of {day}")
        part = training_set(settings, model, view, read_labels(settings, spec, view.info))
        progress(
            f"train {spec.name}: {len(part.labels):,} candidates of {day}, "
            f"{int(part.labels.sum()):,} of them played"
        )
        parts.append(part)
    progress(
        f"train {spec.name}: stage 2 on {sum(len(part.labels) for part in parts):,} candidates"
    )
    joined = fit_ranker(model, parts, plan)
    if spec.refit_sources:
        model = FittedModel(spec, fitted(plan.gate_date).sources, model.ranker)
    return model, joined


def fit_ranker(model: FittedModel, parts: list[TrainingSet], plan: Plan) -> TrainingSet:
    """Fit the ranker of a model on the training sets of its label windows.

    Parameters
    ----------
    model : FittedModel
        With stage 1 fitted; its ranker is fitted in place.
    parts : list of TrainingSet
        One a window, in the order of the plan.
    plan : Plan
        For the message.

    Returns
    -------
    TrainingSet
        All parts, one after the other.

    Raises
    ------
    TrainingError
        Too few candidates were played in the label windows.
    """
    spec = model.spec
    joined = _join(parts)
    positives = int(joined.labels.sum())
    if positives < _MIN_POSITIVES:
        raise TrainingError(
            f"Model {spec.name}: {positives} candidates were played in the label windows from "
            f"{plan.sources_date} to {plan.labels_end}; the ranker needs {_MIN_POSITIVES}. Take a "
            f"longer window ([models.{spec.name}] label_window_days) or more listeners."
        )
    model.ranker.fit(joined.features, joined.labels, joined.groups)
    return joined


def _view(
    settings: Settings, day: date, views: dict[date, SnapshotView], progress: Progress
) -> SnapshotView:
    """Return the snapshot of a date, read once."""
    if day not in views:
        info = ensure_snapshot(settings, day, writer="training", progress=progress)
        views[day] = SnapshotView(settings, info)
    return views[day]


def training_set(
    settings: Settings, model: FittedModel, view: SnapshotView, labels: Labels
) -> TrainingSet:
    """Candidates of the listeners with a hit, labelled; unplayed ones are sampled.

    Every list keeps its played candidates and ``spec.negatives`` of the others, chosen by a hash of
    seed, listener, item and daypart, so that neither order nor sharding matters. Where eligible
    listeners have more than ``spec.max_lists`` lists, listeners are left out at random.
    """
    spec, parts = model.spec, []
    # Of the eligible alone: a shelf for few listeners must not lose them to everybody's plays.
    n_lists = lists_with_hits(labels, view.eligible(spec))
    share = min(1.0, spec.max_lists / max(n_lists, 1))
    for shard in view.shards():
        hits = shard_labels(spec, shard, labels)
        chosen = uniform(settings.seed, shard.listeners[hits.rows]) < share
        rows = hits.rows[chosen]
        if len(rows) == 0:
            continue
        pairs = model.candidates(shard, rows)
        played = is_hit(hits, pairs, shard.catalog)
        kept = _sample(settings.seed, spec.negatives, shard, pairs, played)
        pairs, played = pairs.take(kept), played[kept]
        # By listener before daypart, so that shards follow one another whatever their size.
        lists = pairs.listener * (len(DAYPARTS) + 1) + pairs.daypart + 1
        order = np.argsort(lists, kind="stable")
        parts.append(
            TrainingSet(
                model.features(pairs, shard)[order],
                played.astype(np.float32)[order],
                np.unique(lists, return_inverse=True)[1][order].astype(np.int64),
            )
        )
    return _join(parts) if parts else _nothing(len(spec.features))


def _sample(seed: int, n: int, shard: Shard, pairs: Pairs, played: npt.NDArray[np.bool_]) -> Rows:
    """Positions of the pairs to learn from, ascending: lists without a hit teach no order."""
    lists = list_numbers(pairs, shard.n_listeners)
    with_hit = np.isin(lists, np.unique(lists[played]))
    luck = uniform(
        seed,
        shard.listeners[pairs.listener],
        shard.catalog.items[pairs.item],
        pairs.daypart,
    )
    order = np.lexsort((luck, played, lists))
    ranks = np.arange(len(order)) - np.searchsorted(lists[order], lists[order])
    drawn = np.zeros(len(order), dtype=np.bool_)
    drawn[order] = ranks < n
    return np.flatnonzero(with_hit & (played | drawn)).astype(np.int64)


def _join(parts: list[TrainingSet]) -> TrainingSet:
    groups, n = [], 0
    for part in parts:
        groups.append(part.groups + n)
        n += int(part.groups.max(initial=-1)) + 1
    return TrainingSet(
        np.concatenate([part.features for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate(groups),
    )


def _nothing(n_features: int) -> TrainingSet:
    return TrainingSet(
        np.zeros((0, n_features), dtype=np.float32),
        np.zeros(0, dtype=np.float32),
        np.zeros(0, dtype=np.int64),
    )
