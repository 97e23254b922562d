"""Pairs summed by listener, against the same sums by DuckDB."""

from datetime import date, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from homerec.features.compute import expose_pairs
from homerec.features.listener_parts import KIND_SUMS, ItemSide, expose_listener_parts
from homerec.features.pairs import COUNTS, DAILY, SUMS, group_rows

AS_OF = date(2026, 3, 10)
#: Items 1 to 30: 9 is not in the catalog, 10 comes out on the day of as_of.
ITEMS = [
    {
        "item": key,
        "type": ("show", "playlist", "artist")[key % 3],
        "language": (None, "de", "en", "pt")[key % 4],
        "tags": (None, [], ["rock"], ["rock", "pop", "news"])[key % 4 if key < 25 else 3],
        "released_at": datetime(2026, 3, 10 if key == 10 else 1),  # noqa: DTZ001
    }
    for key in range(1, 31)
    if key != 9
]
BY_KIND = """
SELECT p.listener, i.type, i.language, count(*) AS n_items,
    count(*) FILTER (p.last_at >= DATE '2026-02-10') AS n_items_28d,
    count(*) FILTER (p.first_at >= DATE '2026-02-10') AS n_starts_28d,
    sum(p.n_plays), sum(p.n_plays_7d), sum(p.n_plays_28d), sum(p.n_morning), sum(p.n_afternoon),
    sum(p.n_evening), sum(p.n_weekend), sum(p.duration_ms), sum(p.heard_ms), sum(p.fixed_60d),
    max(p.last_at), bit_or(p.days_56)
FROM pair p LEFT JOIN items i ON i.item = p.item GROUP BY ALL ORDER BY ALL
"""
BY_TAG = """
WITH tagged AS (SELECT item, len(tags) AS n, unnest(tags) AS tag FROM items
    WHERE released_at < DATE '2026-03-10')
SELECT p.listener, t.tag, sum(p.fixed_60d // t.n)
FROM pair p JOIN tagged t ON t.item = p.item GROUP BY ALL ORDER BY ALL
"""


def exposed(n: int, items: list[dict[str, Any]]) -> duckdb.DuckDBPyConnection:
    rng = np.random.default_rng(3)
    days = rng.choice([20_400, 20_493, 20_494, 20_521], n)
    first = days * 86_400_000_000 + rng.choice([0, 43_200_000_000], n)
    columns = {
        "listener": pa.array(rng.integers(1, 15, n), pa.int32()),
        "item": pa.array(rng.integers(1, 33, n), pa.int32()),
        "day": pa.array(days, pa.int32()).cast(pa.date32()),
        "n_plays": pa.array(rng.integers(1, 5, n), pa.int32()),
        **{name: pa.array(rng.integers(0, 3, n), pa.int32()) for name in COUNTS},
        **{name: pa.array(rng.integers(0, 1 << 30, n), pa.int64()) for name in SUMS},
        "first_at": pa.array(first).cast(pa.timestamp("us")),
        "last_at": pa.array(first).cast(pa.timestamp("us")),
    }
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    schema = pa.schema(
        [
            ("item", pa.int32()), ("type", pa.string()), ("language", pa.string()),
            ("tags", pa.list_(pa.string())), ("released_at", pa.timestamp("us")),
        ]
    )  # fmt: skip
    connection.register("items", pa.Table.from_pylist(items, schema=schema))
    pairs = group_rows(pa.table(columns).select(DAILY))
    table = expose_pairs(connection, pairs, AS_OF)
    side = ItemSide.read(connection, AS_OF)
    expose_listener_parts(connection, pairs, table, side, AS_OF)
    return connection


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return connection.sql(query).fetchall()


@pytest.mark.parametrize("items", [ITEMS, ITEMS[:20], ITEMS[:1]])
def test_sums_by_kind_are_those_of_a_query(items: list[dict[str, Any]]) -> None:
    connection = exposed(500, items)
    names = ", ".join(("listener", "type", "language", *KIND_SUMS, "last_at", "days_56"))
    found = rows(connection, f"SELECT {names} FROM listener_kind ORDER BY ALL")
    assert found == rows(connection, BY_KIND)
    assert len(found) > 14


@pytest.mark.parametrize("items", [ITEMS, ITEMS[:20]])
def test_sums_by_tag_are_those_of_a_query(items: list[dict[str, Any]]) -> None:
    connection = exposed(500, items)
    found = rows(connection, "SELECT listener, tag, weight FROM listener_tag_part ORDER BY ALL")
    assert found == rows(connection, BY_TAG)
    assert len(found) > 30


def test_no_pair_and_no_tag_are_no_rows() -> None:
    connection = exposed(0, ITEMS)
    assert (
        rows(connection, "FROM listener_kind") == rows(connection, "FROM listener_tag_part") == []
    )
    untagged = [{**one, "tags": None} for one in ITEMS]
    assert rows(exposed(50, untagged), "FROM listener_tag_part") == []
