import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from homerec.drift.distance import chebyshev
from homerec.drift.histogram import Histograms, count, freeze, merge

COUNTS = st.dictionaries(st.text(max_size=3), st.integers(0, 10**9), min_size=1, max_size=12)
FEW = st.dictionaries(st.sampled_from("abc"), st.integers(0, 6), min_size=1)
VALUES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 80), st.integers(1, 3)),
    elements=st.floats(width=32) | st.integers(-3, 3).map(float),
)


def names(values: np.ndarray) -> list[str]:
    return [f"f{i}" for i in range(values.shape[1])]


@given(COUNTS, COUNTS)
def test_the_distance_is_symmetric_and_in_the_unit_interval(
    p: dict[str, int], q: dict[str, int]
) -> None:
    assume(sum(p.values()) and sum(q.values()))
    there, back = chebyshev(p, q), chebyshev(q, p)
    assert there.value == pytest.approx(back.value)
    assert 0 <= there.value <= 1
    assert there.value == pytest.approx(abs(there.reference_share - there.current_share))


@given(COUNTS, st.integers(1, 1_000))
def test_the_distance_of_equal_shares_is_zero(p: dict[str, int], times: int) -> None:
    assume(sum(p.values()))
    assert chebyshev(p, p).value == 0
    assert chebyshev(p, {name: n * times for name, n in p.items()}).value == pytest.approx(0)


@given(FEW, FEW)
def test_the_distance_is_zero_only_for_equal_shares(p: dict[str, int], q: dict[str, int]) -> None:
    total_p, total_q = sum(p.values()), sum(q.values())
    assume(total_p and total_q)
    equal = all(p.get(k, 0) * total_q == q.get(k, 0) * total_p for k in p.keys() | q.keys())
    assert (chebyshev(p, q).value < 1e-12) == equal


@given(COUNTS, COUNTS, COUNTS)
def test_the_triangle_inequality_holds(
    p: dict[str, int], q: dict[str, int], r: dict[str, int]
) -> None:
    assume(sum(p.values()) and sum(q.values()) and sum(r.values()))
    assert chebyshev(p, r).value <= chebyshev(p, q).value + chebyshev(q, r).value + 1e-12


@settings(deadline=None)
@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_no_histogram(values: np.ndarray, random: object) -> None:
    order = np.arange(len(values))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert freeze(values[order], names(values)) == freeze(values, names(values))


@settings(deadline=None)
@given(VALUES, st.integers(2, 25))
def test_every_row_is_counted_once_and_json_keeps_it(values: np.ndarray, bins: int) -> None:
    frozen = freeze(values, names(values), bins)
    assert all(sum(h.counts) == len(values) for h in frozen.features.values())
    assert all(len(set(h.labels())) == len(h.counts) for h in frozen.features.values())
    assert Histograms.from_json(frozen.to_json()) == frozen
    assert count(frozen, values, names(values)) == frozen


@settings(deadline=None)
@given(VALUES, st.integers(1, 5))
def test_the_number_of_shards_changes_nothing(values: np.ndarray, n_shards: int) -> None:
    frozen = freeze(values, names(values))
    shards = [part for part in np.array_split(values, n_shards) if len(part)]
    assert merge([count(frozen, part, names(values)) for part in shards]) == frozen
