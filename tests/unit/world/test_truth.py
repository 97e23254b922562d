from datetime import date, timedelta

import duckdb
import numpy as np
import pytest

from homerec.errors import SettingsError
from homerec.world import Truth, WorldReport, truth
from homerec.world.attraction import click_card, make_day, try_new
from homerec.world.catalog import PLAYLIST, SHOW
from homerec.world.population import make_people
from homerec.world.randomness import new_state, start_stream
from homerec.world.rules import make_rules

START = date(2026, 1, 1)


@pytest.fixture(scope="module")
def oracle() -> Truth:
    return truth(listeners=600, days=40)


def ids(n: int) -> list[str]:
    return [f"listener-{i + 1:07d}" for i in range(n)]


@pytest.mark.parametrize("kind", ["artist", "album", "playlist", "show"])
def test_probabilities_sum_to_one_and_name_the_catalog(oracle: Truth, kind: str) -> None:
    items, probability = oracle.novel_probability(ids(50), kind, date(2026, 1, 20))
    assert probability.shape == (50, len(items))
    assert probability.dtype == np.float32
    assert all(str(item).startswith(kind) for item in items)
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-4)


@pytest.mark.parametrize(("kind", "name"), [(0, "artist"), (PLAYLIST, "playlist"), (SHOW, "show")])
def test_draws_have_the_probabilities_that_truth_tells(oracle: Truth, kind: int, name: str) -> None:
    world = oracle.world
    n_draws = 60_000
    people = make_people(world.p, np.array([3], np.int64), world.catalog.centres)
    blocked = world.blocked.mask(len(world.p.markets), world.catalog.n_items, 20)
    day = make_day(world.p, world.catalog, 20, blocked)
    rules = make_rules(world.p, 0)[0]
    state = new_state()[0]
    start_stream(state, 1, 1, 1, 1)
    items, probability = oracle.novel_probability(
        ["listener-0000004"], name, START + timedelta(days=20)
    )
    low = int(world.catalog.first[kind])
    things, person = world.catalog.things, people[0]
    drawn = np.zeros(len(items))
    for i in range(n_draws):
        position = -1
        if i % 1000 < 1000 * world.p.home.open_ratio:
            position = click_card(state, person, things, rules, day, kind)
        if position >= 0:
            item = day.cards[SHOW - kind, person["market"], position]
        else:
            item = try_new(state, person, things, rules, day, kind)
        drawn[item - low] += 1
    expected = probability[0].astype(float)
    error = np.abs(drawn / n_draws - expected)
    assert np.all(error < 5 * np.sqrt(expected * (1 - expected) / n_draws) + 1e-4)


@pytest.mark.parametrize("kind", ["playlist", "show"])
def test_what_is_started_is_what_truth_ranks_high(
    oracle: Truth, report: WorldReport, db: duckdb.DuckDBPyConnection, kind: str
) -> None:
    as_of = date(2026, 2, 1)
    started = db.execute(
        f"""SELECT listener_id, context_id FROM events JOIN items ON item_id = context_id
            WHERE type = '{kind}' AND ms_played >= 30000 GROUP BY 1, 2
            HAVING min(started_at) BETWEEN DATE '{as_of}' AND DATE '{as_of}' + 7"""
    ).fetchall()
    assert len(started) > 200
    listeners = sorted({row[0] for row in started})
    items, probability = oracle.novel_probability(listeners, kind, as_of)
    column = {item: i for i, item in enumerate(items)}
    row = {listener: i for i, listener in enumerate(listeners)}
    at = [row[pair[0]] for pair in started], [column[pair[1]] for pair in started]
    better = (probability[at[0]] > probability[at][:, None]).mean(axis=1)
    assert better.mean() < 0.25


def test_expected_draws_follow_the_events(oracle: Truth, db: duckdb.DuckDBPyConnection) -> None:
    as_of = date(2026, 1, 25)
    plays = dict(
        db.execute(
            f"""SELECT listener_id, count(DISTINCT context_id) FROM events JOIN items
                ON item_id = context_id WHERE type = 'playlist' AND started_at
                BETWEEN DATE '{as_of}' AND DATE '{as_of}' + 14 GROUP BY 1"""
        ).fetchall()
    )
    everyone = ids(600)
    expected = oracle.expected_draws(everyone, "playlist", as_of, n_days=14)
    seen = np.array([plays.get(listener, 0) for listener in everyone])
    assert np.corrcoef(expected, seen)[0, 1] > 0.5


def test_nothing_is_drawn_before_sign_up(oracle: Truth, db: duckdb.DuckDBPyConnection) -> None:
    late = [
        row[0]
        for row in db.execute(
            "SELECT listener_id FROM listeners WHERE registered_at >= DATE '2026-01-10'"
        ).fetchall()
    ]
    assert not oracle.expected_draws(late, "show", START, n_days=7).any()


def test_unreleased_and_unavailable_items_have_no_probability(
    oracle: Truth, db: duckdb.DuckDBPyConnection
) -> None:
    markets = dict(db.execute("SELECT listener_id, market FROM listeners").fetchall())
    items, probability = oracle.novel_probability(ids(100), "show", date(2026, 1, 15))
    known = {
        row[0]: row[1:]
        for row in db.execute("SELECT item_id, released_at, markets FROM items").fetchall()
    }
    for j, item in enumerate(items):
        released, only = known[item]
        if released.date() >= date(2026, 1, 15):
            assert not probability[:, j].any()
        elif only is not None:
            out = [i for i, listener in enumerate(ids(100)) if markets[listener] not in only]
            assert not probability[out, j].any()


def test_questions_outside_the_world_are_refused(oracle: Truth) -> None:
    with pytest.raises(SettingsError, match="outside the world, which has 40 days"):
        oracle.novel_probability(ids(1), "show", date(2026, 3, 1))
    with pytest.raises(SettingsError, match="'listener-0000601' is not a listener"):
        oracle.novel_probability(["listener-0000601"], "show", START)
    with pytest.raises(SettingsError, match="item_type is 'track', allowed are artist"):
        oracle.expected_draws(ids(1), "track", START)
