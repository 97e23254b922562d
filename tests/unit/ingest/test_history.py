"""Tables that keep their history: versions, and reading them as of an instant."""

import itertools
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homerec.errors import EmptyInput
from homerec.ingest import CONTRACTS, ingest
from homerec.ingest.reading import expose_table
from homerec.ingest.schema import HISTORY, lake_schema

DAY = timedelta(days=1)


@pytest.fixture
def show(app, kit):
    """Deliver one show, alone in its file, some days after the first delivery."""

    def deliver(days, *rows, name=None):
        for path in app.inbox.rglob("*.*"):
            path.unlink()
        app.put("items", [kit.ITEMS[2] | {"updated_at": None} | row for row in rows])
        return ingest(app.settings, source=app.inbox, now=kit.NOW + days * DAY).tables["items"]

    return deliver


def at(kit, days):
    return None if days is None else (kit.NOW + days * DAY).replace(tzinfo=None)


def versions(app, column="title"):
    return [
        (row[column], row["valid_from"], row["valid_to"])
        for row in sorted(app.rows("items"), key=lambda r: r["valid_from"] or datetime.min)  # noqa: DTZ901
    ]


def as_of(app, table, known_at):
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        expose_table(connection, app.lake, table, known_at)
        found = connection.execute(f"SELECT * FROM {table} ORDER BY ALL")
        names = [d[0] for d in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def titles(app, known_at):
    return [row["title"] for row in as_of(app, "items", known_at)]


def test_the_first_version_has_held_since_ever_and_a_change_opens_the_next(app, kit, show):
    assert show(0, {"title": "first"}).written == 1
    assert versions(app) == [("first", None, None)]
    assert show(1, {"title": "second"}).written == 1
    assert show(2, {"title": "third"}).written == 1
    one, two = at(kit, 1), at(kit, 2)
    assert versions(app) == [("first", None, one), ("second", one, two), ("third", two, None)]
    keys = {row["item"] for row in app.rows("items")}
    assert keys == set(app.keys("items").values())


def test_an_unchanged_row_changes_nothing(app, show):
    show(0, {"title": "first"})
    before = app.files()
    table = show(1, {"title": "first"})
    assert (table.written, table.duplicates) == (0, 1)
    after = app.files()
    # The ledger knows the file that was delivered anew.
    assert after.pop("ledger/files.parquet") != before.pop("ledger/files.parquet")
    assert after == before


def test_a_row_that_changes_back_is_a_version_of_its_own(app, kit, show):
    for day, title in enumerate(["first", "second", "first"]):
        show(day, {"title": title})
    assert [v[0] for v in versions(app)] == ["first", "second", "first"]


def test_a_lake_is_read_as_it_was_known(app, kit, show):
    show(0, {"title": "first"})
    show(1, {"title": "second"})
    moment = kit.NOW + DAY
    assert titles(app, datetime(2000, 1, 1, tzinfo=UTC)) == ["first"]
    # As for events: what came at known_at itself does not count.
    assert titles(app, moment) == ["first"]
    assert titles(app, moment + timedelta(microseconds=1)) == ["second"]
    assert titles(app, None) == ["second"]


def test_the_moment_of_a_change_may_come_from_the_source(app, kit, show):
    show(0, {"title": "first", "updated_at": "2026-01-05T00:00:00+02:00"})
    show(1, {"title": "second", "updated_at": "2026-02-05T00:00:00Z"})
    changed = datetime(2026, 2, 5)  # noqa: DTZ001 - naive UTC in the lake
    assert versions(app) == [("first", None, changed), ("second", changed, None)]
    assert [r["updated_at"] for r in app.rows("items")] == [datetime(2026, 1, 4, 22), changed]  # noqa: DTZ001


def test_updates_out_of_order_land_in_their_place(app, show):
    stamped = {d: f"2026-02-{d:02d}T00:00:00Z" for d in range(1, 10)}
    show(0, {"title": "five", "updated_at": stamped[5]})
    show(1, {"title": "nine", "updated_at": stamped[9]}, {"title": "one", "updated_at": stamped[1]})
    show(2, {"title": "seven", "updated_at": stamped[7]})
    days = [(v[0], v[1] and v[1].day, v[2] and v[2].day) for v in versions(app)]
    assert days == [
        ("one", None, 5), ("five", 5, 7), ("seven", 7, 9), ("nine", 9, None),
    ]  # fmt: skip
    again = show(3, *({"title": t, "updated_at": stamped[d]}
                      for d, t in ((9, "nine"), (5, "five"), (7, "seven"))))  # fmt: skip
    assert (again.written, again.duplicates) == (0, 3)


def test_an_older_row_that_says_the_same_moves_the_start_back(app, show):
    show(0, {"title": "a", "updated_at": "2026-02-01"})
    show(1, {"title": "b", "updated_at": "2026-02-05"})
    show(2, {"title": "b", "updated_at": "2026-02-03"})
    assert [(v[0], v[1] and v[1].day) for v in versions(app)] == [("a", None), ("b", 3)]


def test_of_two_rows_of_one_moment_the_later_one_is_right(app, show):
    stamp = "2026-02-01T00:00:00Z"
    table = show(0, {"title": "a", "updated_at": stamp}, {"title": "b", "updated_at": stamp})
    assert (table.written, table.duplicates) == (1, 1)
    assert [v[0] for v in versions(app)] == ["b"]
    assert show(1, {"title": "c", "updated_at": stamp}).written == 1
    assert [v[0] for v in versions(app)] == ["c"]


def test_an_open_row_delivered_again_beside_an_older_one_stays_open(app, show):
    show(0, {"title": "b", "updated_at": "2026-02-05"})
    show(1, {"title": "a", "updated_at": "2026-02-06"}, {"title": "b", "updated_at": "2026-02-07"})
    assert [v[0] for v in versions(app)] == ["b", "a", "b"]


def test_every_key_has_one_open_version_and_no_gap(app, kit, show):
    for day in range(6):
        rows = [{"item_id": f"i{n}", "title": f"t{day // (n + 1)}"} for n in range(4)]
        show(day, *rows)
    by_key = {}
    for row in app.rows("items"):
        by_key.setdefault(row["item"], []).append((row["valid_from"], row["valid_to"]))
    assert {len(v) for v in by_key.values()} == {6, 3, 2}
    for spans in by_key.values():
        spans.sort(key=lambda span: span[0] or datetime.min)  # noqa: DTZ901
        assert spans[0][0] is None
        assert spans[-1][1] is None
        assert all(a[1] == b[0] for a, b in itertools.pairwise(spans))


def test_what_was_made_up_gives_way_to_what_the_source_says_whenever_that_was(app, kit, tmp_path):
    path = tmp_path / "log.yaml"
    path.write_text(
        """
tables:
  events:
    files: "log.csv"
    columns: {listener_id: who, show_id: show, started_at: at, ms_played: {constant: 60000}}
    arrival: historical
derive:
  listeners: {from: events, market: DE, time_zone: Europe/Berlin}
  items: {from: events, column: show_id, type: show}
"""
    )
    app.put_bytes("log.csv", kit.as_csv([{"who": "u", "show": "s", "at": "2026-03-01"}]))
    ingest(app.settings, source=app.inbox, mapping=path, now=kit.NOW)
    assert app.rows("items")[0]["title"] == "s"
    row = kit.ITEMS[2] | {"item_id": "s", "title": "Said", "updated_at": "2025-01-01"}
    app.put("items", [row])
    ingest(app.settings, source=app.inbox, now=kit.NOW + DAY)
    assert titles(app, None) == ["Said"]
    assert titles(app, datetime(2026, 3, 5, tzinfo=UTC)) == ["Said"]


def test_a_table_of_an_earlier_contract_is_read_and_migrated(app, kit, show):
    show(0, {"title": "first", "tags": "news"})
    path = app.lake.table("items")
    old = pq.read_table(path).drop_columns([*HISTORY, "language"])
    pq.write_table(old, path)
    (row,) = as_of(app, "items", kit.NOW)
    assert row["language"] is None
    assert row["tags"] == ["news"]
    show(1, {"title": "second", "language": "de"})
    assert [v[0] for v in versions(app)] == ["first", "second"]
    assert [r["language"] for r in app.current("items")] == ["de"]
    assert pq.read_schema(path).names == list(lake_schema(CONTRACTS["items"]))


def test_a_column_of_a_later_contract_is_left_alone(app, kit, show):
    show(0, {"title": "first"})
    path = app.lake.table("items")
    table = pq.read_table(path)
    pq.write_table(table.append_column("mood", pa.array(["calm"])), path)
    assert titles(app, None) == ["first"]


def test_a_missing_table_is_empty_or_an_error(app):
    assert as_of(app, "availability", None) == []
    with duckdb.connect() as c, pytest.raises(EmptyInput, match="The lake has no items"):
        expose_table(c, app.lake, "items", None, required=True)


@pytest.mark.parametrize("column", ["duration_ms", "ms_played", "position"])
def test_what_a_contract_allows_fits_the_lakes_integers(column):
    for contract in CONTRACTS.values():
        for c in contract.columns:
            if c.name == column:
                assert 0 <= c.low < c.high < 2**31
