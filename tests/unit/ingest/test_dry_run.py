"""What a dry run shows beside the first rows."""

import dataclasses

import pytest
import yaml

from homerec.ingest import dry_run, ingest
from homerec.ingest.report import shorten


@pytest.fixture
def preview(app, kit):
    def go(**changes):
        return dry_run(app.settings, app.inbox, now=kit.NOW, **changes)

    return go


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_each_broken_rule_has_its_count_and_first_example(form, app, kit, preview):
    app.put_catalog()
    rows = kit.good_events(8)
    for i in (5, 2, 7):
        rows[i]["ms_played"] = -i
    rows[6]["listener_id"] = "nobody"
    app.put("events", rows, form)
    broken = preview().broken["events"]
    first = 2 if form == "csv" else 1
    assert [dataclasses.astuple(b) for b in broken] == [
        ("out_of_range", "ms_played", 3, f"events/a.{form}", 2 + first, "-2"),
        ("unknown_listener", "listener_id", 1, f"events/a.{form}", 6 + first, "nobody"),
    ]
    text = preview().render()
    assert f"3 x out_of_range (ms_played), first in events/a.{form}:{2 + first}: '-2'" in text
    assert app.files() == {}
    assert not app.lake.quarantine.exists()


def test_lines_of_the_wrong_shape_are_examples_too(app, kit, preview):
    app.put_catalog()
    app.put_bytes("events/a.csv", kit.as_csv(kit.good_events(2)) + b"too,short\n")
    (broken,) = preview().broken["events"]
    assert (broken.rule, broken.count, broken.line) == ("malformed_line", 1, 4)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet", "jsonl.gz", "csv.zst"])
def test_columns_that_are_not_mapped_are_named_and_compared(form, app, kit, preview):
    app.put_catalog()
    rows = [
        {k: v for k, v in row.items() if k != "surface"} | {"surfase": "home", "device": "tv"}
        for row in kit.good_events(3)
    ]
    app.put("events", rows, form)
    app.put("events", kit.good_events(3), form, name="b")
    result = preview()
    assert result.report.tables["events"].unmapped == {"device": 1, "surfase": 1}
    text = result.render()
    assert "not mapped: device (in 1 of 2 files), surfase (in 1 of 2 files)" in text
    assert "misspelt" not in text, "the other file has the column"
    app.put("events", rows, form, name="b")
    text = preview().render()
    assert "not mapped: device, surfase\n" in text
    assert "is surfase a misspelt surface, which the mapping would read?" in text
    assert "is device a" not in text


def test_a_key_inside_an_object_is_mapped_and_its_neighbours_are_not_named(app, kit, tmp_path):
    mapping = tmp_path / "m.yaml"
    columns = {"listener_id": "user.id", "market": {"constant": "US"},
               "time_zone": {"constant": "UTC"}, "registered_at": "at"}  # fmt: skip
    tables = {"listeners": {"files": "l.jsonl", "columns": columns}}
    mapping.write_text(yaml.safe_dump({"tables": tables}))
    app.put_bytes("l.jsonl", b'{"user": {"id": "u", "age": 3}, "at": "2026-01-01", "x": 1}\n')
    result = dry_run(app.settings, app.inbox, mapping, now=kit.NOW)
    assert result.report.tables["listeners"].unmapped == {"x": 1}
    assert result.report.tables["listeners"].n_quarantined == 0
    assert "Assumed: listeners.market is US in every row" in result.render()


def test_an_ingest_takes_a_new_column_in_and_notes_it_once(app, kit):
    app.put_catalog()
    app.put("events", kit.good_events(3))
    ingest(app.settings, source=app.inbox, now=kit.NOW)
    for name in ("b", "c"):
        app.put("events", [kit.event(i) | {"device": "tv"} for i in range(6)], name=name)
    report = ingest(app.settings, source=app.inbox, now=kit.NOW)
    assert report.tables["events"].written == 3
    assert report.render().count("device") == 1
    assert "Not mapped: events: device" in report.render()


def test_a_missing_column_is_named_with_those_that_are_there(app, kit):
    app.put_catalog()
    for form in ("csv", "jsonl", "parquet"):
        rows = [{"who": "x", "started_at": "2026-03-01T00:00:00Z"}]
        path = app.put("events", rows, form)
        with pytest.raises(
            Exception, match=rf"{path}: no column .*listener_id.*; it has .*who"
        ) as caught:
            ingest(app.settings, source=app.inbox, now=kit.NOW)
        assert type(caught.value).__name__ == "MalformedFile"
        path.unlink()


def test_a_dry_run_looks_at_files_that_the_lake_holds(app, kit, preview):
    app.put_catalog()
    ingest(app.settings, source=app.inbox, now=kit.NOW)
    assert preview().report.tables["items"].read == 3


def test_long_values_are_cut():
    assert shorten("x" * 60, 60) == "x" * 60
    assert shorten("x" * 61, 60) == "x" * 57 + "..."
