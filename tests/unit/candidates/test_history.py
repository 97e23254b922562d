"""What stage 1 reads of the past, by hand."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from homerec.candidates.base import Query
from homerec.candidates.by_tags import ByTagsSource, NewItemsSource
from homerec.candidates.co_listening import CoListeningSource
from homerec.candidates.history import History
from homerec.candidates.popular import PopularSource
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Shard, load_catalog, load_shard
from support.lake import build_lake, event, item, listener, pick
from support.taste import fit_data

AS_OF = date(2026, 3, 10)


def shard_of(tmp_path: Path, events: list[dict], items: list[dict], **more: list) -> Shard:
    listeners = more.pop("listeners", [listener(k) for k in (1, 2, 3, 4)])
    settings = build_lake(tmp_path, events=events, items=items, listeners=listeners, tables=more)
    info = ensure_snapshot(settings, AS_OF, writer="night")
    return load_shard(info, load_catalog(info), 0, 100)


def test_confidence_grows_with_the_logarithm_of_plays_and_picks_count_three(
    tmp_path: Path,
) -> None:
    shard = shard_of(
        tmp_path,
        [event(1, "2026-03-09T10:00", show=1), event(1, "2026-03-09T12:00", artist=2)],
        [item(1), item(2, "artist"), item(3, "album")],
        signup_picks=[pick(1, 2), pick(3, 2)],
    )
    history = History(("show", "artist"), "n_plays", alpha=2.0)
    columns = history.columns(shard.catalog)
    assert columns.tolist() == [0, 1]
    matrix = history.matrix(shard, columns).toarray()
    expected = np.zeros((4, 2))
    expected[0] = [1 + 2 * np.log(2), 1 + 2 * np.log(1 + 1 + 3)]
    expected[2, 1] = 1 + 2 * np.log(4)
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)
    some = history.matrix(shard, np.array([-1, 1]), np.array([2])).toarray()
    np.testing.assert_allclose(some, [[0, expected[2, 1]]], rtol=1e-6)


def test_co_listening_is_the_shrunk_cosine_of_the_items_listeners(tmp_path: Path) -> None:
    plays = {1: (1, 2), 2: (1, 2), 3: (1,), 4: (3,)}
    events = [event(k, "2026-03-09T10:00", show=s) for k, shows in plays.items() for s in shows]
    shard = shard_of(tmp_path, events, [item(1), item(2), item(3)])
    source = CoListeningSource(column="n_plays", shrinkage=1.0)
    source.fit(fit_data(shard.catalog, shard))
    similar = 2 / (np.sqrt(3 * 2) + 1)
    np.testing.assert_allclose(
        source.similarity_.toarray(), [[0, similar, 0], [similar, 0, 0], [0, 0, 0]], rtol=1e-6
    )
    top = source.prepare(Query(shard, np.arange(4), ("show",))).top(5)
    assert list(zip(top.listener.tolist(), top.item.tolist(), strict=True)) == [(2, 1)]
    assert top.score[0] == pytest.approx((1 + np.log(2)) * similar, rel=1e-6)


def test_only_the_nearest_neighbours_are_kept(tmp_path: Path) -> None:
    plays = {1: (1, 2, 3), 2: (1, 2), 3: (1,), 4: (3,)}
    events = [event(k, "2026-03-09T10:00", show=s) for k, shows in plays.items() for s in shows]
    shard = shard_of(tmp_path, events, [item(1), item(2), item(3)])
    source = CoListeningSource(n_neighbours=1).fit(fit_data(shard.catalog, shard))
    kept = source.similarity_.tocoo()
    assert list(zip(kept.row, kept.col, strict=True)) == [(0, 1), (1, 0), (2, 1)]


def test_popularity_is_the_markets_and_others_only_fill_up(tmp_path: Path) -> None:
    listeners = [listener(k, "DE" if k < 3 else "US") for k in (1, 2, 3, 4, 5, 6)]
    events = [event(1, "2026-03-09T10:00", show=1)]
    events += [event(k, "2026-03-09T10:00", show=2) for k in (3, 4, 5)]
    events += [event(3, "2026-03-09T11:00", show=3)]
    items = [item(k) for k in (1, 2, 3, 4)]
    shard = shard_of(tmp_path, events, items, listeners=listeners)
    top = PopularSource().prepare(Query(shard, np.array([1, 5]), ("show",))).top(9)
    cards = {row: top.item[top.listener == row].tolist() for row in (1, 5)}
    # Show 4 was played by nobody; for Germany show 1 beats what the others play more.
    assert cards == {1: [0, 1, 2], 5: [1, 2, 0]}


def test_by_tags_prefers_shared_tags_and_then_what_is_started(tmp_path: Path) -> None:
    items = [
        item(1, tags=["a"]), item(2, tags=["a"]), item(3, tags=["a", "b"]), item(4, tags=["b"]),
        item(5, tags=["a"], released_at="2026-03-01"), item(6, "artist", tags=["a"]),
    ]  # fmt: skip
    events = [event(2, "2026-03-09T10:00", show=2)]
    shard = shard_of(tmp_path, events, items, signup_picks=[pick(1, 6)])
    query = Query(shard, np.array([0]), ("show",))
    every = ByTagsSource().prepare(query).top(9)
    assert shard.catalog.items[every.item].tolist() == [2, 1, 5, 3]
    assert every.score[1] == pytest.approx(1)
    assert every.score[0] == pytest.approx(1 + 0.1 * np.log(2), rel=1e-6)
    new = NewItemsSource().prepare(query).top(9)
    assert shard.catalog.items[new.item].tolist() == [5]
