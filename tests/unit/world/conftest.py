"""One small world, generated once, as DuckDB views."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from homerec.world import WorldReport, generate

LISTENERS = 600
DAYS = 40


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> WorldReport:
    out: Path = tmp_path_factory.mktemp("world") / "inbox"
    return generate(out, listeners=LISTENERS, days=DAYS, progress=False)


@pytest.fixture(scope="session")
def db(report: WorldReport) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for table in report.out.iterdir():
            connection.execute(f"CREATE VIEW {table.name} AS FROM '{table}/*.parquet'")
        yield connection
