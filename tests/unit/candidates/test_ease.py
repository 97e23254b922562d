"""The linear item-item model against its definition, and what it keeps."""

import logging
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from homerec.candidates.base import Query
from homerec.candidates.ease import EaseSource, solve
from homerec.candidates.union import SourceLimit, union
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Shard, load_catalog, load_shard
from support.lake import build_lake, event, item, listener
from support.taste import fit_data

PLAYS = {1: (1, 2), 2: (1, 2, 4), 3: (1, 3), 4: (3, 4), 5: (2, 3)}


def shard_of(tmp_path: Path) -> Shard:
    events = [event(k, "2026-03-09T10:00", show=s) for k, shows in PLAYS.items() for s in shows]
    settings = build_lake(
        tmp_path,
        events=events,
        items=[item(k) for k in (1, 2, 3, 4, 5)],
        listeners=[listener(k) for k in (*PLAYS, 6)],
    )
    info = ensure_snapshot(settings, date(2026, 3, 10), writer="night")
    return load_shard(info, load_catalog(info), 0, 100)


def by_definition(x: np.ndarray, l2: float) -> np.ndarray:
    """Each item regressed on all others, one ridge regression after the other."""
    m = x.shape[1]
    weights = np.zeros((m, m))
    for j in range(m):
        others = np.delete(np.arange(m), j)
        left = x[:, others].T @ x[:, others] + l2 * np.eye(m - 1)
        weights[others, j] = np.linalg.solve(left, x[:, others].T @ x[:, j])
    return weights


@pytest.mark.parametrize("shape", [(40, 12), (9, 25)])
def test_weights_are_the_ridge_regressions_whichever_side_is_inverted(
    shape: tuple[int, int],
) -> None:
    x = (np.random.default_rng(3).random(shape) < 0.4).astype(np.float64)
    shown = np.arange(2, shape[1])
    found = solve(sparse.csr_matrix(x), shown, 2.5, n_neighbours=shape[1]).toarray()
    np.testing.assert_allclose(found, by_definition(x, 2.5)[:, shown], atol=1e-6)


def test_the_largest_weights_of_each_item_are_kept() -> None:
    x = (np.random.default_rng(3).random((40, 12)) < 0.4).astype(np.float64)
    whole = by_definition(x, 1.0)
    kept = solve(sparse.csr_matrix(x), np.arange(12), 1.0, n_neighbours=3).tocsc()
    for j in range(12):
        at = kept.indices[kept.indptr[j] : kept.indptr[j + 1]]
        assert sorted(at) == sorted(np.argsort(-np.abs(whole[:, j]))[:3])


def test_scores_are_the_weights_summed_over_what_was_played(tmp_path: Path) -> None:
    shard = shard_of(tmp_path)
    source = EaseSource(l2=1.0, min_listeners=1).fit(fit_data(shard.catalog, shard))
    x = np.zeros((5, 4))
    for line, shows in enumerate(PLAYS.values()):
        x[line, np.array(shows) - 1] = 1
    expected = x @ by_definition(x, 1.0)
    prepared = source.prepare(Query(shard, np.arange(6), ("show",)))
    listeners, items = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    scores = prepared.score(listeners, items).reshape(6, 5)
    np.testing.assert_allclose(scores[:5, :4], expected, atol=1e-6)
    # Nobody has played show 5; listener 6 has played nothing.
    assert np.isnan(scores[:, 4]).all()
    assert np.isnan(scores[5]).all()
    top = prepared.top(3)
    for line in range(5):
        mine = top.item[top.listener == line]
        allowed = [i for i in range(4) if x[line, i] == 0 and expected[line, i] > 0]
        assert mine.tolist() == sorted(allowed, key=lambda i: -expected[line, i])


def test_a_share_is_the_score_over_the_best_of_the_listener(tmp_path: Path) -> None:
    shard = shard_of(tmp_path)
    source = EaseSource(l2=1.0, min_listeners=1).fit(fit_data(shard.catalog, shard))
    pairs = union(Query(shard, np.arange(6), ("show",)), [SourceLimit(source, 3)])
    score, share = pairs.sources["ease_score"], pairs.sources["ease_share"]
    first = pairs.sources["ease_rank"] == 1
    assert first.sum() == 5
    np.testing.assert_array_equal(share[first], 1)
    best = dict(zip(pairs.listener[first].tolist(), score[first].tolist(), strict=True))
    expected = [s / best[k] for k, s in zip(pairs.listener.tolist(), score.tolist(), strict=True)]
    np.testing.assert_allclose(share, expected, rtol=1e-6)


def test_more_items_than_allowed_are_left_to_the_other_sources_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shard = shard_of(tmp_path)
    source = EaseSource(l2=1.0, min_listeners=1, max_items=3)
    with caplog.at_level(logging.WARNING):
        source.fit(fit_data(shard.catalog, shard))
    # Show 4 has two listeners, the others three each.
    assert source.to_keys_.tolist() == [1, 2, 3]
    assert "4 items have 1 listeners or more, max_items is 3: the 1 with" in caplog.text


def test_what_is_kept_holds_no_listener(tmp_path: Path) -> None:
    shard = shard_of(tmp_path)
    source = EaseSource(l2=1.0, min_listeners=1).fit(fit_data(shard.catalog, shard))
    source.save(tmp_path)
    with np.load(tmp_path / "ease.npz") as arrays:
        assert set(arrays.files) == {"from_keys", "to_keys", "data", "indices", "indptr", "types"}
        assert len(arrays["indptr"]) == len(arrays["from_keys"]) + 1 == 5
