"""Features of taste, by hand."""

import math
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from homerec.features.assembly import Pairs, assemble
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Shard, load_catalog, load_shard
from homerec.lake import Lake
from support.lake import build_lake, event, item, listener, pick

AS_OF = date(2026, 3, 10)
SHOWS = [
    item(1, tags=["news"], language="en"),
    item(2, tags=["news"], language="en"),
    item(3, tags=["news", "film"], language="de"),
    item(4, tags=["film"], language=None),
]
#: Starts in DE, where show 2 has none, and a twentieth of those anywhere (0.1 added to each).
STARTS = {
    show: here + 0.05 * (anywhere + 0.1) * 5 / 6.4
    for show, here, anywhere in ((1, 2, 2), (2, 0, 1), (3, 2, 2), (4, 1, 1))
}
ARTIST = item(9, "artist", tags=["jazz"], language="de")


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    # Listener 1 plays one show of news very often, 5 the same shows once each; 2 plays film once; 3
    # is in another market.
    events = [event(1, f"2026-03-0{d}T1{h}:00", show=1) for d in (1, 2, 3) for h in range(6)]
    events += [event(1, "2026-03-04T10:00", show=3), event(2, "2026-03-03T10:00", show=4)]
    events += [event(3, "2026-03-03T10:00", show=2)]
    events += [event(5, f"2026-03-0{d}T10:00", show=d) for d in (1, 3)]
    settings = build_lake(
        tmp_path,
        events=events,
        items=[*SHOWS, ARTIST],
        listeners=[listener(1), listener(2), listener(3, "US"), listener(4), listener(5)],
        tables={"signup_picks": [pick(4, 9)]},
    )
    info = ensure_snapshot(settings, AS_OF, writer="training")
    assert Lake(settings.home).snapshot(AS_OF).exists()
    return load_shard(info, load_catalog(info), 0, 100)


def feature(shard: Shard, name: str, who: int, items: list[int]) -> list[float]:
    row = int(np.flatnonzero(shard.listeners == who)[0])
    rows = shard.catalog.rows(np.array(items))
    pairs = Pairs(np.full(len(items), row), rows, np.full(len(items), -1, np.int8))
    return assemble(pairs, shard, [name])[:, 0].tolist()


def test_start_affinity_is_tags_tried_times_what_the_market_starts(shard: Shard) -> None:
    starts = STARTS
    news = {1: starts[1], 2: starts[2], 3: starts[3] / 2}
    film = {3: starts[3] / 2, 4: starts[4]}
    total = sum(starts.values())
    # Of listener 1: a show of news and one of both; the market's tags count as two shows.
    taste = {
        "news": 1.5 + 2 * sum(news.values()) / total,
        "film": 0.5 + 2 * sum(film.values()) / total,
    }
    for show, found in zip((2, 4), feature(shard, "start_affinity", 1, [2, 4]), strict=True):
        chance = taste["news"] / 4 * news.get(show, 0) / sum(news.values())
        chance += taste["film"] / 4 * film.get(show, 0) / sum(film.values())
        assert found == pytest.approx(math.log(chance), rel=1e-4)


def test_how_often_an_item_was_played_does_not_matter(shard: Shard) -> None:
    often = feature(shard, "start_affinity", 1, [1, 2, 3, 4])
    once = feature(shard, "start_affinity", 5, [1, 2, 3, 4])
    assert often == once
    assert once != feature(shard, "start_affinity", 2, [1, 2, 3, 4])


def test_without_any_taste_the_market_decides(shard: Shard) -> None:
    # A pick of jazz says nothing of shows, which never have that tag.
    one, two = feature(shard, "start_affinity", 4, [1, 2])
    assert one - two == pytest.approx(math.log(STARTS[1] / STARTS[2]), rel=1e-3)


def test_language_share_is_of_plays_with_a_language(shard: Shard) -> None:
    english, german, none = feature(shard, "language_share", 1, [2, 3, 4])
    assert english + german == pytest.approx(1)
    assert english > 0.9
    assert math.isnan(none)
    # Listener 2 has played a show without a language only.
    assert all(math.isnan(v) for v in feature(shard, "language_share", 2, [1, 3]))
