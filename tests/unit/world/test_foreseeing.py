"""Foresight against many simulated futures of one small world."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import numpy as np
import pytest

from homerec.errors import SettingsError
from homerec.world import generate
from homerec.world.catalog import PLAYLIST, SHOW
from homerec.world.foreseeing import Foresight, foresee
from homerec.world.generating import _Chunk

START, DAY, N, FUTURES = date(2026, 1, 1), 21, 160, 80
WORLD = {"listeners": N, "days": 30, "seed": 5}


@dataclass
class Futures:
    known: np.ndarray
    registered: np.ndarray
    new: dict[int, np.ndarray]
    familiar: np.ndarray


@pytest.fixture(scope="module")
def foresight() -> Foresight:
    return foresee(START + timedelta(days=DAY), threads=1, **WORLD)


@pytest.fixture(scope="module")
def futures(foresight: Foresight) -> Futures:
    """Shares of the futures in which each pair was played, drawn by the simulation itself."""
    world = foresight.world
    first, contents = world.catalog.first, world.catalog.things.contents
    with ThreadPoolExecutor(1) as pool:
        chunk = _Chunk(world, 0, 0, N, pool)
        for day in range(DAY):
            chunk._day(day)
        minds = chunk.minds.copy()
        known = np.zeros((N, world.catalog.n_items), bool)
        line, slot = np.nonzero(minds["item"] >= 0)
        known[line, minds["item"][line, slot]] = True
        new = {k: np.zeros((N, int(first[k + 1] - first[k]))) for k in (PLAYLIST, SHOW)}
        familiar = np.zeros((N, 4, world.catalog.n_items))
        for future in range(FUTURES):
            chunk.minds[:] = minds
            # Other dice from here on; who people are was drawn before.
            chunk.rules["seed"] = 9_000 + future
            plays = [chunk._day(DAY)[0]]
            ahead = chunk.people["ahead_s"].copy()
            plays.append(chunk._day(DAY + 1)[0])
            for kind, count in new.items():
                hit = np.zeros(count.shape, bool)
                for rows in plays:
                    long = rows[rows["ms_played"] >= 30_000]
                    shows = contents["show"][long["content"]]
                    item = long["context"] if kind == PLAYLIST else shows
                    own = (item >= first[kind]) & (item < first[kind + 1])
                    hit[long["listener"][own], item[own] - first[kind]] = True
                count += hit / FUTURES
            _count_familiar(plays[0], ahead, int(chunk.rules["start_us"][0]), contents, known,
                            familiar)  # fmt: skip
    registered = foresight.people["registered_s"] < DAY * 86_400
    return Futures(known, registered, new, familiar)


def _count_familiar(rows, ahead, start_us, contents, known, familiar) -> None:
    done = set()
    for row in rows[np.argsort(rows["started"], kind="stable")]:
        if row["ms_played"] < 30_000:
            continue
        who, content = int(row["listener"]), contents[row["content"]]
        at_s = (int(row["started"]) - start_us) // 1_000_000 + int(ahead[who])
        part = at_s % 86_400 // 21_600
        items = {int(row["context"]), *(int(content[n]) for n in ("artist", "album", "show"))}
        items = {i for i in items if i >= 0 and known[who, i]}
        if items and (who, part) not in done:
            done.add((who, part))
            for item in items:
                familiar[who, part, item] += 1


def ids() -> list[str]:
    return [f"listener-{i + 1:07d}" for i in range(N)]


@pytest.mark.parametrize(("kind", "name"), [(PLAYLIST, "playlist"), (SHOW, "show")])
def test_new_plays_come_as_often_as_foreseen(
    foresight: Foresight, futures: Futures, kind: int, name: str
) -> None:
    items, probability = foresight.new_plays(ids(), name, 2)
    low, high = foresight.world.catalog.first[kind : kind + 2]
    assert items.tolist() == foresight.item_ids[low:high].tolist()
    asked = ~futures.known[:, low:high] & futures.registered[:, None]
    told, seen = probability[asked].astype(float), futures.new[kind][asked]
    assert told.sum() == pytest.approx(seen.sum(), rel=0.06)
    edges = np.quantile(told, [0, 0.8, 0.95, 0.99, 1])
    for least, most in itertools.pairwise(edges):
        chosen = (told > least) & (told <= most)
        error = np.sqrt((told[chosen] * (1 - told[chosen])).sum() / FUTURES)
        assert abs(told[chosen].sum() - seen[chosen].sum()) < 5 * error + 0.05 * told[chosen].sum()


def test_familiar_plays_come_as_often_as_foreseen(foresight: Foresight, futures: Futures) -> None:
    chance = foresight.familiar_plays(ids(), futures.known).astype(float)
    assert not chance[~np.repeat(futures.known[:, None], 4, axis=1)].any()
    total, seen_total = chance.sum(axis=2), futures.familiar.sum(axis=2)
    lists = (seen_total >= 30) & (total > 0) & futures.registered[:, None]
    assert lists.sum() > 100
    told = chance[lists] / total[lists][:, None]
    seen = futures.familiar[lists] / seen_total[lists][:, None]
    assert np.corrcoef(told.ravel(), seen.ravel())[0, 1] > 0.95
    for least, most in ((0.005, 0.02), (0.02, 0.1), (0.1, 0.3), (0.3, 1)):
        chosen = (told > least) & (told <= most)
        assert told[chosen].mean() == pytest.approx(seen[chosen].mean(), rel=0.08)


def test_the_replayed_past_is_the_one_that_was_written(
    foresight: Foresight, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("foreseen") / "inbox"
    report = generate(out, progress=False, threads=1, **WORLD)
    assert report.days == WORLD["days"]

    plays = duckdb.sql(
        f"""SELECT listener_id, count(*) FROM '{out}/events/*.parquet'
            WHERE started_at < DATE '{START}' + {DAY} GROUP BY 1"""
    ).fetchall()
    written = dict(plays)
    played = foresight.minds["played"]
    assert {i: n for i, n in zip(ids(), played.tolist(), strict=True) if n} == written


def test_questions_outside_the_world_are_refused(foresight: Foresight) -> None:
    with pytest.raises(SettingsError, match="item_type is 'album', allowed are playlist and show"):
        foresight.new_plays(ids(), "album")
    with pytest.raises(SettingsError, match="10 days from day 21 on are outside"):
        foresight.new_plays(ids(), "show", 10)
    with pytest.raises(SettingsError, match=r"known is \(2, 3\)"):
        foresight.familiar_plays(ids()[:2], np.zeros((2, 3), bool))
    with pytest.raises(SettingsError, match="outside the world, which has 30 days"):
        foresee(START + timedelta(days=30), threads=1, **WORLD)
