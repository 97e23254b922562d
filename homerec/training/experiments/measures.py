"""Metrics by name: those of the evaluation, and functions of one's own.

A metric of one's own is named ``module:function`` in an experiment's file; the module must be
importable. The function is called once per shard of listeners with :class:`JudgedLists` and k, and
returns float64 (n_lists,), finite, higher is better; a listener's value is the mean over the
listener's lists.
"""

import importlib
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from homerec.errors import ExperimentError
from homerec.features.assembly import Pairs
from homerec.features.tables import Catalog, Floats, Rows, Shard, find
from homerec.models.fitted import rank
from homerec.models.spec import ModelSpec
from homerec.training.evaluation import ShardLabels, is_hit
from homerec.training.experiments.reading import ExperimentFile
from homerec.training.metrics import METRICS, Doubles, Ranked, mean_by

#: A figure of the whole evaluation, not of a listener: shown, never decisive.
COVERAGE: Final = "coverage"


@dataclass(frozen=True)
class JudgedLists:
    """The ranked lists of the listeners of one shard who played something.

    Attributes
    ----------
    ranked : Ranked
        Lists, ranks and hits of the cards.
    item : int64 (n,)
        Catalog row of each card.
    listener : int64 (n_lists,)
        Row of each list's listener in the shard.
    catalog : Catalog
    shard : Shard
    """

    ranked: Ranked
    item: Rows
    listener: Rows
    catalog: Catalog
    shard: Shard


CustomMetric = Callable[[JudgedLists, int], Doubles]


def known_metrics() -> list[str]:
    """Names that need no function."""
    return [*METRICS, COVERAGE]


def check_metrics(file: ExperimentFile) -> None:
    """See that every metric exists, and that the first can decide.

    Raises
    ------
    ExperimentError
        A name is not known, a module cannot be imported, or what it holds is no such function.
    """
    for n, name in enumerate(file.metrics):
        if ":" in name:
            try:
                load_metric(name)
            except ExperimentError as error:
                raise file.source.error(("metrics", n), str(error)) from error
        elif name not in known_metrics():
            raise file.source.error(
                ("metrics", n),
                f"there is no metric {name}; known are {', '.join(known_metrics())}, and functions "
                "of yours as module:function.",
            )
    if file.metrics[0] == COVERAGE:
        raise file.source.error(
            ("metrics", 0),
            "the first metric decides and is compared listener by listener; coverage is a figure "
            "of the whole. Put another first.",
        )


def load_metric(name: str) -> CustomMetric:
    """Import a metric that is named ``module:function``.

    Raises
    ------
    ExperimentError
        There is no such module or function, or it does not take two arguments.
    """
    module, _, function = name.partition(":")
    contract = "It is called as function(lists, k) and returns float64 (n_lists,)."
    try:
        found: Any = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ExperimentError(f"the metric {name} cannot be imported: {error}. {contract}") from (
            error
        )
    try:
        inspect.signature(found).bind(None, 10)
    except (TypeError, ValueError) as error:
        raise ExperimentError(f"the metric {name} cannot be called: {error}. {contract}") from error
    return found  # type: ignore[no-any-return]


def metric_source(name: str) -> str:
    """Text of the module of a metric of one's own: results are of that text."""
    module = importlib.import_module(name.partition(":")[0])
    try:
        return inspect.getsource(module)
    except (OSError, TypeError) as error:
        raise ExperimentError(f"the source of {name} cannot be read: {error}.") from error


def custom_values(
    name: str,
    spec: ModelSpec,
    shard: Shard,
    hits: ShardLabels,
    pairs: Pairs,
    scores: Floats,
) -> tuple[npt.NDArray[np.integer], Doubles]:
    """Values of a metric of one's own, by listener.

    Returns
    -------
    int64 (n,), float64 (n,)
        Rows of the listeners in the shard, ascending, and their means.

    Raises
    ------
    ExperimentError
        It raises, or returns something else than one finite number per list.
    """
    best, _, ranks = rank(pairs, scores, spec.metric_k)
    numbers, n_relevant = np.unique(hits.listener * 8 + hits.daypart + 1, return_counts=True)
    at = find(numbers, best.listener * 8 + best.daypart.astype(np.int64) + 1)
    kept = best.take(at >= 0)
    hit = is_hit(hits, kept, shard.catalog)
    lists = JudgedLists(
        Ranked(at[at >= 0], ranks[at >= 0], hit, n_relevant),
        kept.item,
        numbers // 8,
        shard.catalog,
        shard,
    )
    try:
        given: Any = load_metric(name)(lists, spec.metric_k)
        values = np.asarray(given, dtype=np.float64)
    # Whatever a person's own function does wrong is that configuration's failure, with its reason.
    except Exception as error:
        raise ExperimentError(f"the metric {name} failed: {type(error).__name__}: {error}") from (
            error
        )
    if values.shape != numbers.shape or not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        raise ExperimentError(
            f"the metric {name} returned an array {values.shape} with {n_bad} values that are no "
            f"numbers; float64 {numbers.shape}, all finite, is needed."
        )
    return mean_by(values, numbers // 8)


def shown(value: float | None) -> str:
    """Write a metric's mean, or that there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"
