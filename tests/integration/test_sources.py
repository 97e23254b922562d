"""Files, objects of an S3 server and tables of a Postgres: the same data give the same lake."""

import gzip
import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg2.extras
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import s3fs
import yaml
from moto.server import ThreadedMotoServer

from homerec.database import urls
from homerec.errors import EmptyInput, MalformedFile, SourceError, TransientError
from homerec.ingest import CONTRACTS, dry_run, ingest
from homerec.ingest.sources import shown
from homerec.lake import Lake
from homerec.settings import Settings
from support.app_rows import NOW, POSTGRES, Row, rows

SCHEMA = "music_log"
VARIABLE = "TEST_SOURCE_URL"


@dataclass
class Bucket:
    """A bucket on the local S3 server."""

    name: str
    store: Any

    @property
    def uri(self) -> str:
        return f"s3://{self.name}/log"

    def put(self, key: str, data: bytes) -> None:
        self.store.pipe_file(f"{self.name}/log/{key}", data)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(
    s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Bucket:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3-canary-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    # Not the instance that the ingest uses: that one must not hear of what we write.
    store = s3fs.S3FileSystem(skip_instance_cache=True)
    name = f"bucket{abs(hash(request.node.nodeid))}"
    store.mkdir(name)
    return Bucket(name, store)


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(name: str, **changes: Any) -> Settings:
        return Settings(home=tmp_path / name, threads=2, memory_limit="1GB", **changes)

    return make


@pytest.fixture
def database(server: Settings) -> Iterator[str]:
    """URL of a Postgres that has every table of the app."""
    url = urls.app_url(server)
    execute(url, f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    for table, columns in POSTGRES.items():
        execute(url, f"CREATE TABLE {SCHEMA}.{table} ({columns})")
        insert(url, table, rows()[table])
    yield url
    execute(url, f"DROP SCHEMA {SCHEMA} CASCADE")


def execute(url: str, sql: str) -> list[tuple[Any, ...]]:
    with urls.psycopg2_connection(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def insert(url: str, table: str, values: list[Row]) -> None:
    if not values:
        return
    names = ", ".join(values[0])
    with urls.psycopg2_connection(url) as connection, connection.cursor() as cursor:
        psycopg2.extras.execute_values(
            cursor,
            f"INSERT INTO {SCHEMA}.{table} ({names}) VALUES %s",
            [tuple(row.values()) for row in values],
        )


def query_mapping(path: Path, **changes: Any) -> Path:
    """Write a mapping that reads every table of the database; ``changes`` by table."""
    tables: dict[str, Any] = {}
    for table in POSTGRES:
        query = f"SELECT * FROM {SCHEMA}.{table}"
        tables[table] = {"query": query, "columns": "identity"} | changes.get(table, {})
    del tables["listeners"]["query"]
    tables["listeners"]["table"] = f"{SCHEMA}.listeners"
    path.write_text(yaml.safe_dump({"name": "log", "url_env": VARIABLE, "tables": tables}))
    return path


def as_jsonl(values: list[Row]) -> bytes:
    return "".join(json.dumps(row, default=str) + "\n" for row in values).encode()


def as_parquet(values: list[Row]) -> bytes:
    fields = pa.Table.from_pylist(values).schema
    typed = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in fields]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(values, pa.schema(typed)), sink)
    return sink.getvalue()


def files() -> dict[str, bytes]:
    """The app's data as files of several forms, by path."""
    data = rows()
    made = {
        f"{table}/all.jsonl": as_jsonl(data[table])
        for table in POSTGRES
        if table not in ("events", "items")
    }
    made["items/all.parquet"] = as_parquet(data["items"])
    made["events/a.jsonl.gz"] = gzip.compress(as_jsonl(data["events"][:120]))
    made["events/b.parquet"] = as_parquet(data["events"][120:250])
    made["events/deeper/ignored.jsonl"] = b"not matched by events/*"
    made["events/c.jsonl"] = as_jsonl(data["events"][250:])
    made["events/.hidden"] = made["events/d.jsonl.part"] = b"not to be read"
    return made


def lake_files(settings: Settings) -> dict[str, bytes]:
    """Every file of the lake but the ledger; partitions without the ingest's id."""
    root = Lake(settings.home).tables
    found: dict[str, bytes] = {}
    for path in sorted(root.rglob("*.parquet")):
        relative = path.relative_to(root)
        if relative.parts[0] != "ledger":
            name = relative.parent if relative.parent.name.startswith("date=") else relative
            assert str(name) not in found, "one file a date"
            found[str(name)] = path.read_bytes()
    return found


def test_files_a_database_and_an_object_store_give_equal_lakes(
    make_settings: Callable[..., Settings],
    bucket: Bucket,
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, database)
    for name, data in files().items():
        path = tmp_path / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        bucket.put(name, data)
    queries = query_mapping(tmp_path / "log.yaml")
    sources: dict[str, dict[str, Any]] = {
        "files": {"source": tmp_path / "inbox"},
        "objects": {"source": bucket.uri},
        "queries": {"source": database, "mapping": queries},
        "named in a variable": {"mapping": queries},
    }
    lakes = {}
    for name, arguments in sources.items():
        settings = make_settings(name)
        first = ingest(settings, now=NOW, **arguments)
        assert list(first.tables) == list(CONTRACTS)
        assert {t: r.written for t, r in first.tables.items()} == {
            t: len(values) for t, values in rows().items()
        }
        lakes[name] = lake_files(settings)
        everything = {
            p: p.read_bytes() for p in Lake(settings.home).tables.rglob("*.parquet") if p.is_file()
        }
        for again in (False, True):
            second = ingest(settings, now=NOW + timedelta(hours=1), again=again, **arguments)
            assert sum(r.written for r in second.tables.values()) == 0
            assert sum(second.new_keys.values()) == 0
            assert everything == {
                p: p.read_bytes() for p in Lake(settings.home).tables.rglob("*.parquet")
            }
    reference = lakes.pop("files")
    assert {n.split("/")[0] for n in reference} >= {"dictionaries", "events", "items.parquet"}
    for name, lake in lakes.items():
        assert list(lake) == list(reference)
        for file, data in lake.items():
            assert data == reference[file], f"{file} of {name}"


# The object store


def test_objects_are_named_by_their_keys(
    make_settings: Callable[..., Settings], bucket: Bucket
) -> None:
    data = rows()
    data["events"][3]["ms_played"] = -1
    for name in ("items", "contents", "listeners", "events"):
        bucket.put(f"{name}/2026/03.jsonl", as_jsonl(data[name]))
    settings = make_settings("home", quarantine_limit_ratio=0.1)
    report = ingest(settings, source=bucket.uri, mapping=deep_mapping(settings), now=NOW)
    assert report.source == bucket.uri
    assert report.tables["events"].files == ["events/2026/03.jsonl"]
    (kept,) = quarantined(settings, report.ingest_id, "events")
    assert kept[:3] == ("events/2026/03.jsonl", 4, "out_of_range")
    bucket.put("events/2026/04.jsonl", b"hello\n")
    with pytest.raises(MalformedFile, match=f"{bucket.uri}/events/2026/04.jsonl: none of its 1"):
        ingest(settings, source=bucket.uri, mapping=deep_mapping(settings), now=NOW)
    aside = ingest(
        settings, source=bucket.uri, mapping=deep_mapping(settings), now=NOW, set_aside_files=True
    )
    assert list(aside.set_aside_files) == ["events/2026/04.jsonl"]
    copy = Path(aside.quarantine) / "files" / "events" / "2026" / "04.jsonl"
    assert copy.read_bytes() == b"hello\n"


def deep_mapping(settings: Settings) -> Path:
    path = settings.home.parent / "deep.yaml"
    names = ("items", "contents", "listeners", "events")
    tables = {n: {"files": f"{n}/**/*.jsonl", "columns": "identity"} for n in names}
    path.write_text(yaml.safe_dump({"tables": tables}))
    return path


def quarantined(settings: Settings, ingest_id: str, table: str) -> list[tuple[Any, ...]]:
    path = Lake(settings.home).quarantine / ingest_id / f"{table}.parquet"
    with duckdb.connect() as connection:
        return connection.execute(
            f"SELECT file, line, rule, value, row FROM '{path}' ORDER BY ALL"
        ).fetchall()


def test_one_object_can_be_the_source(
    make_settings: Callable[..., Settings], bucket: Bucket
) -> None:
    bucket.put("listeners/a.jsonl", as_jsonl(rows()["listeners"]))
    bucket.put("listeners/b.jsonl", b"not read")
    uri = f"{bucket.uri}/listeners/a.jsonl"
    report = ingest(make_settings("home"), source=uri, now=NOW)
    assert report.tables["listeners"].files == ["a.jsonl"]
    assert report.tables["listeners"].written == 7


def test_an_object_that_is_replaced_is_read_again(
    make_settings: Callable[..., Settings], bucket: Bucket
) -> None:
    listeners = rows()["listeners"]
    settings = make_settings("home")
    bucket.put("listeners/a.jsonl", as_jsonl(listeners))
    ingest(settings, source=bucket.uri, now=NOW)
    changed = as_jsonl([row | {"market": "US"} for row in listeners])
    assert len(changed) == len(as_jsonl(listeners)), "not known by its size"
    bucket.put("listeners/a.jsonl", changed)
    report = ingest(settings, source=bucket.uri, now=NOW + timedelta(hours=1))
    assert report.tables["listeners"].written == 7


def test_a_missing_bucket_or_prefix_is_an_error(
    make_settings: Callable[..., Settings], bucket: Bucket
) -> None:
    with pytest.raises(SourceError, match="s3://no-such-bucket/log is not there"):
        ingest(make_settings("home"), source="s3://no-such-bucket/log", now=NOW)
    with pytest.raises(SourceError, match=f"{bucket.uri}/nothing is not there"):
        ingest(make_settings("home"), source=f"{bucket.uri}/nothing", now=NOW)
    bucket.put("other/file.txt", b"x")
    with pytest.raises(EmptyInput, match=r"has no file for the mapping homerec.*events/\*"):
        ingest(make_settings("home"), source=bucket.uri, now=NOW)


def test_a_refused_listing_is_not_taken_for_an_empty_one(
    make_settings: Callable[..., Settings],
    bucket: Bucket,
    s3_server: str,
) -> None:
    bucket.put("listeners/a.jsonl", as_jsonl(rows()["listeners"]))
    # From now on moto checks who asks, and does not know our made-up key.
    requests.post(f"{s3_server}/moto-api/reset-auth", data=b"0", timeout=10)
    try:
        s3fs.S3FileSystem.clear_instance_cache()
        with pytest.raises(SourceError, match=r"may not be read.*AWS_ACCESS_KEY_ID") as caught:
            ingest(make_settings("home"), source=bucket.uri, now=NOW)
    finally:
        requests.post(f"{s3_server}/moto-api/reset-auth", data=b"1000000000", timeout=10)
    assert "s3-canary-secret" not in str(caught.value)


def test_a_store_that_cannot_be_reached_is_worth_a_retry(
    make_settings: Callable[..., Settings], bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens on port 1 of this machine.
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(TransientError, match=r"cannot be reached.*AWS_ENDPOINT_URL"):
        ingest(make_settings("home"), source=bucket.uri, now=NOW)


# The database


def test_passwords_appear_nowhere(
    make_settings: Callable[..., Settings],
    database: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    password = urls.parse_url(database).password
    assert password
    assert len(password) > 8
    settings = make_settings("home", quarantine_limit_ratio=1.0)
    mapping = query_mapping(tmp_path / "log.yaml")
    insert(database, "events", [rows()["events"][0] | {"ms_played": -5}])
    steps: list[str] = []
    with caplog.at_level(logging.DEBUG):
        report = ingest(settings, source=database, mapping=mapping, now=NOW, progress=steps.append)
        preview = dry_run(settings, database, mapping, now=NOW).render()
        broken = query_mapping(tmp_path / "bad.yaml", items={"query": "SELECT * FROM nowhere"})
        with pytest.raises(SourceError, match='relation "nowhere" does not exist') as refused:
            ingest(settings, source=database, mapping=broken, now=NOW)
    assert report.source == shown(database)
    assert "***" in report.source
    said = [
        report.render(),
        preview,
        caplog.text,
        str(refused.value),
        repr(refused.value),
        *steps,
    ]
    assert not [text for text in said if password in text]
    kept = [p for p in settings.home.rglob("*") if p.is_file()]
    assert any(p.suffix == ".json" for p in kept)
    assert not [p for p in kept if password.encode() in p.read_bytes()]


def test_a_wrong_password_and_a_dead_server_are_told_apart(
    make_settings: Callable[..., Settings], database: str, tmp_path: Path
) -> None:
    mapping = query_mapping(tmp_path / "log.yaml")
    url = urls.parse_url(database)
    wrong = urls.render(url.set(password="wrong-canary"))
    with pytest.raises(SourceError, match="refuses the user") as caught:
        ingest(make_settings("home"), source=wrong, mapping=mapping, now=NOW)
    assert "wrong-canary" not in str(caught.value)
    assert caught.value.__cause__ is None
    dead = urls.render(url.set(port=1))
    with pytest.raises(TransientError, match=r"cannot be reached.*try again"):
        ingest(make_settings("home"), source=dead, mapping=mapping, now=NOW)


def test_a_query_cannot_write(
    make_settings: Callable[..., Settings], database: str, tmp_path: Path
) -> None:
    delete = f"WITH gone AS (DELETE FROM {SCHEMA}.items RETURNING *) SELECT * FROM gone"
    execute(database, f"CREATE SEQUENCE {SCHEMA}.counter")
    # A sequence would keep its step also after a rollback.
    step = f"SELECT *, nextval('{SCHEMA}.counter') FROM {SCHEMA}.items"
    for query in (delete, f"DELETE FROM {SCHEMA}.items RETURNING *", step):
        mapping = query_mapping(tmp_path / "log.yaml", items={"query": query})
        with pytest.raises(SourceError, match="query of items was refused"):
            ingest(make_settings("home"), source=database, mapping=mapping, now=NOW)
    assert execute(database, f"SELECT count(*) FROM {SCHEMA}.items") == [(7,)]
    assert execute(database, f"SELECT is_called FROM {SCHEMA}.counter") == [(False,)]


def test_a_bad_row_is_named_by_its_number_in_the_result(
    make_settings: Callable[..., Settings], database: str, tmp_path: Path
) -> None:
    settings = make_settings("home", quarantine_limit_ratio=1.0)
    bad = rows()["events"][0] | {"ms_played": -5, "started_at": NOW - timedelta(days=9)}
    insert(database, "events", [bad])
    ordered = f"SELECT *, 1.50 AS spare FROM {SCHEMA}.events ORDER BY ms_played DESC"
    mapping = query_mapping(tmp_path / "log.yaml", events={"query": ordered})
    report = ingest(settings, source=database, mapping=mapping, now=NOW)
    ((file, line, rule, value, row),) = quarantined(settings, report.ingest_id, "events")
    assert (file, line, rule, value) == ("query", 301, "out_of_range", "-5")
    assert json.loads(row)["spare"] == "1.50"
    assert report.tables["events"].unmapped == {"spare": 1}
    assert "Not mapped: events: spare" in report.render()


def test_only_the_first_rows_are_fetched_for_a_dry_run(
    make_settings: Callable[..., Settings],
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The tenth row cannot be computed: who fetches it fails.
    query = f"SELECT *, 1 / (10 - row_number() OVER ()) AS x FROM {SCHEMA}.events"
    mapping = query_mapping(tmp_path / "log.yaml", events={"query": query})
    monkeypatch.setattr("homerec.ingest.run.DRY_RUN_ROWS", 9)
    result = dry_run(make_settings("home"), database, mapping, rows=3, now=NOW)
    assert result.report.tables["events"].read == 9
    assert len(result.rows["events"]) == 3
    monkeypatch.setattr("homerec.ingest.run.DRY_RUN_ROWS", 10)
    with pytest.raises(SourceError, match="division by zero"):
        dry_run(make_settings("home"), database, mapping, now=NOW)


def test_rows_are_streamed_in_chunks(
    make_settings: Callable[..., Settings],
    database: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("homerec.ingest.sources.database.CHUNK_ROWS", 100)
    query = f"SELECT *, 1 / (250 - row_number() OVER ()) AS x FROM {SCHEMA}.events"
    mapping = query_mapping(tmp_path / "log.yaml", events={"query": query})
    steps: list[str] = []
    with pytest.raises(SourceError, match="division by zero"):
        ingest(
            make_settings("home"),
            source=database,
            mapping=mapping,
            now=NOW,
            progress=steps.append,
        )
    # Two chunks were written before the one that failed was fetched.
    assert [s for s in steps if s.startswith("querying events (")] == [
        "querying events (100 rows)", "querying events (200 rows)"]  # fmt: skip


def test_since_starts_before_the_newest_arrival_and_misses_nothing(
    make_settings: Callable[..., Settings], database: str, tmp_path: Path
) -> None:
    settings = make_settings("home")
    since = {"query": f"SELECT * FROM {SCHEMA}.events WHERE arrived_at >= :since"}
    mapping = query_mapping(tmp_path / "log.yaml", events=since | {"overlap_hours": 3})
    first = ingest(settings, source=database, mapping=mapping, now=NOW)
    assert first.tables["events"].read == 300
    assert "events: :since is 1970-01-01, for the lake has no row yet" in first.notes
    newest: datetime = max(row["arrived_at"] for row in rows()["events"])
    start = newest - timedelta(hours=3)
    expected = [row for row in rows()["events"] if row["arrived_at"] >= start]
    assert 0 < len(expected) < 300
    late = rows()["events"][5] | {
        "event_id": "10000000-0000-4000-8000-000000000000",
        "arrived_at": start + timedelta(minutes=1),
    }
    insert(database, "events", [late])
    second = ingest(settings, source=database, mapping=mapping, now=NOW + timedelta(days=1))
    table = second.tables["events"]
    assert (table.read, table.written) == (len(expected) + 1, 1)
    assert f"{start:%Y-%m-%d %H:%M} UTC, 3 h before the newest arrived_at" in "".join(second.notes)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    full = ingest(settings, source=database, mapping=mapping, now=NOW, since=start)
    assert full.tables["events"].read == 301


def test_every_type_of_postgres_has_a_text(
    make_settings: Callable[..., Settings], database: str, tmp_path: Path
) -> None:
    query = """SELECT 'i' AS item_id, 'show' AS type, 't' AS title, now() AS released_at,
        9007199254740993::bigint AS c_int, 0.1::float8 AS c_float, 1.50::numeric AS c_numeric,
        true AS c_bool, date '2026-03-01' AS c_date, timestamp '2026-03-01 10:00:00.5' AS c_naive,
        timestamptz '2026-03-01 10:00:00+02' AS c_zoned, ARRAY[1, NULL, 3] AS c_ints,
        ARRAY['a|b', 'ü'] AS c_texts, 'b5e2cb9c-0000-4000-8000-00000000000f'::uuid AS c_uuid,
        '\\x00ff'::bytea AS c_bytes, interval '90 seconds' AS c_interval, time '01:02' AS c_time,
        '{"a": [1, 2]}'::jsonb AS c_json, NULL::text AS c_null, ' x ' AS c_space,
        '::10%' AS c_percent, market FROM music_log.listeners LIMIT 1"""
    mapping = query_mapping(tmp_path / "log.yaml", items={"query": query})
    settings = make_settings("home", quarantine_limit_ratio=1.0)
    # A type that is refused sends the whole row to quarantine, where its texts can be read.
    mapping.write_text(mapping.read_text().replace("'show' AS type", "'x' AS type"))
    report = ingest(settings, source=database, mapping=mapping, now=NOW)
    ((*_, row),) = quarantined(settings, report.ingest_id, "items")
    texts = {name: value for name, value in json.loads(row).items() if name.startswith("c_")}
    assert texts == {
        "c_int": "9007199254740993", "c_float": "0.1", "c_numeric": "1.50", "c_bool": "true",
        "c_date": "2026-03-01", "c_naive": "2026-03-01T10:00:00.500000",
        "c_zoned": "2026-03-01T08:00:00+00:00", "c_ints": "[1, null, 3]",
        "c_texts": '["a|b", "ü"]', "c_uuid": "b5e2cb9c-0000-4000-8000-00000000000f",
        "c_bytes": "00ff", "c_interval": "90.0", "c_time": "01:02:00", "c_json": '{"a": [1, 2]}',
        "c_null": None, "c_space": " x ", "c_percent": "::10%",
    }  # fmt: skip


def test_all_queries_see_one_state_of_the_database(
    make_settings: Callable[..., Settings],
    database: str,
    tmp_path: Path,
) -> None:
    settings = make_settings("home")
    mapping = query_mapping(tmp_path / "log.yaml")
    arrived: list[str] = []

    def deliver(step: str) -> None:
        # Rows that come while the catalog is read belong to the next ingest, all of them.
        if step.startswith("querying listeners (") and not arrived:
            arrived.append(step)
            insert(database, "events", [rows(301)["events"][300]])

    first = ingest(settings, source=database, mapping=mapping, now=NOW, progress=deliver)
    assert arrived
    assert first.tables["events"].written == 300
    assert ingest(settings, source=database, mapping=mapping, now=NOW).tables["events"].written == 1
