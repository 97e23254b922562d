"""What is read of listeners' starts: when, how much it counts, how long it was known."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy import sparse

from homerec.candidates.starts.evidence import Evidence
from homerec.columns import ITEM_TYPES
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Shard, load_catalog, load_shard
from support.taste import taste_lake

DAY = date(2026, 3, 10)
TYPES = np.array([0, 0, 0, 1, 1])


def evidence(rows: list[dict[int, tuple[float, float]]]) -> Evidence:
    """One listener a row: weight and days since the start, by item."""
    pairs = [(i, item, *row[item]) for i, row in enumerate(rows) for item in sorted(row)]
    line, item, weight, since = (np.array(part) for part in zip(*pairs, strict=True))
    shape = (len(rows), len(TYPES))
    started = sparse.csr_matrix((weight.astype(float), (line, item)), shape=shape)
    return Evidence(started, since.astype(float))


def test_an_item_was_known_for_the_share_of_starts_of_its_type_that_came_later() -> None:
    one = evidence([{0: (1, 30), 1: (1, 20), 2: (1, 10), 3: (1, 25)}])
    # Of three starts of the first type, two came after item 0, one after item 1.
    np.testing.assert_allclose(one.known(TYPES), [2 / 3, 1 / 3, 0, 0])


def test_weak_starts_count_by_their_weight() -> None:
    one = evidence([{0: (0.1, 30), 1: (1, 20), 2: (0.1, 10)}])
    np.testing.assert_allclose(one.known(TYPES), [0.1 * 1.1 / 1.2, 0.1 / 1.2, 0])


def test_starts_of_one_moment_count_half() -> None:
    one = evidence([{0: (1, np.inf), 1: (1, np.inf), 2: (1, 10)}])
    np.testing.assert_allclose(one.known(TYPES), [0.5, 0.5, 0])


def test_what_was_known_does_not_depend_on_other_listeners() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {
            int(i): (float(rng.choice([0.1, 1.0])), float(rng.integers(0, 9)))
            for i in rng.choice(5, 4, replace=False)
        }
        for _ in range(40)
    ]
    whole = evidence(rows).known(TYPES)
    apart = [evidence([row]).known(TYPES) for row in rows]
    np.testing.assert_array_equal(whole, np.concatenate(apart))


def test_taking_listeners_and_items_keeps_each_start_with_its_day() -> None:
    whole = evidence([{0: (1, 3), 2: (0.1, 4)}, {1: (1, 5)}, {0: (1, 0), 4: (1, 7)}])
    part = whole.take(np.array([2, 0]), np.array([4, 2, 0]))
    assert part.started.toarray().tolist() == [[1, 0, 1], [0, 0.1, 1]]
    # Item 0 of the third listener was started today: no entry is lost for being 0.
    assert part.since.tolist() == [7, 0, 4, 3]
    assert part.started.has_sorted_indices


def test_recent_starts_are_those_of_the_last_days_and_nothing_else_changes() -> None:
    whole = evidence([{0: (1, 3), 2: (0.1, 40)}, {1: (1, np.inf)}, {3: (1, 28)}])
    before = whole.started.toarray()
    assert whole.recent(28).toarray().tolist() == [
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],
    ]
    np.testing.assert_array_equal(whole.started.toarray(), before)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    info = ensure_snapshot(taste_lake(tmp_path_factory.mktemp("taste")), DAY, writer="night")
    return load_shard(info, load_catalog(info), 0, 1_000)


def test_a_shard_is_read_pair_by_pair_and_picks_come_first(shard: Shard) -> None:
    items = np.arange(len(shard.catalog.items), dtype=np.int64)
    weights = {"artist": 0.8, "show": 0.5}
    found = Evidence.read(shard, items, weights, {"artist": 0.1}, skipped=1.0)
    chosen = shard.pair_columns["n_chosen"] > 0
    kinds = [ITEM_TYPES[kind] for kind in shard.catalog.types]
    expected: dict[tuple[int, int], tuple[float, float]] = {}
    for at, (line, item) in enumerate(zip(shard.pair_listener, shard.pair_item, strict=True)):
        full = weights.get(kinds[item], 0.0)
        weak = {"artist": 0.1}.get(kinds[item], 0.0)
        if weight := full if chosen[at] else weak:
            days = float(shard.pair_columns["days_since_first"][at])
            expected[int(line), int(item)] = (weight, days)
    assert len(shard.pick_item) > 0
    for line, item in zip(shard.pick_listener, shard.pick_item, strict=True):
        expected[int(line), int(item)] = (0.8, np.inf)
    row, column = found.started.nonzero()
    got = {
        (int(r), int(c)): (float(w), float(s))
        for r, c, w, s in zip(row, column, found.started.data, found.since, strict=True)
    }
    assert got == expected
    assert {0.1, 0.5, 0.8} >= {w for w, _ in got.values()} > {0.8}


def test_an_item_that_the_catalog_does_not_hold_has_no_starts(shard: Shard) -> None:
    shows = shard.catalog.of_type("show")
    found = Evidence.read(shard, np.append(shows, -1), {"show": 1.0}, {}, skipped=1.0)
    assert found.started.shape == (shard.n_listeners, len(shows) + 1)
    assert found.started[:, -1].nnz == 0
    assert found.started.nnz == np.isin(shard.pair_item, shows).sum()


def test_what_was_only_left_at_once_is_a_weaker_start_and_a_pick_of_it_a_whole_one(
    shard: Shard,
) -> None:
    artist, show = (int(shard.catalog.of_type(kind)[0]) for kind in ("artist", "show"))
    never = next(
        line
        for line in range(shard.n_listeners)
        if shard.pair_rows(np.array([line, line]), np.array([artist, show])).max() < 0
    )
    left = replace(
        shard,
        skip_listener=np.array([never, never]),
        skip_item=np.array([artist, show]),
        skip_columns={"days_since_first": np.array([9.0, 4.0], np.float32)},
        pick_listener=np.array([never]),
        pick_item=np.array([artist]),
    )
    items = np.array([artist, show])
    weights = {"artist": 0.8, "show": 1.0}
    found = Evidence.read(left, items, weights, {}, skipped=0.5).take(np.array([never]))
    assert found.started.toarray().tolist() == [[0.8, 0.5]]
    assert found.since.tolist() == [np.inf, 4.0]
    without = Evidence.read(left, items, weights, {}, skipped=0.0).take(np.array([never]))
    assert without.started.toarray().tolist() == [[0.8, 0.0]]
