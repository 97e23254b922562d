"""What pairs add to item_market, against the same sums by DuckDB."""

from datetime import date, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from homerec.errors import SnapshotError
from homerec.features import item_parts
from homerec.features.compute import expose_pairs
from homerec.features.item_parts import SUMS, added, item_part
from homerec.features.pairs import COUNTS, DAILY, group_rows
from homerec.features.pairs import SUMS as PAIR_SUMS

AS_OF = date(2026, 3, 10)
QUERY = """
SELECT p.item, l.market, count(*) AS n_listeners,
    count(*) FILTER (p.last_at >= DATE '2026-03-03') AS n_listeners_7d,
    count(*) FILTER (p.last_at >= DATE '2026-02-10') AS n_listeners_28d,
    count(*) FILTER (p.first_at >= DATE '2026-03-03') AS n_starts_7d,
    count(*) FILTER (p.first_at >= DATE '2026-02-10') AS n_starts_28d,
    sum(p.n_plays_7d) AS n_plays_7d, sum(p.n_plays_28d) AS n_plays_28d,
    coalesce(sum(p.n_plays_28d) FILTER (l.registered_at >= DATE '2026-02-08'), 0)
        AS n_new_listener_plays_28d,
    coalesce(sum(p.n_plays_28d) FILTER (l.registered_at >= DATE '2025-09-11'), 0)
        AS n_plays_28d_under_180d,
    count(*) FILTER (p.first_at < l.registered_at + INTERVAL 30 DAY
        AND p.first_at >= DATE '2026-02-10') AS n_new_listener_starts_28d,
    sum(p.duration_ms) AS duration_ms, sum(p.heard_ms) AS heard_ms,
    sum(p.fixed_3d) AS fixed_3d, sum(p.fixed_14d) AS fixed_14d, sum(p.fixed_60d) AS fixed_60d,
    max(p.last_at) AS last_at
FROM pair p JOIN listeners l ON l.listener = p.listener
GROUP BY ALL ORDER BY ALL
"""


def exposed(rng: np.random.Generator) -> duckdb.DuckDBPyConnection:
    """Listeners 1 to 20, of whom 7 has no row, and daily rows of 60 days."""
    n = 600
    # Some plays fall on the very edges of the windows.
    days = rng.choice([20_400, 20_451, 20_493, 20_494, 20_514, 20_515, 20_521], n)
    first = days * 86_400_000_000 + rng.choice([0, 1, 43_200_000_000], n)
    columns = {
        "listener": pa.array(rng.integers(1, 21, n), pa.int32()),
        "item": pa.array(rng.integers(1, 40, n), pa.int32()),
        "day": pa.array(days, pa.int32()).cast(pa.date32()),
        "n_plays": pa.array(rng.integers(1, 5, n), pa.int32()),
        **{name: pa.array(np.zeros(n), pa.int32()) for name in COUNTS},
        **{name: pa.array(rng.integers(0, 1 << 30, n), pa.int64()) for name in PAIR_SUMS},
        "first_at": pa.array(first).cast(pa.timestamp("us")),
        "last_at": pa.array(first).cast(pa.timestamp("us")),
    }
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    registered = [datetime(2026, 2, 8), datetime(2026, 2, 7, 23), datetime(2025, 9, 11)]  # noqa: DTZ001
    people = {
        "listener": pa.array([k for k in range(1, 21) if k != 7], pa.int32()),
        "market": [("DE", "US", "BR")[k % 3] for k in range(1, 21) if k != 7],
        "registered_at": [registered[k % 3] for k in range(2, 21)],
    }
    connection.register("listeners", pa.table(people))
    pairs = group_rows(pa.table(columns).select(DAILY))
    table = expose_pairs(connection, pairs, AS_OF)
    connection.register("part", item_part(connection, pairs, table, AS_OF))
    return connection


def test_sums_are_those_of_a_query() -> None:
    connection = exposed(np.random.default_rng(8))
    expected = connection.sql(QUERY).fetchall()
    names = ", ".join(("item", "market", *SUMS, "last_at"))
    assert connection.sql(f"SELECT {names} FROM part ORDER BY ALL").fetchall() == expected
    assert len(expected) > 80


def test_parts_of_blocks_add_up_to_the_sums_of_a_query() -> None:
    connections = [exposed(np.random.default_rng(seed)) for seed in (8, 9, 10)]
    parts = [c.sql("FROM part").to_arrow_table() for c in connections]
    connection = connections[0]
    whole = added(connection, [added(connection, parts[:2]), parts[2]])
    assert whole.schema == parts[0].schema
    everything = pa.concat_tables(parts)
    sums = ", ".join(f"sum({name})" for name in SUMS)
    expected = connection.sql(
        f"SELECT item, market, {sums}, max(last_at) FROM everything GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    assert connection.sql("FROM whole ORDER BY ALL").fetchall() == expected
    assert len(expected) < everything.num_rows


def test_more_plays_than_can_be_summed_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_parts, "_MAX_PLAYS", 500)
    with pytest.raises(SnapshotError, match=r"fewer than 500 can be summed exactly"):
        exposed(np.random.default_rng(8))
