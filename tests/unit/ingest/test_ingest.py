"""The whole way from files to the lake."""

import dataclasses
import fcntl
import gzip
import hashlib
import json
from datetime import date, datetime, timedelta

import duckdb
import pyarrow as pa
import pytest

from homerec.errors import EmptyInput, MalformedFile, QuarantineExceeded, TransientError
from homerec.ingest import dry_run, ingest

FORMS = ["csv", "tsv", "csv.gz", "csv.zst", "jsonl", "jsonl.gz", "jsonl.zst", "parquet"]


@pytest.fixture
def run(app, kit):
    def go(**changes):
        return ingest(app.settings, **({"source": app.inbox, "now": kit.NOW} | changes))

    return go


def zstd(data):
    return pa.compress(data, codec="zstd", asbytes=True)


def loosen(app, ratio=1.0):
    app.settings = dataclasses.replace(app.settings, quarantine_limit_ratio=ratio)


@pytest.mark.parametrize("form", FORMS)
def test_every_file_kind_gives_the_same_lake(form, app, kit, run, tmp_path, make_app):
    reference = make_app(tmp_path / "reference")
    for a, f in ((app, form), (reference, "csv")):
        a.put_catalog(f)
        a.put("events", kit.good_events(), f)
    report = run()
    ingest(reference.settings, source=reference.inbox, now=kit.NOW)
    assert report.tables["events"].written == 12
    for table in ("items", "contents", "listeners", "events"):
        assert app.rows(table) == reference.rows(table), table


def test_events_are_keyed_filled_partitioned_and_sorted(app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events())
    report = run()
    items, listeners, contents = (app.keys(n) for n in ("items", "listeners", "contents"))
    assert items == {"album-b": 1, "artist-a": 2, "show-c": 3}
    rows = app.rows("events")
    assert list(rows[0]) == [
        "listener", "content", "context", "artist", "album", "show", "started_at", "ms_played",
        "arrived_at", "surface", "event_hash",
    ]  # fmt: skip
    first = next(r for r in rows if r["ms_played"] == 60_000)
    assert first["listener"] == listeners["user-0"]
    assert first["content"] == contents["track-1"]
    assert (first["context"], first["artist"], first["album"]) == (1, 2, 1)
    assert first["show"] is None
    assert first["surface"] == "unknown"
    assert first["started_at"] == datetime(2026, 3, 1, 10, 0)  # noqa: DTZ001 - naive UTC in the lake
    assert app.lake.event_dates() == [date(2026, 3, d) for d in (1, 2, 3)]
    for folder in app.lake.partitions("events").iterdir():
        (file,) = folder.glob("*.parquet")
        assert file.stem == report.ingest_id
        kept = app.query(
            f"SELECT listener, started_at FROM read_parquet('{file}', hive_partitioning=false)"
        )
        order = [(r["listener"], r["started_at"]) for r in kept]
        assert order == sorted(order)
        types = app.query(f"DESCRIBE SELECT * FROM read_parquet('{file}', hive_partitioning=false)")
        by_name = {t["column_name"]: t["column_type"] for t in types}
        assert by_name["event_hash"] == "UBIGINT"
        assert by_name["listener"] == by_name["ms_played"] == "INTEGER"
        assert by_name["started_at"] == "TIMESTAMP"


def test_tables_have_the_lakes_columns(app, kit, run):
    app.put_catalog()
    picks = [{"listener_id": "user-0", "item_id": "show-c", "picked_at": "2026-01-01"}]
    app.put("signup_picks", picks)
    app.put("dismissals", [{"listener_id": "user-0", "item_id": "show-c",
                            "dismissed_at": "2026-02-01"}])  # fmt: skip
    app.put("editorial", [{"shelf": "New", "market": None, "position": 1, "item_id": "show-c",
                           "starts_at": "2026-02-01", "ends_at": "2026-04-01"}])  # fmt: skip
    app.put("blocked", [{"item_id": "album-b", "market": "DE", "reason": "rights",
                         "blocked_at": "2026-02-01"}])  # fmt: skip
    app.put("impressions", [{"listener_id": "user-1", "item_id": "show-c", "shelf": "New",
                             "position": 2, "shown_at": "2026-03-01T08:00:00Z",
                             "arrived_at": "2026-03-01T09:00:00Z"}])  # fmt: skip
    run()
    expected = {
        "items": "item item_id type title language tags released_at artist markets",
        "contents": "content content_id type title artist album show duration_ms released_at",
        "listeners": "listener listener_id market time_zone registered_at",
        "signup_picks": "listener item picked_at",
        "dismissals": "listener item dismissed_at",
        "editorial": "shelf market position item starts_at ends_at",
        "blocked": "item market reason blocked_at",
        "impressions": "listener item shelf position shown_at arrived_at event_hash",
    }
    for table, columns in expected.items():
        history = [] if table == "impressions" else ["updated_at", "valid_from", "valid_to"]
        assert list(app.rows(table)[0]) == [*columns.split(), *history], table
    album = next(r for r in app.rows("items") if r["item_id"] == "album-b")
    assert album["markets"] == ["US", "DE"]
    assert album["artist"] == app.keys("items")["artist-a"]
    assert album["tags"] == []


@pytest.mark.parametrize("with_ids", [True, False])
def test_the_same_file_twice_changes_nothing(with_ids, app, kit, run):
    app.put_catalog()
    rows = kit.good_events()
    if not with_ids:
        rows = [{k: v for k, v in r.items() if k != "event_id"} for r in rows]
    app.put("events", rows)
    run()
    before = app.files()
    report = run(now=kit.NOW + timedelta(hours=1), again=True)
    assert app.files() == before
    assert report.tables["events"].duplicates == 12
    assert report.tables["items"].duplicates == 3
    assert sum(report.new_keys.values()) == 0


def test_a_row_delivered_twice_in_one_ingest_counts_once(app, kit, run):
    app.put_catalog()
    app.put("events", [*kit.good_events(), kit.event(3), kit.event(4)])
    app.put("events", [kit.event(5)], "jsonl", name="late")
    table = run().tables["events"]
    assert (table.read, table.written, table.duplicates) == (15, 12, 3)


def test_arrival_does_not_make_a_second_delivery_another_event(app, kit, run):
    app.put_catalog()
    no_id = {k: v for k, v in kit.event(1).items() if k != "event_id"}
    app.put("events", [no_id, no_id | {"arrived_at": "2026-03-05T00:00:00Z"}])
    run()
    (row,) = app.rows("events")
    assert row["arrived_at"].day == 2, "the first arrival stays"


def test_a_later_delivery_adds_a_file_to_its_date(app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events(6))
    run()
    app.put("events", kit.good_events(12), name="b")
    report = run(now=kit.NOW + timedelta(days=1))
    assert report.tables["events"].written == 6
    assert len(app.rows("events")) == 12
    assert len(list((app.lake.partitions("events") / "date=2026-03-01").iterdir())) == 2


def test_many_small_dates_are_written_one_file_each(app, kit, run):
    app.put_catalog()
    days = [date(2025, 1, 1) + timedelta(days=i) for i in range(300)]
    rows = [
        kit.event(i, started_at=f"{d}T10:00:00Z", arrived_at=f"{d}T10:00:00Z")
        for i, d in enumerate(days)
    ]
    app.put("events", rows)
    report = run()
    assert app.lake.event_dates() == days
    assert (report.tables["events"].first, report.tables["events"].last) == (days[0], days[-1])
    files = app.lake.partitions("events") / "*" / "*.parquet"
    rows = app.query(
        "SELECT started_at, filename FROM "
        f"read_parquet('{files}', hive_partitioning = false, filename = true)"
    )
    assert len(rows) == 300
    for row in rows:
        assert f"date={row['started_at']:%Y-%m-%d}/" in row["filename"]


def test_new_ids_get_the_next_keys_and_old_ones_keep_theirs(app, kit, run):
    app.put_catalog()
    run()
    before = app.keys("listeners")
    app.put("listeners", [kit.LISTENERS[0] | {"listener_id": "aaa"}], name="b")
    run(now=kit.NOW + timedelta(days=1))
    assert app.keys("listeners") == before | {"aaa": 4}


def test_the_key_of_a_forgotten_listener_is_not_given_again(app, kit, run):
    app.put_catalog()
    run()
    path = app.lake.dictionary("listeners")
    with duckdb.connect() as c:
        c.execute(
            f"CREATE TABLE d AS SELECT key, CASE WHEN key < 3 THEN id END AS id FROM '{path}'"
        )
        c.execute(f"COPY d TO '{path}' (FORMAT parquet)")
    run(now=kit.NOW + timedelta(days=1), again=True)
    assert app.keys("listeners")["user-2"] == 4


def test_an_update_replaces_the_row_and_the_newest_wins(app, kit, run):
    app.put_catalog()
    run()
    old = kit.ITEMS[2]
    app.put("items", [old | {"title": "older"}, old | {"title": "newer"}], name="b")
    report = run(now=kit.NOW + timedelta(days=1))
    titles = {r["item_id"]: r["title"] for r in app.current("items")}
    assert titles == {"artist-a": "A", "album-b": "B", "show-c": "newer"}
    items = report.tables["items"]
    assert (items.read, items.written, items.duplicates) == (5, 1, 4)


def test_files_are_applied_in_the_order_of_their_names_whatever_their_form(app, kit, run):
    app.put_catalog()
    old = kit.ITEMS[2]
    app.put("items", [old | {"title": "second"}], "parquet", name="b")
    app.put("items", [old | {"title": "third"}], "jsonl", name="c")
    run()
    assert {r["title"] for r in app.rows("items")} == {"A", "B", "third"}


BAD = [
    ("missing", "listener_id", {"listener_id": None}),
    ("missing", "started_at", {"started_at": None}),
    ("not_castable", "started_at", {"started_at": "yesterday"}),
    ("not_castable", "ms_played", {"ms_played": "long"}),
    ("not_castable", "ms_played", {"ms_played": "1.5"}),
    ("not_castable", "ms_played", {"ms_played": "NaN"}),
    ("out_of_range", "ms_played", {"ms_played": -1}),
    ("out_of_range", "ms_played", {"ms_played": 86_400_001}),
    ("out_of_range", "ms_played", {"ms_played": 99_999_999_999}),
    ("out_of_range", "started_at", {"started_at": "1969-12-31T00:00:00Z"}),
    ("after_arrival", "started_at", {"started_at": "2026-03-01T12:00:01Z"}),
    ("from_the_future", "started_at",
     {"started_at": "2026-03-10T04:01:00Z", "arrived_at": "2026-03-10T05:00:00Z"}),
    ("unknown_listener", "listener_id", {"listener_id": "nobody"}),
    ("unknown_content", "content_id", {"content_id": "nothing"}),
    ("unknown_item", "context_id", {"context_id": "nothing"}),
    ("unknown_item", "show_id", {"show_id": "nothing"}),
    ("no_item", None, {"content_id": None, "context_id": None}),
]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize(("rule", "column", "change"), BAD)
def test_an_event_that_breaks_a_rule_is_set_aside(rule, column, change, form, app, kit, run):
    loosen(app)
    app.put_catalog()
    rows = kit.good_events(6)
    rows[3] = kit.event(0, event_id="bad") | change
    app.put("events", rows, form)
    report = run()
    assert report.tables["events"].quarantined == {rule: 1}
    assert (report.tables["events"].read, report.tables["events"].written) == (6, 5)
    (kept,) = app.quarantined(report.ingest_id, "events")
    assert (kept["file"], kept["rule"], kept["column"]) == (f"events/a.{form}", rule, column)
    assert kept["line"] == (5 if form == "csv" else 4)
    assert json.loads(kept["row"])["event_id"] == "bad"
    if column and change[column] is not None:
        assert kept["value"] == str(change[column])
    assert len(app.rows("events")) == 5


@pytest.mark.parametrize(
    ("table", "rule", "change"),
    [
        ("items", "unknown_type", {"type": "song"}),
        ("items", "missing", {"title": ""}),
        ("items", "bad_market", {"markets": "US|usa"}),
        ("items", "unknown_item", {"artist_id": "nothing"}),
        ("contents", "unknown_type", {"type": "song"}),
        ("contents", "unknown_item", {"show_id": "nothing"}),
        ("contents", "out_of_range", {"duration_ms": -5}),
        ("listeners", "bad_market", {"market": "us"}),
        ("listeners", "bad_market", {"market": "USA"}),
        ("listeners", "bad_time_zone", {"time_zone": "Mars/Olympus"}),
        ("listeners", "not_castable", {"registered_at": "2026-02-30"}),
    ],
)
def test_a_catalog_row_that_breaks_a_rule_is_set_aside(table, rule, change, app, kit, run):
    loosen(app)
    app.put_catalog()
    ids = {"items": "item_id", "contents": "content_id", "listeners": "listener_id"}
    rows = {"items": kit.ITEMS, "contents": kit.CONTENTS, "listeners": kit.LISTENERS}[table]
    app.put(table, [rows[0] | {ids[table]: "bad"} | change], name="b")
    report = run()
    assert report.tables[table].quarantined == {rule: 1}
    assert "bad" not in {r[ids[table]] for r in app.rows(table)}
    assert "bad" not in app.keys(table)
    (kept,) = app.quarantined(report.ingest_id, table)
    assert (kept["file"], kept["line"]) == (f"{table}/b.csv", 2)


def test_a_row_that_refers_to_a_row_set_aside_is_set_aside_too(app, kit, run):
    loosen(app)
    artist, album, show = kit.ITEMS
    app.put("items", [artist | {"type": "band"}, album, show])
    report = run()
    assert report.tables["items"].quarantined == {"unknown_type": 1, "unknown_item": 1}
    assert set(app.keys("items")) == {"show-c"}


def test_clock_skew_within_the_tolerance_is_legal(app, kit, run):
    app.put_catalog()
    app.put("events", [kit.event(0, started_at="2026-03-01T12:00:00Z")])
    assert run().tables["events"].written == 1


def test_an_offset_is_converted_to_utc(app, kit, run):
    app.put_catalog()
    app.put("events", [kit.event(0, started_at="2026-03-01T01:30:00+02:00")])
    run()
    assert app.lake.event_dates() == [date(2026, 2, 28)]


def test_lines_of_the_wrong_shape_are_set_aside_with_their_line(app, kit, run):
    loosen(app)
    app.put_catalog()
    lines = kit.as_csv([*kit.good_events(3), kit.event(4, ms_played="x")]).splitlines()
    lines[2:2] = [b"too,short", b"too,short,again"]
    app.put_bytes("events/a.csv", b"\n".join(lines) + b"\n")
    report = run()
    assert report.tables["events"].quarantined == {"malformed_line": 2, "not_castable": 1}
    assert report.tables["events"].read == 6
    kept = app.quarantined(report.ingest_id, "events")
    assert [(k["line"], k["rule"]) for k in kept] == [
        (3, "malformed_line"), (4, "malformed_line"), (7, "not_castable")]  # fmt: skip
    assert json.loads(kept[0]["row"]) == "too,short"


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress, zstd], ids=["", "gz", "zst"])
def test_lines_are_those_of_the_file_despite_blanks_and_quoted_breaks(pack, app, kit, run):
    loosen(app)
    item = kit.ITEMS[2]
    rows = [item | {"item_id": f"i{i}", "title": "two\nlines" if i < 3 else "x"} for i in range(6)]
    rows[5]["type"] = "song"
    lines = kit.as_csv(rows).replace(b"\n", b"\r\n").split(b"\r\n")
    lines[5:5] = [b"", b"short"]
    data = b"\r\n".join(lines)
    suffix = {b"\x1f\x8b": ".gz", b"\x28\xb5": ".zst"}.get(pack(data)[:2], "")
    app.put_bytes(f"items/a.csv{suffix}", pack(data))
    kept = app.quarantined(run().ingest_id, "items")
    text_lines = data.decode().split("\n")
    assert [k["rule"] for k in kept] == ["malformed_line", "unknown_type"]
    assert [text_lines[k["line"] - 1].strip()[:5] for k in kept] == ["short", "i5,so"]


def test_a_line_that_is_not_json_is_set_aside_and_blank_lines_are_skipped(app, kit, run):
    loosen(app)
    app.put_catalog()
    good = kit.as_jsonl(kit.good_events(2)).splitlines()
    app.put_bytes("events/a.jsonl", b"\n".join([good[0], b"", b"{oops", b"[1]", good[1]]) + b"\n")
    report = run()
    assert report.tables["events"].quarantined == {"not_json": 2}
    assert report.tables["events"].written == 2
    assert [k["line"] for k in app.quarantined(report.ingest_id, "events")] == [3, 4]


def _truncated(data):
    return data[: len(data) // 2]


MALFORMED = {
    "truncated parquet": ("parquet", _truncated, "not readable as parquet"),
    "empty parquet": ("parquet", lambda d: b"", "not readable as parquet"),
    "truncated gzip": ("csv.gz", _truncated, "not readable as csv"),
    "not gzip": ("csv.gz", lambda d: b"hello", "not readable as csv"),
    "not zstd": ("jsonl.zst", lambda d: b"hello", "not readable as jsonl"),
    "columns missing": ("csv", lambda d: b"who,what\n1,2\n", "no column .*listener_id"),
    "empty csv": ("csv", lambda d: b"", "it is empty, not even a header"),
    "not json": ("jsonl", lambda d: b"hello\nworld\n", "none of its 2 lines is a JSON object"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_an_unreadable_file_stops_the_ingest_before_anything_is_written(case, app, kit, run):
    form, damage, message = MALFORMED[case]
    app.put_catalog()
    path = app.put("events", kit.good_events(), form)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(MalformedFile, match=message) as caught:
        run()
    assert str(path) in str(caught.value)
    assert app.files() == {}


@pytest.mark.parametrize("case", MALFORMED)
def test_an_unreadable_file_can_be_set_aside(case, app, kit, run):
    form, damage, _ = MALFORMED[case]
    app.put_catalog()
    app.put("events", kit.good_events(6), name="good")
    path = app.put("events", kit.good_events(), form, name="bad")
    path.write_bytes(damage(path.read_bytes()))
    report = run(set_aside_files=True)
    assert list(report.set_aside_files) == [f"events/bad.{form}"]
    copy = app.lake.quarantine / report.ingest_id / "files" / "events" / f"bad.{form}"
    assert copy.read_bytes() == path.read_bytes()
    assert len(app.rows("events")) == 6
    assert f"events/bad.{form}" in report.render()


@pytest.mark.parametrize("table", ["events", "listeners"])
def test_a_page_damaged_in_the_middle_is_found(table, app, kit, run):
    app.put_catalog("parquet")
    rows = [kit.LISTENERS[0] | {"listener_id": f"user-{i}"} for i in range(5_000)]
    app.put("listeners", rows, "parquet")
    app.put("events", kit.good_events(5_000), "parquet")
    app.put("events", kit.good_events(3), "parquet", name="good")
    app.put("listeners", rows[:3], "parquet", name="good")
    path = app.inbox / table / "a.parquet"
    data = bytearray(path.read_bytes())
    data[60:2_000] = bytes(b ^ 0x5A for b in data[60:2_000])
    path.write_bytes(data)
    with pytest.raises(MalformedFile, match=r"a\.parquet"):
        run()
    assert app.files() == {}
    report = run(set_aside_files=True)
    assert list(report.set_aside_files) == [f"{table}/a.parquet"]
    assert report.tables["events"].written >= 3


def test_over_the_limit_nothing_is_written_but_the_reasons_are_kept(app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events())
    run()
    before = app.files()
    rows = [kit.event(i, event_id=f"n{i}") for i in range(50)]
    rows[7]["ms_played"] = "x"
    app.put("events", rows, name="b")
    app.put("listeners", [kit.LISTENERS[0] | {"listener_id": "new"}], name="b")
    with pytest.raises(QuarantineExceeded, match=r"not_castable \(1\).*allowed is 1.00%") as caught:
        run(now=kit.NOW + timedelta(hours=1))
    assert app.files() == before
    reports = [json.loads(p.read_text()) for p in app.lake.ingests.glob("*.json")]
    (refused,) = [r for r in reports if r["status"] == "refused"]
    assert refused["tables"]["events"]["written"] == 0
    assert refused["quarantine"] in str(caught.value)
    (kept,) = app.quarantined(refused["ingest_id"], "events")
    assert (kept["file"], kept["line"]) == ("events/b.csv", 9)


def test_exactly_the_limit_is_allowed(app, kit, run):
    loosen(app, 0.1)
    app.put_catalog()
    app.put("events", [*kit.good_events(9), kit.event(9, ms_played="x")])
    assert run().tables["events"].written == 9


def test_a_source_without_files_says_what_was_looked_for(app, run):
    app.inbox.mkdir(parents=True)
    with pytest.raises(EmptyInput, match=r"events/\*"):
        run()


def test_tables_may_be_missing(app, kit, run):
    app.put("listeners", kit.LISTENERS)
    report = run()
    assert list(report.tables) == ["listeners"]


def test_one_file_can_be_named_as_the_source(app, kit, run):
    app.put_catalog()
    run()
    app.put("events", kit.good_events(6), name="other")
    report = run(source=app.put("events", kit.good_events(3)), now=kit.NOW + timedelta(hours=1))
    assert list(report.tables) == ["events"]
    assert report.tables["events"].written == 3


def test_the_report_is_kept_and_readable(app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events())
    steps = []
    report = run(progress=steps.append)
    assert report.ingest_id.startswith("20260310T030000-")
    kept = json.loads((app.lake.ingests / f"{report.ingest_id}.json").read_text())
    assert kept["tables"]["events"] | {"files": None} == {
        "files": None, "read": 12, "written": 12, "duplicates": 0, "quarantined": {},
        "first": "2026-03-01", "last": "2026-03-03", "skipped": 0,
        "skipped_rows": 0, "skipped_bad": 0, "unmapped": {}, "forgotten": 0,
    }  # fmt: skip
    assert kept["new_keys"] == {"items": 3, "contents": 2, "listeners": 3}
    assert "2026-03-01 .. 2026-03-03" in report.render()
    assert "committing" in steps


def test_two_ingests_at_once_are_refused(app, kit, run):
    app.put_catalog()
    app.lake.tables.mkdir(parents=True)
    with (app.lake.tables / ".ingest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TransientError, match="Another ingest"):
            run()


def test_no_temporary_file_stays(app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events())
    run()
    assert list((app.settings.home / "tmp").iterdir()) == []


def test_a_dry_run_shows_rows_and_broken_rules_and_writes_nothing(app, kit):
    app.put_catalog()
    app.put("events", [*kit.good_events(3), kit.event(3, ms_played="x")])
    result = dry_run(app.settings, app.inbox, rows=4, now=kit.NOW)
    assert app.files() == {}
    assert not app.lake.ingests.exists()
    assert [row[-1] for row in result.rows["events"]] == [None, None, None, "not_castable"]
    text = result.render()
    assert "events: 4 rows looked at, 1 break a rule" in text
    assert "track-1" in text


def test_the_event_hash_is_md5_of_listener_and_event_id(app, kit, run):
    # Pinned: a hash that changed would bring every event in again as a new one.
    app.put_catalog()
    app.put("events", [kit.event(0)])
    run()
    digest = hashlib.md5(b"user-0\x1fe0", usedforsecurity=False).digest()
    assert app.rows("events")[0]["event_hash"] == int.from_bytes(digest[8:], "little")


def test_the_same_moment_given_twice_does_not_overwrite_an_earlier_ingest(app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events(6))
    first = run()
    app.put("events", kit.good_events(12), name="b")
    second = run()
    assert first.ingest_id != second.ingest_id
    assert len(app.rows("events")) == 12


def test_a_failed_ingest_says_so_in_its_report(app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events()).write_bytes(b"who\n1\n")
    with pytest.raises(MalformedFile):
        run()
    (report,) = [json.loads(p.read_text()) for p in app.lake.ingests.glob("*.json")]
    assert report["status"] == "failed"
    assert sum(t["written"] for t in report["tables"].values()) == 0


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_source_may_have_columns_named_as_ours(form, app, kit, run):
    loosen(app)
    app.put_catalog()
    rows = [kit.event(i) | {"filename": "x", "rule": 1, "row": 2} for i in range(3)]
    rows[2]["ms_played"] = -1
    app.put("events", rows, form)
    report = run()
    assert report.tables["events"].quarantined == {"out_of_range": 1}
    (kept,) = app.quarantined(report.ingest_id, "events")
    assert json.loads(kept["row"])["filename"] == "x"


def test_quotes_in_ids_and_file_names_are_harmless(app, kit, run):
    app.put_catalog()
    nasty = 'it\'s "x"; DROP'
    app.put("items", [kit.ITEMS[2] | {"item_id": nasty, "title": nasty}], name="o'clock")
    run()
    assert nasty in app.keys("items")
