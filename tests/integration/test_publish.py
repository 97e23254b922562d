"""Publishing on a real Postgres: what becomes live, and what a failure leaves behind."""

import itertools
import threading
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homerec.database import urls
from homerec.errors import AuditFailed, EmptyInput, ReleaseError, TransientError
from homerec.lake import Lake
from homerec.release import home, keep, publish, publishing, releases, resume, rollback
from homerec.release.session import publishing_lock, session

D1, D2, D3 = date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 3)
NOON = datetime(2026, 3, 5, 12, 30, tzinfo=UTC)


def partitions(run_sql):
    found = run_sql(
        "SELECT relname FROM pg_class WHERE relname ~ '^home_shelf_[0-9]+$' AND relkind = 'r'"
    )
    return {int(name.removeprefix("home_shelf_")) for (name,) in found}


def test_first_publish_is_live_and_its_counts_are_kept(night, run_sql):
    info = publish(night.settings, night.write(D1))
    assert info.live
    assert info.counts["listeners"] == 12
    assert info.counts["shelf_items"] == {"shortcuts": 20, "podcasts": 10, "popular": 10}
    assert set(info.audit["bad_rows"].values()) == {0}
    assert run_sql("SELECT live, as_of FROM homerec.releases", reader=True) == [(True, D1)]
    assert partitions(run_sql) == {info.release_id}


def test_what_is_stored_equals_the_bundle(night, run_sql):
    night.homes[5, 3, -1] = [70]
    publish(night.settings, night.write(D1))
    stored = run_sql(
        "SELECT listener, shelf, daypart, items, sources, reason_items, proposers "
        "FROM homerec.home_shelf"
    )
    assert {row[:3]: row[3] for row in stored} == night.homes
    assert all(len(items) == len(s) == len(r) == len(p) for *_, items, s, r, p in stored)
    assert {value for row in stored if row[1] == 2 for value in row[6]} == {
        2 + (1 << 5) + (3 << 10)
    }


def test_publishing_an_as_of_twice_equals_publishing_it_once(night, run_sql):
    first = publish(night.settings, night.write(D1))
    before = home(night.settings, "listener-3", NOON).drop(columns="release_id")
    second = publish(night.settings, night.write(D1))
    after = home(night.settings, "listener-3", NOON).drop(columns="release_id")
    assert before.equals(after)
    assert [(r.release_id, r.status) for r in releases(night.settings)] == [
        (second.release_id, "live"),
        (first.release_id, "retired"),
    ]
    assert second.counts["cards"] == first.counts["cards"]


BREAKS = {
    "no_duplicates": lambda n: n.homes.update({(4, 3, -1): [24, 25]}),
    "items_exist": lambda n: n.homes.update({(4, 3, -1): [5000]}),
    "items_available": lambda n: n.homes.update({(4, 3, -1): [80]}),
    "every_eligible_listener": lambda n: n.about.update(eligible=13),
    "every_home_has_cards": lambda n: [n.homes.update({k: []}) for k in list(n.homes) if k[0] == 4],
    "known_listeners": lambda n: n.homes.update({(99, 3, -1): [36]}),
    "known_shelves": lambda n: n.homes.update({(4, 9, -1): [70]}),
    "known_dayparts": lambda n: n.homes.update({(4, 3, 7): [70]}),
    "known_sources": lambda n: n.about.update(
        sources=[{"source": 1, "name": "als", "label": None}]
    ),
    "market_defaults": lambda n: n.about.update(market_defaults={"DE": -1, "FR": -2, "*": -4}),
    "items_not_blocked": lambda n: n.write_lake(
        blocked=[{"item": 36, "market": "FR", "reason": "rights", "blocked_at": None}]
    ),
}


@pytest.mark.parametrize("check", BREAKS)
def test_a_broken_release_fails_its_check_and_the_live_one_stays(night, run_sql, check):
    live = publish(night.settings, night.write(D1))
    BREAKS[check](night)
    with pytest.raises(AuditFailed, match=rf"{check}: \d+ bad rows, allowed 0 \("):
        publish(night.settings, night.write(D2))
    newest = releases(night.settings)[0]
    assert (newest.status, newest.stored) == ("failed", False)
    assert check in newest.note
    assert newest.audit["bad_rows"][check] > 0
    assert set(home(night.settings, "listener-3")["release_id"]) == {live.release_id}
    assert partitions(run_sql) == {live.release_id}


def window(item, starts, ends, market=None):
    at = {"starts_at": starts, "ends_at": ends}
    return {"item": item, "market": market} | {k: v and datetime(*v) for k, v in at.items()}  # noqa: DTZ001


@pytest.mark.parametrize(
    ("windows", "good"),
    [
        ([window(36, None, (2026, 3, 2))], False),
        ([window(36, None, (2026, 3, 2, 0, 1))], True),
        ([window(36, (2026, 3, 3), None)], False),
        ([window(36, (2026, 3, 2, 23, 59), None)], True),
        ([window(36, None, None, "FR")], False),
        ([window(36, None, None, "FR"), window(36, None, None, "DE")], True),
        ([window(70, None, (2020, 1, 1))], True),
    ],
)
def test_a_card_needs_a_licence_of_the_day_in_its_market(night, run_sql, windows, good):
    publish(night.settings, night.write(D1))
    night.write_lake(availability=windows)
    if good:
        publish(night.settings, night.write(D2))
    else:
        with pytest.raises(AuditFailed, match="items_available"):
            publish(night.settings, night.write(D2))
    licensed = {w["item"] for w in windows}
    assert {i for (i,) in run_sql("SELECT item FROM homerec.item WHERE licensed")} == licensed
    night.write_lake(availability=[])
    publish(night.settings, night.write(D2))
    assert run_sql("SELECT count(*) FROM homerec.item WHERE licensed") == [(0,)]


def test_a_message_names_what_was_measured_and_an_example(night):
    night.homes[4, 3, -1] = [24, 25]
    with pytest.raises(
        AuditFailed,
        match=r"no_duplicates: 2 bad rows, allowed 0 \(listener 4, item 2[45], shelves \[2, 3\]",
    ):
        publish(night.settings, night.write(D1))


def test_an_item_may_return_in_another_daypart(night):
    for daypart in range(4):
        night.homes[4, 0, daypart] = [1, 2, 3]
    assert publish(night.settings, night.write(D1)).live


def test_an_item_twice_on_one_daypart_fails_but_not_beside_a_shelf_for_any_time(night):
    night.homes[4, 0, 3] = [1, 24]
    assert publish(night.settings, night.write(D1)).live
    night.homes[4, 0, 3] = [1, 1]
    with pytest.raises(AuditFailed, match="no_duplicates: 1 bad rows"):
        publish(night.settings, night.write(D2))


def test_a_default_home_is_audited_for_its_market(night):
    night.homes[-2, 3, -1] = [80]
    with pytest.raises(AuditFailed, match=r"items_available: 1 bad rows.*market FR, item 80"):
        publish(night.settings, night.write(D1))


def test_a_release_with_half_the_listeners_gone_fails_against_the_live_one(night):
    publish(night.settings, night.write(D1))
    night.homes = {key: items for key, items in night.homes.items() if key[0] <= 5}
    with pytest.raises(AuditFailed, match=r"what listeners, measured 5\.0*, allowed at least 6"):
        publish(night.settings, night.write(D2))


def test_a_release_with_other_keys_than_the_live_one_fails_on_overlap(night):
    night.n_listeners = 60
    night.write_lake()
    night.usual_homes()
    publish(night.settings, night.write(D1))
    night.homes = {
        key: [76 - i for i in range(len(items))] if key[1] == 2 else []
        for key, items in night.homes.items()
    }
    with pytest.raises(AuditFailed, match="mean overlap with the live Homes, measured 0"):
        publish(night.settings, night.write(D2))


def test_a_lake_that_lost_most_listeners_changes_nothing(night, run_sql):
    publish(night.settings, night.write(D1))
    night.n_listeners = 4
    night.write_lake()
    with pytest.raises(
        AuditFailed,
        match=r"lake has 4 listeners, the serving schema 12; allowed is no less than 50%",
    ):
        publish(night.settings, night.write(D2))
    assert run_sql("SELECT count(*) FROM homerec.listener") == [(12,)]


def test_a_listener_that_left_the_lake_is_deleted_with_the_dismissals(night, run_sql):
    night.write_lake(dismissals=[{"listener": 12, "item": 1, "dismissed_at": None}])
    publish(night.settings, night.write(D1))
    assert run_sql("SELECT count(*) FROM homerec.dismissal") == [(1,)]
    night.n_listeners = 11
    night.write_lake()
    night.usual_homes()
    publish(night.settings, night.write(D2))
    assert run_sql("SELECT max(listener) FROM homerec.listener") == [(11,)]
    assert run_sql("SELECT count(*) FROM homerec.dismissal") == [(0,)]


def test_rows_that_people_added_outlive_the_files(night, run_sql):
    night.write_lake(blocked=[{"item": 70, "market": None, "reason": "file", "blocked_at": None}])
    publish(night.settings, night.write(D1))
    run_sql("INSERT INTO homerec.blocked (item, reason) VALUES (71, 'by hand')")
    night.write_lake(blocked=[{"item": 72, "market": None, "reason": "file", "blocked_at": None}])
    publish(night.settings, night.write(D2))
    assert run_sql("SELECT item, origin FROM homerec.blocked ORDER BY 1") == [
        (71, "live"),
        (72, "file"),
    ]


def test_a_time_zone_that_postgres_does_not_know_becomes_utc(night, run_sql):
    path = Lake(night.settings.home).table("listeners")
    table = pq.read_table(path)
    zones = pa.array(["Mars/Olympus"] * table.num_rows)
    pq.write_table(
        table.set_column(table.schema.get_field_index("time_zone"), "time_zone", zones), path
    )
    publish(night.settings, night.write(D1))
    assert run_sql("SELECT DISTINCT time_zone FROM homerec.listener") == [("UTC",)]
    assert len(home(night.settings, "listener-1")) > 0


def test_an_older_as_of_never_moves_the_pointer_unless_told_to(night):
    publish(night.settings, night.write(D2))
    older = publish(night.settings, night.write(D1))
    assert older.status == "audited"
    assert "as_of 2026-03-01 is before 2026-03-02" in older.note
    assert publish(night.settings, night.write(D1), force_older=True).live


def test_not_activated_is_audited_only(night):
    info = publish(night.settings, night.write(D1), activate=False)
    assert (info.status, info.live) == ("audited", False)
    assert home(night.settings, "listener-1").empty


def test_an_audited_release_is_superseded_by_the_next_of_its_as_of(night, run_sql):
    first = publish(night.settings, night.write(D1), activate=False)
    second = publish(night.settings, night.write(D1))
    assert partitions(run_sql) == {second.release_id}
    assert releases(night.settings)[1].note == f"superseded by release {second.release_id}"
    assert first.stored


def test_rollback_holds_the_pointer_until_resume(night):
    first = publish(night.settings, night.write(D1))
    publish(night.settings, night.write(D2))
    assert rollback(night.settings, who="anna", why="odd shows").release_id == first.release_id
    held = publish(night.settings, night.write(D3))
    assert held.status == "audited"
    assert "hold by anna" in held.note
    assert "odd shows" in held.note
    assert set(home(night.settings, "listener-1")["release_id"]) == {first.release_id}
    assert resume(night.settings, who="anna")
    assert not resume(night.settings)
    assert publish(night.settings, night.write(D3)).live


def test_rolling_back_again_goes_further_back(night):
    numbers = [publish(night.settings, night.write(day)).release_id for day in (D1, D2, D3)]
    assert rollback(night.settings, who="a", why="b").release_id == numbers[1]
    assert rollback(night.settings, who="a", why="b").release_id == numbers[0]
    with pytest.raises(ReleaseError, match="no earlier release"):
        rollback(night.settings, who="a", why="b")
    assert rollback(night.settings, numbers[2], who="a", why="b").release_id == numbers[2]


def test_rollback_refuses_what_cannot_be_live(night):
    first = publish(night.settings, night.write(D1))
    with pytest.raises(ReleaseError, match="status is live"):
        rollback(night.settings, first.release_id, who="a", why="b")
    with pytest.raises(ReleaseError, match="no release 987654"):
        rollback(night.settings, 987654, who="a", why="b")
    with pytest.raises(ReleaseError, match="both are needed"):
        rollback(night.settings, who="", why="b")


def test_retention_keeps_the_live_release_and_the_one_to_roll_back_to(night, run_sql):
    days = [date(2026, 3, d) for d in range(1, 6)]
    numbers = [publish(night.settings, night.write(day)).release_id for day in days]
    rollback(night.settings, numbers[2], who="a", why="b")
    assert keep(night.settings, 1) == [numbers[0], numbers[3]]
    assert partitions(run_sql) == {numbers[1], numbers[2], numbers[4]}
    assert rollback(night.settings, who="a", why="b").release_id == numbers[1]
    with pytest.raises(ReleaseError, match="at least 1"):
        keep(night.settings, 0)


def test_what_a_dead_publisher_left_is_cleared_by_the_next(night, run_sql):
    run_sql(
        "INSERT INTO homerec.release (as_of, status, stored) VALUES ('2026-03-01', 'building', "
        "true)"
    )
    publish(night.settings, night.write(D1))
    assert [r.status for r in releases(night.settings)] == ["live", "failed"]


@pytest.mark.parametrize(("before", "status"), [(True, "failed"), (False, "live")])
def test_an_interruption_fails_only_what_is_not_live_yet(night, monkeypatch, before, status):
    publish(night.settings, night.write(D1))
    finish = publishing._finish

    def interrupted(*args, **kwargs):
        if not before:
            finish(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "_finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        publish(night.settings, night.write(D2))
    assert releases(night.settings)[0].status == status
    assert len(home(night.settings, "listener-1")) == 14


def test_two_publishers_at_once_are_refused(night):
    folder = night.write(D1)
    with (
        session(night.settings) as connection,
        publishing_lock(connection),
        pytest.raises(TransientError, match="Another process is publishing"),
    ):
        publish(night.settings, folder)


def test_a_shelf_twice_is_refused(night):
    folder = night.write(D1)
    table = pq.read_table(folder / "shelves.parquet")
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), folder / "shelves.parquet")
    with pytest.raises(ReleaseError, match="twice"):
        publish(night.settings, folder)
    assert releases(night.settings)[0].status == "failed"


def test_an_empty_lake_is_refused(night):
    Lake(night.settings.home).table("items").unlink()
    with pytest.raises(EmptyInput, match="no items"):
        publish(night.settings, night.write(D1))


def test_readers_never_see_two_releases_mixed_nor_an_empty_home(night):
    """A reader loops while releases are published, rolled back and dropped around it."""
    publish(night.settings, night.write(D1))
    url, done, seen, wrong = urls.reader_url(night.settings), threading.Event(), set(), []

    def read():
        with (
            urls.psycopg2_connection(url, autocommit=True) as connection,
            connection.cursor() as cursor,
        ):
            for key in itertools.cycle(range(1, 16)):
                if done.is_set():
                    return
                cursor.execute(
                    "SELECT release_id, item_id FROM home(%s, %s)", (f"listener-{key}", NOON)
                )
                rows = cursor.fetchall()
                numbers = {number for number, _ in rows}
                seen.update(numbers)
                if len(numbers) != 1 or len(rows) != 14:
                    wrong.append((key, len(rows), numbers))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for i in range(6):
            night.usual_homes(shift=i)
            publish(night.settings, night.write(date(2026, 3, 2 + i)))
            keep(night.settings, 2)
        rollback(night.settings, who="a", why="b")
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert wrong == []
    assert len(seen) >= 4


def test_long_and_short_shelves_are_stored_as_they_are(night, run_sql, rng):
    night.n_items = 4000
    night.write_lake()
    lengths = np.concatenate([[0, 1, 500], rng.integers(0, 60, 9)])
    for key, n in enumerate(lengths, start=1):
        night.homes[key, 3, -1] = [100 + int(i) for i in rng.choice(3000, n, replace=False)]
    publish(night.settings, night.write(D1))
    stored = dict(
        run_sql("SELECT listener, items FROM homerec.home_shelf WHERE shelf = 3 AND listener > 0")
    )
    assert stored == {key: night.homes[key, 3, -1] for key in range(1, 13)}
