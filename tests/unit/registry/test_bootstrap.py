import numpy as np
import pytest

from homerec.errors import GateError
from homerec.registry import bootstrap
from homerec.registry.bootstrap import paired_bootstrap

RNG = np.random.default_rng(11)


def test_a_constant_difference_has_no_width() -> None:
    found = paired_bootstrap(np.full(50, 0.75), np.full(50, 0.5))
    assert (found.mean, found.low, found.high, found.standard_error) == (0.25, 0.25, 0.25, 0.0)


def test_the_interval_agrees_with_the_normal_one() -> None:
    a, b = RNG.normal(0.1, 1, 4_000), RNG.normal(0, 1, 4_000)
    found = paired_bootstrap(a, b, seed=3)
    error = (a - b).std(ddof=1) / np.sqrt(4_000)
    assert found.standard_error == pytest.approx(error, rel=0.06)
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.2 * error)


def test_drawing_counts_and_drawing_positions_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    a = np.where(RNG.random(5_000) < 0.2, RNG.choice([0.2, 0.5, 1.0], 5_000), 0.0)
    b = np.where(RNG.random(5_000) < 0.2, RNG.choice([0.2, 0.5, 1.0], 5_000), 0.0)
    counts = paired_bootstrap(a, b, 8_000)
    monkeypatch.setattr(bootstrap, "_MULTINOMIAL_GAIN", 10**9)
    positions = paired_bootstrap(a, b, 8_000)
    assert counts.mean == positions.mean
    assert counts.low == pytest.approx(positions.low, abs=0.1 * counts.standard_error)
    assert counts.high == pytest.approx(positions.high, abs=0.1 * counts.standard_error)


@pytest.mark.parametrize("distinct", [True, False])
def test_row_order_changes_nothing(distinct: bool) -> None:
    a = RNG.random(500) if distinct else RNG.integers(0, 3, 500) / 2
    b = RNG.random(500) if distinct else RNG.integers(0, 3, 500) / 2
    cluster = RNG.integers(0, 90, 500)
    order = RNG.permutation(500)
    assert paired_bootstrap(a, b) == paired_bootstrap(a[order], b[order])
    assert paired_bootstrap(a, b, cluster=cluster) == paired_bootstrap(
        a[order], b[order], cluster=cluster[order]
    )


def test_the_seed_decides() -> None:
    a, b = RNG.random(300), RNG.random(300)
    assert paired_bootstrap(a, b, seed=1) == paired_bootstrap(a, b, seed=1)
    assert paired_bootstrap(a, b, seed=1) != paired_bootstrap(a, b, seed=2)


def test_swapping_the_models_flips_the_mean() -> None:
    a, b = RNG.random(300), RNG.random(300)
    assert paired_bootstrap(a, b).mean == pytest.approx(-paired_bootstrap(b, a).mean)


def test_clusters_widen_the_interval_when_their_rows_agree() -> None:
    by_listener = RNG.normal(size=100)
    a = np.repeat(by_listener, 10)
    cluster = np.repeat(np.arange(100), 10)
    alone = paired_bootstrap(a, np.zeros(1_000))
    together = paired_bootstrap(a, np.zeros(1_000), cluster=cluster)
    assert together.n == 100
    assert together.standard_error > 2.5 * alone.standard_error


def test_one_row_per_cluster_equals_no_clusters() -> None:
    a, b = RNG.random(200), RNG.random(200)
    assert paired_bootstrap(a, b, cluster=np.arange(200)) == paired_bootstrap(a, b)


def test_memory_stays_bounded_by_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = RNG.random(1_000), RNG.random(1_000)
    whole = paired_bootstrap(a, b, 100)
    monkeypatch.setattr(bootstrap, "_BLOCK", 5_000)
    assert paired_bootstrap(a, b, 100) == whole


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([], [], r"they are \(0,\) and \(0,\)"),
        ([1.0], [1.0, 2.0], r"they are \(1,\) and \(2,\)"),
        ([1.0, np.nan], [1.0, 2.0], "1 of 2 paired values are NaN"),
        ([1.0, np.inf], [1.0, 2.0], "1 of 2 paired values are NaN or infinite"),
    ],
)
def test_what_cannot_be_compared_is_refused(a: list[float], b: list[float], message: str) -> None:
    with pytest.raises(GateError, match=message):
        paired_bootstrap(a, b)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(GateError, match="0 resamples"):
        paired_bootstrap([1.0], [1.0], 0)
    with pytest.raises(GateError, match=r"confidence 1\.0"):
        paired_bootstrap([1.0], [1.0], confidence=1.0)
    with pytest.raises(GateError, match="Clusters are"):
        paired_bootstrap([1.0], [1.0], cluster=[1, 2])
