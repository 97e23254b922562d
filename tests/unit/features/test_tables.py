"""A snapshot in memory, and the assembly of features on it."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from homerec.errors import TrainingError
from homerec.features.assembly import FEATURES, Pairs, assemble
from homerec.features.snapshot import SnapshotInfo, ensure_snapshot
from homerec.features.tables import (
    Shard,
    find,
    iter_shards,
    load_catalog,
    load_shard,
    shard_ranges,
)
from homerec.models import get_model, model_names
from homerec.settings import Settings
from support.lake import build_lake, event, item, listener, pick

AS_OF = date(2026, 3, 10)


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> SnapshotInfo:
    settings = build_lake(
        tmp_path_factory.mktemp("tables"),
        events=[
            event(2, "2026-03-06T06:00", show=10, context=13),  # Friday, 07:00 in Berlin
            event(2, "2026-03-07T20:00", show=10),
            event(2, "2026-03-09T06:00", artist=12),
            event(5, "2026-03-09T12:00", show=11),
            event(9, "2026-03-03T12:00", show=10),
            event(9, "2026-03-08T12:00", show=14),
            event(5, "2026-03-08T12:00", show=10, ms_played=5_000),
            event(5, "2026-03-09T18:00", show=10, ms_played=5_000),
            event(5, "2026-03-09T18:00", show=11, ms_played=5_000),
            event(7, "2026-03-09T18:00", show=14, ms_played=5_000),
            event(9, "2026-03-07T12:00", artist=12, context=13, ms_played=5_000),
        ],
        items=[
            item(10, tags=["news", "talk"], language="de", markets=["DE"]),
            item(11, tags=["news"], language="en"),
            item(12, "artist", tags=["rock"], language="en"),
            item(13, "playlist", markets=["FR"]),
            item(14, released_at="2026-03-20"),
        ],
        listeners=[listener(2), listener(5, "US"), listener(7, "US"), listener(9)],
        tables={"signup_picks": [pick(7, 12)]},
    )
    return ensure_snapshot(settings, AS_OF, writer="night")


@pytest.fixture(scope="module")
def shard(info: SnapshotInfo) -> Shard:
    return load_shard(info, load_catalog(info), 0, 1_000)


def one_pair(shard: Shard, listener_key: int, item_key: int, daypart: int = -1) -> Pairs:
    row = find(shard.listeners, np.array([listener_key]))
    return Pairs(row, shard.catalog.rows(np.array([item_key])), np.array([daypart], np.int8))


def value(shard: Shard, name: str, listener_key: int, item_key: int, daypart: int = -1) -> float:
    return float(assemble(one_pair(shard, listener_key, item_key, daypart), shard, [name])[0, 0])


@pytest.mark.parametrize(
    ("keys", "wanted", "found"),
    [
        ([], [1, 2], [-1, -1]),
        ([3, 5, 9], [], []),
        ([3, 5, 9], [2, 3, 4, 5, 9, 10], [-1, 0, -1, 1, 2, -1]),
    ],
)
def test_find_gives_positions_and_minus_one(
    keys: list[int], wanted: list[int], found: list[int]
) -> None:
    at = find(np.array(keys, dtype=np.int32), np.array(wanted, dtype=np.int32))
    assert at.dtype == np.int64
    assert at.tolist() == found


def test_the_catalog_leaves_out_what_is_not_released(shard: Shard) -> None:
    catalog = shard.catalog
    assert catalog.items.tolist() == [10, 11, 12, 13]
    assert catalog.rows(np.array([14, 12])).tolist() == [-1, 2]
    assert catalog.of_type("show").tolist() == [0, 1]
    assert catalog.of_type("album").tolist() == []
    assert catalog.markets == ["DE", "US"]


@pytest.mark.parametrize(
    ("market", "allowed"),
    [("DE", [True, True, True, False]), ("US", [False, True, True, False])],
)
def test_limited_items_are_available_in_their_markets_alone(
    shard: Shard, market: str, allowed: list[bool]
) -> None:
    rows = np.arange(4, dtype=np.int64)
    code = shard.catalog.markets.index(market)
    assert shard.catalog.available(rows, code).tolist() == allowed


def test_market_columns_are_zero_where_nobody_played(shard: Shard) -> None:
    rows = np.array([0, 0, 1, 1, 3], dtype=np.int64)
    markets = np.array([0, 1, 0, 1, 1])
    found = shard.catalog.market_column("n_listeners", rows, markets)
    assert found.tolist() == [2, 0, 0, 1, 0]


def test_a_shard_holds_its_listeners_and_their_pairs(info: SnapshotInfo, shard: Shard) -> None:
    assert shard.listeners.tolist() == [2, 5, 7, 9]
    pairs = list(zip(shard.pair_listener.tolist(), shard.pair_item.tolist(), strict=True))
    # The unreleased item 14 of listener 9 is not among them.
    assert pairs == [(0, 0), (0, 2), (0, 3), (1, 1), (3, 0)]
    assert shard.pick_listener.tolist() == [2]
    # Listener 5 has played show 11; item 14, which listener 7 left, is not released.
    skips = list(zip(shard.skip_listener.tolist(), shard.skip_item.tolist(), strict=True))
    assert skips == [(1, 0), (3, 3)]
    assert shard.skip_columns["n_skips"].tolist() == [2, 1]
    middle = load_shard(info, shard.catalog, 5, 9)
    assert middle.listeners.tolist() == [5, 7]
    assert middle.pair_listener.tolist() == [0]
    assert middle.pick_listener.tolist() == [1]
    assert middle.skip_listener.tolist() == [0]
    assert [shard.catalog.markets[m] for m in middle.markets] == ["US", "US"]


@pytest.mark.parametrize(
    ("size", "ranges"),
    [(1, [(2, 5), (5, 7), (7, 9), (9, 10)]), (3, [(2, 9), (9, 10)]), (9, [(2, 10)])],
)
def test_shards_cover_every_listener_once(
    info: SnapshotInfo, shard: Shard, size: int, ranges: list[tuple[int, int]]
) -> None:
    assert shard_ranges(info, size) == ranges
    parts = list(iter_shards(info, shard.catalog, size))
    assert np.concatenate([p.listeners for p in parts]).tolist() == [2, 5, 7, 9]
    assert max(p.n_listeners for p in parts) <= size


def test_tastes_have_unit_length_or_are_zero(shard: Shard) -> None:
    lengths = np.linalg.norm(shard.listener_tags, axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 1], rtol=1e-6)
    names = shard.catalog.tags
    assert shard.listener_tags[2].tolist() == [float(t == "rock") for t in names]


def test_a_snapshot_without_listeners_has_no_shards(tmp_path: Path) -> None:
    late = listener(1, registered_at="2026-04-01")
    settings = build_lake(
        tmp_path, events=[event(1, "2026-03-09T10:00", show=1)], items=[item(1)], listeners=[late]
    )
    assert shard_ranges(ensure_snapshot(settings, AS_OF, writer="night"), 5) == []


@pytest.mark.parametrize(
    ("name", "who", "what", "daypart", "expected"),
    [
        ("listener_n_items", 2, 11, -1, 3),
        ("item_age_days", 2, 11, -1, (AS_OF - date(2025, 1, 1)).days),
        ("market_n_listeners", 2, 10, -1, 2),
        ("market_n_listeners", 5, 10, -1, 0),
        ("pair_n_plays", 2, 10, -1, 2),
        ("pair_n_plays", 2, 11, -1, 0),
        ("pair_days_since_last", 2, 11, -1, np.nan),
        ("pair_activation", 7, 10, -1, np.nan),
        # Listener 2 on show 10: 4 and 3 days ago, once in the morning, once in the evening.
        ("pair_daypart_plays", 2, 10, 1, 1),
        ("pair_daypart_plays", 2, 10, 2, 0),
        ("pair_daypart_plays", 2, 10, -1, np.nan),
        ("listener_daypart_ratio", 2, 10, 1, 3 / 4),
        ("listener_daypart_ratio", 7, 10, 1, np.nan),
        ("pair_daypart_ratio", 2, 10, 1, (1 + 4 * 3 / 4) / (2 + 4)),
        ("pair_daypart_ratio", 7, 10, 1, 0.25),
        ("pair_weekend_ratio", 2, 10, -1, 1 / 2),
        ("pair_same_weekday_ratio", 9, 10, -1, 1),
        ("pair_regularity", 2, 10, -1, 2 / (1 + (24 - 10) / 24 + 1)),
        ("pair_regularity", 2, 11, -1, 0),
        ("pair_recency_rank", 2, 12, -1, 1),
        ("pair_recency_rank", 2, 10, -1, 2),
        ("pair_recency_rank", 2, 13, -1, 3),
        ("pair_recency_rank", 2, 11, -1, np.nan),
        ("pair_activation_rank", 2, 12, -1, 1),
        ("tag_affinity", 7, 12, -1, 1),
        ("tag_affinity", 7, 10, -1, 0),
        ("tag_affinity", 5, 10, -1, 2**-0.5),
        ("language_match", 5, 11, -1, 1),
        ("language_match", 5, 10, -1, 0),
        ("language_match", 7, 10, -1, np.nan),
        ("language_match", 5, 13, -1, np.nan),
        ("item_type", 2, 13, -1, 2),
        ("market_start_ratio", 2, 10, -1, 1),
        ("market_start_ratio", 7, 10, -1, 0),
        ("days_since_skip", 5, 10, -1, 0.25),
        ("days_since_skip", 5, 11, -1, np.nan),
        ("days_since_skip", 2, 10, -1, np.nan),
        ("days_since_skip", 9, 13, -1, 2.5),
        ("days_since_skip", 9, 12, -1, np.nan),
    ],
)
def test_features_have_the_values_computed_by_hand(
    shard: Shard, name: str, who: int, what: int, daypart: int, expected: float
) -> None:
    assert value(shard, name, who, what, daypart) == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_pair_share_is_the_pairs_part_of_all_decayed_plays(shard: Shard) -> None:
    shares = [value(shard, "pair_share", 2, key) for key in (10, 11, 12, 13)]
    weights = [2 ** (-4 / 14) + 2 ** (-3 / 14), 0, 2 ** (-1 / 14), 2 ** (-4 / 14)]
    np.testing.assert_allclose(shares, np.array(weights) / sum(weights), rtol=1e-5)


def test_every_feature_is_the_same_alone_and_among_others(info: SnapshotInfo, shard: Shard) -> None:
    n, m = shard.n_listeners, len(shard.catalog.items)
    listeners, items = np.repeat(np.arange(n), m), np.tile(np.arange(m), n)
    dayparts = (np.arange(n * m) % 5 - 1).astype(np.int8)
    together = assemble(Pairs(listeners, items, dayparts), shard, list(FEATURES))
    assert together.dtype == np.float32
    for at in range(n * m):
        key = int(shard.listeners[listeners[at]])
        single = load_shard(info, shard.catalog, key, key + 1)
        pair = Pairs(np.zeros(1, np.int64), items[at : at + 1], dayparts[at : at + 1])
        alone = assemble(pair, single, list(FEATURES))
        np.testing.assert_array_equal(alone[0], together[at])


def test_source_features_come_from_the_candidates(shard: Shard) -> None:
    pair = one_pair(shard, 2, 10)
    scored = Pairs(pair.listener, pair.item, pair.daypart, {"als_rank": np.array([3], np.float32)})
    assert assemble(scored, shard, ["source_als_rank"])[0, 0] == 3
    with pytest.raises(TrainingError, match=r"source_als_score needs .* they have als_rank"):
        assemble(scored, shard, ["source_als_score"])


def test_an_unknown_feature_is_an_error(shard: Shard) -> None:
    with pytest.raises(TrainingError, match="no feature pair_mood"):
        assemble(one_pair(shard, 2, 10), shard, ["pair_mood"])


def test_no_pairs_make_an_empty_matrix(shard: Shard) -> None:
    none = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int8))
    assert assemble(none, shard, list(FEATURES)).shape == (0, len(FEATURES))


@pytest.mark.parametrize("name", model_names())
def test_the_features_of_every_model_exist(name: str) -> None:
    spec = get_model(name, Settings())
    said = {f"source_{s.name}_{what}" for s in spec.sources for what in ("score", "rank")}
    assert set(spec.features) <= set(FEATURES) | said
    assert len(set(spec.features)) == len(spec.features)
