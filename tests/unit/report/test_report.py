"""Data reports: their numbers against counts by hand; the page against what it must not hold."""

import re
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homerec import report
from homerec.cli import main
from homerec.errors import EmptyInput
from homerec.features.listener_items import listener_items
from homerec.features.snapshot import ensure_snapshot, load_snapshot
from homerec.ingest import ingest
from homerec.lake import read_json, write_json
from homerec.report import computing, keeping, plots
from homerec.report.computing import ingest_data
from homerec.report.html import Drawing, Fact, Facts, Figures, Page, Section, Table, Text
from homerec.report.pages import data_page
from homerec.report.profiling import profile_files
from homerec.report.rendering import render_ingest, render_snapshot
from homerec.settings import Settings

HEADER = "event_id,listener_id,show_id,started_at,ms_played,arrived_at,surface\n"


def put(home: Path, name: str, text: str) -> None:
    path = home / "inbox" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two listeners in two markets, four plays on two days, one broken row; nothing else."""
    put(tmp_path, "items/a.csv", "item_id,type,title,released_at,language\n"
        "show-1,show,<b>One</b>,2020-01-01,en\nshow-2,show,Two,2020-01-01,\n")  # fmt: skip
    people = "listener_id,market,time_zone,registered_at\nzeisig-1,DE,Europe/Berlin,2025-01-01\n"
    put(tmp_path, "listeners/a.csv", people + "zeisig-2,US,America/Los_Angeles,2025-01-01\n")
    put(tmp_path, "events/a.csv", HEADER + "".join(
        f"{n},{who},{show},{at},60000,{at},{surface}\n"
        for n, (who, show, at, surface) in enumerate([
            # 05:30 UTC is a morning in Berlin and the evening before in Los Angeles.
            ("zeisig-1", "show-1", "2026-03-01T05:30:00Z", "home"),
            ("zeisig-2", "show-1", "2026-03-01T05:30:00Z", "home"),
            ("zeisig-1", "show-2", "2026-03-02T20:00:00Z", "search"),
            ("zeisig-1", "show-9", "2026-03-02T20:00:00Z", "search"),
            ("zeisig-1", "show-1", "2026-03-02T21:00:00Z", "home"),
        ])
    ))  # fmt: skip
    return Settings(home=tmp_path, threads=1, memory_limit="500MB", quarantine_limit_ratio=0.5)


def bring(settings: Settings, day: int = 3) -> str:
    now = datetime(2026, 3, day, 3, tzinfo=UTC)
    return ingest(settings, source=settings.home / "inbox", now=now).ingest_id


def test_an_ingest_is_counted_by_day_surface_and_local_daypart(settings: Settings) -> None:
    data = report.ingest_report(settings, bring(settings))
    assert data["events"]["days"] == [["2026-03-01", 2, 120_000], ["2026-03-02", 2, 120_000]]
    assert data["events"]["surfaces"] == [["home", 3], ["search", 1]]
    assert data["events"]["dayparts"] == [["morning", 1], ["evening", 3]]
    assert data["events"]["listeners"] == [[2]]
    assert data["markets"] == [["DE", 1], ["US", 1]]
    assert data["items"] == [["show", 2]]
    assert data["quarantine"] == [["events", "unknown_item", 1]]
    assert data["flow"]["events"] == {
        "read": 5, "written": 4, "duplicates": 0, "quarantined": 1, "forgotten": 0,
    }  # fmt: skip
    nulls = {c["name"]: c["n_null"] for c in data["tables"]["items"]["columns"]}
    assert (nulls["language"], nulls["title"]) == (1, 0)


def test_only_what_an_ingest_brought_is_its_own(settings: Settings) -> None:
    bring(settings)
    row = "x,zeisig-2,show-2,2026-03-03T20:00:00Z,1000,2026-03-03T20:00:00Z,home\n"
    put(settings.home, "events/b.csv", HEADER + row)
    data = report.ingest_report(settings, bring(settings, 4))
    assert data["events"]["days"] == [["2026-03-03", 1, 1000]]
    assert [n for _, n in data["lake_days"]] == [2, 2, 1]
    assert report.newest_ingest(settings) == data["ingest_id"]
    empty = report.ingest_report(settings, bring(settings, 5))
    assert empty["events"] == {}
    data_page(empty).render()


def test_a_report_names_no_listener(settings: Settings) -> None:
    number = bring(settings)
    ensure_snapshot(settings, date(2026, 3, 3), writer="night")
    data, snapshot = (
        report.ingest_report(settings, number),
        report.snapshot_report(settings, date(2026, 3, 3)),
    )
    kept = keeping.ingest_path(settings, number).read_text()
    for text in (kept, render_ingest(data), render_snapshot(snapshot),
                 data_page(data, snapshot).render()):  # fmt: skip
        assert "zeisig" not in text


def test_a_snapshot_is_compared_with_the_one_before(settings: Settings) -> None:
    bring(settings)
    for day in (2, 3):
        ensure_snapshot(settings, date(2026, 3, day), writer="night")
    data = report.snapshot_report(settings, date(2026, 3, 3))
    assert data["before"] == {"as_of": "2026-03-02", "rows": data["before"]["rows"]}
    assert set(data["tables"]) >= {"listener", "item", "listener_item", "item_market"}
    assert [volumes["plays"] for _, volumes in data["history"]] == [2, 2]
    before = report.snapshot_before(settings, data)
    text = render_snapshot(data, before)
    assert re.search(r"listener_item\s+3\s+2\s+\+50\.0%", text)
    assert re.search(r"DE\s+2\s+1\s+\+100\.0%", text)
    columns = {c["name"] for c in data["tables"]["listener_item"]["columns"]}
    info = load_snapshot(settings, date(2026, 3, 3))
    assert info is not None
    assert columns == set(listener_items(info).column_names)


def test_missing_values_counted_in_a_part_of_the_pairs_stand_for_all(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(settings)
    info = ensure_snapshot(settings, date(2026, 3, 3), writer="night")
    # No duration is known, so no pair has a completion.
    monkeypatch.setattr(
        computing, "some_listener_items", lambda *_: listener_items(info).slice(1, 2)
    )
    pairs = report.snapshot_report(settings, info.as_of)["tables"]["listener_item"]
    n_null = {column["name"]: column["n_null"] for column in pairs["columns"]}
    assert pairs["rows"] == n_null["completion_ratio"] == 3
    assert n_null["n_plays"] == 0


def test_a_kept_report_is_read_and_a_missing_or_older_one_computed(settings: Settings) -> None:
    number = bring(settings)
    path = keeping.ingest_path(settings, number)
    assert not path.exists()
    first = report.ingest_report(settings, number)
    write_json({**first, "status": "as kept"}, path)
    assert report.ingest_report(settings, number)["status"] == "as kept"
    write_json({**first, "status": "as kept", "format": 0}, path)
    assert report.ingest_report(settings, number)["status"] == "done"
    assert read_json(path)["status"] == "done"


def test_what_is_not_there_is_said(settings: Settings) -> None:
    with pytest.raises(EmptyInput, match="Nothing was ingested yet"):
        report.newest_ingest(settings)
    with pytest.raises(EmptyInput, match="There is no snapshot yet"):
        report.newest_snapshot(settings)
    number = bring(settings)
    with pytest.raises(EmptyInput, match=f"no ingest nonsense; the last are {number}"):
        report.ingest_report(settings, "nonsense")
    with pytest.raises(EmptyInput, match="no snapshot of 2026-03-03"):
        report.snapshot_report(settings, date(2026, 3, 3))


def test_a_report_that_fails_says_so_and_raises_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    number = bring(settings)
    assert report.report_ingest(settings, number) == ""

    def broken(*arguments: Any) -> None:
        raise MemoryError("out of it")

    monkeypatch.setattr(keeping, "snapshot_data", broken)
    ensure_snapshot(settings, date(2026, 3, 3), writer="night")
    said = report.report_snapshot(settings, date(2026, 3, 3))
    assert "2026-03-03 could not be written (MemoryError: out of it)" in said
    assert "docs/runbook.md#report" in said
    assert "Traceback" in caplog.text


def test_a_profile_of_all_rows_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    values = [1.0, 2.0, 3.0, 4.0, None, float("nan")]
    pq.write_table(pa.table({"x": values, "kind": ["a", "a", "b", None, "a", "b"]}), path)
    with duckdb.connect() as connection:
        profile = profile_files(connection, [path])
    x, kind = profile.columns
    assert (profile.rows, profile.profiled) == (6, 6)
    assert (x.n_null, x.mean, x.quantiles[2]) == (1, 2.5, 2.5)
    assert sum(x.counts) == 4
    assert (kind.n_null, kind.n_distinct, kind.top) == (1, 2, [("a", 3), ("b", 2)])


def test_a_large_table_is_profiled_in_part_and_its_ranges_are_of_all(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    n = 100_000
    rng = np.random.default_rng(1)
    x = rng.normal(size=n)
    x[n // 2 + 7] = 1000.0
    holes = pa.array(np.arange(n), mask=np.arange(n) % 4 == 0)
    table = pa.table({"x": x, "holes": holes, "listener_id": [f"z{i}" for i in range(n)]})
    pq.write_table(table, path, row_group_size=2_000)
    with duckdb.connect() as connection:
        profile = profile_files(connection, [path], sample_rows=10_000)
        again = profile_files(connection, [path], sample_rows=10_000)
    assert profile == again
    assert profile.rows == n
    assert profile.profiled <= 12_000
    found, holes_found, ids = profile.columns
    assert found.high == 1000.0
    assert found.low == pytest.approx(x.min())
    assert abs(found.quantiles[2]) < 0.1
    assert holes_found.n_null == n // 4
    assert (ids.low, ids.high, ids.top) == (None, None, [])


class Links(HTMLParser):
    """Collects what a page would load or run, and its places."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.anchors: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data"):
                target = value or ""
                (self.anchors.add(target[1:]) if target.startswith("#") else
                 self.loaded.append(target))  # fmt: skip
            if name == "id":
                self.ids.append(value or "")


def test_the_page_is_one_file_without_scripts_links_or_double_ids(
    settings: Settings, tmp_path: Path
) -> None:
    bring(settings)
    for day in (2, 3):
        ensure_snapshot(settings, date(2026, 3, day), writer="night")
    target = tmp_path / "out" / "report.html"
    command = ["--home", str(settings.home), "-q", "report", "--html", str(target)]
    # A folder that is not there is a misspelt one more often than a new one.
    assert main(command) == 1
    assert not target.parent.exists()
    target.parent.mkdir()
    assert main(command) == 0
    text = target.read_text(encoding="utf-8")
    page = Links()
    page.feed(text)
    assert page.loaded == []
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert "@import" not in text
    assert set(re.findall(r"url\((?!#)", text)) == set()
    assert page.anchors <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert {"events", "quarantine", "volumes", "features-listener-item"} <= set(page.ids)
    assert "prefers-color-scheme: dark" in text
    assert page.tags.count("svg") > 15
    # Titles come from producers.
    assert "<b>One</b>" not in text


def test_the_command_prints_both_or_one(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    number = bring(settings)
    home = ["--home", str(settings.home), "-q", "report"]
    assert main(home) == 0
    assert "Snapshot as of" not in capsys.readouterr().out
    ensure_snapshot(settings, date(2026, 3, 3), writer="night")
    assert main(home) == 0
    both = capsys.readouterr().out
    assert f"Ingest {number}" in both
    assert "Snapshot as of 2026-03-03" in both
    assert main([*home, "ingest", number]) == 0
    assert "Snapshot as of" not in capsys.readouterr().out
    assert main([*home, "snapshot", "2026-03-03"]) == 0
    assert capsys.readouterr().out.startswith("Snapshot as of 2026-03-03, known at")
    assert main([*home, "snapshot", "2026-03-09"]) == 1


def test_a_page_of_anything_escapes_texts_and_aligns_numbers() -> None:
    svg = plots.bars([("<i>", 3.0)])
    page = Page("A & B", "<script>", [
        Section("One, two", [
            Text("1 < 2"), Facts([Fact("n", "7", "good")]),
            Table(("name", "n"), [("a", "1,000"), ("<b>", "-3.5%")]),
            Figures([Drawing("x", svg, "y")]),
        ]),
    ])  # fmt: skip
    text = page.render()
    assert "A &amp; B" in text
    assert "&lt;script&gt;" in text
    assert "<td>&lt;b&gt;</td>" in text
    assert '<td class="n">-3.5%</td>' in text
    assert '<section id="one-two">' in text
    assert "&lt;i&gt;" in svg


@pytest.mark.parametrize(
    "svg",
    [
        plots.bars([("a", 1.0), ("b", 0.0)], label="rows"),
        plots.bars([]),
        plots.columns([(date(2026, 3, d), d) for d in range(1, 30)], label="events"),
        plots.lines({"DE": [(date(2026, 3, 1), 1.0), (date(2026, 3, 2), 2.0)]}),
        plots.histogram([0, 1, 2], [3, 4], ([0, 2, 4], [1, 1])),
    ],
)
def test_a_drawing_takes_the_pages_colours_and_is_the_same_each_time(svg: str) -> None:
    assert svg.startswith("<svg")
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert "<metadata>" not in svg
    assert plots.histogram([0, 1], [3]) == plots.histogram([0, 1], [3])


def test_the_report_of_a_lake_that_was_never_filled_fails_with_words(tmp_path: Path) -> None:
    made = ingest_data(
        Settings(home=tmp_path, threads=1, memory_limit="500MB"),
        {"ingest_id": "x", "status": "failed", "mapping": "m", "tables": {}, "new_keys": {}},
    )
    assert (made["tables"], made["events"], made["markets"]) == ({}, {}, [])
    assert "failed" in render_ingest(made)
