# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Profiles of Parquet tables by DuckDB: exact counts and ranges, distributions from a bounded part.

Counts, nulls and ranges come from the files' own statistics, whatever their size. Means, quantiles
and histograms are taken from all rows of a small table, and from evenly spaced row groups of a
large one, so that a profile costs about the same however much the table grows.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.columns import LISTENER_ID
from homerec.ingest.quoting import ident, texts

#: A table of more rows is profiled from a part of it.
SAMPLE_ROWS: Final = 200_000
_LEAST_GROUPS: Final = 6
#: Different values and quantiles of a smaller table are exact.
_EXACT_ROWS: Final = 20_000
N_TOP: Final = 8
N_BINS: Final = 24
_QUANTILES: Final = (0.01, 0.25, 0.5, 0.75, 0.99)
_NUMBERS: Final = ("INT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")
#: Numbers that name things: their mean means nothing.
_KEYS: Final = frozenset(
    {"listener", "item", "content", "artist", "album", "show", "context", "event_hash"}
)


@dataclass(frozen=True)
class ColumnProfile:
    """One column.

    Attributes
    ----------
    name, type : str
        Its name, and DuckDB's type.
    n_null : int
        Rows without a value.
    n_distinct : int
        Different values among the profiled rows, approximately.
    low, high : float, str or None
        Range over all rows.
    mean : float or None
    quantiles : list of float
        At 1, 25, 50, 75 and 99 %; empty for texts and keys.
    top : list of (str, int)
        Most frequent values of a text, or of a number with few values, with their rows.
    edges, counts : list of float, list of int
        Histogram from the 1 % to the 99 % quantile; what lies beyond is in the outer bins.
    """

    name: str
    type: str
    n_null: int
    n_distinct: int
    low: float | str | None
    high: float | str | None
    mean: float | None
    quantiles: list[float]
    top: list[tuple[str, int]]
    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class TableProfile:
    """One table.

    Attributes
    ----------
    rows : int
        All its rows.
    profiled : int
        Rows from which distributions were taken.
    columns : list of ColumnProfile
    """

    rows: int
    profiled: int
    columns: list[ColumnProfile]

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)


def profile_files(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[Path],
    sample_rows: int = SAMPLE_ROWS,
) -> TableProfile:
    """Profile Parquet files of one schema as one table.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    files : sequence of Path
        At least one.
    sample_rows : int
        Distributions are taken from about as many rows at most.

    Returns
    -------
    TableProfile
    """
    source = f"read_parquet({texts(files)}, hive_partitioning = false, union_by_name = true)"
    types = {
        str(r[0]): str(r[1])
        for r in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    }
    metas = [(path, pq.read_metadata(path)) for path in files]
    rows = sum(meta.num_rows for _, meta in metas)
    if rows <= sample_rows:
        connection.execute(f"CREATE OR REPLACE TEMP VIEW profiled AS SELECT * FROM {source}")
    else:
        connection.register("profiled_part", _part(metas, sample_rows))
        connection.execute("CREATE OR REPLACE TEMP VIEW profiled AS FROM profiled_part")
    try:
        profiled, columns = _columns(connection, types, _statistics(connection, files, types))
    finally:
        connection.execute("DROP VIEW profiled")
        if rows > sample_rows:
            connection.unregister("profiled_part")
    return TableProfile(rows, profiled, columns)


def _part(metas: Sequence[tuple[Path, Any]], wanted: int) -> pa.Table:
    """Read evenly spaced row groups: the same ones every time."""
    groups = [
        (path, number, meta.row_group(number).num_rows)
        for path, meta in metas
        for number in range(meta.num_row_groups)
    ]
    mean = sum(n for _, _, n in groups) / len(groups)
    n_chosen = max(_LEAST_GROUPS, round(wanted / mean))
    chosen = np.unique(np.linspace(0, len(groups) - 1, n_chosen).astype(int))
    parts = []
    for at in chosen:
        path, number, _ = groups[at]
        with pq.ParquetFile(path) as file:
            table = file.read_row_group(number)
            # Some rows of several groups say more than all of one: rows lie in a key's order.
            step = max(1, table.num_rows * len(chosen) // wanted)
            parts.append(table.take(np.arange(0, table.num_rows, step)) if step > 1 else table)
    return pa.concat_tables(parts, promote_options="default")


def _statistics(
    connection: duckdb.DuckDBPyConnection, files: Sequence[Path], types: dict[str, str]
) -> dict[str, tuple[int | None, Any, Any]]:
    """Nulls and range of each column over all rows, from the files' own statistics."""
    found = connection.execute(
        f"""SELECT path_in_schema, sum(stats_null_count),
              bool_and(stats_null_count IS NOT NULL),
              min(TRY_CAST(stats_min_value AS DOUBLE)), max(TRY_CAST(stats_max_value AS DOUBLE)),
              min(stats_min_value), max(stats_max_value)
            FROM parquet_metadata({texts(files)}) GROUP BY ALL"""
    ).fetchall()
    result: dict[str, tuple[int | None, Any, Any]] = {}
    for name, nulls, known, low, high, first, last in found:
        if name == LISTENER_ID:
            # The ends of a range are ids, and a report names nobody.
            result[name] = (int(nulls) if known else None, None, None)
        elif name in types:
            ends = (low, high) if _is_number(types[name]) else (first, last)
            result[str(name)] = (int(nulls) if known else None, *ends)
    return result


def _is_number(kind: str) -> bool:
    return "[" not in kind and any(word in kind for word in _NUMBERS)


def _columns(
    connection: duckdb.DuckDBPyConnection,
    types: dict[str, str],
    statistics: dict[str, tuple[int | None, Any, Any]],
) -> tuple[int, list[ColumnProfile]]:
    names = list(types)
    n_rows = int(str(connection.execute("SELECT count(*) FROM profiled").fetchall()[0][0]))
    exact = n_rows <= _EXACT_ROWS
    quantile = "quantile_cont" if exact else "approx_quantile"
    measured = {name for name in names if _is_number(types[name]) and name not in _KEYS}
    selected: list[str] = []
    for name in names:
        column = ident(name)
        different = f"count(DISTINCT {column})" if exact else f"approx_count_distinct({column})"
        selected += [f"count(*) - count({column})", different]
        if name in measured:
            value = f"CAST({column} AS DOUBLE)"
            finite = f"CASE WHEN isfinite({value}) THEN {value} END"
            selected += [f"favg({finite})", f"{quantile}({finite}, {list(_QUANTILES)})"]
        else:
            selected += ["NULL", "NULL"]
    row = connection.execute(f"SELECT {', '.join(selected)} FROM profiled").fetchall()[0]
    profiles = []
    edges: dict[str, list[float]] = {}
    for place, name in enumerate(names):
        nulls, distinct, mean, quantiles = row[4 * place : 4 * place + 4]
        n_null, low, high = statistics.get(name, (None, None, None))
        quantiles = [] if mean is None else [float(q) for q in quantiles]
        if quantiles and quantiles[0] < quantiles[-1]:
            edges[name] = np.linspace(quantiles[0], quantiles[-1], N_BINS + 1).tolist()
        profiles.append(
            ColumnProfile(
                name, types[name], int(nulls) if n_null is None else n_null,
                min(int(distinct), n_rows - int(nulls)),
                low, high, None if mean is None else _steady(mean), quantiles, [], [], [],
            )
        )  # fmt: skip
    counts = _histograms(connection, edges)
    top = {
        p.name: _top(connection, p.name)
        for p in profiles
        if p.name not in measured | _KEYS and "[" not in p.type and "TIME" not in p.type
        and "STRUCT" not in p.type and not p.name.endswith("_id") and p.name != "title"
    }  # fmt: skip
    return n_rows, [
        ColumnProfile(
            **{
                **vars(p),
                "edges": edges.get(p.name, []),
                "counts": counts.get(p.name, []),
                "top": top.get(p.name, []),
            }
        )
        for p in profiles
    ]


def _histograms(
    connection: duckdb.DuckDBPyConnection, edges: dict[str, list[float]]
) -> dict[str, list[int]]:
    """Rows by bin of every column at once; the outer bins take what lies beyond."""
    if not edges:
        return {}
    parts = []
    for name, bounds in edges.items():
        low, width = bounds[0], bounds[1] - bounds[0]
        value = f"CAST({ident(name)} AS DOUBLE)"
        bin_ = (
            f"CAST(greatest(0, least({N_BINS - 1}, floor(({value} - {low!r}) / {width!r}))) AS INT)"
        )
        parts.append(f"histogram(CASE WHEN isfinite({value}) THEN {bin_} END)")
    row = connection.execute(f"SELECT {', '.join(parts)} FROM profiled").fetchall()[0]
    return {
        name: [int((found or {}).get(i, 0)) for i in range(N_BINS)]
        for name, found in zip(edges, row, strict=True)
    }


def _top(connection: duckdb.DuckDBPyConnection, name: str) -> list[tuple[str, int]]:
    rows = connection.execute(
        f"""SELECT CAST({ident(name)} AS VARCHAR) AS v, count(*) FROM profiled WHERE v IS NOT NULL
            GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {N_TOP}"""
    ).fetchall()
    return [(str(value), int(n)) for value, n in rows]


def _steady(mean: float) -> float:
    """Cut what the order of summation, which threads decide, leaves in the last digits."""
    return float(f"{float(mean):.10g}")
