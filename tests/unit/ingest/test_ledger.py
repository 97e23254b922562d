"""Files that the lake holds already are not read again, and never hide data."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from homerec.errors import MalformedFile, QuarantineExceeded


def loosen(app, ratio=1.0):
    app.settings = dataclasses.replace(app.settings, quarantine_limit_ratio=ratio)


def counts(report, table="events"):
    found = report.tables[table]
    return found.read, found.written, found.skipped


def test_an_unchanged_file_is_not_read_and_is_reported(app, kit, run, opened):
    app.put_catalog()
    app.put("events", kit.good_events())
    assert counts(run()) == (12, 12, 0)
    before = app.files()
    opened.clear()
    report = run()
    assert opened == []
    assert app.files() == before
    assert {name: counts(report, name) for name in report.tables} == {
        name: (0, 0, 1) for name in ("items", "contents", "listeners", "events")
    }
    assert report.status == "done"
    assert "already ingested: items 1, contents 1, listeners 1, events 1" in report.render()


def test_again_reads_everything_and_changes_nothing(app, kit, run, opened):
    app.put_catalog()
    app.put("events", kit.good_events())
    run()
    before = app.files()
    opened.clear()
    report = run(again=True)
    assert len(opened) == 4
    assert counts(report) == (12, 0, 0)
    assert app.files() == before


def test_of_the_events_only_new_files_are_read(app, kit, run, opened):
    app.put_catalog()
    app.put("events", kit.good_events(6))
    run()
    opened.clear()
    app.put("events", kit.good_events(9), name="b")
    assert counts(run()) == (9, 3, 1)
    assert opened == ["events/b.csv"]


def test_a_file_with_other_content_is_read_whatever_its_size_and_time_say(app, kit, run):
    app.put_catalog()
    path = app.put("events", [kit.event(1)])
    old = path.stat()
    run()
    data = path.read_bytes()
    path.write_bytes(data.replace(b"e1,", b"e9,"))
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert path.stat().st_size == old.st_size
    assert path.stat().st_mtime_ns == old.st_mtime_ns
    assert counts(run()) == (1, 1, 0)


def test_of_the_catalog_all_files_are_read_when_one_is_new(app, kit, run, opened):
    show = kit.ITEMS[2]
    app.put_catalog()
    app.put("items", [show | {"title": "newest"}], name="z")
    run()
    opened.clear()
    # In the order of the names, z stays the newest although b came later.
    app.put("items", [show | {"title": "between"}], name="b")
    report = run()
    assert opened == ["items/a.csv", "items/b.csv", "items/z.csv"]
    assert (report.tables["items"].skipped, report.tables["listeners"].skipped) == (0, 1)
    assert {r["title"] for r in app.rows("items")} == {"A", "B", "newest"}


def test_a_catalog_file_that_vanished_does_not_bring_older_rows_back(app, kit, run):
    app.put_catalog()
    newer = app.put("items", [kit.ITEMS[2] | {"title": "newer"}], name="b")
    run()
    newer.unlink()
    assert counts(run(), "items") == (0, 0, 1)
    assert "newer" in {r["title"] for r in app.rows("items")}


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def without_moment(rows: list[dict]) -> list[dict]:
    """Rows without the moment from which they hold: that of the ingest that wrote them."""
    return [{k: v for k, v in row.items() if k != "updated_at"} for row in rows]


@pytest.mark.parametrize(
    ("lost", "table"),
    [
        (".", "events"),
        ("ledger", "events"),
        ("events", "events"),
        ("events/date=2026-03-02", "events"),
        ("items.parquet", "items"),
        ("contents.parquet", "contents"),
        ("signup_picks.parquet", "signup_picks"),
    ],
)
def test_what_the_lake_lost_is_read_again(lost, table, app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events())
    app.put("signup_picks", [{"listener_id": "user-0", "item_id": "show-c",
                              "picked_at": "2026-01-01"}])  # fmt: skip
    run()
    before = without_moment(app.rows(table))
    remove(app.lake.tables / lost)
    report = run()
    assert report.tables[table].skipped == 0
    assert without_moment(app.rows(table)) == before


def test_a_dictionary_that_is_lost_makes_its_tables_be_read(app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events())
    run()
    app.lake.dictionary("listeners").unlink()
    report = run()
    assert [report.tables[n].skipped for n in ("listeners", "events")] == [0, 0]
    assert set(app.keys("listeners")) == {"user-0", "user-1", "user-2"}


def test_derived_tables_that_are_lost_are_made_again(app, kit, run, tmp_path):
    columns = {"listener_id": "user", "show_id": "show", "started_at": "t", "ms_played": "ms"}
    mapping = tmp_path / "m.yaml"
    mapping.write_text(yaml.safe_dump({
        "tables": {"events": {"files": "log.csv", "columns": columns, "arrival": "historical"}},
        "derive": {"listeners": {"from": "events", "market": "US", "time_zone": "UTC"},
                   "items": {"from": "events", "column": "show_id", "type": "show"}},
    }))  # fmt: skip
    row = {"user": "u", "show": "s", "t": "2026-03-01T10:00:00Z", "ms": 5}
    app.put_bytes("log.csv", kit.as_csv([row]))
    run(mapping=mapping)
    assert counts(run(mapping=mapping)) == (0, 0, 1)
    app.lake.dictionary("items").unlink()
    app.lake.table("items").unlink()
    assert run(mapping=mapping).derived == {"items": 1, "listeners": 0}
    assert len(app.rows("items")) == 1


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"listener_id": "late"}, ("listeners", {"listener_id": "late"})),
        ({"context_id": "late"}, ("items", {"item_id": "late"})),
        ({"content_id": "late"}, ("contents", {"content_id": "late"})),
    ],
)
def test_a_row_that_waits_for_the_catalog_is_not_forgotten(change, missing, app, kit, run):
    loosen(app)
    app.put_catalog()
    app.put("events", [kit.event(0), kit.event(4) | change])
    assert counts(run()) == (2, 1, 0)
    assert counts(run()) == (2, 0, 0)
    table, row = missing
    like = {"listeners": kit.LISTENERS, "items": kit.ITEMS, "contents": kit.CONTENTS}[table][0]
    app.put(table, [like | row], name="late")
    assert counts(run()) == (2, 1, 0)
    assert counts(run()) == (0, 0, 1)


def test_a_row_from_the_future_comes_in_when_its_time_has_come(app, kit, run):
    loosen(app)
    app.put_catalog()
    early = kit.event(0, started_at="2026-03-10T05:30:00Z", arrived_at="2026-03-10T05:30:00Z")
    app.put("events", [early])
    assert run().tables["events"].quarantined == {"from_the_future": 1}
    run()
    assert counts(run()) == (1, 1, 0)


def test_a_row_that_will_never_be_good_does_not_keep_its_file(app, kit, run):
    loosen(app)
    app.put_catalog()
    app.put("events", [*kit.good_events(3), kit.event(3, ms_played=-1)])
    app.put("events", [kit.event(5), kit.event(7, ms_played="x")], "jsonl", name="b")
    assert run().tables["events"].quarantined == {"not_castable": 1, "out_of_range": 1}
    again = run().tables["events"]
    assert (again.skipped, again.skipped_rows, again.skipped_bad) == (2, 6, 2)
    assert again.quarantined == {}


def test_the_share_of_bad_rows_does_not_rise_because_good_files_are_skipped(app, kit, run):
    loosen(app, 0.1)
    app.put_catalog()
    app.put("events", kit.good_events(10))
    app.put("events", [kit.event(20, listener_id="late"), kit.event(21)], name="b")
    assert counts(run()) == (12, 11, 0)
    assert counts(run()) == (2, 0, 1)
    # One row more, and the share of the whole source is over the limit.
    app.put("events", [kit.event(22, ms_played=-1)], name="c")
    with pytest.raises(QuarantineExceeded, match=r"events: 2 of 13 rows \(15\.38%\)"):
        run()


def test_other_words_in_the_mapping_that_concern_a_table_make_it_be_read(app, kit, run, tmp_path):
    mapping = tmp_path / "m.yaml"
    names = ("items", "contents", "listeners", "events")
    node = {"tables": {n: {"files": f"{n}/*", "columns": "identity"} for n in names}}

    def skipped():
        mapping.write_text(yaml.safe_dump(node))
        report = run(mapping=mapping)
        return [name for name in names if report.tables[name].skipped]

    app.put_catalog()
    app.put("events", kit.good_events())
    assert skipped() == []
    assert skipped() == list(names)
    node["description"] = "another"
    assert skipped() == list(names)
    node["tables"]["events"]["only"] = {"content_id": ["track-1"]}
    assert skipped() == ["items", "contents", "listeners"]
    app.settings = dataclasses.replace(app.settings, future_tolerance_minutes=5)
    assert skipped() == []


def test_two_mappings_and_two_sources_do_not_stand_in_for_each_other(app, kit, run, tmp_path):
    app.put_catalog()
    app.put("events", kit.good_events())
    run()
    other = tmp_path / "other"
    shutil.copytree(app.inbox, other)
    assert counts(run(source=other)) == (12, 0, 0)
    assert counts(run(source=other)) == (0, 0, 1)
    assert counts(run()) == (0, 0, 1)


def test_a_refused_or_failed_ingest_enters_nothing(app, kit, run):
    app.put_catalog()
    run()
    before = app.lake.ledger.read_bytes()
    bad = app.put("events", [kit.event(0), kit.event(1, ms_played=-1)])
    with pytest.raises(QuarantineExceeded):
        run()
    bad.write_bytes(b"who\n1\n")
    with pytest.raises(MalformedFile):
        run()
    assert app.lake.ledger.read_bytes() == before


def test_the_ledger_is_the_last_file_of_a_commit(app, kit, run, monkeypatch):
    app.put_catalog()
    app.put("events", kit.good_events())
    real, moved = Path.replace, []

    def note(self, target):
        if app.lake.tables in Path(target).parents:
            moved.append(Path(target))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", note)
    run()
    assert moved[-1] == app.lake.ledger
    assert moved.count(app.lake.ledger) == 1

    def break_off(self, target):
        if Path(target) == app.lake.ledger:
            raise OSError("power cut")
        return real(self, target)

    app.put("events", kit.good_events(20), name="b")
    monkeypatch.setattr(Path, "replace", break_off)
    with pytest.raises(OSError, match="power cut"):
        run()
    monkeypatch.setattr(Path, "replace", real)
    assert counts(run()) == (20, 0, 1)
    assert len(app.rows("events")) == 20


def test_entries_of_files_that_are_gone_are_dropped(app, kit, run):
    app.put_catalog()
    path = app.put("events", kit.good_events(3))
    app.put("events", kit.good_events(6), name="b")
    run()
    data = path.read_bytes()
    path.unlink()
    run()
    kept = [r["file"] for r in pq.read_table(app.lake.ledger).to_pylist()]
    assert [name for name in kept if name.startswith("events/")] == ["events/b.csv"]
    path.write_bytes(data)
    assert counts(run()) == (3, 0, 1)


def test_the_report_of_a_night_without_news_is_kept(app, kit, run):
    app.put_catalog()
    run()
    report = run()
    kept = json.loads((app.lake.ingests / f"{report.ingest_id}.json").read_text())
    assert kept["tables"]["items"]["skipped"] == 1


def test_a_delivery_that_is_all_bad_is_warned_of_though_the_source_as_a_whole_is_good(
    app, kit, run
):
    app.put_catalog()
    app.put("events", kit.good_events(200))
    assert "WARNING" not in run().render()
    app.put("events", [row | {"listener_id": "nobody"} for row in kit.good_events(2)], name="late")
    report = run()
    assert report.tables["events"].quarantined == {"unknown_listener": 2}
    assert "WARNING: events: 2 of the 2 rows read now were set aside" in report.render()


def broken(kit, first, n):
    return [kit.event(first + k, ms_played=-1) for k in range(n)]


def test_new_files_are_judged_by_themselves_however_many_good_ones_came_before(app, kit, run):
    loosen(app, 0.1)
    app.put_catalog()
    app.put("events", kit.good_events(200))
    run()
    app.put("events", broken(kit, 500, 10), name="bad")
    said = r"events: 10 of 10 rows of 1 new file \(100\.00%\) break a rule, mostly out_of_range"
    with pytest.raises(QuarantineExceeded, match=said):
        run()
    # Nothing was taken in, so that it is refused again, also beside a good file.
    app.put("events", [kit.event(700 + k) for k in range(80)], name="good")
    with pytest.raises(QuarantineExceeded, match=r"10 of 90 rows of 2 new files \(11\.11%\)"):
        run()
    loosen(app, 0.12)
    assert counts(run()) == (90, 80, 1)


def test_an_accepted_file_that_is_read_again_is_not_held_against_a_delivery(app, kit, run):
    loosen(app, 0.5)
    app.put_catalog()
    app.put("events", kit.good_events(100))
    late = [kit.event(300 + k, listener_id="late") for k in range(20)]
    app.put("events", [*late, *(kit.event(400 + k) for k in range(20))], name="waiting")
    assert counts(run()) == (140, 120, 0)
    loosen(app, 0.2)
    # Read again are the 20 rows that wait for their listener; new is one good file.
    app.put("events", [kit.event(600)], name="new")
    assert counts(run()) == (41, 1, 1)
    # What is new is not hidden by the waiting file either.
    app.put("events", [*broken(kit, 800, 12), *(kit.event(900 + k) for k in range(8))], name="bad")
    with pytest.raises(QuarantineExceeded, match=r"12 of 20 rows of 1 new file \(60\.00%\)"):
        run()


def test_a_ledger_of_before_has_settled_files_only(app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events(5))
    run()
    kept = pq.read_table(app.lake.ledger)
    assert kept["settled"].to_pylist() == [True] * kept.num_rows
    pq.write_table(kept.drop_columns(["settled"]), app.lake.ledger)
    assert counts(run()) == (0, 0, 1)
