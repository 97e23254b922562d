"""Unreadable files that were set aside once are left out, with a warning, until they change."""

import pyarrow.parquet as pq
import pytest
import yaml

from homerec.errors import MalformedFile
from homerec.ingest import dry_run
from homerec.settings import resource


def counts(report):
    found = report.tables["events"]
    return found.read, found.written, found.skipped


@pytest.fixture
def aside(app, kit, run):
    """An inbox of which two unreadable files were set aside once."""
    app.put_catalog()
    app.put("events", kit.good_events(3))
    app.put_bytes("events/b.csv", b"who\n1\n")
    app.put_bytes("listeners/b.csv", b"who\n1\n")
    first = run(set_aside_files=True)
    assert set(first.set_aside_files) == {"events/b.csv", "listeners/b.csv"}
    assert first.still_aside == {}
    return first


def test_a_file_set_aside_is_left_out_with_a_warning_until_it_changes(app, kit, run, aside, opened):
    app.put("events", kit.good_events(6), name="c")
    report = run()
    assert opened == ["events/c.csv"]
    assert report.set_aside_files == {}
    assert set(report.still_aside) == {"events/b.csv", "listeners/b.csv"}
    line = (
        f"WARNING: events/b.csv was not read: set aside by ingest {aside.ingest_id}, and unchanged "
        "since (--again tries it)"
    )
    assert line in report.render().splitlines()
    # The readable files of a table are known or not without it.
    assert report.tables["events"].skipped == 1
    assert report.tables["listeners"].skipped == 1
    # It says so every time, and a dry run says it too.
    assert set(run().still_aside) == {"events/b.csv", "listeners/b.csv"}
    assert "WARNING: events/b.csv was not read" in dry_run(app.settings, app.inbox).render()


def test_a_file_set_aside_that_changed_is_read_and_counts_as_any_other(app, kit, run, aside):
    app.put("events", kit.good_events(9), name="b")
    report = run()
    assert set(report.still_aside) == {"listeners/b.csv"}
    assert report.tables["events"].files == ["events/b.csv"]
    assert len(app.rows("events")) == 9
    assert counts(run()) == (0, 0, 2)


def test_a_file_set_aside_that_changed_and_is_still_unreadable_stops_the_ingest(app, run, aside):
    app.put_bytes("events/b.csv", b"who\n1\n2\n")
    with pytest.raises(MalformedFile, match=r"events/b\.csv"):
        run()


def test_again_reads_files_set_aside_too(app, run, aside):
    with pytest.raises(MalformedFile, match=r"b\.csv"):
        run(again=True)
    assert set(run(again=True, set_aside_files=True).set_aside_files) == set(aside.set_aside_files)


def test_a_file_set_aside_is_tried_again_when_the_mapping_can_read_it(app, kit, run, tmp_path):
    app.put_catalog()
    rows = [
        {("who" if name == "listener_id" else name): value for name, value in row.items()}
        for row in kit.good_events(4)
    ]
    app.put("events", rows, name="b")
    assert list(run(set_aside_files=True).set_aside_files) == ["events/b.csv"]
    names = {
        table: yaml.safe_load(resource("config/mappings/homerec.yaml").read_text())["tables"][table]
        for table in ("items", "contents", "listeners", "events")
    }
    columns = {name: name for name in kit.good_events(1)[0]} | {"listener_id": "who"}
    names["events"] = names["events"] | {"columns": columns}
    mapping = tmp_path / "homerec.yaml"
    mapping.write_text(yaml.safe_dump({"tables": names}))
    report = run(mapping=mapping)
    assert (report.still_aside, report.tables["events"].written) == ({}, 4)


def test_a_file_that_is_unreadable_for_one_table_stays_known_for_another(app, kit, run, aside):
    ledger = pq.read_table(app.lake.ledger).to_pylist()
    found = {(row["table"], row["file"]): row["unreadable"] for row in ledger}
    assert found["events", "events/b.csv"] is True
    assert found["events", "events/a.csv"] is False
    assert ("listeners", "events/b.csv") not in found


def test_a_ledger_of_before_has_no_file_set_aside(app, kit, run):
    app.put_catalog()
    app.put("events", kit.good_events(3))
    run()
    table = pq.read_table(app.lake.ledger)
    pq.write_table(table.drop_columns(["unreadable"]), app.lake.ledger)
    report = run()
    assert counts(report) == (0, 0, 1)
    assert report.still_aside == {}
