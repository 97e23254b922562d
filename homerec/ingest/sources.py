# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Files of a source: finding them, and opening each as Parquet to scan with row numbers.

Text files (CSV, JSON Lines) are copied once into a staging Parquet file with every value as text,
so that a bad value is the fault of one row, known by file and line, and not of the whole file.
"""

import csv
import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from homerec.errors import MalformedFile, MappingError
from homerec.ingest.mapping import CsvOptions, Format, TableMap
from homerec.ingest.quoting import ident, text, texts

SUFFIXES: Final[dict[str, Format]] = {
    ".parquet": "parquet", ".pq": "parquet",
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".dat": "csv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
}  # fmt: skip
COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd"}
#: Marks, in staged JSON Lines, whether the line was a JSON object (NULL for a blank line).
JSON_FLAG: Final = "__is_object"
#: Columns that DuckDB adds to a Parquet scan.
FILE_COLUMN: Final = "__file"
ROW_COLUMN: Final = "file_row_number"

_NEXT: Final = count()
_READ_ERRORS: Final = (duckdb.Error, OSError, EOFError, zlib.error, UnicodeError, csv.Error)


@dataclass(frozen=True)
class Reject:
    """A record of a text file that is not a row of the table; ``line`` counts records, from 1."""

    line: int
    reason: str
    content: str


@dataclass(frozen=True)
class Opened:
    """A file that DuckDB can scan as Parquet.

    Attributes
    ----------
    path : Path
        The file in the source.
    scan : Path
        The Parquet file to scan: itself, or its staged copy.
    columns : dict of str to str
        DuckDB type by column.
    format : {"parquet", "csv", "jsonl"}
        What the file is.
    rejects : tuple of Reject
        Lines without the right shape, in order; not in the scan.
    compression : {"none", "gzip", "zstd"}
        Of the whole file.
    csv : CsvOptions
        How a text table is written.
    """

    path: Path
    scan: Path
    columns: dict[str, str]
    format: Format
    rejects: tuple[Reject, ...] = ()
    compression: str = "none"
    csv: CsvOptions = field(default_factory=CsvOptions)


def find_files(source: Path, table: TableMap) -> list[Path]:
    """Files of the source that a table's patterns match, in the order of their names.

    Hidden files and ones still being written (``.tmp``, ``.part``) are left out.

    Parameters
    ----------
    source : Path
        A folder, or one file (then only that file can match).
    table : TableMap
        Whose patterns to match.
    """
    if source.is_dir():
        found = {p for pattern in table.files for p in source.glob(pattern) if p.is_file()}
    else:
        # Matched from its end: inbox/events/a.csv is one of "events/*".
        found = {source for pattern in table.files if source.is_file() and source.match(pattern)}
    return sorted(
        p for p in found if not p.name.startswith((".", "_")) and p.suffix not in (".tmp", ".part")
    )


def open_file(
    connection: duckdb.DuckDBPyConnection, path: Path, table: TableMap, staging: Path
) -> Opened:
    """Open one file, staging text as Parquet.

    Raises
    ------
    MalformedFile
        The file cannot be read in its format, or lacks a column that the mapping needs.
    """
    return open_as(connection, path, table.format, table.csv, table.source_columns, staging)


def open_as(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    form: Format | None,
    options: CsvOptions,
    needed: dict[str, bool],
    staging: Path,
) -> Opened:
    """Open one file, given its format and the columns needed (name -> may be absent).

    Raises
    ------
    MalformedFile
        As for :func:`open_file`.
    """
    stem = Path(path.name)
    compression = COMPRESSIONS.get(stem.suffix.lower(), "none")
    if compression != "none":
        stem = stem.with_suffix("")
    form = form or SUFFIXES.get(stem.suffix.lower())
    if form is None:
        raise MalformedFile(
            f"{path}: the suffix {path.suffix!r} names no known format. Rename the file "
            f"({', '.join(SUFFIXES)}, text also .gz or .zst) or set 'format' in the mapping."
        )
    opener: dict[Format, Callable[[], Opened]] = {
        "parquet": lambda: _open_parquet(connection, path),
        "csv": lambda: _stage_csv(connection, path, stem, compression, options, staging),
        "jsonl": lambda: _stage_jsonl(connection, path, compression, needed, staging),
    }
    try:
        opened = opener[form]()
    except _READ_ERRORS as error:
        raise malformed(path, form, error) from error
    missing = sorted(
        n for n, optional in needed.items() if not optional and n not in opened.columns
    )
    if missing:
        raise MalformedFile(
            f"{path}: no column {', '.join(missing)}; it has "
            f"{', '.join(c for c in opened.columns if c != JSON_FLAG) or 'none'}. "
            "Correct the file, or the mapping's column names and csv options."
        )
    return opened


def malformed(path: Path, form: str, error: Exception) -> MalformedFile:
    """Return the error for a file that cannot be read."""
    reason = str(error).strip().split("\n")[0]
    return MalformedFile(
        f"{path} is not readable as {form}: {reason}. "
        "Deliver the file again, or ingest with set-aside of files to go on without it."
    )


def verify(connection: duckdb.DuckDBPyConnection, opened: Opened) -> None:
    """Read the columns of a Parquet file to its end.

    Raises
    ------
    MalformedFile
        A page of it is damaged.
    """
    sums = ", ".join(f"count({ident(c)})" for c in opened.columns)
    try:
        connection.execute(
            f"SELECT {sums}, sum(length(COLUMNS(*)::VARCHAR)) FROM {scan_of([opened])}"
        ).fetchall()
    except duckdb.Error as error:
        raise malformed(opened.path, opened.format, error) from error


def scan_of(files: list[Opened]) -> str:
    """Build the SQL of a scan over files of one schema, with file name and row number."""
    return (
        f"read_parquet({texts(f.scan for f in files)}, filename = {text(FILE_COLUMN)}, "
        "file_row_number = true, hive_partitioning = false)"
    )


def _open_parquet(connection: duckdb.DuckDBPyConnection, path: Path) -> Opened:
    rows = connection.execute(
        f"DESCRIBE SELECT * FROM read_parquet({text(path)}, hive_partitioning = false)"
    ).fetchall()
    return Opened(path, path, {r[0]: r[1] for r in rows}, "parquet")


def _check_gzip(path: Path) -> None:
    # DuckDB does not compare gzip's checksum: a flipped bit would come through as other data.
    with gzip.open(path, "rb") as stream:
        while stream.read(1 << 20):
            pass


def _header(path: Path, compression: str, delimiter: str, options: CsvOptions) -> list[str]:
    packed = None if compression == "none" else compression
    with pa.input_stream(str(path), compression=packed) as stream:
        start = stream.read(1 << 20)
    first = start.decode(options.encoding, errors="replace").lstrip("\ufeff").splitlines()[:1]
    if not first:
        return []
    if not options.quote:
        return [name.strip() for name in first[0].split(delimiter)]
    row = next(csv.reader(first, delimiter=delimiter, quotechar=options.quote))
    return [name.strip() for name in row]


def _stage_csv(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    stem: Path,
    compression: str,
    options: CsvOptions,
    staging: Path,
) -> Opened:
    if compression == "gzip":
        _check_gzip(path)
    delimiter = options.delimiter or ("\t" if stem.suffix.lower() == ".tsv" else ",")
    names = (
        _header(path, compression, delimiter, options) if options.header else list(options.names)
    )
    if not names:
        raise MalformedFile(f"{path} is empty: not even a header. Deliver the file again.")
    # Names differ by more than case in DuckDB.
    folded = [n.casefold() for n in names]
    twice = sorted({n for n in names if folded.count(n.casefold()) > 1})
    if twice:
        raise MalformedFile(f"{path}: the header names {', '.join(twice)} more than once.")
    number = next(_NEXT)
    target, table, scans = staging / f"text{number}.parquet", f"rj{number}", f"rs{number}"
    columns = ", ".join(f"{text(n)}: 'VARCHAR'" for n in names)
    quote = text(options.quote)
    connection.execute(
        f"""COPY (SELECT * FROM read_csv({text(path)}, auto_detect = false, header = false,
            skip = {int(options.header)}, columns = {{{columns}}}, delim = {text(delimiter)},
            quote = {quote}, escape = {quote}, nullstr = {texts(options.nulls)},
            encoding = {text(options.encoding)}, compression = {text(compression)},
            store_rejects = true, rejects_table = {text(table)}, rejects_scan = {text(scans)}))
            TO {text(target)} (FORMAT parquet, COMPRESSION lz4_raw)"""
    ).fetchall()
    rows = connection.execute(
        f"SELECT line, min(lower(CAST(error_type AS VARCHAR))), min(csv_line) FROM {table} "
        "GROUP BY line ORDER BY line"
    ).fetchall()
    connection.execute(f"DROP TABLE {table}").fetchall()
    connection.execute(f"DROP TABLE {scans}").fetchall()
    rejects = tuple(Reject(int(r[0]), str(r[1]), str(r[2] or "").strip("\r\n")) for r in rows)
    return Opened(
        path, target, dict.fromkeys(names, "VARCHAR"), "csv", rejects, compression, options
    )


def _json_path(name: str) -> str:
    # A dot descends into nested objects: user.id -> $."user"."id".
    return "$" + "".join(f'."{part}"' for part in name.split("."))


def _stage_jsonl(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    compression: str,
    needed: dict[str, bool],
    staging: Path,
) -> Opened:
    if compression == "gzip":
        _check_gzip(path)
    if any('"' in name for name in needed):
        raise MappingError('A source column of JSON Lines cannot have a " in its name.')
    names = sorted(needed)
    target = staging / f"text{next(_NEXT)}.parquet"
    paths = texts(_json_path(n) for n in names)
    picked = ", ".join(f"v[{i}] AS {ident(n)}" for i, n in enumerate(names, start=1))
    connection.execute(
        f"""COPY (
              SELECT {picked}, ok AS {JSON_FLAG}
              FROM (SELECT ok, CASE WHEN ok THEN json_extract_string(line, {paths}) END AS v
                FROM (SELECT line, CASE WHEN trim(line) <> '' THEN coalesce(
                        json_type(CASE WHEN json_valid(line) THEN line END) = 'OBJECT', false)
                      END AS ok
                  FROM read_csv({text(path)}, auto_detect = false, header = false,
                    columns = {{'line': 'VARCHAR'}}, delim = '\\0', quote = '', escape = '',
                    max_line_size = 16777216, compression = {text(compression)}))))
            TO {text(target)} (FORMAT parquet, COMPRESSION lz4_raw)"""
    ).fetchall()
    counted = ", ".join(f"count({ident(n)})" for n in names)
    (row,) = connection.execute(
        f"SELECT count(*) FILTER ({JSON_FLAG}), count({JSON_FLAG}), {counted} "
        f"FROM read_parquet({text(target)})"
    ).fetchall()
    n_objects, n_lines, *given = row
    if n_lines and not n_objects:
        raise MalformedFile(
            f"{path}: none of its {n_lines} lines is a JSON object. Check the format."
        )
    # A key that no line has is a misspelt mapping; an empty file proves nothing.
    columns = {
        n: "VARCHAR" for n, g in zip(names, given, strict=True) if g or needed[n] or not n_lines
    }
    return Opened(path, target, {**columns, JSON_FLAG: "BOOLEAN"}, "jsonl")
