"""How the real data are split, carried into a lake and compared; on data made here."""

import gzip
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from homerec.bench.quality.protocol import ProtocolError
from homerec.bench.quality.real_compare import Scoreboard, gap
from homerec.bench.quality.real_data import (
    RandomSplit,
    random_split,
    read_amazon,
    read_lastfm,
    timed_split,
)
from homerec.bench.quality.real_lake import FIRST_DAY, PART_DAYS, lastfm_lake
from homerec.bench.quality.real_specs import lastfm_spec
from homerec.bench.quality.real_stages import run_stages
from homerec.errors import EmptyInput
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import load_catalog, load_shard
from homerec.ranking.logistic import LogisticRanker
from homerec.settings import Settings


def write_lastfm(folder: Path, n_listeners: int = 120, n_items: int = 60) -> None:
    """Two tastes: even listeners play even artists, odd ones odd artists."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True)
    lines = []
    for who in range(n_listeners):
        own = np.arange(who % 2, n_items, 2)
        lines += [
            f"{who + 10}\t{what + 100}\t{rng.integers(1, 500)}"
            for what in rng.choice(own, 16, replace=False)
        ]
    with gzip.open(folder / "user_artists.dat.gz", "wt") as out:
        out.write("\n".join(lines) + "\n")
    names = [f"{what + 100}\tArtist {what}" for what in range(n_items)]
    (folder / "artists.tsv").write_text("\n".join(["id\tname", *names]) + "\n")


def test_the_random_split_is_the_one_of_the_reference_figures() -> None:
    split = RandomSplit.draw(20_000, 0)
    np.testing.assert_array_equal(split.part == 2, np.random.default_rng(0).random(20_000) < 0.2)
    assert 0.15 < (split.part == 1).mean() < 0.17
    inner = split.within()
    np.testing.assert_array_equal(inner.part == 3, split.part == 2)
    np.testing.assert_array_equal(inner.part == 2, split.part == 1)
    assert 0.12 < (inner.part == 1).mean() < 0.14


def test_parts_of_a_random_split_share_no_pair(tmp_path: Path) -> None:
    write_lastfm(tmp_path / "data")
    data = read_lastfm(tmp_path / "data")
    drawn = RandomSplit.draw(len(data), 1)
    final, validation = (random_split(data, drawn, "x", validation=v) for v in (False, True))
    parts = [
        {*zip(a.tolist(), b.tolist(), strict=True)}
        for a, b in (
            (final.test_listener, final.test_item),
            (validation.test_listener, validation.test_item),
            (validation.listener, validation.item),
        )
    ]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert parts[1] | parts[2] >= {*zip(final.listener.tolist(), final.item.tolist(), strict=True)}


def test_a_split_by_time_wants_five_before_and_a_new_one_after(tmp_path: Path) -> None:
    day = 86_400
    rows = [
        *(("a", f"i{k}", k * day) for k in range(5)), ("a", "i0", 20 * day), ("a", "i9", 20 * day),
        *(("b", f"i{k}", k * day) for k in range(4)), ("b", "i9", 20 * day),
        *(("c", f"i{k}", k * day) for k in range(5)), ("c", "i1", 20 * day),
    ]  # fmt: skip
    text = "\n".join(["listener_id\talbum_id\trated_at", *("\t".join(map(str, r)) for r in rows)])
    with gzip.open(tmp_path / "ratings.tsv.gz", "wt") as out:
        out.write(text + "\n")
    data = read_amazon(tmp_path)
    split = timed_split(data, date(1970, 1, 11))
    # b has four, c takes up nothing new, a's i0 is known.
    assert [data.listener_ids[k] for k in split.test_listener] == ["a"]
    assert [data.item_ids[k] for k in split.test_item] == ["i9"]
    assert split.age_days.max() == 10
    with pytest.raises(ProtocolError, match="holds no pair out"):
        timed_split(data, date(1970, 1, 11), date(1970, 1, 12))


def test_data_that_are_not_there_say_where_they_were_looked_for(tmp_path: Path) -> None:
    with pytest.raises(EmptyInput, match=r"user_artists.dat.gz is not there.*--data"):
        read_lastfm(tmp_path)


def test_the_products_windows_are_the_split(tmp_path: Path) -> None:
    write_lastfm(tmp_path / "data")
    data = read_lastfm(tmp_path / "data")
    drawn = RandomSplit.draw(len(data), 1)
    settings = Settings(threads=1)
    lake = lastfm_lake(settings, tmp_path / "data", data, drawn, tmp_path / "lake")
    for n_parts in (1, 2):
        day = FIRST_DAY + timedelta(days=n_parts * PART_DAYS)
        info = ensure_snapshot(lake.settings, day, writer="training")
        shard = load_shard(info, load_catalog(info), 0, 10_000)
        known = drawn.part < n_parts
        expected = {*zip(data.listener[known].tolist(), data.item[known].tolist(), strict=True)}
        listeners = lake.listeners(shard.listeners)[shard.pair_listener]
        items = lake.items(shard.catalog.items[shard.pair_item])
        assert {*zip(listeners.tolist(), items.tolist(), strict=True)} == expected


def test_both_stages_find_a_planted_taste_and_every_ranker_serves_the_same_listeners(
    tmp_path: Path,
) -> None:
    write_lastfm(tmp_path / "data")
    data = read_lastfm(tmp_path / "data")
    drawn = RandomSplit.draw(len(data), 1)
    settings = Settings(threads=1)
    lake = lastfm_lake(settings, tmp_path / "data", data, drawn, tmp_path / "lake")
    split = random_split(data, drawn, "planted")
    spec = lastfm_spec(settings)
    origin = FIRST_DAY + timedelta(days=2 * PART_DAYS)
    staged = run_stages(lake, spec, origin, split, {"linear": LogisticRanker()}, lambda line: None)
    assert set(staged.lists) == {"boosting", "linear"}
    popular = np.bincount(split.item, minlength=split.n_items).astype(np.float32)
    base = split.judge(split.top(lambda rows: np.tile(popular, (len(rows), 1)), 20))
    for lists in staged.lists.values():
        assert lists.shape == (len(split.eligible), 20)
        known = {*zip(split.listener.tolist(), split.item.tolist(), strict=True)}
        shown = [
            (k, i) for k, row in zip(split.eligible, lists, strict=True) for i in row if i >= 0
        ]
        assert not known & {(int(k), int(i)) for k, i in shown}
        assert split.judge(lists)["ndcg"].mean() > 1.3 * base["ndcg"].mean()
    assert staged.recall["union"] <= staged.recall["all candidates"]
    assert staged.recall["union"] >= max(staged.recall[s.name] for s in spec.sources)


def test_a_gap_draws_whole_listeners() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.random(400)
    ours = theirs + rng.normal(0.02, 0.1, 400)
    once = gap(np.arange(400), ours, theirs, seed=1)
    assert once.low < ours.mean() - theirs.mean() < once.high
    assert once.low_ratio < ours.mean() / theirs.mean() - 1 < once.high_ratio
    # The same listeners four times say nothing more; four times as many listeners would.
    again = gap(np.tile(np.arange(400), 4), np.tile(ours, 4), np.tile(theirs, 4), seed=1)
    assert again.high - again.low == pytest.approx(once.high - once.low, rel=1e-9)
    more = gap(np.arange(1600), np.tile(ours, 4), np.tile(theirs, 4), seed=1)
    assert more.high - more.low < 0.6 * (once.high - once.low)


def test_a_gap_over_nobody_is_an_error() -> None:
    none = np.zeros(0)
    with pytest.raises(ProtocolError, match="0 listeners"):
        gap(np.zeros(0, dtype=np.int64), none, none, seed=0)


def test_the_best_peer_is_the_one_with_the_larger_mean() -> None:
    board = Scoreboard.empty()
    for add in (0.0, 0.1):
        board.add(
            np.arange(2),
            {
                "a": {"ndcg": np.array([0.1, 0.2]), "recall": np.array([0.1, 0.2])},
                "b": {"ndcg": np.array([0.1, 0.2 + add]), "recall": np.array([0.1, 0.1])},
            },
        )
    assert board.best(["a", "b"]) == "b"
    assert board.best(["a", "b"], "recall") == "a"
    assert board.mean("b", "ndcg") == pytest.approx(0.175)
    assert board.gap("b", "a", "ndcg", split=1).ours == pytest.approx(0.2)
    assert board.table().splitlines()[1].startswith("b")
