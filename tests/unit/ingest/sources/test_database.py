"""Queries; SQLite stands for a database here, Postgres in integration."""

import json
import sqlite3
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
import yaml

from homerec.errors import MalformedFile, MappingError, SourceError
from homerec.ingest import dry_run, ingest
from homerec.ingest.sources.database import Database, parse, rendered

COLUMNS = {"listener_id": "id", "market": "market", "time_zone": "zone", "registered_at": "at"}


@pytest.fixture
def log(tmp_path):
    """A SQLite file with users; returns its path."""
    path = tmp_path / "log.db"
    with sqlite3.connect(path) as connection:
        connection.execute('CREATE TABLE "Users" (id, market, zone, at, extra)')
        connection.executemany(
            'INSERT INTO "Users" VALUES (?, ?, ?, ?, ?)',
            [(1, "US", "UTC", "2026-01-01", None), ("two", "DE", "Europe/Berlin",
             "2026-01-02T10:00:00+01:00", b"\x01"), (3.5, "FR", "Europe/Paris", 1, "x")],
        )  # fmt: skip
    connection.close()
    return path


@pytest.fixture
def run(app, kit, log, tmp_path):
    def go(go=ingest, columns=COLUMNS, url=None, **table):
        mapping = tmp_path / "m.yaml"
        node = {"tables": {"listeners": {"columns": columns} | table}}
        mapping.write_text(yaml.safe_dump(node))
        source = f"sqlite:///{log}" if url is None else url
        return go(app.settings, source=source, mapping=mapping, now=kit.NOW)

    return go


def test_a_table_is_read_and_the_same_rows_again_change_nothing(app, run):
    import dataclasses

    app.settings = dataclasses.replace(app.settings, quarantine_limit_ratio=1.0)
    report = run(table="Users")
    assert report.tables["listeners"].files == ["table Users"]
    # SQLite lets a column hold what it wants: a bad value is the fault of its row alone.
    assert report.tables["listeners"].quarantined == {"not_castable": 1}
    (kept,) = app.quarantined(report.ingest_id, "listeners")
    assert (kept["file"], kept["line"], kept["value"]) == ("table Users", 3, "1")
    assert json.loads(kept["row"])["id"] == "3.5"
    assert set(app.keys("listeners")) == {"1", "two"}
    assert report.tables["listeners"].unmapped == {"extra": 1}
    before = app.files()
    again = run(table="Users")
    assert (again.tables["listeners"].read, again.tables["listeners"].written) == (3, 0)
    assert app.files() == before
    assert not app.lake.ledger.exists()


def test_the_last_row_of_a_key_wins(app, run):
    query = """SELECT 'u' AS id, 'US' AS market, 'UTC' AS zone, '2026-01-01' AS at
               UNION ALL SELECT 'u', 'DE', 'UTC', '2026-01-01'"""
    run(query=query)
    assert [r["market"] for r in app.rows("listeners")] == ["DE"]


def test_an_empty_result_is_no_error(app, run):
    report = run(query='SELECT id, market, zone, at FROM "Users" WHERE false')
    assert report.tables["listeners"].read == 0
    assert report.status == "done"


@pytest.mark.parametrize(
    ("table", "kind", "message"),
    [
        ({"query": "SELECT id, market, at FROM Users"}, MalformedFile,
         r"query of listeners: no column zone; it has id, market, at\."),
        ({"query": "SELECT id, market, zone, at, 1 AS ID FROM Users"}, MalformedFile,
         "gives ID, id more than once; name them with AS"),
        ({"query": "SELECT * FROM nowhere"}, SourceError,
         "query of listeners was refused: no such table: nowhere"),
        ({"table": "nowhere"}, SourceError, "table nowhere of listeners was refused"),
        ({"query": "INSERT INTO Users (id) VALUES (1)"}, SourceError, "readonly database"),
        ({"query": "CREATE TABLE x (y)"}, SourceError, "readonly database"),
        ({"query": "PRAGMA user_version = 1"}, SourceError, "."),
    ],
)  # fmt: skip
def test_a_query_that_does_not_serve_is_named(table, kind, message, app, run, log):
    with pytest.raises(kind, match=message):
        run(**table)
    assert app.files() == {}
    with sqlite3.connect(log) as connection:
        assert connection.execute('SELECT count(*) FROM "Users"').fetchone() == (3,)
    connection.close()


def test_a_missing_sqlite_file_is_not_made(run, tmp_path):
    missing = tmp_path / "missing.db"
    with pytest.raises(SourceError, match=f"there is no file {missing}"):
        run(url=f"sqlite:///{missing}", table="Users")
    assert not missing.exists()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nothing://u:canary@h/d", r"nothing://u:\*\*\*@h/d cannot be opened.*nothing"),
        ("postgresql+nodriver://u:canary@h/d", "Install the driver"),
        ("mssql+pymssql://u:canary@h/d", r"pymssql.*Install the driver"),
        ("postgresql+asyncpg://u:canary@h/d", "asynchronous driver"),
        ("sqlite://u:canary@/x", "cannot be opened.*sqlite"),
        ("postgresql://u:canary@h:port/d", "The URL postgresql://... of the source cannot be read"),
        ("postgresql://u:ca@nary/x@h/d?options", "write @ as %40"),
    ],
)
def test_a_url_that_cannot_be_opened_is_named_without_its_password(url, message, run):
    with pytest.raises(SourceError, match=message) as caught:
        run(url=url, table="Users")
    assert "canary" not in str(caught.value)
    assert "nary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_short_name_of_postgres_is_understood():
    for short in ("postgres", "postgresql"):
        assert parse(f"{short}://u@h/d").drivername == "postgresql+psycopg2"
    assert parse("postgresql+asyncpg://u@h/d").drivername == "postgresql+asyncpg"


def test_secrets_among_the_options_are_hidden_too():
    database = Database("postgresql://u@h/d?password=canary&sslkey=canary2&application_name=x")
    assert database.shown == (
        "postgresql+psycopg2://u@h/d?application_name=x&password=***&sslkey=***"
    )


def test_a_dry_run_of_a_query(run):
    def preview(settings, source, mapping, now):
        return dry_run(settings, source, mapping, now=now)

    text = run(go=preview, table="Users").render()
    assert "1 x not_castable (registered_at), first in table Users:3: '1'" in text
    assert "not mapped: extra" in text


def test_a_mapping_of_files_does_not_read_a_database(app, log):
    with pytest.raises(MappingError, match="is a database, and the mapping homerec reads files"):
        ingest(app.settings, source=f"sqlite:///{log}")


EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None), ("", ""), (" x ", " x "), (True, "true"), (False, "false"),
        (2**63, "9223372036854775808"), (0.1, "0.1"), (1e300, "1e+300"),
        (float("nan"), "nan"), (Decimal("1E+3"), "1000"), (Decimal("0.10"), "0.10"),
        (datetime(2026, 3, 1, 10, 0, 0, 5), "2026-03-01T10:00:00.000005"),  # noqa: DTZ001
        (datetime(2026, 3, 1, 10, tzinfo=UTC), "2026-03-01T10:00:00+00:00"),
        (datetime(2026, 3, 1, 1, tzinfo=EAST), "2026-02-28T23:00:00+00:00"),
        (date(2026, 3, 1), "2026-03-01"), (time(1, 2), "01:02:00"),
        (timedelta(days=1, milliseconds=5), "86400.005"), (b"\x00\xff", "00ff"),
        (memoryview(b"ab"), "6162"), (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (["a", None, "ü"], '["a", null, "ü"]'), ((1, Decimal("2.5")), '[1, "2.5"]'),
        ({"a": [datetime(2026, 3, 1, tzinfo=UTC)]}, '{"a": ["2026-03-01T00:00:00+00:00"]}'),
        ({"b", "a"}, '["a", "b"]'),
    ],
)  # fmt: skip
def test_every_value_has_one_text(value, text):
    assert rendered(value) == text
