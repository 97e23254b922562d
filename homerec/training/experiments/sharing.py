"""What configurations have in common is made once: views, labels, stage 1, candidates, features.

Stage-1 fits are kept on disk by what they depend on, and serve every process and every later
experiment. Candidates and feature matrices stay in the memory of one process, within a limit.
"""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from scipy import sparse

from homerec.candidates.base import CandidateSource, FitData
from homerec.errors import ExperimentError
from homerec.features.assembly import Pairs
from homerec.features.snapshot import load_snapshot
from homerec.features.tables import Floats, Rows, Shard
from homerec.lake import atomic_folder, locked
from homerec.models.fitted import FittedModel
from homerec.models.spec import ModelSpec, SourceSpec
from homerec.settings import Settings
from homerec.training.experiments.keys import code_checksum, data_checksum, key_of
from homerec.training.experiments.parameters import resolved
from homerec.training.fitting import Plan, SnapshotView, TrainingSet, fit_ranker, training_set
from homerec.training.labels import Labels

T = TypeVar("T")


class Memo:
    """Values by key; those used longest ago go when all together take too much memory.

    Parameters
    ----------
    max_bytes : int
        0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.hits = 0
        self._values: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Any, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return the value of a key, making it when it is not there."""
        if key in self._values:
            self.hits += 1
            self._values.move_to_end(key)
            return cast("T", self._values[key][0])
        value = make()
        n_bytes = size(value)
        if n_bytes <= self.max_bytes:
            self._values[key] = (value, n_bytes)
            self._bytes += n_bytes
            while self._bytes > self.max_bytes:
                self._bytes -= self._values.popitem(last=False)[1][1]
        return value


@dataclass
class SharedModel(FittedModel):
    """A fitted model whose candidates are remembered for the configurations after it.

    Attributes
    ----------
    memo : Memo
    stage : str
        Checksum of everything that decides on its candidates.
    """

    memo: Memo = field(default_factory=lambda: Memo(0))
    stage: str = ""

    def candidates(self, shard: Shard, rows: Rows | None = None) -> Pairs:
        """Stage 1, remembered; the answer is to be read only."""
        key = ("pairs", self.stage, *_place(shard, rows))
        return self.memo.get(key, lambda: super(SharedModel, self).candidates(shard, rows), _bytes)

    def ranked(self, shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        """Both stages; the features of the candidates are remembered too."""
        pairs = self.candidates(shard, rows)
        if 4 * len(pairs) * len(self.spec.features) > self.memo.max_bytes // 2:
            return pairs, self.score(pairs, shard)
        key = ("features", self.stage, self.spec.features, *_place(shard, rows))

        def make() -> Floats:
            return self.features(pairs, shard)

        matrix = self.memo.get(key, make, _bytes)
        return pairs, self.ranker.score(matrix)


def _place(shard: Shard, rows: Rows | None) -> tuple[Any, ...]:
    chosen = b"all" if rows is None else rows.tobytes()
    first = int(shard.listeners[0]) if shard.n_listeners else -1
    return (
        shard.catalog.as_of,
        first,
        shard.n_listeners,
        hashlib.blake2b(chosen, digest_size=16).digest(),
    )


class Workshop:
    """One process's share: it fits configurations and remembers what the next ones need too.

    Parameters
    ----------
    settings : Settings
        The seed in it is not used; each configuration brings its own.
    labels : mapping of date to Labels
        Of every window, by the date of its snapshot.
    cache : Path
        Folder of the stage-1 fits.
    max_bytes : int
        Memory for what is remembered.
    share : bool
        Off, everything is made anew for each configuration, to measure what sharing saves.
    """

    def __init__(
        self,
        settings: Settings,
        labels: Mapping[date, Labels],
        cache: Path,
        max_bytes: int,
        *,
        share: bool = True,
    ) -> None:
        self.settings = settings
        self.labels = labels
        self.cache = cache
        self.share = share
        self.memo = Memo(max_bytes if share else 0)
        self._views: dict[date, SnapshotView] = {}

    def view(self, day: date) -> SnapshotView:
        """Return a snapshot with its catalog.

        Raises
        ------
        ExperimentError
            The snapshot is not there any more.
        """
        if day in self._views:
            return self._views[day]
        info = load_snapshot(self.settings, day)
        if info is None:
            raise ExperimentError(f"The snapshot of {day} was removed while the experiment ran.")
        view = SnapshotView(self.settings, info)
        if self.share:
            self._views[day] = view
        return view

    def fit(self, spec: ModelSpec, plan: Plan, seed: int) -> tuple[SharedModel, dict[str, int]]:
        """Fit both stages, as :func:`homerec.training.fitting.fit_model` does.

        Returns
        -------
        SharedModel, dict
            The model, and ``n_training_rows`` and ``n_training_hits``.

        Raises
        ------
        TrainingError
            There is too little to learn from.
        """
        settings = replace(self.settings, seed=seed)
        first = plan.ranker_dates[0] if spec.refit_sources else plan.sources_date
        model = self._stage_one(spec, first, seed)
        parts = []
        for day in plan.ranker_dates:
            if spec.refit_sources and day != first:
                model = self._stage_one(spec, day, seed)
            key = ("set", model.stage, spec.features, spec.negatives, spec.max_lists, day)
            make = _training(settings, model, self.view(day), self.labels[day])
            parts.append(self.memo.get(key, make, lambda s: s.features.nbytes + 12 * len(s.labels)))
        learned = fit_ranker(model, parts, plan)
        if spec.refit_sources:
            model = replace(self._stage_one(spec, plan.gate_date, seed), ranker=model.ranker)
        counts = {
            "n_training_rows": len(learned.labels),
            "n_training_hits": int(learned.labels.sum()),
        }
        return model, counts

    def _stage_one(self, spec: ModelSpec, day: date, seed: int) -> SharedModel:
        """Fit stage 1 on the events before a date; the ranker is still to be fitted."""
        sources = [self._source(source, spec, day, seed) for source in spec.sources]
        stage = key_of({k: v for k, v in resolved(spec).items() if k in _STAGE}, seed, day)
        return SharedModel(spec, sources, spec.build_ranker(seed), self.memo, stage)

    def _source(self, source: SourceSpec, spec: ModelSpec, day: date, seed: int) -> CandidateSource:
        made = source.build()
        view = self.view(day)
        data = FitData(view.catalog, view.shards, spec.item_types, seed, self.settings.n_threads)
        if not self.share or type(made).fit is CandidateSource.fit:
            return made.fit(data)
        key = key_of(
            source.name, made.parameters, spec.item_types, seed, day.isoformat(), code_checksum(),
            data_checksum(self.settings, [day], day, day),
        )  # fmt: skip
        return self.memo.get(
            ("source", key), lambda: self._kept(self.cache / key, source, data), _source_bytes
        )

    def _kept(self, folder: Path, source: SourceSpec, data: FitData) -> CandidateSource:
        # Another process may be fitting the very same: this one waits and reads.
        with locked(folder):
            if folder.is_dir():
                os.utime(folder)
                return source.build().load(folder)
            made = source.build().fit(data)
            with atomic_folder(folder) as temporary:
                made.save(temporary)
        return made


#: Fields of a spec that its candidates depend on.
_STAGE = frozenset(
    {"item_types", "seen", "sources", "by_daypart", "max_tenure_days", "min_items", "label"}
)


def _training(
    settings: Settings, model: FittedModel, view: SnapshotView, labels: Labels
) -> Callable[[], TrainingSet]:
    return lambda: training_set(settings, model, view, labels)


def _source_bytes(source: CandidateSource) -> int:
    return 4096 + _bytes(vars(source))


def _bytes(value: object) -> int:
    """Count the bytes of arrays, also of those within what a fit is made of."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if is_dataclass(value) or sparse.issparse(value):
        return _bytes(vars(value))
    if isinstance(value, Mapping):
        return sum(_bytes(part) for part in value.values())
    return sum(_bytes(part) for part in value) if isinstance(value, list | tuple) else 0
