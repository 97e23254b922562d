"""The SQL function home(): what a backend reads, and that it may only read."""

from datetime import UTC, date, datetime, timedelta

import pandas as pd
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homerec.errors import ReleaseError
from homerec.release import home, live, publish

D1 = date(2026, 3, 1)
#: 13:30 in Berlin (afternoon), 07:30 in New York (morning).
NOON = datetime(2026, 3, 5, 12, 30, tzinfo=UTC)


@pytest.fixture
def published(night):
    publish(night.settings, night.write(D1))
    return night


def cards(frame, shelf):
    return [int(i.removeprefix("item-")) for i in frame.loc[frame["shelf"] == shelf, "item_id"]]


def test_a_home_is_ordered_cut_to_size_and_numbered_from_one(published):
    frame = home(published.settings, "listener-3", NOON)
    assert list(frame["shelf"].unique()) == ["shortcuts", "podcasts", "popular"]
    assert list(frame["shelf_position"].unique()) == [1, 2, 3]
    assert cards(frame, "podcasts") == published.homes[3, 2, -1][:5]
    assert list(frame.loc[frame["shelf"] == "shortcuts", "card_position"]) == [1, 2, 3, 4]
    assert set(frame["as_of"]) == {D1}
    first = frame.iloc[0]
    assert (first["kind"], first["item_type"]) == (
        "model",
        "show" if int(first["item_id"][5:]) % 2 else "album",
    )


def test_titles_and_reasons_are_filled_in(published):
    frame = home(published.settings, "listener-3", NOON).drop_duplicates("shelf").set_index("shelf")
    assert frame.loc["popular", "shelf_title"] == "Popular in DE"
    assert frame.loc["podcasts", "reason"] == "Because you listened to Title 1"
    assert frame.loc["popular", "reason"] == "Popular where you are"
    assert pd.isna(frame.loc["shortcuts", "reason"])
    assert list(frame["source"]) == ["als", "because", "popular"]


def test_a_card_names_all_sources_that_proposed_it_the_best_first(published):
    live.pin(published.settings, "picks", "item-70")
    frame = home(published.settings, "listener-3", NOON).drop_duplicates("shelf").set_index("shelf")
    assert frame["sources"].to_dict() == {
        "shortcuts": ["als"],
        "picks": [],
        "podcasts": ["because", "als", "popular"],
        "popular": ["popular"],
    }
    assert pd.isna(frame.loc["picks", "source"])


def test_in_a_release_of_before_a_card_names_the_one_source_that_is_known(published, run_sql):
    run_sql("UPDATE homerec.home_shelf SET proposers = NULL")
    frame = home(published.settings, "listener-3", NOON)
    assert frame["sources"].tolist() == [[source] for source in frame["source"]]


def reason_of(night, listener="listener-3", **arguments):
    frame = home(night.settings, listener, NOON, **arguments).drop_duplicates("shelf")
    return frame.set_index("shelf").loc["podcasts", "reason"]


@pytest.mark.parametrize("market", [None, "FR"])
def test_a_reason_never_names_a_blocked_item(night, market):
    """Whatever market it is blocked in: what is taken down is not talked about either."""
    night.about["sources"] = [
        {"source": 1, "name": "als", "label": None},
        {"source": 2, "name": "because", "label": "Close to your taste"},
        {"source": 3, "name": "popular", "label": None},
        {"source": 102, "name": "because", "label": "Because you listened to {item}"},
    ]
    table = pq.read_table(night.write(D1) / "shelves.parquet")
    shelves = table["shelf"].to_pylist()
    named = [
        [s + 100 * (shelf == 2) for s in several]
        for shelf, several in zip(shelves, table["sources"].to_pylist(), strict=True)
    ]
    place = table.column_names.index("sources")
    changed = table.set_column(place, "sources", pa.array(named, pa.list_(pa.int16())))
    pq.write_table(changed, night.folder / "shelves.parquet")
    publish(night.settings, night.folder)
    assert reason_of(night) == "Because you listened to Title 1"
    live.block(night.settings, "item-1", market, reason="rights")
    assert reason_of(night) == "Close to your taste"
    live.unblock(night.settings, "item-1", market)
    assert reason_of(night) == "Because you listened to Title 1"
    # Not interested: another listener's reasons stay.
    live.dismiss(night.settings, "listener-3", "item-1")
    assert reason_of(night) == "Close to your taste"
    assert reason_of(night, "listener-4") == "Because you listened to Title 1"


def test_without_another_wording_there_is_no_reason(published):
    live.block(published.settings, "item-1", reason="rights")
    assert pd.isna(reason_of(published))


def test_the_market_of_a_reason_is_the_listeners_own(night):
    night.about["sources"] = [
        {"source": 1, "name": "als", "label": None},
        {"source": 2, "name": "because", "label": "Popular in {market}"},
        {"source": 3, "name": "popular", "label": None},
    ]
    publish(night.settings, night.write(D1))
    assert reason_of(night) == "Popular in DE"
    assert reason_of(night, market="FR") == "Popular in DE"
    assert reason_of(night, "nobody", market="FR") == "Popular in FR"
    assert pd.isna(reason_of(night, "nobody"))


@pytest.mark.parametrize(
    ("listener", "moment", "daypart"),
    [
        (3, datetime(2026, 3, 5, 12, 30, tzinfo=UTC), 2),
        (4, datetime(2026, 3, 5, 12, 30, tzinfo=UTC), 1),
        (3, datetime(2026, 3, 5, 23, 30, tzinfo=UTC), 0),
        (4, datetime(2026, 3, 5, 23, 30, tzinfo=UTC), 3),
        (3, datetime(2026, 7, 5, 4, 0, tzinfo=UTC), 1),
        (3, datetime(2026, 3, 5, 4, 59, tzinfo=UTC), 0),
    ],
)
def test_shortcuts_follow_the_listeners_local_daypart(published, listener, moment, daypart):
    frame = home(published.settings, f"listener-{listener}", moment)
    assert cards(frame, "shortcuts") == published.homes[listener, 0, daypart][:4]


def test_an_unknown_listener_reads_the_default_of_the_market(published):
    frame = home(published.settings, "nobody", NOON, "fr")
    assert cards(frame, "podcasts") == published.homes[-2, 2, -1][:5]
    assert "Popular in FR" in set(frame["shelf_title"])


@pytest.mark.parametrize("market", [None, "ZZ"])
def test_without_a_default_of_the_market_the_one_of_all_is_read(published, market):
    frame = home(published.settings, "nobody", NOON, market)
    assert cards(frame, "podcasts") == published.homes[-3, 2, -1][:5]
    assert (
        f"Popular in {market}" in set(frame["shelf_title"])
        if market
        else "Popular" in set(frame["shelf_title"])
    )


def test_a_listener_newer_than_the_release_reads_the_default_of_their_market(published, run_sql):
    run_sql("INSERT INTO homerec.listener VALUES (500, 'new', 'FR', 'Europe/Paris')")
    run_sql("INSERT INTO homerec.editorial_card (shelf, position, item) VALUES ('picks', 1, 70)")
    frame = home(published.settings, "new", NOON)
    assert cards(frame, "podcasts") == published.homes[-2, 2, -1][:5]
    assert cards(frame, "picks") == [70]


def test_a_block_is_seen_at_once_and_the_reserve_moves_up(published):
    first, *rest = published.homes[3, 2, -1]
    live.block(published.settings, f"item-{first}", reason="rights")
    assert cards(home(published.settings, "listener-3"), "podcasts") == rest[:5]
    assert live.unblock(published.settings, f"item-{first}")
    assert not live.unblock(published.settings, f"item-{first}")
    assert cards(home(published.settings, "listener-3"), "podcasts")[0] == first


def test_a_block_of_one_market_holds_in_that_market_only(published):
    item = published.homes[3, 2, -1][0]
    live.block(published.settings, f"item-{item}", "de", reason="rights")
    assert item not in cards(home(published.settings, "listener-3"), "podcasts")
    assert item in cards(home(published.settings, "listener-8"), "podcasts")
    assert item not in cards(home(published.settings, "nobody"), "podcasts")


def test_a_dismissal_is_the_listeners_own(published):
    item = published.homes[3, 2, -1][0]
    live.dismiss(published.settings, "listener-3", f"item-{item}")
    assert item not in cards(home(published.settings, "listener-3"), "podcasts")
    assert item in cards(home(published.settings, "listener-8"), "podcasts")


def test_an_item_leaves_where_it_is_not_available(published, run_sql):
    item = published.homes[3, 2, -1][0]
    run_sql("UPDATE homerec.item SET markets = '{FR}' WHERE item = %s", (item,))
    assert item not in cards(home(published.settings, "listener-3"), "podcasts")
    assert item in cards(home(published.settings, "listener-3", market="FR"), "podcasts")


def test_a_licence_holds_in_its_market_from_its_start_until_its_end(published, run_sql):
    item = published.homes[3, 2, -1][0]
    run_sql("UPDATE homerec.item SET licensed = true WHERE item = %s", (item,))
    assert item not in cards(home(published.settings, "listener-3", NOON), "podcasts")
    hour = timedelta(hours=1)
    add = "INSERT INTO homerec.availability VALUES (%s, %s, %s, %s)"
    run_sql(add, (item, "DE", NOON - hour, NOON + hour))
    for moment, market, is_shown in (
        (NOON - hour, "DE", True), (NOON - 2 * hour, "DE", False), (NOON + hour, "DE", False),
        (NOON, "FR", False), (NOON + hour / 2, "DE", True),
    ):  # fmt: skip
        frame = home(published.settings, "listener-3", moment, market)
        assert (item in cards(frame, "podcasts")) == is_shown, (moment, market)
    run_sql("INSERT INTO homerec.availability (item) VALUES (%s)", (item,))
    assert item in cards(home(published.settings, "listener-3", NOON, "FR"), "podcasts")


def test_an_empty_shelf_vanishes_and_positions_close_up(published, run_sql):
    run_sql("INSERT INTO homerec.blocked (item) SELECT unnest(%s)", (published.homes[3, 2, -1],))
    frame = home(published.settings, "listener-3", NOON)
    assert frame.drop_duplicates("shelf")[["shelf_position", "shelf"]].to_numpy().tolist() == [
        [1, "shortcuts"],
        [2, "popular"],
    ]


def test_editors_cards_are_live_by_market_and_window(published):
    settings = published.settings
    live.pin(settings, "Editors' picks", "item-70", position=2)
    live.pin(settings, "picks", "item-71", position=1, market="de")
    live.pin(settings, "picks", "item-72", market="fr")
    card = live.pin(
        settings, "picks", "item-73", position=3, starts_at=datetime(2026, 3, 5, 13, tzinfo=UTC)
    )
    live.pin(settings, "picks", "item-74", position=4, ends_at=NOON)
    assert cards(home(settings, "listener-3", NOON), "picks") == [71, 70]
    later = datetime(2026, 3, 5, 13, tzinfo=UTC)
    frame = home(settings, "listener-3", later)
    assert cards(frame, "picks") == [71, 70, 73]
    assert frame.loc[frame["shelf"] == "picks", "shelf_position"].unique().tolist() == [2]
    assert live.unpin(settings, card)
    assert cards(home(settings, "listener-3", later), "picks") == [71, 70]


def test_an_item_appears_once_where_it_is_first_shown(published):
    shown, reserve = published.homes[3, 2, -1][0], published.homes[3, 3, -1][9]
    live.pin(published.settings, "picks", f"item-{shown}")
    live.pin(published.settings, "picks", f"item-{reserve}", position=2)
    frame = home(published.settings, "listener-3", NOON)
    assert cards(frame, "picks") == [shown, reserve]
    assert cards(frame, "podcasts") == published.homes[3, 2, -1][1:6]
    assert not frame["item_id"].duplicated().any()


@pytest.mark.parametrize("market", ["Germany", "D", "", "12"])
def test_a_market_that_no_listener_can_have_is_refused(published, run_sql, market):
    with pytest.raises(ReleaseError, match=f"Market '{market}' .*two letters are needed"):
        live.pin(published.settings, "picks", "item-1", market=market)
    with pytest.raises(ReleaseError, match="two letters are needed"):
        live.block(published.settings, "item-1", market, reason="rights")
    assert run_sql("SELECT count(*) FROM homerec.blocked WHERE origin = 'live'") == [(0,)]


def test_an_item_cut_off_an_earlier_shelf_is_still_shown_on_a_later_one(published):
    cut = published.homes[3, 0, 2][4]
    live.pin(published.settings, "picks", f"item-{cut}")
    assert cards(home(published.settings, "listener-3", NOON), "picks") == [cut]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO homerec.blocked (item) VALUES (1)",
        "UPDATE homerec.live_release SET release_id = NULL",
        "DELETE FROM homerec.home_shelf",
        "CREATE TABLE public.mine (x int)",
        "CREATE TEMP TABLE mine (x int)",
    ],
)
def test_the_reader_may_only_read(published, run_sql, statement):
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run_sql(statement, reader=True)


def test_the_plain_call_of_a_backend_works(published, run_sql):
    assert len(run_sql("SELECT * FROM home('listener-3')", reader=True)) == 14
    named = "SELECT * FROM home('x', moment => '2026-03-05 12:30Z', market => 'DE')"
    assert len(run_sql(named, reader=True)) == 14


def test_a_moment_without_a_time_zone_is_refused(published):
    with pytest.raises(ValueError, match="no time zone"):
        home(published.settings, "listener-3", NOON.replace(tzinfo=None))
