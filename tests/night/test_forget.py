"""A canary listener goes through everything, is forgotten, and is nowhere any more."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from homerec.database import embedded
from homerec.database.bootstrap import ensure_owned_database
from homerec.database.secrets import SUPERUSER
from homerec.database.urls import DATABASE, app_url, embedded_url, mlflow_url
from homerec.errors import SettingsError, TransientError
from homerec.features.recompute import verify_snapshot
from homerec.features.snapshot import ensure_snapshot, load_snapshot
from homerec.forget import forget
from homerec.ingest import ingest
from homerec.ingest.forgotten import read_tombstones
from homerec.lake import Lake, at_work, read_json
from homerec.night import run_night
from homerec.night.homes import bundle_folder
from homerec.registry.loading import load_fitted, open_registry
from homerec.registry.mlflow_client import make_client
from homerec.release import home
from homerec.release.live import dismiss
from homerec.settings import Settings
from homerec.training.challenge import read_challenge
from homerec.training.run import decide, train
from homerec.world import generate
from support import search
from support.features import read_table
from support.server import start_server

CANARY = "canary-7c1f09-zeisig"
#: Before the canary's id, this listener had everything that is the canary's.
WAS = "listener-0000003"
OTHERS = ("listener-0000001", "listener-0000002", "listener-0000004", "listener-0000100")
START = date(2026, 1, 1)
DAYS = 46
AS_OF = START + timedelta(days=DAYS - 2)

HEADER = "event_id,listener_id,content_id,context_id,started_at,ms_played,arrived_at,surface\n"
GOOD = "{event},{who},,show-00001,2026-01-20T10:00:00Z,60000,2026-01-20T10:01:00Z,home\n"
UNKNOWN = "{event},{who},,show-99999,2026-01-20T10:00:00Z,60000,2026-01-20T10:01:00Z,home\n"


def renamed(path: Path) -> None:
    """Write the canary's id where another listener's stood."""
    table = pq.read_table(path)
    if "listener_id" in table.column_names:
        place = table.column_names.index("listener_id")
        ids = pc.cast(table["listener_id"], pa.string())
        ids = pc.if_else(pc.equal(ids, WAS), CANARY, ids)
        pq.write_table(table.set_column(place, "listener_id", ids), path)


def late_files(inbox: Path, prefix: str) -> None:
    """Lay events of the canary and of others, as text packed in two ways, with broken rows."""
    rows = [GOOD.format(event=f"{prefix}1", who=CANARY), GOOD.format(event=f"{prefix}2", who=WAS)]
    rows += [GOOD.format(event=f"{prefix}3", who=OTHERS[0])]
    rows += [UNKNOWN.format(event=f"{prefix}4", who=CANARY)]
    rows += [UNKNOWN.format(event=f"{prefix}5", who=OTHERS[1])]
    rows += [f"{prefix}6,{CANARY},too,few\n"]
    packed = gzip.compress((HEADER + "".join(rows)).encode())
    (inbox / "events" / f"late-{prefix}.csv.gz").write_bytes(packed)
    names = HEADER.strip().split(",")
    lines = [
        json.dumps(dict(zip(names, GOOD.format(event=f"{prefix}{n}", who=who).strip().split(","),
                            strict=True)) | {"content_id": None})
        for n, who in ((7, CANARY), (8, OTHERS[0]))
    ]  # fmt: skip
    lines.append(f'{{"listener_id": "{CANARY}", broken')
    raw = pa.compress(("\n".join(lines) + "\n").encode(), codec="zstd", asbytes=True)
    (inbox / "events" / f"late-{prefix}.jsonl.zst").write_bytes(raw)


AIRFLOW_TABLES = """
CREATE TABLE dag_run (id serial PRIMARY KEY, dag_id text NOT NULL, run_id text, state text,
    conf jsonb);
CREATE TABLE xcom (dag_run_id int, task_id text, map_index int, key text, dag_id text,
    run_id text, value jsonb, PRIMARY KEY (dag_run_id, task_id, map_index, key));
CREATE TABLE rendered_task_instance_fields (dag_id text, task_id text, run_id text, map_index int,
    rendered_fields json, PRIMARY KEY (dag_id, task_id, run_id, map_index));
CREATE TABLE log (id serial PRIMARY KEY, dag_id text, event text, extra text);
CREATE TABLE task_instance_note (ti_id text PRIMARY KEY, content varchar(1000));
CREATE TABLE trigger (id serial PRIMARY KEY, classpath text, encrypted_kwargs bytea);
"""


def plant_in_airflow(settings: Settings) -> str:
    """Lay down tables as Airflow's are, with what a person may have typed into a form."""
    url = ensure_owned_database(settings, "airflow")
    for statement in AIRFLOW_TABLES.split(";"):
        if statement.strip():
            search.rows(url, statement)
    conf = json.dumps({"source": f"/inbox/{CANARY}"})
    search.rows(url, "INSERT INTO dag_run (dag_id, run_id, state, conf) VALUES "
                     "('ingest', 'r1', 'success', %s)", (conf,))  # fmt: skip
    value = json.dumps({"reason": f"asked by {CANARY}"})
    search.rows(url, "INSERT INTO xcom VALUES (1, 'ingest', -1, 'return_value', 'ingest', 'r1', "
                     "%s)", (value,))  # fmt: skip
    search.rows(url, "INSERT INTO rendered_task_instance_fields VALUES ('nightly', 't', 'r', -1, "
                     "%s)", (value,))  # fmt: skip
    search.rows(url, "INSERT INTO log (dag_id, event, extra) VALUES ('nightly', 'x', %s)",
                (value,))  # fmt: skip
    search.rows(url, "INSERT INTO task_instance_note VALUES ('1', %s)", (f"look at {CANARY}",))
    search.rows(url, "INSERT INTO trigger (classpath, encrypted_kwargs) VALUES ('c', %s)",
                (f"who={CANARY};".encode(),))  # fmt: skip
    return url


def plant(settings: Settings, lake: Lake) -> str:
    """Put the canary where only people, errors and logs would put it."""
    logs = settings.home / "airflow" / "task-logs" / "dag_id=nightly"
    logs.mkdir(parents=True)
    (logs / "attempt=1.log").write_text(f'{{"event": "no Home for {CANARY}"}}\n', encoding="utf-8")
    with gzip.open(logs / "attempt=0.log.gz", "wt", encoding="utf-8") as stream:
        stream.write(f"listener_id={CANARY}\n")
    url = plant_in_airflow(settings)
    app = app_url(settings)
    why = f"empty Home of {CANARY}"
    search.rows(app, "INSERT INTO homerec.pointer_move (who, why) VALUES ('me', %s)", (why,))
    search.rows(app, "UPDATE homerec.release SET note = %s", (why,))
    keys = pq.read_table(lake.dictionary("listeners"))
    key = dict(zip(keys["id"].to_pylist(), keys["key"].to_pylist(), strict=True))[CANARY]
    search.rows(app, "CREATE TABLE public.later (listener int, note jsonb)")
    search.rows(app, "INSERT INTO public.later VALUES (%s, '{}'), (-5, %s)",
                (key, json.dumps({"who": CANARY})))  # fmt: skip
    # Of another application in the same database, whose listeners are others.
    superuser = embedded_url(settings, SUPERUSER, DATABASE)
    search.rows(superuser, "CREATE SCHEMA theirs")
    search.rows(superuser, "CREATE TABLE theirs.plays (listener int)")
    search.rows(superuser, "INSERT INTO theirs.plays VALUES (%s)", (key,))
    client = make_client(mlflow_url(settings))
    version = open_registry(settings).versions("podcasts")[0]
    client.set_tag(version.run_id, "looked_at", CANARY)
    client.log_param(version.run_id, "watched", f"[{CANARY!r}]")
    client.log_text(version.run_id, f"worse for {CANARY}", "verdicts/by-hand.json")
    dead = settings.home / "tmp" / "train-dead"
    dead.mkdir(parents=True)
    pq.write_table(pa.table({"listener_id": [CANARY, WAS], "n": [1, 2]}), dead / "x.parquet")
    (dead / "spill.block").write_bytes(b"\x00\x01" + CANARY.encode() + b"\x00")
    # What another part of homerec may keep, here or later.
    rollups = settings.home / "rollups" / "day=2026-01-20"
    rollups.mkdir(parents=True)
    numbers = keys["key"]
    pq.write_table(pa.table({"listener": numbers, "n_plays": numbers}), rollups / "part.parquet")
    return url


@dataclass
class Canary:
    settings: Settings
    airflow: str
    key: int


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    """A deployment that a canary went through: ingest, quarantine, training, night, release."""
    folder = tmp_path_factory.mktemp("canary")
    settings = Settings(home=folder / "home", memory_limit="2GB", quarantine_limit_ratio=0.9)
    start_server(settings)
    lake = Lake(settings.home)
    generate(lake.inbox, listeners=900, days=DAYS, start=START, seed=7, progress=False)
    for path in lake.inbox.rglob("*.parquet"):
        renamed(path)
    late_files(lake.inbox, "a")
    listeners = lake.inbox / "listeners"
    row = "listener_id,market,time_zone,registered_at\n{},DE,Europe/Berlin,2025-12-01\n"
    (listeners / "more.csv").write_text(row.format(WAS), encoding="utf-8")
    ingest(settings, source=lake.inbox)
    report = train(settings, "podcasts", AS_OF)
    if report.outcome != "promote":
        store = open_registry(settings)
        store.promote("podcasts", report.version or 1, None, forced_by="a test", reason="small")
    release = run_night(settings, AS_OF).release
    assert release is not None
    assert release.live
    dismiss(settings, CANARY, "show-00001")
    table = pq.read_table(lake.dictionary("listeners"))
    key = dict(zip(table["id"].to_pylist(), table["key"].to_pylist(), strict=True))[CANARY]
    airflow = plant(settings, lake)
    yield Canary(settings, airflow, key)
    embedded.remove(settings)


def everywhere(canary: Canary, text: str = CANARY) -> dict[str, set[str]]:
    """Where the canary's id is: files, databases, and the server's own files."""
    data = embedded.status(canary.settings).data
    assert data is not None
    # What the server has in memory only is written to its files.
    search.execute(embedded_url(canary.settings, SUPERUSER, DATABASE), "CHECKPOINT")
    return {
        "files": search.in_files(canary.settings.home, text),
        "homerec": search.in_database(app_url(canary.settings), text),
        "airflow": search.in_database(canary.airflow, text),
        "server": search.in_files(data.parent, text),
    }


def keyed(canary: Canary) -> set[str]:
    return search.key_in_files(canary.settings.home, canary.key) | search.key_in_database(
        app_url(canary.settings), canary.key
    )


def homes(settings: Settings) -> str:
    cards = [home(settings, who, market="DE").drop(columns="release_id") for who in OTHERS]
    return "\n".join(c.to_csv() for c in cards)


def contents(settings: Settings) -> dict[str, bytes]:
    skipped = ("postgres", ".postgres")
    return {
        str(p.relative_to(settings.home)): p.read_bytes()
        for p in sorted(settings.home.rglob("*"))
        if p.is_file() and not p.relative_to(settings.home).parts[0].startswith(skipped)
    }


def test_artifacts_hold_neither_a_listener_nor_a_row_a_listener(canary: Canary) -> None:
    settings = canary.settings
    n_listeners = pq.read_metadata(Lake(settings.home).table("listeners")).num_rows
    version = open_registry(settings).versions("podcasts")[0]
    files = [p for p in version.folder.rglob("*") if p.is_file()]
    ids = set(pq.read_table(Lake(settings.home).dictionary("listeners"))["id"].to_pylist())
    assert {p.suffix for p in files} <= {".npz", ".json", ".skops", ".txt"}
    opened = 0
    for path in files:
        for one in (*OTHERS, CANARY):
            assert search.in_files(path.parent, one) == set()
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                for name in arrays.files:
                    assert "listener" not in name
                    assert "user" not in name
                    assert n_listeners not in arrays[name].shape, (path, name)
                    if arrays[name].dtype.kind == "U":
                        assert not ids & set(arrays[name].ravel().tolist())
                    opened += 1
    assert opened > 3
    model = load_fitted(version.manifest())
    seen = 0
    for source in model.sources:
        for shape in shapes_within(vars(source)):
            assert n_listeners not in shape, (source.name, shape)
            seen += 1
    assert seen > 20


def shapes_within(value: Any) -> Iterator[tuple[int, ...]]:
    """Shapes of all arrays that an object holds, at any depth."""
    if isinstance(value, np.ndarray) or sparse.issparse(value):
        yield value.shape
    elif isinstance(value, list | tuple):
        for part in value:
            yield from shapes_within(part)
    elif isinstance(value, dict) or hasattr(value, "__dict__"):
        for part in (value if isinstance(value, dict) else vars(value)).values():
            yield from shapes_within(part)


def test_the_search_finds_the_canary_wherever_it_was_put(canary: Canary) -> None:
    found = everywhere(canary)
    tops = {name.split("/")[0] for name in found["files"]}
    assert tops >= {"inbox", "lake", "quarantine", "airflow", "artifacts", "tmp"}
    assert {Path(f).suffix for f in found["files"]} >= {".parquet", ".gz", ".zst", ".log", ".json"}
    assert found["homerec"] >= {
        "homerec.listener.listener_id", "homerec.pointer_move.why", "homerec.release.note",
        "public.later.note",
        "mlflow.tags.value", "mlflow.params.value",
    }  # fmt: skip
    assert found["airflow"] >= {
        "public.xcom.value", "public.dag_run.conf", "public.log.extra",
        "public.trigger.encrypted_kwargs", "public.task_instance_note.content",
        "public.rendered_task_instance_fields.rendered_fields",
    }  # fmt: skip
    assert any("base/" in name for name in found["server"])
    assert any("pg_wal/" in name for name in found["server"])
    tops = {name.split("/")[0] for name in keyed(canary)}
    assert tops >= {
        "lake", "snapshots", "nights", "rollups", "homerec.listener", "homerec.dismissal",
        "public.later",
    }  # fmt: skip
    assert any(name.startswith("homerec.home_shelf_") for name in tops)
    assert any(name.endswith("listener") for name in keyed(canary) if name.startswith("training"))


def test_nothing_is_changed_while_work_is_under_way(canary: Canary) -> None:
    before = contents(canary.settings)
    with at_work(canary.settings.home), pytest.raises(TransientError, match="is at work in"):
        forget(canary.settings, [CANARY])
    search.rows(canary.airflow, "UPDATE dag_run SET state = 'running'")
    with pytest.raises(TransientError, match="Airflow runs ingest r1 now"):
        forget(canary.settings, [CANARY])
    search.rows(canary.airflow, "UPDATE dag_run SET state = 'success'")
    with pytest.raises(SettingsError, match="reason names the listener"):
        forget(canary.settings, [CANARY], reason=f"mail of {CANARY}")
    after = contents(canary.settings)
    assert {n: b for n, b in after.items() if n not in ("secrets.json", ".work.lock")} == {
        n: b for n, b in before.items() if n not in ("secrets.json", ".work.lock")
    }


def test_a_dry_run_says_what_it_would_do_and_does_nothing(canary: Canary) -> None:
    before = contents(canary.settings)
    report = forget(canary.settings, [CANARY], dry_run=True)
    assert contents(canary.settings) == before
    assert report.render().startswith("Would forget 1 listener; the lake knows 1 of them.")
    assert report.count("rows") > 20
    assert CANARY not in report.render()


def test_forgotten_is_nowhere_and_everything_else_stays(canary: Canary) -> None:
    settings, lake = canary.settings, Lake(canary.settings.home)
    before = homes(settings)
    n_events = pq.read_table(lake.partitions("events"), partitioning=None).num_rows
    report = forget(settings, [CANARY], reason="ticket 12")
    assert report.left == []
    assert everywhere(canary) == {"files": set(), "homerec": set(), "airflow": set(),
                                  "server": set()}  # fmt: skip
    assert keyed(canary) == set()
    assert homes(settings) == before
    gone = sum(f.count for f in report.findings if f.place == "lake" and "events" in f.where)
    assert gone > 3
    assert pq.read_table(lake.partitions("events"), partitioning=None).num_rows == n_events - gone
    superuser = embedded_url(settings, SUPERUSER, DATABASE)
    assert search.rows(superuser, "SELECT listener FROM theirs.plays") == [(canary.key,)]
    assert search.rows(app_url(settings), "SELECT listener, note FROM public.later") == [
        (-5, {"who": "[forgotten]"})
    ]
    # A listener without a Home of its own reads the market's.
    assert not home(settings, CANARY, market="DE").empty


def test_the_key_stays_taken_and_a_hash_is_all_that_is_kept(canary: Canary) -> None:
    table = pq.read_table(Lake(canary.settings.home).dictionary("listeners"))
    ids = dict(zip(table["key"].to_pylist(), table["id"].to_pylist(), strict=True))
    assert ids[canary.key] is None
    (stone,) = read_tombstones(canary.settings).values()
    assert (stone.key, stone.reason, stone.complete) == (canary.key, "ticket 12", True)
    assert len(stone.digest) == 64


def test_other_rows_of_a_file_that_was_rewritten_are_whole(canary: Canary) -> None:
    inbox = Lake(canary.settings.home).inbox
    text = gzip.decompress((inbox / "events" / "late-a.csv.gz").read_bytes()).decode()
    rows = [GOOD.format(event="a2", who=WAS), GOOD.format(event="a3", who=OTHERS[0])]
    assert text == HEADER + "".join([*rows, UNKNOWN.format(event="a5", who=OTHERS[1])])
    with pa.input_stream(str(inbox / "events" / "late-a.jsonl.zst"), compression="zstd") as stream:
        assert [json.loads(line)["event_id"] for line in stream.read().splitlines()] == ["a8"]


def test_snapshot_manifest_and_training_take_the_redaction(canary: Canary) -> None:
    settings = canary.settings
    info = load_snapshot(settings, AS_OF)
    assert info is not None
    for table in ("listener", "listener_item", "listener_tag", "pick", "skip"):
        assert info.manifest["rows"][table] == read_table(info, table).num_rows
    (entry,) = info.manifest["redactions"]
    assert entry["rows"]["listener"] == 1
    assert verify_snapshot(settings, info) > 0
    written = (info.folder / "pairs.arrow").stat().st_mtime_ns
    for writer in ("night", "training"):
        kept = ensure_snapshot(settings, AS_OF, writer=writer)
        assert (kept.folder / "pairs.arrow").stat().st_mtime_ns == written
    about = read_json(bundle_folder(settings, AS_OF) / "release.json")
    assert about["redactions"][0]["listeners"] == 1
    challenge, evaluations = read_challenge(settings, "podcasts", AS_OF)
    assert len({len(e.listener) for e in evaluations}) == 1
    assert decide(settings, "podcasts", AS_OF).version == challenge.version


def test_a_second_time_changes_nothing(canary: Canary) -> None:
    before = contents(canary.settings)
    report = forget(canary.settings, [CANARY])
    assert report.findings == []
    assert (
        "Nothing of them was found in any file, table or log that is searched." in report.render()
    )
    assert contents(canary.settings) == before


def test_a_late_file_does_not_bring_them_back(canary: Canary, tmp_path: Path) -> None:
    settings = canary.settings
    (tmp_path / "events").mkdir()
    (tmp_path / "listeners").mkdir()
    late_files(tmp_path, "b")
    row = "listener_id,market,time_zone,registered_at\n{},DE,Europe/Berlin,2025-12-01\n"
    path = tmp_path / "listeners" / "again.csv"
    path.write_text(row.format(CANARY), encoding="utf-8")
    report = ingest(settings, source=tmp_path)
    events = report.tables["events"]
    assert events.forgotten == 4
    for table in report.tables.values():
        total = table.written + table.duplicates + table.n_quarantined + table.forgotten
        assert table.read == total
    assert (report.tables["listeners"].forgotten, report.tables["listeners"].written) == (1, 0)
    assert "4 rows of forgotten listeners left out" in report.render()
    assert events.written == 3
    assert search.in_files(settings.home, CANARY) == set()
    assert keyed(canary) == set()


def test_the_next_night_works_and_serves_the_others(canary: Canary) -> None:
    settings = canary.settings
    release = run_night(
        replace(settings, volume_limit_ratio=100), AS_OF + timedelta(days=1)
    ).release
    assert release is not None
    assert release.live
    assert everywhere(canary)["homerec"] == set()
    assert keyed(canary) == set()
    for who in OTHERS:
        assert not home(settings, who).empty
