"""The contracts as declared, as described, and the promise that no row is lost."""

import dataclasses
import json
import re

import pytest

from homerec.errors import MalformedFile, MappingError, RowsLost
from homerec.ingest import CONTRACTS, ingest, load_mapping
from homerec.ingest import run as runs
from homerec.ingest.describe import RULES, describe_contracts, readme_with_contracts
from homerec.ingest.rules import possible_rules
from homerec.settings import ROOT

README = ROOT / "config" / "mappings" / "README.md"


def test_the_readme_says_what_the_contracts_declare():
    text = README.read_text(encoding="utf-8")
    assert text == readme_with_contracts(text), "run `python -m homerec.ingest.describe`"
    assert text.endswith(describe_contracts())


def test_the_readme_names_every_table_beside_the_made_part():
    head = README.read_text(encoding="utf-8").partition("<!-- made of")[0]
    (listed,) = re.findall(r"Tables: ([a-z_, ]+) \|", head)
    assert listed.split(", ") == list(CONTRACTS)


def test_every_rule_is_explained_and_no_other():
    possible = {rule for c in CONTRACTS.values() for rule, _ in possible_rules(c)}
    assert possible == set(RULES)


def test_keys_windows_and_references_name_what_is_there():
    for contract in CONTRACTS.values():
        names = (*contract.key, *(contract.window or ()), *filter(None, [contract.time]))
        assert set(names) <= set(contract.names), contract.name
        for column in contract.columns:
            assert column.about, (contract.name, column.name)
            assert not column.of_type or column.references == "items"


def test_what_integers_may_be_fits_the_lake():
    bounds = [(c.low, c.high) for t in CONTRACTS.values() for c in t.columns if c.kind == "integer"]
    assert len(bounds) == 4
    assert all(0 <= low < high < 2**31 for low, high in bounds)


@pytest.fixture
def two_days(app, kit):
    app.settings = dataclasses.replace(app.settings, quarantine_limit_ratio=1.0)
    app.put_catalog()
    app.put("events", [*kit.good_events(6), kit.event(7, ms_played="x")])
    return app


def test_a_row_that_gets_lost_on_its_way_to_the_lake_stops_the_ingest(two_days, kit, monkeypatch):
    merge = runs.plays.merge

    def lossy(run, name, ingest_id):
        merge(run, name, ingest_id)
        run.staged_partitions(name)[0].unlink()

    monkeypatch.setattr(runs.plays, "merge", lossy)
    with pytest.raises(RowsLost, match=r"6 rows of events are new, and the files .* hold 4"):
        ingest(two_days.settings, source=two_days.inbox, now=kit.NOW)
    assert two_days.files() == {}
    (report,) = [json.loads(p.read_text()) for p in two_days.lake.ingests.glob("*.json")]
    assert report["status"] == "failed"
    assert report["tables"]["events"]["written"] == 0


def test_a_row_that_is_not_accounted_for_stops_the_ingest(two_days, kit, monkeypatch):
    count = runs.count_bad

    def lossy(run):
        count(run)
        run.report.tables["listeners"].duplicates -= 1

    monkeypatch.setattr(runs, "count_bad", lossy)
    with pytest.raises(RowsLost, match=r"3 rows of listeners were read, and 3 written \+ -1 dup"):
        ingest(two_days.settings, source=two_days.inbox, now=kit.NOW)
    assert two_days.files() == {}


def test_a_row_that_gets_lost_on_its_way_to_quarantine_stops_the_ingest(two_days, kit, monkeypatch):
    monkeypatch.setattr("homerec.ingest.setaside.line_shifts", lambda opened: [])
    with pytest.raises(RowsLost, match="1 rows of events break a rule, and quarantine would hold"):
        ingest(two_days.settings, source=two_days.inbox, now=kit.NOW)
    assert two_days.files() == {}


def test_a_line_in_another_encoding_is_set_aside(two_days, kit):
    lines = kit.as_csv(kit.good_events(3)).splitlines()
    lines[2] = lines[2].replace(b"episode-1", b"episode-\xff\xfe")
    two_days.put_bytes("events/a.csv", b"\n".join(lines) + b"\n")
    report = ingest(two_days.settings, source=two_days.inbox, now=kit.NOW)
    assert report.tables["events"].quarantined == {"malformed_line": 1}
    (kept,) = two_days.quarantined(report.ingest_id, "events")
    assert kept["line"] == 3


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_new_column_of_the_source_is_noted_and_left_out(form, app, kit):
    app.put_catalog()
    app.put("events", [row | {"platform": "ios", "app_version": "1"} for row in kit.good_events(3)],
            form)  # fmt: skip
    app.put("events", kit.good_events(6), form, name="b")
    report = ingest(app.settings, source=app.inbox, now=kit.NOW)
    assert sorted(report.tables["events"].unmapped) == ["app_version", "platform"]
    assert (
        "Not mapped: events: app_version (in 1 of 2 files), platform (in 1 of 2 files)"
        in report.render()
    )
    assert report.tables["events"].written == 6


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_required_column_that_is_missing_is_named_with_what_is_there(form, app, kit):
    app.put_catalog()
    rows = [{k: v for k, v in row.items() if k != "started_at"} for row in kit.good_events(3)]
    app.put("events", rows, form)
    with pytest.raises(MalformedFile, match=r"no column started_at; it has .*listener_id"):
        ingest(app.settings, source=app.inbox, now=kit.NOW)
    assert app.files() == {}


def test_blank_entries_of_a_list_say_nothing_whatever_the_form(app, kit):
    item = kit.ITEMS[0] | {"updated_at": None}
    for form, tags, markets in (
        ("csv", " rock | |pop", "|"), ("jsonl", ["rock", " ", "pop", None], []),
        ("parquet", "rock||pop", ""),
    ):  # fmt: skip
        app.put("items", [item | {"item_id": form, "tags": tags, "markets": markets}], form)
    ingest(app.settings, source=app.inbox, now=kit.NOW)
    assert [r["tags"] for r in app.rows("items")] == [["rock", "pop"]] * 3
    assert [r["markets"] for r in app.rows("items")] == [None] * 3


def test_derived_items_have_the_type_that_their_column_asks_for(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        """
tables:
  events:
    files: "log.csv"
    columns: {listener_id: who, artist_id: a, started_at: at, ms_played: {constant: 60000}}
    arrival: historical
derive:
  items: {from: events, column: artist_id, type: show}
"""
    )
    with pytest.raises(MappingError, match=r"derive.items.type is 'show'.*artist_id.*artist"):
        load_mapping(path)
