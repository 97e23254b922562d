"""Every kind of broken row that the contracts name, in an inbox of 1,000 files of every form."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime

import pytest

from homerec.ingest import CONTRACTS, ingest
from homerec.ingest.rules import possible_rules
from homerec.ingest.schema import HISTORY, SCHEMAS
from support.broken_rows import KINDS
from support.inbox import make_inbox

N_FILES = 1_000


def test_the_table_names_every_rule_that_the_contracts_can_produce():
    possible = {
        (name, rule, column or None)
        for name, contract in CONTRACTS.items()
        for rule, column in possible_rules(contract)
    }
    named = {(kind.table, kind.rule, kind.column) for kind in KINDS}
    assert possible - named == set(), "a rule without a row that breaks it"
    assert named - possible == set(), "a row under a rule that no contract has"
    assert len({kind.kind for kind in KINDS}) == len(KINDS) >= 40


@pytest.fixture(scope="module")
def done(tmp_path_factory, new_app, kit):
    """The inbox, ingested once: what was expected, the report, the deployment."""
    app = new_app(tmp_path_factory.mktemp("broken"))
    app.settings = dataclasses.replace(app.settings, quarantine_limit_ratio=1.0)
    expected = make_inbox(app.inbox, n_files=N_FILES, n_rows=8, copies=2, seed=11)
    return expected, ingest(app.settings, source=app.inbox, now=kit.NOW), app


def test_the_inbox_has_a_thousand_files_and_all_are_read(done):
    _, report, app = done
    assert len([p for p in app.inbox.rglob("*") if p.is_file()]) == N_FILES
    assert sum(len(t.files) for t in report.tables.values()) == N_FILES


@pytest.mark.parametrize("table", CONTRACTS)
def test_exactly_the_good_rows_are_in_the_lake(table, done):
    expected, _, app = done
    assert in_lake(app, table) == Counter(as_kept(table, row) for row in expected[table].rows)


@pytest.mark.parametrize("table", CONTRACTS)
def test_exactly_the_broken_rows_are_in_quarantine(table, done):
    expected, report, app = done
    kept = Counter(
        (r["file"], r["line"], r["rule"], r["column"], r["value"])
        for r in app.quarantined(report.ingest_id, table)
    )
    assert kept - expected[table].aside == Counter(), "set aside, though nobody broke it"
    assert expected[table].aside - kept == Counter(), "broken, and not set aside"


@pytest.mark.parametrize("table", CONTRACTS)
def test_the_counts_add_up(table, done):
    expected, report, _ = done
    want, got = expected[table], report.tables[table]
    rules = Counter(rule for _, _, rule, _, _ in want.aside.elements())
    assert got.quarantined == rules
    assert (got.written, got.duplicates) == (len(want.rows), want.repeated)
    assert got.read == got.written + got.duplicates + got.n_quarantined


def moment(text):
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at


def as_kept(table, row):
    """A good row of the source as the lake must hold it, with ids for keys."""
    out = dict(row)
    out.pop("updated_at", None)
    out.pop("event_id", None)
    for name, value in out.items():
        if name.endswith("_at"):
            out[name] = moment(value)
        elif name in ("ms_played", "duration_ms", "position") and value is not None:
            out[name] = int(value)
        elif name in ("tags", "markets"):
            empty = () if name == "tags" else None
            out[name] = tuple(value.split("|")) if value else empty
    if table == "events":
        filled = {"the-track": {"artist_id": "the-artist", "album_id": "the-album"},
                  "the-episode": {"show_id": "the-show"}}[out["content_id"]]  # fmt: skip
        out |= {name: value for name, value in filled.items() if out[name] is None}
        out["surface"] = out["surface"] or "unknown"
    return tuple(sorted(out.items(), key=str))


def in_lake(app, table):
    """Rows in force, with ids for keys."""
    names = {
        key: {k: i for i, k in app.keys(dictionary).items()}
        for key, dictionary in (
            ("listener", "listeners"), ("content", "contents"), ("item", "items"),
            ("context", "items"), ("artist", "items"), ("album", "items"), ("show", "items"),
        )
    }  # fmt: skip
    found = Counter()
    for row in app.rows(table):
        assert list(row) == list(SCHEMAS[table])
        if CONTRACTS[table].write == "upsert":
            assert row["valid_from"] is row["valid_to"] is None
        out = {}
        for name, value in row.items():
            if name in names:
                out[f"{name}_id"] = names[name].get(value)
            elif name not in (*HISTORY, "event_hash"):
                out[name] = tuple(value) if isinstance(value, list) else value
        found[tuple(sorted(out.items(), key=str))] += 1
    return found
