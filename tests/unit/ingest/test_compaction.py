"""Compaction: fewer files, the same rows, and no moment at which a reader sees others."""

import itertools
import json
import os
import threading
import time
from datetime import date, datetime, timedelta

import duckdb
import pyarrow.parquet as pq
import pytest

from homerec.errors import RowsLost, SettingsError, TransientError
from homerec.features.snapshot import event_files
from homerec.ingest import compaction, ingest
from homerec.ingest.compaction import MOST_FILES, compact, remove_replaced
from homerec.ingest.locking import writing
from homerec.lake import LIVE_FILES, live_files, swap_files
from homerec.training.labels import window_files

DAY = date(2026, 3, 1)


@pytest.fixture
def deliver(app, kit):
    """Ingest some more events of one day, which become one more file."""
    app.put_catalog()
    done = iter(range(1_000))

    def go(n=1, rows=4):
        for _ in range(n):
            k = next(done)
            events = [
                kit.event(0, event_id=f"e{k}-{i}", listener_id=f"user-{(k + i) % 3}",
                          started_at=f"2026-03-01T0{9 - k % 9}:{i:02d}:00Z")
                for i in range(rows)
            ]  # fmt: skip
            app.put("events", events, name="a")
            ingest(app.settings, source=app.inbox, now=kit.NOW + timedelta(minutes=k))

    return go


def folder(app, day=DAY):
    return app.lake.partitions("events") / f"date={day}"


def test_a_dates_files_become_one_with_the_same_rows_sorted(app, deliver):
    deliver(5)
    before = app.rows("events")
    report = compact(app.settings)
    assert [(name, day, n) for name, day, n in report.dates] == [("events", DAY, 5)]
    assert report.rows == 20
    assert app.rows("events") == before
    (file,) = app.lake.files("events", DAY)
    rows = pq.read_table(file).to_pylist()
    order = [(r["listener"], r["started_at"], r["event_hash"]) for r in rows]
    assert order == sorted(order)
    assert "5 files of 1 dates became 1 (20 rows)" in report.render()


def test_compacting_again_does_nothing(app, deliver):
    deliver(3)
    compact(app.settings, kept_seconds=0)
    files = app.files()
    listing = (folder(app) / LIVE_FILES).stat().st_mtime_ns
    assert compact(app.settings, kept_seconds=0).dates == []
    assert app.files() == files
    assert (folder(app) / LIVE_FILES).stat().st_mtime_ns == listing


def test_what_was_replaced_stays_for_a_while_and_is_read_by_nobody(app, deliver):
    deliver(3)
    compact(app.settings)
    assert len(list(folder(app).glob("*.parquet"))) == 4
    live = app.lake.files("events", DAY)
    assert len(live) == 1
    assert event_files(app.settings, date(2026, 3, 5)) == live
    assert window_files(app.settings, DAY, date(2026, 3, 5)) == [str(p) for p in live]
    assert remove_replaced(app.lake) == 0
    old = time.time() - compaction.KEPT_SECONDS - 1
    os.utime(folder(app) / LIVE_FILES, (old, old))
    deliver()  # an ingest that adds to the date writes the list anew
    assert remove_replaced(app.lake) == 0
    os.utime(folder(app) / LIVE_FILES, (old, old))
    assert remove_replaced(app.lake) == 3
    assert sorted(folder(app).glob("*.parquet")) == app.lake.files("events", DAY)
    assert len(app.rows("events")) == 16


def test_an_ingest_goes_on_after_a_compaction(app, kit, deliver):
    deliver(3)
    compact(app.settings)
    deliver()
    assert len(app.lake.files("events", DAY)) == 2
    assert len(app.rows("events")) == 16
    report = ingest(app.settings, source=app.inbox, now=kit.NOW + timedelta(days=1), again=True)
    assert (report.tables["events"].written, report.tables["events"].duplicates) == (0, 4)
    assert len(app.rows("events")) == 16


def test_an_ingest_compacts_a_date_that_has_become_too_many_files(app, deliver, monkeypatch):
    monkeypatch.setattr("homerec.ingest.run.MOST_FILES", 3)
    deliver(3)
    assert len(app.lake.files("events", DAY)) == 3
    deliver()
    (file,) = app.lake.files("events", DAY)
    assert file.name.startswith("compact-")
    assert len(app.rows("events")) == 16
    assert MOST_FILES > 7, "a week of late events must not compact every night"


def test_dates_and_tables_can_be_chosen(app, deliver):
    deliver(2)
    assert compact(app.settings, until=DAY).dates == []
    assert compact(app.settings, since=DAY + timedelta(days=1)).dates == []
    assert compact(app.settings, most_files=2).dates == []
    assert compact(app.settings, tables=["impressions"]).dates == []
    assert len(compact(app.settings, since=DAY, until=DAY + timedelta(days=1)).dates) == 1
    with pytest.raises(SettingsError, match=r"the table items.*events, impressions"):
        compact(app.settings, tables=["items"])
    with pytest.raises(SettingsError, match="0 files"):
        compact(app.settings, most_files=0)


def test_a_compaction_waits_for_no_ingest(app, deliver):
    deliver(2)
    with writing(app.lake), pytest.raises(TransientError, match="Another ingest"):
        compact(app.settings)


def test_a_file_of_an_earlier_contract_is_brought_up_to_date(app, deliver):
    deliver(2)
    first, _ = app.lake.files("events", DAY)
    pq.write_table(pq.read_table(first).drop_columns(["surface"]), first)
    compact(app.settings)
    (file,) = app.lake.files("events", DAY)
    table = pq.read_table(file)
    assert table.schema.names[-2:] == ["surface", "event_hash"]
    assert sorted(table["surface"].to_pylist(), key=str) == [None] * 4 + ["unknown"] * 4


def test_rows_that_got_lost_stop_it(app, deliver, monkeypatch):
    deliver(2)
    before = app.rows("events")
    real = compaction.texts
    monkeypatch.setattr(compaction, "texts", lambda paths: real(list(paths)[:1]))
    with pytest.raises(RowsLost, match=r"hold 8 rows, the one made of them 4"):
        compact(app.settings)
    assert app.rows("events") == before
    assert not list(folder(app).glob(".compact*"))


@pytest.mark.parametrize("step", ["first list", "move", "second list"])
def test_cut_short_at_any_step_every_row_is_there_once(app, deliver, monkeypatch, step):
    deliver(3)
    before = app.rows("events")
    import homerec.lake as lake

    calls = iter(["first list", "second list"])
    write = lake.write_json

    def fail(value, target):
        if next(calls) == step:
            raise OSError("disk full")
        write(value, target)

    monkeypatch.setattr(lake, "write_json", fail)
    if step == "move":
        monkeypatch.setattr("pathlib.Path.replace", _no_parquet(lake.Path.replace))
    with pytest.raises(OSError, match="disk full"):
        compact(app.settings)
    monkeypatch.undo()
    assert app.rows("events") == before
    compact(app.settings, kept_seconds=0)
    assert app.rows("events") == before
    assert len(list(folder(app).glob("*.parquet"))) == 1


def _no_parquet(replace):
    def go(self, target):
        if self.name.startswith(".compact"):
            raise OSError("disk full")
        return replace(self, target)

    return go


def test_readers_see_every_row_once_while_files_are_swapped(tmp_path):
    """One process adds and compacts without a pause, the other lists and reads."""
    part = tmp_path / "date=2026-03-01"
    part.mkdir()
    with duckdb.connect() as c:
        c.execute(f"COPY (SELECT 0 AS x) TO '{part}/f0.parquet' (FORMAT parquet)")
    stop = threading.Event()
    wrong, reads = [], 0

    def swap():
        with duckdb.connect() as c:
            for k in range(60):
                live = [p.name for p in live_files(part)]
                new = tmp_path / f"new{k}.parquet"
                files = [str(part / n) for n in live]
                c.execute(f"COPY (SELECT x FROM read_parquet({files})) TO '{new}' (FORMAT parquet)")
                swap_files(part, live, {f"f{k + 1}.parquet": new})
        stop.set()

    writer = threading.Thread(target=swap)
    writer.start()
    while not stop.is_set():
        files = live_files(part)
        n = sum(pq.read_metadata(p).num_rows for p in files)
        reads += 1
        if n != 1:
            wrong.append(n)
    writer.join()
    assert wrong == []
    assert reads > 60


def test_the_list_is_plain(app, deliver):
    deliver(2)
    compact(app.settings)
    listed = json.loads((folder(app) / LIVE_FILES).read_text())
    assert listed == {"files": [p.name for p in app.lake.files("events", DAY)]}


def test_queries_for_one_listener_skip_row_groups(app, tmp_path):
    """The statistics of the row groups do not overlap, so that a listener lies in one or two."""
    part = app.lake.partitions("events") / "date=2026-03-01"
    part.mkdir(parents=True)
    with duckdb.connect() as c:
        for k in range(2):
            c.execute(
                f"""COPY (SELECT CAST((i * 7919) % 1000 AS INTEGER) AS listener,
                  NULL::INTEGER AS content, NULL::INTEGER AS context, 1::INTEGER AS artist,
                  NULL::INTEGER AS album, NULL::INTEGER AS "show",
                  TIMESTAMP '2026-03-01' + to_seconds(i % 86400) AS started_at,
                  60000::INTEGER AS ms_played, TIMESTAMP '2026-03-02' AS arrived_at,
                  'home' AS surface, CAST(i * 2 + {k} AS UBIGINT) AS event_hash
                  FROM range(200000) r(i)) TO '{part}/f{k}.parquet' (FORMAT parquet)"""
            )
    compact(app.settings)
    (file,) = live_files(part)
    meta = pq.read_metadata(file)
    at = meta.schema.names.index("listener")
    groups = [meta.row_group(g).column(at).statistics for g in range(meta.num_row_groups)]
    assert len(groups) >= 3
    assert all(a.max <= b.min for a, b in itertools.pairwise(groups))


def test_late_events_land_in_their_date_with_their_arrival(app, kit, deliver):
    deliver()
    late = kit.event(0, event_id="late", arrived_at="2026-03-09T23:00:00Z")
    app.put("events", [late], name="late")
    ingest(app.settings, source=app.inbox, now=kit.NOW + timedelta(days=1))
    found = [r for r in app.rows("events") if r["arrived_at"] == datetime(2026, 3, 9, 23)]  # noqa: DTZ001
    assert [r["started_at"].date() for r in found] == [DAY]
    assert len(app.lake.files("events", DAY)) == 2
