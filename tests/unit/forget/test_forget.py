"""Forgetting on files alone: every format, every way to name a listener, and being cut short."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from homerec.cli import main
from homerec.errors import ForgetError, SettingsError
from homerec.forget import forget
from homerec.forget.airflow import purge_airflow
from homerec.forget.files import FileSearch
from homerec.forget.parquet import purge_npz
from homerec.forget.targets import Targets
from homerec.ingest import ingest
from homerec.ingest.forgotten import read_tombstones
from homerec.lake import Lake
from homerec.settings import Settings
from support import search

WHO = "listener-zeisig-41"
NEAR = "listener-zeisig-411"
NOW = datetime(2026, 3, 10, 3, tzinfo=UTC)
ITEMS = "item_id,type,title,released_at\nshow-1,show,One,2020-01-01\n"
EVENT = "{n},{who},show-1,2026-03-0{day}T10:00:00Z,60000,2026-03-0{day}T10:01:00Z\n"
COLUMNS = "event_id,listener_id,show_id,started_at,ms_played,arrived_at\n"


@pytest.fixture(autouse=True)
def _no_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOMEREC_AIRFLOW_DATABASE_URL", "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
                 "HOMEREC_HOME", "HOMEREC_DATABASE_URL"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


def put(home: Path, name: str, text: str | bytes) -> Path:
    path = home / "inbox" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def listeners(*ids: str) -> str:
    rows = "".join(f"{i},DE,Europe/Berlin,2025-01-01\n" for i in ids)
    return f"listener_id,market,time_zone,registered_at\n{rows}"


def events(*who: str, day: int = 1) -> str:
    return "".join(EVENT.format(n=f"{day}-{n}", who=w, day=day) for n, w in enumerate(who))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A small deployment without Postgres, its three listeners ingested."""
    put(tmp_path, "items/a.csv", ITEMS)
    put(tmp_path, "listeners/a.csv", listeners("first", NEAR, WHO))
    put(tmp_path, "events/a.csv", COLUMNS + events("first", WHO, NEAR, WHO))
    bring(tmp_path)
    return tmp_path


def settings_of(home: Path, **changes: Any) -> Settings:
    return Settings(home=home, threads=1, memory_limit="500MB", **changes)


def bring(home: Path, **changes: Any) -> Any:
    return ingest(settings_of(home, **changes), source=home / "inbox", now=NOW)


def keys(home: Path) -> dict[int, str | None]:
    table = pq.read_table(Lake(home).dictionary("listeners"))
    return dict(zip(table["key"].to_pylist(), table["id"].to_pylist(), strict=True))


def test_only_the_one_listener_goes_and_the_bytes_of_the_others_stay(home: Path) -> None:
    report = forget(settings_of(home), [WHO], now=NOW)
    expected = COLUMNS + EVENT.format(n="1-0", who="first", day=1)
    expected += EVENT.format(n="1-2", who=NEAR, day=1)
    assert (home / "inbox/events/a.csv").read_text() == expected
    assert (home / "inbox/listeners/a.csv").read_text() == listeners("first", NEAR)
    lake = pq.read_table(Lake(home).partitions("events"), partitioning=None)
    assert lake["listener"].to_pylist() == [1, 3]
    assert keys(home) == {1: "first", 2: None, 3: NEAR}
    assert report.count("keys") == 1
    assert any("no Postgres yet" in note for note in report.notes)
    found = {name for name in search.in_files(home, WHO) if not search_is_near(home / name)}
    assert found == set()


def search_is_near(path: Path) -> bool:
    """Whether every mention in a file is of the listener whose id begins with the other's."""
    data = b"".join(search._parts(path))
    return data.count(WHO.encode()) == data.count(NEAR.encode())


def test_the_highest_key_is_not_given_to_the_next_listener(home: Path) -> None:
    forget(settings_of(home), [NEAR])
    put(home, "listeners/b.csv", listeners("newcomer"))
    bring(home)
    assert keys(home) == {1: "first", 2: WHO, 3: None, 4: "newcomer"}


def test_a_late_file_in_any_format_is_counted_and_not_kept(home: Path) -> None:
    forget(settings_of(home), [WHO])
    put(home, "listeners/z.csv", listeners(WHO))
    put(home, "events/b.csv.gz", gzip.compress((COLUMNS + events(WHO, "first", day=2)).encode()))
    names = COLUMNS.strip().split(",")
    rows = [dict(zip(names, line.split(","), strict=True))
            for line in events(WHO, NEAR, day=3).splitlines()]  # fmt: skip
    put(home, "events/c.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([r | {"show_id": "no-such-show"} for r in rows]), sink)
    put(home, "events/d.parquet", sink.getvalue())
    put(home, "events/e.csv", f"{COLUMNS}9,{WHO},too,few\n9,{NEAR},too,few\n")
    report = bring(home, quarantine_limit_ratio=0.9)
    table = report.tables["events"]
    assert (table.forgotten, table.n_quarantined) == (4, 2)
    total = table.written + table.duplicates + table.n_quarantined + table.forgotten
    assert table.read == total == 2 + 2 + 2 + 2 + 2
    assert (report.tables["listeners"].forgotten, report.new_keys["listeners"]) == (1, 0)
    kept = {n for n in search.in_files(home, WHO) if not n.startswith("inbox/")}
    assert {n for n in kept if not search_is_near(home / n)} == set()
    assert keys(home)[2] is None
    # Once more: what lay in the inbox goes as well.
    assert forget(settings_of(home), [WHO]).count("rows") == 5
    assert bring(home, quarantine_limit_ratio=0.9).tables["events"].forgotten == 0


def test_listeners_that_are_derived_from_events_do_not_come_back(tmp_path: Path) -> None:
    mapping = tmp_path / "own.yaml"
    mapping.write_text(
        """
name: own
tables:
  events:
    files: "plays/*.csv"
    arrival: historical
    columns:
      listener_id: {column: user, prefix: "user-"}
      show_id: show
      started_at: {column: at, unit: unix_seconds}
      ms_played: {constant: 60000}
derive:
  listeners: {from: events, market: DE, time_zone: Europe/Berlin}
  items: {from: events, column: show_id, type: show}
""",
        encoding="utf-8",
    )
    source = "user,show,at\n2,1,1770000000\n21,2,1770000100\n2,2,1770000200\n"
    path = put(tmp_path, "plays/a.csv", source)
    settings = settings_of(tmp_path)
    ingest(settings, source=tmp_path / "inbox", mapping=mapping, now=NOW)
    report = forget(settings, ["user-2"], mappings=[mapping])
    # The prefix is the mapping's: in the file this listener is 2, and so is a show.
    assert path.read_text() == "user,show,at\n21,2,1770000100\n"
    assert report.notes[0].startswith("There is no Postgres")
    path.write_text(source, encoding="utf-8")
    again = ingest(settings, source=tmp_path / "inbox", mapping=mapping, now=NOW)
    assert again.tables["events"].forgotten == 2
    assert again.derived["listeners"] == 0
    named = forget(settings, ["user-2"]).notes
    assert any("'own' of a past ingest is not in config/mappings" in note for note in named)


def test_cut_short_it_is_completed_by_the_next_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Callable[..., None] = FileSearch._one
    seen = []

    def dies(self: FileSearch, path: Path) -> None:
        seen.append(path)
        if self.apply and len(seen) > 3:
            raise KeyboardInterrupt
        whole(self, path)

    monkeypatch.setattr(FileSearch, "_one", dies)
    with pytest.raises(KeyboardInterrupt):
        forget(settings_of(home), [WHO])
    (stone,) = read_tombstones(settings_of(home)).values()
    assert (stone.key, stone.complete) == (2, False)
    monkeypatch.setattr(FileSearch, "_one", whole)
    # Before it is completed, an ingest does not bring anything back either.
    put(home, "listeners/a.csv", listeners("first", NEAR, WHO))
    forget(settings_of(home), [WHO])
    (stone,) = read_tombstones(settings_of(home)).values()
    assert (stone.key, stone.complete) == (2, True)
    assert keys(home)[2] is None
    assert search.key_in_files(home, 2) == set()


def test_a_file_that_cannot_be_read_is_not_passed_over(home: Path) -> None:
    broken = put(home, "events/cut.csv.gz", gzip.compress(events(WHO, day=4).encode())[:-9])
    with pytest.raises(ForgetError, match=r"(?s)Still found in 1 places.*inbox: events/cut\.csv"):
        forget(settings_of(home), [WHO])
    assert not next(iter(read_tombstones(settings_of(home)).values())).complete
    broken.unlink()
    assert forget(settings_of(home), [WHO]).left == []
    assert next(iter(read_tombstones(settings_of(home)).values())).complete


def test_a_copy_set_aside_that_cannot_be_read_is_removed(home: Path) -> None:
    copy = home / "quarantine" / "20260310T030000-abc" / "files" / "events" / "cut.csv.gz"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(gzip.compress(events(WHO).encode())[:-9])
    report = forget(settings_of(home), [WHO])
    assert not copy.exists()
    assert report.count("files") == 1


def test_a_saved_model_that_names_a_listener_is_an_error_and_stays_as_it_is(home: Path) -> None:
    path = home / "artifacts" / "homerec" / "1" / "artifacts" / "model" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text(f'{{"who": "{WHO}"}}', encoding="utf-8")
    with pytest.raises(ForgetError, match="LEFT: remove it by hand"):
        forget(settings_of(home), [WHO])
    assert WHO in path.read_text()


def test_a_short_id_is_only_taken_where_a_column_names_a_listener(tmp_path: Path) -> None:
    put(tmp_path, "items/a.csv", ITEMS.replace("One", "7 days"))
    put(tmp_path, "listeners/a.csv", listeners("7", "77"))
    put(tmp_path, "events/a.csv", COLUMNS + events("7", "77"))
    bring(tmp_path)
    note = tmp_path / "reports" / "note.txt"
    note.write_text("7 rows, listener_id=7, listener 77", encoding="utf-8")
    forget(settings_of(tmp_path), ["7"])
    assert "7 days" in (tmp_path / "inbox/items/a.csv").read_text()
    assert (tmp_path / "inbox/listeners/a.csv").read_text() == listeners("77")
    assert note.read_text() == "7 rows, listener_id=0, listener 77"
    assert keys(tmp_path) == {1: None, 2: "77"}


def test_records_over_several_lines_and_mentions_in_others_rows(tmp_path: Path) -> None:
    put(tmp_path, "items/a.csv", ITEMS)
    put(tmp_path, "listeners/a.csv", listeners("first", WHO))
    kept = f'"a\n{NEAR}",first,show-1,2026-03-01,1,2026-03-01\n'
    rows = f'"b,\n""c""",{WHO},show-1,2026-03-01,1,2026-03-01\n'
    other = "{},first,show-1,2026-03-01,1,2026-03-01\n"
    broken = f"{WHO};broken\n"
    path = put(tmp_path, "events/a.csv", COLUMNS + kept + rows + other.format(WHO) + broken)
    report = forget(settings_of(tmp_path), [WHO])
    assert path.read_text() == COLUMNS + kept + other.format("[forgotten]")
    assert [row for row in csv.reader(io.StringIO(path.read_text()))][1][0] == f"a\n{NEAR}"
    assert report.count("mentions") == 1


def test_a_parquet_file_keeps_schema_order_row_groups_and_compression(home: Path) -> None:
    table = pa.table(
        {
            "listener": pa.array([2, 1, 2, 3, 1, 2], pa.int32()),
            "ratio": pa.array([1, None, 2, float("nan"), 3, 4], pa.float32()),
            "lists": pa.array([[1], [], None, [2, 3], [4], [5]], pa.list_(pa.int16())),
            "kind": pa.array(list("aabbcc")).dictionary_encode(),
        },
        metadata={"made": "by a test"},
    )
    path = home / "rollups" / "deep" / "x.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(table, path, row_group_size=2, compression="snappy")
    before = pq.read_schema(path)
    forget(settings_of(home), [WHO])
    found = pq.ParquetFile(path)
    assert found.schema_arrow.equals(before, check_metadata=True)
    assert [found.metadata.row_group(i).num_rows for i in range(3)] == [1, 1, 1]
    assert found.metadata.row_group(0).column(0).compression == "SNAPPY"
    expected = table.filter(pc.not_equal(table["listener"], 2))
    assert found.read().to_pylist()[0] == expected.to_pylist()[0]
    assert found.read()["listener"].to_pylist() == [1, 3, 1]


def test_an_id_that_nobody_has_is_said_to_be_unknown(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--home", str(home), "-q", "forget", "nobody-here"]
    assert main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Nobody to forget: the lake does not know the id.\n")
    assert "Nothing of them was found in any file, table or log that is searched." in said
    assert "Not known: 1 of the ids." in said
    assert "misspelt" in said
    assert "They would be kept as forgotten too" in said
    assert "nobody-here" not in said
    assert read_tombstones(settings_of(home)) == {}
    # As it was said: without --dry-run the id is kept away for good.
    assert main([*arguments, "--yes"]) == 0
    assert "They are kept as forgotten too" in capsys.readouterr().out
    assert len(read_tombstones(settings_of(home))) == 1
    # A listener who is known is told nothing of the kind.
    assert main([*arguments[:-1], WHO, "--dry-run"]) == 0
    assert "Not known" not in capsys.readouterr().out


def test_many_at_once_from_a_list(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    many = [f"never-seen-{n:05d}" for n in range(1500)]
    listed = home / "inbox-list.txt"
    listed.write_text("\n".join([*many, WHO, "", "first"]), encoding="utf-8")
    arguments = ["--home", str(home), "-q", "forget", "--file", str(listed)]
    assert main([*arguments, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Would forget 1,502 listeners; the lake knows 2 of them.")
    assert "Not known: 1,500 of the ids." in said
    assert keys(home)[2] == WHO
    assert main(arguments) == 1
    assert "Say --yes" in capsys.readouterr().err
    listed.unlink()
    outside = home.parent / "list.txt"
    outside.write_text("\n".join([*many, WHO, "first"]), encoding="utf-8")
    assert main([*arguments[:-1], str(outside), "--yes"]) == 0
    assert keys(home) == {1: None, 2: None, 3: NEAR}
    stones = read_tombstones(settings_of(home)).values()
    assert len(stones) == 1502
    assert sorted(s.key for s in stones if s.key is not None) == [1, 2]


@pytest.mark.parametrize("ids", [[], [" "], ["a", ""]])
def test_nobody_is_refused(home: Path, ids: list[str]) -> None:
    with pytest.raises(SettingsError, match="at least one listener id"):
        forget(settings_of(home), ids)


def test_logs_are_overwritten_in_place_for_their_writer_goes_on(home: Path) -> None:
    log = home / "airflow" / "logs" / "scheduler.log"
    log.parent.mkdir(parents=True)
    with log.open("a", encoding="utf-8") as writer:
        writer.write(f"look at {WHO} é\nand {NEAR}\n")
        writer.flush()
        size = log.stat().st_size
        forget(settings_of(home), [WHO])
        assert log.stat().st_size == size
        writer.write("next line\n")
    text = log.read_text(encoding="utf-8")
    assert text == f"look at {'*' * len(WHO)} é\nand {NEAR}\nnext line\n"


def test_arrays_beside_an_array_of_keys(tmp_path: Path) -> None:
    import numpy as np

    path = tmp_path / "evaluation.npz"
    np.savez(path, listener=np.array([1, 3, 5]), value=np.array([0.1, 0.3, 0.5]),
             segment_market=np.array(["DE", "US", "SE"]), k=np.array(10))  # fmt: skip
    targets = Targets(frozenset({WHO}), frozenset({3}))
    assert purge_npz(path, targets, apply=False) == {"rows": 1}
    assert purge_npz(path, targets, apply=True) == {"rows": 1}
    with np.load(path) as arrays:
        assert arrays["listener"].tolist() == [1, 5]
        assert arrays["value"].tolist() == [0.1, 0.5]
        assert arrays["segment_market"].tolist() == ["DE", "SE"]
        assert arrays["k"] == 10
    assert purge_npz(path, targets, apply=True) == {}


def test_of_airflow_only_homerecs_dags_are_touched(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'airflow.db'}"
    engine = sa.create_engine(url)
    meta = sa.MetaData()
    xcom = sa.Table(
        "xcom", meta, sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("dag_id", sa.String(250)), sa.Column("value", sa.JSON),
    )  # fmt: skip
    meta.create_all(engine)
    value = {"who": WHO, "near": NEAR}
    with engine.begin() as connection:
        for number, dag in enumerate(("nightly", "retrain_podcasts", "retrainer", "theirs")):
            connection.execute(sa.insert(xcom).values(id=number, dag_id=dag, value=value))
    targets = Targets(frozenset({WHO}), frozenset())
    (found,) = {f.where for f in purge_airflow(url, None, targets, apply=False)}
    assert found == "xcom"
    assert sum(f.count for f in purge_airflow(url, None, targets, apply=True)) == 2
    with engine.connect() as connection:
        rows = connection.execute(sa.select(xcom.c.dag_id, xcom.c.value)).fetchall()
    engine.dispose()
    changed = {dag: found["who"] for dag, found in rows}
    assert changed == {"nightly": "[forgotten]", "retrain_podcasts": "[forgotten]",
                       "retrainer": WHO, "theirs": WHO}  # fmt: skip
    assert all(found["near"] == NEAR for _, found in rows)
