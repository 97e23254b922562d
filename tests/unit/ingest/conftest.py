"""A tiny app's files, written in any of the supported forms, and helpers to look into the lake."""

import csv
import gzip
import io
import json
import os
import types
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homerec.ingest import gathering, ingest
from homerec.lake import Lake
from homerec.settings import ROOT, Settings

NOW = datetime(2026, 3, 10, 3, 0, tzinfo=UTC)
DATA = ROOT.parent / "shared" / "data"

ITEMS = [
    {"item_id": "artist-a", "type": "artist", "title": "A", "language": "en", "tags": "rock|pop",
     "released_at": "2020-01-01T00:00:00Z", "artist_id": None, "markets": None},
    {"item_id": "album-b", "type": "album", "title": "B", "language": None, "tags": None,
     "released_at": "2021-01-01T00:00:00Z", "artist_id": "artist-a", "markets": "US|DE"},
    {"item_id": "show-c", "type": "show", "title": "C", "language": "de", "tags": "news",
     "released_at": "2022-01-01T00:00:00Z", "artist_id": None, "markets": None},
]  # fmt: skip
CONTENTS = [
    {"content_id": "track-1", "type": "track", "title": "One", "artist_id": "artist-a",
     "album_id": "album-b", "show_id": None, "duration_ms": 200_000,
     "released_at": "2021-01-01T00:00:00Z"},
    {"content_id": "episode-1", "type": "episode", "title": "Ep", "artist_id": None,
     "album_id": None, "show_id": "show-c", "duration_ms": 1_800_000,
     "released_at": "2026-03-01T00:00:00Z"},
]  # fmt: skip
LISTENERS = [
    {"listener_id": f"user-{i}", "market": "US", "time_zone": "America/New_York",
     "registered_at": "2026-01-01T00:00:00Z"}
    for i in range(3)
]  # fmt: skip


def event(i: int, **changes: Any) -> dict[str, Any]:
    """One good event; the even ones play the track, the odd ones the episode."""
    day = 1 + i % 3
    row: dict[str, Any] = {
        "event_id": f"e{i}", "listener_id": f"user-{i % 3}",
        "content_id": "track-1" if i % 2 == 0 else "episode-1",
        "context_id": "album-b" if i % 4 == 0 else None,
        "artist_id": None, "album_id": None, "show_id": None,
        "started_at": f"2026-03-{day:02d}T10:{i % 60:02d}:00Z", "ms_played": 60_000 + i,
        "arrived_at": f"2026-03-{day:02d}T11:{i % 60:02d}:00Z", "surface": None,
    }  # fmt: skip
    return row | changes


def good_events(n: int = 12) -> list[dict[str, Any]]:
    return [event(i) for i in range(n)]


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    """Typed as a real log would be: timestamps and lists, not texts."""
    typed = []
    for row in rows:
        out = dict(row)
        for name, value in row.items():
            if name.endswith("_at") and value is not None:
                out[name] = datetime.fromisoformat(value)
            elif name in ("tags", "markets"):
                out[name] = value.split("|") if value else None
        typed.append(out)
    table = pa.Table.from_pylist(typed)
    fields = [f.with_type(pa.string()) if pa.types.is_null(f.type) else f for f in table.schema]
    sink = io.BytesIO()
    pq.write_table(table.cast(pa.schema(fields)), sink)
    return sink.getvalue()


def zstd(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


FORMS = {
    "csv": as_csv,
    "tsv": lambda rows: as_csv(rows, "\t"),
    "csv.gz": lambda rows: gzip.compress(as_csv(rows)),
    "csv.zst": lambda rows: zstd(as_csv(rows)),
    "jsonl": as_jsonl,
    "jsonl.gz": lambda rows: gzip.compress(as_jsonl(rows)),
    "jsonl.zst": lambda rows: zstd(as_jsonl(rows)),
    "parquet": as_parquet,
}


class App:
    """One deployment and its inbox."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, threads=2, memory_limit="1GB")
        self.lake = Lake(home)
        self.inbox = self.lake.inbox

    def put(
        self, table: str, rows: list[dict[str, Any]], form: str = "csv", name: str = "a"
    ) -> Path:
        return self.put_bytes(f"{table}/{name}.{form}", FORMS[form](rows))

    def put_bytes(self, relative: str, data: bytes) -> Path:
        path = self.inbox / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def put_catalog(self, form: str = "csv") -> None:
        self.put("items", ITEMS, form)
        self.put("contents", CONTENTS, form)
        self.put("listeners", LISTENERS, form)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of a lake table, all versions of each, ordered by all columns."""
        paths = [self.lake.table(table)]
        if self.lake.partitions(table).is_dir():
            paths = [p for day in self.lake.dates(table) for p in self.lake.files(table, day)]
        files = [str(path) for path in paths]
        return self.query(
            f"SELECT * FROM read_parquet({files}, hive_partitioning = false) ORDER BY ALL"
        )

    def current(self, table: str) -> list[dict[str, Any]]:
        """Rows of a lake table that are in force now."""
        return [row for row in self.rows(table) if row["valid_to"] is None]

    def quarantined(self, ingest_id: str, table: str) -> list[dict[str, Any]]:
        path = self.lake.quarantine / ingest_id / f"{table}.parquet"
        return self.query(f"SELECT * FROM '{path}' ORDER BY file, line")

    def query(self, sql: str) -> list[dict[str, Any]]:
        with duckdb.connect() as connection:
            result = connection.execute(sql)
            names = [d[0] for d in result.description]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def keys(self, dictionary: str) -> dict[str, int]:
        rows = self.query(f"SELECT key, id FROM '{self.lake.dictionary(dictionary)}'")
        return {row["id"]: row["key"] for row in rows}

    def files(self) -> dict[str, bytes]:
        """Every file of the lake with its bytes."""
        root = self.lake.tables
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*.parquet"))}


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(tmp_path / "home")


@pytest.fixture
def make_app() -> type[App]:
    return App


@pytest.fixture
def real_data() -> Path:
    if not DATA.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{DATA} is missing, and must be there in CI.")
        pytest.skip(f"{DATA} is not there.")
    return DATA


@pytest.fixture(scope="session")
def new_app() -> type[App]:
    return App


@pytest.fixture(name="kit", scope="session")
def _kit() -> Any:
    """The rows and helpers above, for tests (conftest cannot be imported in importlib mode)."""
    return types.SimpleNamespace(
        NOW=NOW, ITEMS=ITEMS, CONTENTS=CONTENTS, LISTENERS=LISTENERS, FORMS=FORMS, event=event,
        good_events=good_events, as_csv=as_csv, as_jsonl=as_jsonl, as_parquet=as_parquet,
    )  # fmt: skip


@pytest.fixture
def run(app, kit):
    hours = iter(range(1000))

    def go(**changes):
        now = kit.NOW + timedelta(hours=next(hours))
        return ingest(app.settings, **({"source": app.inbox, "now": now} | changes))

    return go


@pytest.fixture
def opened(monkeypatch):
    """Names of the files that are opened, in order."""
    names = []
    real = gathering.open_file

    def note(*arguments, **named):
        names.append(named["name"])
        return real(*arguments, **named)

    monkeypatch.setattr(gathering, "open_file", note)
    return names
