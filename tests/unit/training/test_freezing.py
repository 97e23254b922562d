"""A version's histograms are made of a stable sample where there are many listeners."""

from typing import Any

import pytest

from homerec.drift import measure
from homerec.drift.measure import freeze_all, sample_rows, snapshot_columns


def frozen(trained: Any, **changes: Any) -> Any:
    gate = trained.gate
    given = {"eligible": len(gate.eligible(trained.spec)), "seed": 3, "label": "v1"} | changes
    return freeze_all(trained.model, gate.catalog, gate.shards, **given)


def n_rows(trained: Any, share: float) -> dict[str, int]:
    """Rows by place of the listeners that a share of all draws, counted one shard at a time."""
    counts: dict[str, int] = {}
    for shard in trained.gate.shards():
        rows = sample_rows(trained.model, shard, share, 3)
        for place, (_, values) in snapshot_columns(trained.spec, shard, rows).items():
            counts[place] = counts.get(place, 0) + len(values)
    return counts


def test_up_to_the_limit_every_listener_counts(trained: Any) -> None:
    found = frozen(trained)
    n = len(trained.gate.eligible(trained.spec))
    assert found["listener"].n_rows == n <= measure.FROZEN_LISTENERS
    assert {place: found[place].n_rows for place in n_rows(trained, 1.0)} == n_rows(trained, 1.0)


def test_beyond_it_the_sample_of_the_seed_stands_for_all(
    trained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = len(trained.gate.eligible(trained.spec))
    monkeypatch.setattr(measure, "FROZEN_LISTENERS", n // 2)
    found = frozen(trained)
    half = n_rows(trained, (n // 2) / n)
    assert {place: found[place].n_rows for place in half} == half
    assert 0.3 * n < found["listener"].n_rows < 0.7 * n
    # What the ranker reads has a sample of its own, and items are always all.
    whole = frozen(trained, eligible=1)
    for place in set(whole) - set(half):
        assert found[place].n_rows == whole[place].n_rows
    # The same seed draws the same listeners again.
    assert frozen(trained)["listener"] == found["listener"]
