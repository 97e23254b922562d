# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Rows of a listener out of any Parquet or NumPy file, found by its columns and not by its name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.columns import LISTENER
from homerec.forget.report import What
from homerec.forget.targets import Targets
from homerec.ingest.quoting import ident, text
from homerec.lake import atomic_file

_INTEGERS: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UINTEGER", "UBIGINT", "HUGEINT")
Counts = dict[What, int]
Rows = npt.NDArray[np.int64]


def purge_parquet(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    targets: Targets,
    columns: Mapping[str, frozenset[str]],
    *,
    keyed: bool,
    set_aside: bool = False,
    apply: bool,
) -> Counts:
    """Remove a listener's rows from a Parquet file, and overwrite mentions in what stays.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    path : Path
    targets : Targets
    columns : mapping of str to frozenset of str
        Columns that name a listener, to the values that do.
    keyed : bool
        Whether an integer column ``listener`` holds dense keys (in a producer's file it does not).
    set_aside : bool
        The file is of the quarantine: ``row`` holds the source's columns as JSON, and a row that
        names a listener in any text is removed as a whole.
    apply : bool
        Change the file; otherwise only count.

    Returns
    -------
    dict
        Counts of ``rows`` and ``mentions``.

    Raises
    ------
    duckdb.Error
        The file cannot be read.
    """
    source = f"read_parquet({text(path)}, hive_partitioning = false, file_row_number = true)"
    types = {
        str(row[0]): str(row[1])
        for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    }
    mine = _own_rows(types, targets, columns, keyed=keyed, set_aside=set_aside)
    texts = [n for n, kind in types.items() if "VARCHAR" in kind or kind == "JSON"]
    expression = targets.re2()
    found = " OR ".join(
        f"regexp_matches(CAST({ident(name)} AS VARCHAR), $expression)" for name in texts
    )
    named = found if expression and found else "false"
    parameters = {"expression": expression} if expression and found else {}
    dropped, told = (
        _numbers(connection, source, mine, {}),
        _numbers(connection, source, named, parameters),
    )
    if set_aside:
        dropped, told = np.union1d(dropped, told), told[:0]
    told = np.setdiff1d(told, dropped)
    if apply and (len(dropped) or len(told)):
        _rewrite(path, targets, dropped, told, texts)
    counts: Counts = {"rows": len(dropped), "mentions": len(told)}
    return {what: n for what, n in counts.items() if n}


def _numbers(
    connection: duckdb.DuckDBPyConnection, source: str, condition: str, parameters: dict[str, Any]
) -> Rows:
    """Numbers of the rows that meet a condition, ascending."""
    if condition == "false":
        return np.zeros(0, dtype=np.int64)
    found = connection.execute(
        f"SELECT file_row_number AS n FROM {source} WHERE {condition}", parameters
    ).fetchnumpy()["n"]
    return np.sort(np.asarray(found, dtype=np.int64))


def _own_rows(
    types: Mapping[str, str],
    targets: Targets,
    columns: Mapping[str, frozenset[str]],
    *,
    keyed: bool,
    set_aside: bool,
) -> str:
    """Build the SQL that is true for a row of one of the listeners."""
    parts = []
    if keyed and targets.keys and types.get(LISTENER, "") in _INTEGERS:
        keys = ", ".join(str(key) for key in sorted(targets.keys))
        parts.append(f"{ident(LISTENER)} IN ({keys})")
    for name, values in columns.items():
        given = ", ".join(text(v) for v in sorted(values))
        if values and name in types:
            parts.append(f"trim(CAST({ident(name)} AS VARCHAR)) IN ({given})")
        if values and set_aside and "row" in types:
            cell = text('$."' + name.replace('"', '\\"') + '"')
            whole = 'CASE WHEN json_valid("row") THEN "row" END'
            parts.append(f"trim(json_extract_string({whole}, {cell})) IN ({given})")
    return " OR ".join(f"coalesce({part}, false)" for part in parts) or "false"


def _rewrite(
    path: Path,
    targets: Targets,
    dropped: Rows,
    told: Rows,
    texts: list[str],
) -> None:
    """Write the file anew, row group by row group: schema, order and compression stay."""
    with pq.ParquetFile(path) as file, atomic_file(path) as target:
        # Statistics of an empty file say nothing of compression; zstd is what homerec writes.
        meta = file.metadata
        codec = meta.row_group(0).column(0).compression if meta.num_row_groups else "ZSTD"
        codec = {"UNCOMPRESSED": "none", "LZ4_RAW": "lz4"}.get(codec, codec.lower())
        with pq.ParquetWriter(target, file.schema_arrow, compression=codec) as writer:
            start = 0
            for number in range(meta.num_row_groups):
                table = file.read_row_group(number)
                end = start + table.num_rows
                inside = told[(told >= start) & (told < end)] - start
                if len(inside):
                    table = _overwritten(table, targets, inside, texts)
                gone = dropped[(dropped >= start) & (dropped < end)] - start
                if len(gone):
                    kept = np.ones(table.num_rows, dtype=np.bool_)
                    kept[gone] = False
                    table = table.filter(pa.array(kept))
                if table.num_rows:
                    writer.write_table(table, row_group_size=table.num_rows)
                start = end


def _overwritten(
    table: pa.Table,
    targets: Targets,
    rows: Rows,
    texts: list[str],
) -> pa.Table:
    for name in texts:
        column = table[name]
        values = column.to_pylist()
        changed = False
        for row in rows:
            new = _redacted(values[row], targets)
            changed |= new != values[row]
            values[row] = new
        if changed:
            place = table.column_names.index(name)
            table = table.set_column(place, table.field(name), pa.array(values, column.type))
    return table


def _redacted(value: Any, targets: Targets) -> Any:
    if isinstance(value, str):
        return targets.redact(value)[0]
    if isinstance(value, list):
        return [_redacted(v, targets) for v in value]
    if isinstance(value, dict):
        return {k: _redacted(v, targets) for k, v in value.items()}
    return value


def purge_npz(path: Path, targets: Targets, *, apply: bool) -> Counts:
    """Remove a listener's entries from arrays that lie beside an array of listener keys.

    Raises
    ------
    ValueError, OSError
        The file cannot be read without pickle.
    """
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    gone = 0
    for name in (LISTENER, "listeners"):
        keys = arrays.get(name)
        if keys is None or keys.dtype.kind not in "iu":
            continue
        mine = np.isin(keys, np.array(sorted(targets.keys), dtype=np.int64))
        gone += int(mine.sum())
        if mine.any():
            arrays = {
                n: a[~mine] if a.ndim and len(a) == len(keys) else a for n, a in arrays.items()
            }
    told = 0
    for name, array in arrays.items():
        if array.dtype.kind == "U":
            flat = [targets.redact(str(v)) for v in array.ravel()]
            n = sum(count for _, count in flat)
            if n:
                told += n
                arrays[name] = np.array([v for v, _ in flat]).reshape(array.shape)
    if apply and (gone or told):
        with atomic_file(path) as target, target.open("wb") as stream:
            np.savez(stream, **arrays)
    counts: Counts = {"rows": gone, "mentions": told}
    return {what: n for what, n in counts.items() if n}
