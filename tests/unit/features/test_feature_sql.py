"""Every file of sql/features against its YAML of input rows and expected rows."""

from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from homerec.features.compute import expose_pairs
from homerec.features.pairs import DAILY, group_rows
from homerec.lake import read_sql
from homerec.settings import resource
from support.lake import SCHEMAS

CASES = Path(__file__).parent / "sql"
FILES = sorted(p.stem for p in Path(str(resource("sql/features"))).glob("*.sql"))

_COUNTS = (
    "n_plays INTEGER, ms_played BIGINT, n_morning INTEGER, n_afternoon INTEGER, n_evening INTEGER, "
    " n_weekend INTEGER, n_chosen INTEGER, first_at TIMESTAMP, last_at TIMESTAMP, "
    "duration_ms BIGINT, heard_ms BIGINT"
)
_MARKET = (
    "item INTEGER, market VARCHAR, n_listeners BIGINT, n_listeners_7d BIGINT, "
    "n_listeners_28d BIGINT, n_starts_7d BIGINT, n_starts_28d BIGINT, n_plays_7d BIGINT, "
    "n_plays_28d BIGINT, n_new_listener_plays_28d BIGINT, n_new_listener_starts_28d BIGINT, "
    "last_at TIMESTAMP"
)
#: Columns of the tables that SQL files read; what a case leaves out is 0, or null.
TABLES = {
    "listeners": "listener INTEGER, market VARCHAR, registered_at TIMESTAMP",
    "listener_zones": "listener INTEGER, zone_from TIMESTAMP, zone_to TIMESTAMP, time_zone VARCHAR",
    "items": "item INTEGER, type VARCHAR, language VARCHAR, tags VARCHAR[], "
    "released_at TIMESTAMP, markets VARCHAR[]",
    "contents": "content INTEGER, duration_ms INTEGER",
    "signup_picks": "listener INTEGER, item INTEGER, picked_at TIMESTAMP",
    "availability": "item INTEGER, market VARCHAR, starts_at TIMESTAMP, ends_at TIMESTAMP",
    "card": "listener INTEGER, item INTEGER, started_at TIMESTAMP, ms_played INTEGER, "
    "arrived_at TIMESTAMP, duration_ms INTEGER, day DATE, daypart TINYINT, is_weekend BOOLEAN, "
    "is_chosen BOOLEAN",
    "daily_main": f"listener INTEGER, item INTEGER, day DATE, late_at TIMESTAMP, {_COUNTS}",
    "daily_rest": f"listener INTEGER, item INTEGER, day DATE, late_at TIMESTAMP, {_COUNTS}",
    "daily_more": f"listener INTEGER, item INTEGER, day DATE, late_at TIMESTAMP, {_COUNTS}",
    "known": f"listener INTEGER, item INTEGER, day DATE, {_COUNTS}",
    "skip_day": "listener INTEGER, item INTEGER, day DATE, late_at TIMESTAMP, n_skips INTEGER, "
    "first_at TIMESTAMP, last_at TIMESTAMP",
    "pair": "listener INTEGER, item INTEGER",
    "listener_kind": "listener INTEGER, type VARCHAR, language VARCHAR, n_items BIGINT, "
    "n_items_28d BIGINT, n_starts_28d BIGINT, n_plays BIGINT, n_plays_7d BIGINT, "
    "n_plays_28d BIGINT, n_morning BIGINT, n_afternoon BIGINT, n_evening BIGINT, "
    "n_weekend BIGINT, duration_ms BIGINT, heard_ms BIGINT, fixed_60d BIGINT, "
    "last_at TIMESTAMP, days_56 BIGINT",
    "listener_tag_part": "listener INTEGER, tag VARCHAR, weight BIGINT",
    "item_part": f"{_MARKET}, n_plays_28d_under_180d BIGINT, fixed_3d HUGEINT, "
    "fixed_14d HUGEINT, fixed_60d HUGEINT, "
    "duration_ms BIGINT, heard_ms BIGINT",
    "item_market": f"{_MARKET.removesuffix('last_at TIMESTAMP')} days_since_last FLOAT, "
    "n_recent_listener_plays_28d BIGINT, "
    "n_settled_listener_plays_28d BIGINT",
}  # fmt: skip
_NUMBERS = ("INTEGER", "BIGINT", "TINYINT", "HUGEINT", "FLOAT")
_NULLABLE = {("contents", "duration_ms"), ("card", "duration_ms")}


def cases() -> list[Any]:
    found = []
    for name in FILES:
        path = CASES / f"{name}.yaml"
        loaded = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else []
        found += [pytest.param(name, case, id=f"{name}: {case['case']}") for case in loaded]
    return found


def fill(connection: duckdb.DuckDBPyConnection, table: str, rows: list[dict[str, Any]]) -> None:
    """Make a table of the rows; a name that the table does not have is an error."""
    columns = dict(column.strip().split(" ") for column in TABLES[table].split(","))
    connection.execute(f"CREATE TABLE {table} ({TABLES[table]})")
    for row in rows:
        unknown = set(row) - set(columns)
        assert not unknown, f"{table} has no {sorted(unknown)}; it has {sorted(columns)}"
        values = [
            row.get(c, 0 if t in _NUMBERS and (table, c) not in _NULLABLE else None)
            for c, t in columns.items()
        ]
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)


def result(tmp_path: Path, name: str, case: dict[str, Any]) -> list[dict[str, Any]]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for table in TABLES:
        fill(connection, table, (case.get("tables") or {}).get(table, []))
    text = read_sql(f"features/{name}.sql")
    parameters = dict(case.get("params") or {})
    if "events" in case:
        schema = pa.schema(list(SCHEMAS["events"].items()))
        rows = pa.Table.from_pylist(case["events"], schema=schema)
        pq.write_table(rows, tmp_path / "events.parquet")
        parameters["events"] = [str(tmp_path / "events.parquet")]
    if "known" in (case.get("tables") or {}):
        # Daily rows are summed by pair as they are in a snapshot.
        rows = connection.sql(f"SELECT {', '.join(DAILY)} FROM known").to_arrow_table()
        expose_pairs(connection, group_rows(rows), parameters["as_of"])
    used = {key: value for key, value in parameters.items() if f"${key}" in text}
    cursor = connection.execute(f"SELECT * FROM (\n{text}\n) ORDER BY ALL", used)
    names = [d[0] for d in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def plain(value: Any) -> Any:
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-6, abs=1e-7)
    return value.isoformat() if isinstance(value, date | datetime) else value


@pytest.mark.parametrize("name", FILES)
def test_every_sql_file_has_its_cases(name: str) -> None:
    path = CASES / f"{name}.yaml"
    assert path.exists(), f"sql/features/{name}.sql has no cases; write {path}."
    loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert loaded, f"{path} has no case."
    assert all(case["expected"] or case.get("empty") for case in loaded), (
        f"A case of {path} expects no row; say `empty: true` if that is meant."
    )


def test_every_yaml_belongs_to_a_sql_file() -> None:
    assert {p.stem for p in CASES.glob("*.yaml")} <= set(FILES)


@pytest.mark.parametrize(("name", "case"), cases())
def test_rows_are_the_expected_ones(tmp_path: Path, name: str, case: dict[str, Any]) -> None:
    rows = result(tmp_path, name, case)
    expected = case["expected"]
    shown = "\n".join(f"  {row}" for row in rows) or "  none"
    assert len(rows) == len(expected), (
        f"sql/features/{name}.sql, case {case['case']!r}: {len(rows)} rows, expected "
        f"{len(expected)}. Rows:\n{shown}"
    )
    for at, (row, wanted) in enumerate(zip(rows, expected, strict=True)):
        for column, value in wanted.items():
            assert column in row, f"sql/features/{name}.sql has no column {column}: {sorted(row)}"
            got = row[column]
            got = got.isoformat() if isinstance(got, date | datetime) else got
            assert got == plain(value), (
                f"sql/features/{name}.sql, case {case['case']!r}, row {at}: {column} is "
                f"{got!r}, expected {value!r}. Rows:\n{shown}"
            )
