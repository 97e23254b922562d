"""Top-k with the seen filter: the night's own call against implicit's ``recommend``."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeVar

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from homerec.bench.measuring import apart
from homerec.bench.report import Line, Result, say
from homerec.bench.workbench import Workbench
from homerec.candidates.als import PreparedAls
from homerec.candidates.base import Query, Top
from homerec.columns import ITEM_TYPES
from homerec.errors import BenchmarkError
from homerec.features.tables import Catalog, Floats, Rows, Shard

T = TypeVar("T")

_GOAL: Final = 2.5
#: Of two items whose float32 scores agree to the last bits, either may be the k-th.
_EQUAL_RATIO: Final = 0.999


@dataclass(frozen=True)
class Sizes:
    """What is scored: listeners, items, factors, items asked for, and items seen by each."""

    listeners: int = 20_000
    items: int = 20_000
    factors: int = 64
    k: int = 100
    seen: int = 50


@dataclass(frozen=True)
class Found:
    """Figures of one comparison.

    Attributes
    ----------
    ours, naive : float
        Wall seconds for all listeners.
    ours_cpu, naive_cpu : float
        CPU seconds, over all threads.
    equal_ratio : float
        Share of the listeners who get the same set of items.
    """

    ours: float
    naive: float
    ours_cpu: float
    naive_cpu: float
    equal_ratio: float


def run(bench: Workbench) -> Result:
    """Measure listeners/s on random factors.

    Raises
    ------
    BenchmarkError
        The two find different items.
    """
    sizes = Sizes()
    say("top-k")
    measured = apart(measure, sizes, bench.settings.seed, bench.settings.n_threads)
    found = measured.value
    line = Line(
        f"top {sizes.k}",
        "listeners/s",
        sizes.listeners / found.ours,
        sizes.listeners / found.naive,
        f"at least {_GOAL}x",
        more_is_better=True,
    )
    return Result(
        "topk",
        (line, Line("CPU", "s", found.ours_cpu, found.naive_cpu)),
        (
            f"{sizes.listeners:,} listeners, {sizes.items:,} items, {sizes.factors} factors, "
            f"{sizes.seen} seen items each; BLAS with one thread, implicit with "
            f"{bench.settings.n_threads}.",
            f"Checked: {found.equal_ratio:.4%} of the listeners get the same set of items.",
        ),
    )


def measure(sizes: Sizes, seed: int, n_threads: int) -> Found:
    """Time both ways on the same factors, after a warm-up, and compare their items.

    Raises
    ------
    BenchmarkError
        Fewer listeners than 99.9% get the same items.
    """
    rng = np.random.default_rng(seed)
    shape = (sizes.listeners, sizes.factors)
    factors = rng.standard_normal(shape, dtype=np.float32)
    item_factors = rng.standard_normal((sizes.items, sizes.factors), dtype=np.float32)
    seen = _seen(rng, sizes)

    query = _query(seen)
    prepared = PreparedAls(
        query, query.items, factors, np.ones(sizes.listeners, dtype=np.bool_), item_factors
    )
    warm = _query(seen[:64])
    PreparedAls(warm, warm.items, factors[:64], np.ones(64, dtype=np.bool_), item_factors).top(
        sizes.k
    )
    ours, ours_cpu, top = _timed(lambda: prepared.top(sizes.k))

    model = AlternatingLeastSquares(factors=sizes.factors, num_threads=n_threads)
    model.user_factors, model.item_factors = factors, item_factors
    _recommend(model, seen[:64], sizes.k)
    naive, naive_cpu, theirs = _timed(lambda: _recommend(model, seen, sizes.k))

    found = Found(ours, naive, ours_cpu, naive_cpu, _equal_ratio(top, theirs, sizes))
    if found.equal_ratio < _EQUAL_RATIO:
        raise BenchmarkError(
            f"Top-k and implicit's recommend agree for {found.equal_ratio:.2%} of the listeners, "
            f"at least {_EQUAL_RATIO:.1%} must."
        )
    return found


def _timed(call: Callable[[], T]) -> tuple[float, float, T]:
    started, cpu_started = time.perf_counter(), time.process_time()
    value = call()
    return time.perf_counter() - started, time.process_time() - cpu_started, value


def _recommend(model: AlternatingLeastSquares, seen: sparse.csr_matrix, k: int) -> Rows:
    items, _ = model.recommend(np.arange(seen.shape[0]), seen, N=k, filter_already_liked_items=True)
    return np.asarray(items, dtype=np.int64)


def _equal_ratio(top: Top, theirs: Rows, sizes: Sizes) -> float:
    full = np.bincount(top.listener, minlength=sizes.listeners) == sizes.k
    ours = np.full((sizes.listeners, sizes.k), -1, dtype=np.int64)
    kept = full[top.listener]
    ours[full] = top.item[kept].reshape(-1, sizes.k)
    same = (np.sort(ours, axis=1) == np.sort(theirs, axis=1)).all(axis=1)
    return float(same.mean())


def _seen(rng: np.random.Generator, sizes: Sizes) -> sparse.csr_matrix:
    columns = rng.integers(0, sizes.items, size=(sizes.listeners, sizes.seen))
    rows = np.repeat(np.arange(sizes.listeners), sizes.seen)
    values = np.ones(rows.size, dtype=np.float32)
    matrix = sparse.csr_matrix(
        (values, (rows, columns.ravel())), shape=(sizes.listeners, sizes.items)
    )
    matrix.sum_duplicates()
    return matrix


def _query(seen: sparse.csr_matrix) -> Query:
    """Make a shard of listeners who have seen some of one market's shows, and ask for all."""
    n_listeners, n_items = seen.shape
    none: Rows = np.zeros(0, dtype=np.int64)
    no_codes = np.zeros(0, dtype=np.int16)
    no_values: Floats = np.zeros(0, dtype=np.float32)
    catalog = Catalog(
        as_of=date(2026, 1, 1),
        items=np.arange(1, n_items + 1, dtype=np.int32),
        types=np.full(n_items, ITEM_TYPES.index("show"), dtype=np.int8),
        languages=np.full(n_items, -1, dtype=np.int16),
        language_names=[],
        columns={},
        markets=["DE"],
        tags=[],
        item_tags=np.zeros((n_items, 0), dtype=np.float32),
        _market_keys=none,
        _market_columns={},
        _limited={},
    )
    shard = Shard(
        catalog=catalog,
        listeners=np.arange(1, n_listeners + 1, dtype=np.int32),
        markets=np.zeros(n_listeners, dtype=np.int16),
        languages=np.full(n_listeners, -1, dtype=np.int16),
        columns={},
        pair_listener=np.repeat(np.arange(n_listeners), np.diff(seen.indptr)).astype(np.int64),
        pair_item=seen.indices.astype(np.int64),
        pair_columns={},
        pick_listener=none,
        pick_item=none,
        skip_listener=none,
        skip_item=none,
        skip_columns={},
        _tag_listener=none,
        _tag_code=no_codes,
        _tag_weight=no_values,
    )
    return Query(shard, np.arange(n_listeners, dtype=np.int64), ("show",))
