"""One embedded Postgres for the session, and small made-up nights to publish on it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homerec.database import embedded, urls
from homerec.lake import Lake, write_json, write_parquet
from homerec.release.bundle import SCHEMA
from homerec.settings import Settings
from support.server import start_server

TIMESTAMP = pa.timestamp("us")
DEFAULTS = {"DE": -1, "FR": -2, "*": -3}
SHELVES = [
    {"shelf": 0, "name": "shortcuts", "title": "Shortcuts", "kind": "model", "size": 4},
    {"shelf": 1, "name": "picks", "title": "Editors' picks", "kind": "editorial", "size": 3},
    {"shelf": 2, "name": "podcasts", "title": "Shows you might like", "kind": "model", "size": 5},
    {"shelf": 3, "name": "popular", "title": "Popular in {market}", "kind": "rule", "size": 5},
]
SOURCES = [
    {"source": 1, "name": "als", "label": None},
    {"source": 2, "name": "because", "label": "Because you listened to {item}"},
    {"source": 3, "name": "popular", "label": "Popular where you are"},
]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a deployment whose embedded Postgres runs for the whole session."""
    settings = Settings(home=tmp_path_factory.mktemp("server"), threads=1, memory_limit="500MB")
    start_server(settings)
    yield settings
    embedded.remove(settings)


@pytest.fixture
def serving(server: Settings) -> Settings:
    """The same server with nothing published and an empty lake."""
    with (
        urls.psycopg2_connection(urls.app_url(server), autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("UPDATE homerec.live_release SET release_id = NULL, hold = false")
        cursor.execute("UPDATE homerec.release SET stored = false, status = 'retired'")
        cursor.execute(
            "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = "
            "'homerec.home_shelf'::regclass"
        )
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {name}")
        cursor.execute(
            "TRUNCATE homerec.listener, homerec.item, homerec.availability, homerec.blocked, "
            "homerec.dismissal, homerec.editorial_card, homerec.pointer_move"
        )
        cursor.execute("DELETE FROM homerec.release")
    for path in Lake(server.home).tables.glob("*.parquet"):
        path.unlink()
    return server


@dataclass
class Night:
    """A night to publish; every value is a plain function of the keys."""

    settings: Settings
    folder: Path
    n_listeners: int = 12
    n_items: int = 80
    about: dict[str, Any] = field(default_factory=dict)
    #: (listener, shelf, daypart) -> item keys; source 2 with reason item 1 on shelf 2, source 3 on
    #: shelf 3. Cards of shelf 2 were proposed by the sources 2, 1 and 3, in this order.
    homes: dict[tuple[int, int, int], list[int]] = field(default_factory=dict)

    def listener_id(self, key: int) -> str:
        return f"listener-{key}"

    def market(self, key: int) -> str:
        return "DE" if key % 2 else "FR"

    def write_lake(self, **tables: list[dict[str, Any]]) -> None:
        """Write listeners and items, and any small table given by name as rows."""
        lake, keys = Lake(self.settings.home), range(1, self.n_listeners + 1)
        write_parquet(
            pa.table(
                {
                    "listener": pa.array(keys, pa.int32()),
                    "listener_id": [self.listener_id(k) for k in keys],
                    "market": [self.market(k) for k in keys],
                    "time_zone": ["Europe/Berlin" if k % 2 else "America/New_York" for k in keys],
                    "registered_at": pa.array([datetime(2025, 1, 1)] * len(keys), TIMESTAMP),  # noqa: DTZ001
                }
            ),
            lake.table("listeners"),
        )
        items = range(1, self.n_items + 1)
        write_parquet(
            pa.table(
                {
                    "item": pa.array(items, pa.int32()),
                    "item_id": [f"item-{i}" for i in items],
                    "type": ["show" if i % 2 else "album" for i in items],
                    "title": [f"Title {i}" for i in items],
                    # Only the last two are bound to markets.
                    "markets": pa.array(
                        [
                            ["DE"]
                            if i == self.n_items
                            else ["FR"]
                            if i == self.n_items - 1
                            else None
                            for i in items
                        ],
                        pa.list_(pa.string()),
                    ),
                }
            ),
            lake.table("items"),
        )
        for name, rows in tables.items():
            write_parquet(pa.Table.from_pylist(rows, schema=SMALL[name]), lake.table(name))

    def usual_homes(self, shift: int = 0) -> None:
        """Give every listener and default the same kind of Home; no shelf shares an item."""
        self.homes.clear()
        for key in [*DEFAULTS.values(), *range(1, self.n_listeners + 1)]:
            rotation = (abs(key) + shift) % 5
            for daypart in range(4):
                self.homes[key, 0, daypart] = [
                    daypart * 5 + 1 + (j + rotation) % 5 for j in range(5)
                ]
            self.homes[key, 1, -1] = []
            for shelf in (2, 3):
                self.homes[key, shelf, -1] = [shelf * 12 + (j + rotation) % 10 for j in range(10)]

    def write(self, as_of: date) -> Path:
        """Write the bundle and return its folder."""
        if not self.homes:
            self.usual_homes()
        keys = sorted(self.homes)
        source = {0: (1, 0), 2: (2, 1), 3: (3, 0)}
        columns: dict[str, list[Any]] = {name: [] for name in SCHEMA}
        for listener, shelf, daypart in keys:
            items = self.homes[listener, shelf, daypart]
            number, reason = source.get(shelf, (1, 0))
            proposed = 2 + (1 << 5) + (3 << 10) if shelf == 2 else 0
            n = len(items)
            values = (listener, shelf, daypart, items, [number] * n, [reason] * n, [proposed] * n)
            for name, value in zip(SCHEMA, values, strict=True):
                columns[name].append(value)
        self.folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.table(columns, schema=pa.schema(list(SCHEMA.items()))),
            self.folder / "shelves.parquet",
        )
        about = {
            "as_of": as_of.isoformat(),
            "degraded": False,
            "reasons": [],
            "versions": {"podcasts": 3},
            "shelves": SHELVES,
            "sources": SOURCES,
            "market_defaults": DEFAULTS,
            "eligible": len({key for key, _, _ in keys if key > 0}),
        }
        write_json({**about, **self.about}, self.folder / "release.json")
        return self.folder


SMALL = {
    "blocked": pa.schema(
        [
            ("item", pa.int32()),
            ("market", pa.string()),
            ("reason", pa.string()),
            ("blocked_at", TIMESTAMP),
        ]
    ),
    "availability": pa.schema(
        [
            ("item", pa.int32()),
            ("market", pa.string()),
            ("starts_at", TIMESTAMP),
            ("ends_at", TIMESTAMP),
        ]
    ),
    "dismissals": pa.schema(
        [("listener", pa.int32()), ("item", pa.int32()), ("dismissed_at", TIMESTAMP)]
    ),
    "editorial": pa.schema(
        [
            ("shelf", pa.string()),
            ("market", pa.string()),
            ("position", pa.int32()),
            ("item", pa.int32()),
            ("starts_at", TIMESTAMP),
            ("ends_at", TIMESTAMP),
        ]
    ),
}


@pytest.fixture
def night(serving: Settings, tmp_path: Path) -> Night:
    """A small night whose lake is written and whose bundle is not yet."""
    made = Night(serving, tmp_path / "bundle")
    made.write_lake()
    made.usual_homes()
    return made


@pytest.fixture
def run_sql(server: Settings) -> Callable[..., list[tuple[Any, ...]]]:
    """Run SQL as the application, or as the reader, and return its rows."""

    def run(
        query: str, parameters: tuple[Any, ...] = (), *, reader: bool = False
    ) -> list[tuple[Any, ...]]:
        url = urls.reader_url(server) if reader else urls.app_url(server)
        assert url is not None
        with urls.psycopg2_connection(url) as connection, connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    return run


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
