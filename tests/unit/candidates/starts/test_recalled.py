"""What was left at once: recalled among what is familiar, or forgotten and found anew."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from homerec.candidates.starts.acceptance import log_acceptance
from homerec.candidates.starts.recalled import Left, log_totals
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Shard, load_catalog, load_shard
from support.lake import Row, build_lake, event, item, listener, pick
from support.taste import FIRST_DAY, with_skips

DAY = date(2026, 3, 10)
SHOWS, ARTISTS = list(range(1, 21)), list(range(31, 41))
ALBUM, PLAYLIST = 50, 60
#: Knows two shows; knows ten; knows two and eight artists; knows two of old; picked three artists
#: and played one of them; played a playlist whose artist nobody put on.
FEW, MANY, MUSIC, STALE, PICKED, PASSIVE = range(6)
N = 6


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    return made(tmp_path_factory.mktemp("recalled"), again=False)


def made(home: Path, again: bool) -> Shard:
    """Listeners who know some items; ``again``: they played each twice on a second day."""
    known = {
        FEW: SHOWS[:2], MANY: SHOWS[:10], MUSIC: SHOWS[:2] + ARTISTS[:8], STALE: SHOWS[:2],
        PICKED: [*SHOWS[:2], ARTISTS[0]], PASSIVE: SHOWS[:2],
    }  # fmt: skip
    events: list[Row] = []
    for key, items in known.items():
        begin = FIRST_DAY + timedelta(days=0 if key == STALE else 7)
        for after in (0, 24, 25) if again else (0,):
            for one in items:
                what: dict[str, Any] = {"show" if one in SHOWS else "artist": one}
                events.append(event(key, begin + timedelta(hours=after), **what))
    at = FIRST_DAY + timedelta(days=7)
    events.append(event(PASSIVE, at, context=PLAYLIST, artist=ARTISTS[0]))
    catalog = [item(s) for s in SHOWS] + [item(a, "artist") for a in ARTISTS]
    catalog += [item(ALBUM, "album"), item(PLAYLIST, "playlist")]
    settings = build_lake(
        home, events=events, items=catalog, listeners=[listener(key) for key in known],
        tables={"signup_picks": [pick(PICKED, artist) for artist in ARTISTS[:3]]},
    )  # fmt: skip
    info = ensure_snapshot(settings, DAY, writer="night")
    return load_shard(info, load_catalog(info), 0, 100)


def read(
    shard: Shard,
    memory: int = 1_000,
    *,
    item: int = SHOWS[-1],
    skipped: float = 0.5,
    **columns: float,
) -> Left:
    """Everybody has left the same item."""
    what = np.repeat(shard.catalog.rows(np.array([item])), N)
    return Left.read(with_skips(shard, np.arange(N), what, **columns), memory, skipped)


#: A skip of four days ago, and plays on a day whose middle is 1.5 days ago, to the memory.
SKIP, PLAY = 0.3 / np.sqrt(4.0), 1 / np.sqrt(1.5)


def test_it_is_recalled_by_its_share_of_what_is_familiar(shard: Shard) -> None:
    found = np.exp(read(shard).log_recalled)
    share = SKIP / (SKIP + np.array([2, 10]) * PLAY)
    # Nothing was returned to: four returns beside one start, and starts as they were.
    rate = 1.25 * 4.0 / (np.array([2, 10]) + 0.5 + 1.0)
    assert found[[FEW, MANY]] == pytest.approx(share * rate, rel=1e-3)


def test_returns_to_what_is_familiar_are_occasions_to_recall(shard: Shard, tmp_path: Path) -> None:
    once, twice = read(shard), read(made(tmp_path, again=True))
    # Two shows were returned to on one other day; both plays of it are in the memory.
    share = SKIP / (SKIP + 2 * (PLAY + 2 / np.sqrt(0.5)))
    assert np.exp(twice.log_recalled[FEW]) == pytest.approx(share * 1.25 * 6.0 / 3.5, rel=1e-3)
    assert once.log_forgotten.tolist() == twice.log_forgotten.tolist()


def test_music_is_no_rival_of_a_show(shard: Shard) -> None:
    found = read(shard).log_recalled
    assert found[MUSIC] == pytest.approx(found[FEW], abs=1e-3)
    for kind in (ARTISTS[-1], ALBUM):
        of_music = np.exp(read(shard, item=kind).log_recalled)
        assert of_music[FEW] == pytest.approx(1.25 * 4.0 / 1.5, rel=1e-3)
        starts = 8 if kind != ALBUM else 0
        share = SKIP / (SKIP + 8 * PLAY)
        assert of_music[MUSIC] == pytest.approx(share * 1.25 * 4.0 / (starts + 1.5), rel=1e-3)
        # Only the playlist was put on, not the artist that came with it.
        assert of_music[PASSIVE] == pytest.approx(SKIP / (SKIP + PLAY) * 1.25 * 4 / 1.5, rel=1e-3)


def test_the_memory_is_filled_by_all_that_was_put_on_left_or_picked_once_each(shard: Shard) -> None:
    full = np.exp(read(shard, memory=7).log_forgotten)
    # Two shows and the one that was left; and eight artists, three picks, a playlist.
    known = np.array([3, 11, 11, 3, 6, 4])
    assert full == pytest.approx(1.0 / (1.0 + np.exp(-(known - 7) / (7 / 8))), rel=1e-6)
    three = shard.catalog.rows(np.array([*SHOWS[-2:], ARTISTS[-1]]))
    more = Left.read(with_skips(shard, np.repeat(FEW, 3), np.sort(three)), 7, 0.5)
    assert np.exp(more.log_forgotten) == pytest.approx([1.0 / (1.0 + np.exp(2 / (7 / 8)))] * 3)


def test_what_is_forgotten_is_not_recalled_even_if_nothing_else_is_familiar(shard: Shard) -> None:
    whole = read(shard, item=ARTISTS[-1])
    full = read(shard, 1, item=ARTISTS[-1])
    half = read(shard, 3, item=ARTISTS[-1])
    assert np.exp(full.log_forgotten).min() > 0.999
    assert np.exp(whole.log_forgotten).max() < 0.001
    assert (full.log_recalled < whole.log_recalled - 10).all()
    assert np.exp(half.log_forgotten[FEW]) == pytest.approx(0.5)
    lost = half.log_recalled[FEW] - whole.log_recalled[FEW]
    assert np.exp(lost) == pytest.approx(0.5, rel=1e-3)


def test_somebody_who_knows_very_much_more_than_they_keep_has_finite_figures(shard: Shard) -> None:
    many = replace(
        shard,
        pick_listener=np.repeat(FEW, 20_000),
        pick_item=np.arange(20_000),
        catalog=replace(shard.catalog, types=np.zeros(20_000, shard.catalog.types.dtype)),
        pair_item=shard.pair_item[:0],
        pair_listener=shard.pair_listener[:0],
        pair_columns={name: values[:0] for name, values in shard.pair_columns.items()},
    )
    tried = with_skips(many, np.array([FEW]), np.array([3]))
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        found = Left.read(tried, 1, 0.5)
    assert np.isfinite(found.log_recalled).all()
    assert found.log_forgotten.tolist() == [0.0]


def test_later_and_more_often_left_is_more_present_and_stale_rivals_are_less(shard: Shard) -> None:
    found = read(shard)
    assert (found.log_recalled > read(shard, days_since_last=9.0).log_recalled).all()
    assert (read(shard, n_skips=3.0).log_recalled > found.log_recalled).all()
    assert found.log_recalled[STALE] > found.log_recalled[FEW]
    # Within the last hours nothing is infinitely present.
    left = 0.3 / np.sqrt(0.5)
    for days in (0.001, 0.5):
        now = np.exp(read(shard, days_since_last=days).log_recalled[FEW])
        share = left / (left + 2 * PLAY)
        assert now == pytest.approx(share * 1.25 * 4.0 / 3.5, rel=1e-3)


def test_all_that_was_left_is_familiar(shard: Shard) -> None:
    what = np.sort(shard.catalog.rows(np.array([*SHOWS[-2:], ARTISTS[-1]])))
    tried = with_skips(shard, np.repeat(FEW, 3), what, n_skips=[1, 3, 1], days_since_last=[4, 1, 4])
    found = np.exp(Left.read(tried, 1_000, 0.5).log_recalled)
    left = np.array([SKIP, 0.9])
    share = left / (left.sum() + 2 * PLAY)
    assert found[:2] == pytest.approx(share * 1.25 * 4.0 / (2 + 0.5 * 2 + 1), rel=1e-3)
    assert found[2] == pytest.approx(1.25 * 4.0 / 1.5, rel=1e-3)


def test_starts_that_were_left_count_among_what_is_new(shard: Shard) -> None:
    less, more = read(shard, skipped=0.0), read(shard, skipped=1.0)
    assert np.exp(less.log_recalled - more.log_recalled)[FEW] == pytest.approx(4.0 / 3.0)


def test_a_listener_is_read_alike_alone_and_among_others(shard: Shard) -> None:
    rng = np.random.default_rng(1)
    who, what = np.nonzero(rng.random((N, len(shard.catalog.items))) < 0.5)
    names = ("n_skips", "days_since_first", "days_since_last")
    columns = {name: rng.uniform(1.0, 9.0, len(who)).astype(np.float32) for name in names}
    together = Left.read(with_skips(shard, who, what, **columns), 5, 0.5)
    for row in range(N):
        own, pairs, picks = who == row, shard.pair_listener == row, shard.pick_listener == row
        one = replace(
            shard,
            listeners=shard.listeners[[row]],
            pair_listener=np.zeros(pairs.sum(), np.int64),
            pair_item=shard.pair_item[pairs],
            pair_columns={name: v[pairs] for name, v in shard.pair_columns.items()},
            pick_listener=np.zeros(picks.sum(), np.int64),
            pick_item=shard.pick_item[picks],
        )
        mine = {name: v[own] for name, v in columns.items()}
        alone = with_skips(one, np.zeros(own.sum(), np.int64), what[own], **mine)
        found = Left.read(alone, 5, 0.5)
        assert found.log_recalled.tolist() == together.log_recalled[own].tolist()
        assert found.log_forgotten.tolist() == together.log_forgotten[own].tolist()


def test_totals_are_sums_over_what_is_new_to_each_listener() -> None:
    rng = np.random.default_rng(2)
    n, s = 5, 40
    places = (rng.standard_normal((n, 6)), rng.standard_normal((n, 4)))
    vectors = (rng.standard_normal((s, 6)), rng.standard_normal((s, 4)))
    present = rng.standard_normal((2, s)).astype(np.float32)
    markets, there = np.array([0, 1, 1, 0, 1]), rng.random((n, s)) < 0.7
    there[3] = False
    found = log_totals(
        (places[0].astype(np.float32), places[1].astype(np.float32)),
        (vectors[0].astype(np.float32), vectors[1].astype(np.float32)),
        present, markets, there, 1.5,
    )  # fmt: skip
    scores = log_acceptance(places[0] @ vectors[0].T, 1.5)
    scores += places[1] @ vectors[1].T + present[markets]
    expected = np.where(there, np.exp(scores), 0.0).sum(axis=1)
    assert np.exp(found) == pytest.approx(expected, rel=1e-5)
    assert found[3] == -np.inf
