"""Looks for a text, and for a listener's key, in everything that a deployment owns.

Written apart from `homerec.forget`, so that the two cannot be blind in the same place.
"""

import gzip
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_TEXTUAL = ("text", "character varying", "character", "json", "jsonb", "xml", "name")


def in_files(root: Path, wanted: str) -> set[str]:
    """Files below a folder whose bytes, unpacked bytes, or values hold the text."""
    return {
        str(path.relative_to(root))
        for path in sorted(root.rglob("*"))
        if path.is_file() and any(wanted.encode() in part for part in _parts(path))
    }


def _parts(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    suffix = path.suffix
    if suffix == ".parquet":
        yield from _values(path)
    elif suffix == ".gz":
        yield gzip.decompress(path.read_bytes())
    elif suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as stream:
            yield stream.read()
    elif suffix in (".npz", ".skops"):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield archive.read(name)
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                yield str(arrays[name].tolist()).encode()


def _values(path: Path) -> Iterator[bytes]:
    for column in pq.read_table(path, partitioning=None).columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            yield "\n".join(filter(None, pc.unique(column).to_pylist())).encode()
        elif not pa.types.is_primitive(column.type):
            yield str(column.to_pylist()).encode()


def key_in_files(root: Path, key: int) -> set[str]:
    """Files with a row, or an entry of an array, that a listener's key names."""
    found = set()
    with duckdb.connect() as connection:
        for path in sorted(root.rglob("*.parquet")):
            if "listener" in pq.read_schema(path).names:
                query = "SELECT count(*) FROM read_parquet(?) WHERE listener = ?"
                if connection.execute(query, [str(path), key]).fetchall()[0][0]:
                    found.add(str(path.relative_to(root)))
    for path in sorted(root.rglob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                named = name.startswith("listener") and arrays[name].dtype.kind in "iu"
                if named and key in arrays[name]:
                    found.add(f"{path.relative_to(root)}:{name}")
    return found


def in_database(url: str, wanted: str) -> set[str]:
    """Columns, of every table of every schema of a database, and of its statistics, with a text."""
    found = set()
    with psycopg2.connect(_plain(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name, column_name, data_type, udt_name "
            "FROM information_schema.columns JOIN information_schema.tables "
            "USING (table_schema, table_name) WHERE table_type = 'BASE TABLE' "
            "AND table_schema NOT IN ('information_schema', 'pg_catalog')"
        )
        for schema, table, column, kind, udt in cursor.fetchall():
            text = f'"{column}"::text'
            if kind == "bytea":
                text, value = f"encode(\"{column}\", 'hex')", wanted.encode().hex()
            elif kind in _TEXTUAL or (kind == "ARRAY" and udt in ("_text", "_varchar")):
                value = wanted
            else:
                continue
            cursor.execute(
                f'SELECT count(*) FROM "{schema}"."{table}" WHERE strpos({text}, %s) > 0', (value,)
            )
            if cursor.fetchone()[0]:
                found.add(f"{schema}.{table}.{column}")
        cursor.execute(
            "SELECT schemaname || '.' || tablename || '.' || attname FROM pg_stats WHERE "
            "strpos(concat(most_common_vals::text, histogram_bounds::text), %s) > 0",
            (wanted,),
        )
        found |= {f"statistics of {row[0]}" for row in cursor.fetchall()}
    return found


def key_in_database(url: str, key: int) -> set[str]:
    """Tables, partitions among them, with a row that a listener's key names."""
    found = set()
    with psycopg2.connect(_plain(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.columns "
            "JOIN information_schema.tables USING (table_schema, table_name) "
            "WHERE column_name = 'listener' AND table_type = 'BASE TABLE'"
        )
        for schema, table in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{schema}"."{table}" WHERE listener = %s', (key,))
            if cursor.fetchone()[0]:
                found.add(f"{schema}.{table}")
    return found


def rows(url: str, query: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Run a statement; returns its rows, if it has any."""
    with psycopg2.connect(_plain(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query, parameters or None)
        return cursor.fetchall() if cursor.description else []


def execute(url: str, statement: str) -> None:
    """Run a statement that no transaction may hold."""
    connection = psycopg2.connect(_plain(url))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def _plain(url: str) -> str:
    return re.sub(r"^postgresql\+psycopg2", "postgresql", url)
