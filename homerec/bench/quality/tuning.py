"""Tuning worlds: configurations judged by what the generator expects, without the luck of a week.

Which plays happen in one label window moves a mean NDCG by more than most ideas are worth. So here
a list is judged by the generator's own chances of its cards: steps of a tenth of a percent can be
told apart on a few worlds. Seeds are others than those of the final figures.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
from scipy import stats

from homerec.bench.quality.command import Options
from homerec.bench.quality.contenders import Oracle, TextIds, as_read, by_source
from homerec.bench.quality.demo_seed import code_checksums, deployment, foreseen, last_day
from homerec.bench.report import conditions, say, table
from homerec.candidates.base import FitData
from homerec.errors import SettingsError
from homerec.features.assembly import Pairs
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Floats, Rows, Shard, find
from homerec.lake import checksum_text, read_json, write_json
from homerec.models import get_model
from homerec.models.fitted import list_numbers, rank
from homerec.models.spec import ModelSpec
from homerec.settings import Settings
from homerec.training.challenge import contender
from homerec.training.evaluation import Contender
from homerec.training.experiments.parameters import Configuration, configurations, resolved
from homerec.training.experiments.reading import read_experiment
from homerec.training.fitting import Plan, SnapshotView, fit_model
from homerec.training.metrics import Doubles

logger = logging.getLogger(__name__)

#: Folders whose code makes a world and what is known of it, and those that models are made of.
_OF_WORLDS: Final = ("world", "ingest", "features")
_OF_MODELS: Final = ("candidates", "ranking", "models", "training", "home")
#: Files of this folder that say how a list is judged.
_OF_MEASURE: Final = ("tuning.py", "contenders.py", "demo_seed.py")


@dataclass(frozen=True)
class Truth:
    """What the generator expects of the eligible listeners of a shard.

    Attributes
    ----------
    shard : Shard
    rows : int64 (n,)
        Eligible listeners.
    pairs : Pairs
        Everything that may be shown to them.
    chance : float32 (len(pairs),)
        Of a play of each, in the label window.
    """

    shard: Shard
    rows: Rows
    pairs: Pairs
    chance: Floats

    def gain(self, pairs: Pairs, scores: Floats, k: int) -> float:
        """Sum the expected DCG of lists, see :func:`expected_share`."""
        n, m = self.shard.n_listeners, len(self.shard.catalog.items)
        lists, number = np.unique(list_numbers(self.pairs, n), return_inverse=True)
        expected = np.bincount(number, self.chance, minlength=len(lists))
        weight = (1.0 - np.exp(-expected)) / np.maximum(expected, 1e-12)
        kept, _, ranks = rank(pairs, scores, k)
        own = list_numbers(self.pairs, n) * m + self.pairs.item
        order = np.argsort(own)
        place = find(own[order], list_numbers(kept, n) * m + kept.item)
        # What may not be shown has no chance.
        shown = place >= 0
        at, discount = order[place[shown]], np.log2(ranks[shown] + 1.0)
        return float((weight[number[at]] * self.chance[at] / discount).sum())


def run_tuning(options: Options) -> str:
    """Judge the configurations of an experiment's file on worlds whose truth is known.

    Parameters
    ----------
    options : Options
        Its ``experiment`` names the file, of which model and configurations are used; ``source``
        judges one source of them alone. Worlds and finished configurations are kept in ``work``.

    Returns
    -------
    str
        Conditions, and one line a configuration.
    """
    if options.experiment is None:
        raise SettingsError("Tuning needs --experiment FILE.yaml, which says what to try.")
    file = read_experiment(options.experiment)
    spec = get_model(file.model, options.settings)
    tried = configurations(file, spec)
    if options.source is not None:
        _check_source(options.source, tried)
    shares = np.empty((len(tried), len(options.seeds)))
    for column, seed in enumerate(options.seeds):
        shares[:, column] = list(_of_world(options, tried, seed))
    head = (
        f"{spec.name}, {'both stages' if options.source is None else options.source + ' alone'}: "
        f"share of the oracle's expected DCG@{spec.metric_k}; {options.listeners:,} listeners a "
        f"world, seeds {', '.join(map(str, options.seeds))}"
    )
    return "\n\n".join([conditions(head), _report(tried, shares, options.seeds)])


def expected_share(judged: Contender, spec: ModelSpec, truths: Sequence[Truth]) -> float:
    """Share of the oracle's expected DCG that a contender's lists have.

    Parameters
    ----------
    judged : Contender
    spec : ModelSpec
        Says at which k.
    truths : sequence of Truth
        Of every shard.

    Returns
    -------
    float
        In [0, 1]. A list counts by its chance of any play at all, as it would among listeners with
        a hit, and its DCG is divided by the plays that are expected, as NDCG's is by those that
        happened.
    """
    reached = sum(t.gain(*judged(t.shard, t.rows), spec.metric_k) for t in truths)
    possible = sum(t.gain(t.pairs, t.chance, spec.metric_k) for t in truths)
    return reached / possible if possible else float("nan")


def _of_world(options: Options, tried: Sequence[Configuration], seed: int) -> Iterator[float]:
    """Judge every configuration on one world, which is made only if one is not judged yet."""
    settings, listeners = options.settings, options.listeners
    made = checksum_text(code_checksums(_OF_WORLDS, ("demo_seed.py",)))[:12]
    learned = code_checksums(_OF_MODELS, _OF_MEASURE)
    home = options.work / f"tuning-{seed}-{listeners}-{made}"
    world: tuple[Settings, list[Truth]] | None = None
    for one in tried:
        asked = repr([resolved(one.spec), options.source, settings.seed])
        kept = home / "tuned" / f"{one.spec.name}-{checksum_text([*learned, asked])[:12]}.json"
        if not kept.exists():
            if world is None:
                own = deployment(settings, home, seed, listeners)
                world = own, _truths(own, one.spec, seed, listeners)
            say(f"seed {seed}: {one.name} {one.values or ''}")
            write_json({"share": _judge(*world, one.spec, options.source, last_day(seed))}, kept)
        yield float(read_json(kept)["share"])


def _truths(settings: Settings, spec: ModelSpec, seed: int, listeners: int) -> list[Truth]:
    oracle = Oracle(foreseen(seed, listeners, settings.n_threads), spec, TextIds.read(settings))
    view = SnapshotView(settings, ensure_snapshot(settings, last_day(seed), writer="training"))
    truths = []
    for shard in view.shards():
        rows = spec.eligible(shard)
        truths.append(Truth(shard, rows, *oracle(shard, rows)))
    return truths


def _judge(
    settings: Settings, truths: list[Truth], spec: ModelSpec, source: str | None, as_of: date
) -> float:
    judged = _contender(settings, spec, source, Plan.of(spec, as_of))
    read = as_read(settings, truths[0].shard.catalog, as_of)
    return expected_share(read(judged), spec, truths)


def _contender(settings: Settings, spec: ModelSpec, source: str | None, plan: Plan) -> Contender:
    """Train both stages, or fit one source."""
    if source is None:
        model, _ = fit_model(settings, spec, plan, logger.debug)
        return contender(model)
    view = SnapshotView(settings, ensure_snapshot(settings, plan.gate_date, writer="training"))
    data = FitData(view.catalog, view.shards, spec.item_types, settings.seed, settings.n_threads)
    wanted = next(one for one in spec.sources if one.name == source)
    return by_source(spec, wanted.build().fit(data), spec.metric_k)


def _check_source(name: str, tried: Sequence[Configuration]) -> None:
    for one in tried:
        known = [source.name for source in one.spec.sources]
        if name not in known:
            raise SettingsError(
                f"{one.name} of {one.spec.name} has no source {name}; it has {', '.join(known)}."
            )


def _report(tried: Sequence[Configuration], shares: Doubles, seeds: Sequence[int]) -> str:
    """Write one line a configuration, with its difference to the first, paired over worlds."""
    rows = []
    for one, values in zip(tried, shares, strict=True):
        named = ", ".join(f"{key} = {value}" for key, value in one.values.items()) or "as it stands"
        row = [one.name, named, f"{values.mean():.4f}", _difference(values - shares[0])]
        rows.append((*row, *(f"{value:.4f}" for value in values)))
    header = ("", "configuration", "share", f"difference to {tried[0].name} [95%]")
    return table((*header, *map(str, seeds)), rows)


def _difference(apart: Doubles) -> str:
    if not apart.any():
        return ""
    if len(apart) < 2:
        return f"{apart.mean():+.4f}"
    low, high = stats.ttest_1samp(apart, 0.0).confidence_interval(0.95)
    return f"{apart.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
