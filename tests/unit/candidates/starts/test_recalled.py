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
from support.taste import FIRST_DAY

DAY = date(2026, 3, 10)
SHOWS, ARTISTS = list(range(1, 21)), list(range(31, 41))
#: Knows two shows; knows ten; knows two and eight artists; knows two of old; picked three artists.
FEW, MANY, MUSIC, STALE, PICKED = range(5)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Shard:
    return made(tmp_path_factory.mktemp("recalled"), again=False)


def made(home: Path, again: bool) -> Shard:
    """Listeners who know some items; ``again``: they played each on two days."""
    known = {
        FEW: SHOWS[:2], MANY: SHOWS[:10], MUSIC: SHOWS[:2] + ARTISTS[:8], STALE: SHOWS[:2],
        PICKED: SHOWS[:2],
    }  # fmt: skip
    events: list[Row] = []
    for key, items in known.items():
        for number in range(1 + again):
            at = FIRST_DAY + timedelta(days=(0 if key == STALE else 7) + number)
            for one in items:
                what: dict[str, Any] = {"show" if one in SHOWS else "artist": one}
                events.append(event(key, at, **what))
    catalog = [item(s) for s in SHOWS] + [item(a, "artist") for a in ARTISTS]
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
    n_skips: float = 1.0,
    days: float = 4.0,
    skipped: float = 0.5,
) -> Left:
    """Everybody has left the same item."""
    n = shard.n_listeners
    columns = {"n_skips": n_skips, "days_since_first": days, "days_since_last": days}
    tried = replace(
        shard,
        skip_listener=np.arange(n),
        skip_item=np.repeat(shard.catalog.rows(np.array([item])), n),
        skip_columns={name: np.full(n, value, np.float32) for name, value in columns.items()},
    )
    return Left.read(tried, memory, skipped)


def test_it_is_recalled_by_its_share_of_what_is_familiar(shard: Shard) -> None:
    found = np.exp(read(shard).log_recalled)
    left = 0.3 / np.sqrt(4.0)
    # Known shows were played once, on the day whose middle is 1.5 days ago.
    share = left / (left + np.array([2, 10]) / np.sqrt(1.5))
    # Nothing was returned to: four returns beside one start, and starts as they were.
    rate = 1.25 * 4.0 / (np.array([2, 10]) + 0.5 + 1.0)
    assert found[[FEW, MANY]] == pytest.approx(share * rate, rel=1e-3)


def test_returns_to_what_is_familiar_are_occasions_to_recall(shard: Shard, tmp_path: Path) -> None:
    once, twice = read(shard), read(made(tmp_path, again=True))
    # Two shows were returned to on another day; what they are to the memory grew too.
    share = 0.15 / (0.15 + 2 * (1 / np.sqrt(1.5) + 1 / np.sqrt(0.5)))
    assert np.exp(twice.log_recalled[FEW]) == pytest.approx(share * 1.25 * 6.0 / 3.5, rel=1e-3)
    assert once.log_forgotten.tolist() == twice.log_forgotten.tolist()


def test_music_is_no_rival_of_a_show_but_fills_the_memory(shard: Shard) -> None:
    found = read(shard)
    assert found.log_recalled[MUSIC] == pytest.approx(found.log_recalled[FEW], abs=1e-3)
    full = np.exp(read(shard, memory=7).log_forgotten)
    # Known are two shows, the one that was left, and eight artists or three picks beside.
    over = np.array([3, 11, 11, 3, 6]) - 7
    assert full == pytest.approx(1.0 / (1.0 + np.exp(-over / (7 / 8))), rel=1e-6)
    # An artist that was left has the artists as its rivals: there are none for most.
    artist = np.exp(read(shard, item=ARTISTS[-1]).log_recalled)
    assert artist[FEW] == pytest.approx(1.25 * 4.0 / 1.5, rel=1e-6)
    assert artist[MUSIC] < artist[FEW] / 10


def test_what_is_forgotten_is_not_recalled(shard: Shard) -> None:
    whole, full = read(shard), read(shard, memory=1)
    assert np.exp(full.log_forgotten).min() > 0.999
    assert np.exp(whole.log_forgotten).max() < 0.001
    assert (full.log_recalled < whole.log_recalled - 10).all()


def test_later_and_more_often_left_is_more_present_and_stale_rivals_are_less(shard: Shard) -> None:
    found, old = read(shard), read(shard, days=9.0)
    assert (found.log_recalled > old.log_recalled).all()
    assert (read(shard, n_skips=3.0).log_recalled > found.log_recalled).all()
    assert found.log_recalled[STALE] > found.log_recalled[FEW]
    # Within the last hours nothing is infinitely present.
    now, soon = (read(shard, days=days).log_recalled.tolist() for days in (0.001, 0.5))
    assert now == soon


def test_starts_that_were_left_count_among_what_is_new(shard: Shard) -> None:
    less, more = read(shard, skipped=0.0), read(shard, skipped=1.0)
    assert np.exp(less.log_recalled - more.log_recalled)[FEW] == pytest.approx(4.0 / 3.0)


def test_a_listener_is_read_alike_alone_and_among_others(shard: Shard) -> None:
    rng = np.random.default_rng(1)
    who, what = np.nonzero(rng.random((shard.n_listeners, len(shard.catalog.items))) < 0.5)
    columns = {
        name: rng.uniform(1.0, 9.0, len(who)).astype(np.float32)
        for name in ("n_skips", "days_since_first", "days_since_last")
    }
    every = replace(shard, skip_listener=who, skip_item=what, skip_columns=columns)
    together = Left.read(every, 5, 0.5)
    for row in range(shard.n_listeners):
        own, pairs, picks = who == row, shard.pair_listener == row, shard.pick_listener == row
        alone = replace(
            shard,
            listeners=shard.listeners[[row]],
            pair_listener=np.zeros(pairs.sum(), np.int64),
            pair_item=shard.pair_item[pairs],
            pair_columns={name: v[pairs] for name, v in shard.pair_columns.items()},
            pick_listener=np.zeros(picks.sum(), np.int64),
            pick_item=shard.pick_item[picks],
            skip_listener=np.zeros(own.sum(), np.int64),
            skip_item=what[own],
            skip_columns={name: v[own] for name, v in columns.items()},
        )
        found = Left.read(alone, 5, 0.5)
        assert found.log_recalled.tolist() == together.log_recalled[own].tolist()
        assert found.log_forgotten.tolist() == together.log_forgotten[own].tolist()


def test_totals_are_sums_over_what_is_new_to_each_listener() -> None:
    rng = np.random.default_rng(2)
    n, s = 5, 40
    places = tuple(rng.standard_normal((n, w)).astype(np.float32) for w in (6, 4))
    vectors = tuple(rng.standard_normal((s, w)).astype(np.float32) for w in (6, 4))
    present = rng.standard_normal((2, s)).astype(np.float32)
    markets, there = np.array([0, 1, 1, 0, 1]), rng.random((n, s)) < 0.7
    there[3] = False
    found = log_totals(places, vectors, present, markets, there, 1.5)  # type: ignore[arg-type]
    scores = log_acceptance((places[0] @ vectors[0].T).astype(np.float64), 1.5)
    scores += places[1] @ vectors[1].T + present[markets]
    expected = np.where(there, np.exp(scores), 0.0).sum(axis=1)
    assert np.exp(found) == pytest.approx(expected, rel=1e-5)
    assert found[3] == -np.inf
