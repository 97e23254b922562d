# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Opening one file as Parquet to scan with row numbers.

Text files (CSV, JSON Lines) are copied once into a staging Parquet file with every value as text,
so that a bad value is the fault of one row, known by file and line, and not of the whole file.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
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
#: Reason of a reject whose content is not to be kept: its listener was forgotten.
FORGOTTEN: Final = "forgotten"

#: Lines of a JSON Lines file in which keys are looked for that the mapping does not use.
SAMPLED_LINES: Final = 1_000

_NEXT: Final = count()
#: What to do about an unreadable file.
_GO_ON: Final = (
    "Deliver the file again, or go on without it: `homerec ingest --set-aside-files` remembers it, "
    "and reads it when it has changed."
)
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
    name : str
        Relative to the source, for reports and quarantine.
    label : str
        Path or URI, for messages.
    unused : tuple of str
        Its columns that the mapping does not use.
    absent : tuple of str
        Columns that the mapping may use, and that it does not have.
    drop : tuple of str
        Forgotten listeners, whose rows are left out.
    """

    path: Path
    scan: Path
    columns: dict[str, str]
    format: Format
    rejects: tuple[Reject, ...] = ()
    compression: str = "none"
    csv: CsvOptions = field(default_factory=CsvOptions)
    name: str = ""
    label: str = ""
    unused: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


def open_file(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    table: TableMap,
    staging: Path,
    *,
    name: str = "",
    label: str = "",
) -> Opened:
    """Open one file, staging text as Parquet.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Reads and stages it.
    path : Path
        Where it is on this machine.
    table : TableMap
        How it is read.
    staging : Path
        Folder for the staged copy.
    name, label : str
        What it is called in reports, and in messages; by default its path.

    Raises
    ------
    MalformedFile
        The file cannot be read in its format, or lacks a column that the mapping needs.
    """
    opened = open_as(
        connection, path, table.format, table.csv, table.source_columns, staging, label
    )
    return replace(opened, name=name or str(path))


def open_as(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    form: Format | None,
    options: CsvOptions,
    needed: dict[str, bool],
    staging: Path,
    label: str = "",
) -> Opened:
    """Open one file, given its format and the columns needed (name -> may be absent).

    Raises
    ------
    MalformedFile
        As for :func:`open_file`.
    """
    label = label or str(path)
    stem = Path(path.name)
    compression = COMPRESSIONS.get(stem.suffix.lower(), "none")
    if compression != "none":
        stem = stem.with_suffix("")
    form = form or SUFFIXES.get(stem.suffix.lower())
    if form is None:
        raise MalformedFile(
            f"{label}: the suffix {path.suffix!r} names no known format. Rename the file "
            f"({', '.join(SUFFIXES)}, text also .gz or .zst) or set 'format' in the mapping."
        )
    if form == "parquet" and compression != "none":
        raise MalformedFile(
            f"{label}: a Parquet file is compressed inside, and cannot be read wrapped in "
            f"{compression}. Deliver it unwrapped."
        )
    opener: dict[Format, Callable[[], Opened]] = {
        "parquet": lambda: _open_parquet(connection, path),
        "csv": lambda: _stage_csv(connection, path, stem, compression, options, staging),
        "jsonl": lambda: _stage_jsonl(connection, path, compression, needed, staging),
    }
    try:
        opened = replace(opener[form](), label=label)
    except MalformedFile as error:
        raise MalformedFile(f"{label}: {error}") from error.__cause__
    except _READ_ERRORS as error:
        raise malformed(path, form, error, label) from error
    have = [c for c in opened.columns if c != JSON_FLAG]
    have += [c for c in opened.unused if c not in opened.columns]
    check_columns(label, opened.columns, have, needed)
    absent = {*opened.absent, *(set(needed) - set(opened.columns))}
    return replace(
        opened, unused=unused_columns(have, needed), absent=tuple(sorted(absent)),
    )  # fmt: skip


def check_columns(
    label: str, columns: Iterable[str], have: Iterable[str], needed: dict[str, bool]
) -> None:
    """See that nothing that a mapping needs is absent.

    Parameters
    ----------
    label : str
        What was opened, for the message.
    columns : iterable of str
        Those that can be read.
    have : iterable of str
        Those that there are, for the message.
    needed : dict of str to bool
        Those that the mapping reads -> whether they may be absent.

    Raises
    ------
    MalformedFile
        A column is absent that may not be.
    """
    columns = set(columns)
    missing = sorted(n for n, optional in needed.items() if not optional and n not in columns)
    if missing:
        raise MalformedFile(
            f"{label}: no column {', '.join(missing)}; it has {', '.join(have) or 'none'}. "
            "Correct the file, or the mapping's column names and csv options."
        )


def unused_columns(have: Iterable[str], needed: dict[str, bool]) -> tuple[str, ...]:
    """Columns that a mapping does not use; ``user.id`` uses the object ``user``."""
    used = {*needed, *(name.split(".")[0] for name in needed)}
    return tuple(column for column in have if column not in used)


def malformed(path: Path, form: str, error: Exception, label: str = "") -> MalformedFile:
    """Return the error for a file that cannot be read."""
    label = label or str(path)
    reason = str(error).strip().split("\n")[0].replace(str(path), label)
    return MalformedFile(f"{label} is not readable as {form}: {reason}. {_GO_ON}")


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
        raise malformed(opened.path, opened.format, error, opened.label) from error


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
        raise MalformedFile(f"it is empty, not even a header is there. {_GO_ON}")
    # Names differ by more than case in DuckDB.
    folded = [n.casefold() for n in names]
    twice = sorted({n for n in names if folded.count(n.casefold()) > 1})
    if twice:
        raise MalformedFile(f"the header names {', '.join(twice)} more than once.")
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
                  FROM {_lines_of(path, compression)})))
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
            f"none of its {n_lines} lines is a JSON object. Check the format, or the file's name."
        )
    keys = _sampled_keys(connection, path, compression)
    # A key that no line has is a misspelt mapping; an empty file proves nothing.
    columns = {
        n: "VARCHAR"
        for n, g in zip(names, given, strict=True)
        if g or n in keys or needed[n] or not n_lines
    }
    # Optional ones stay in the schema, so that files without them are scanned with the others.
    absent = tuple(n for n, g in zip(names, given, strict=True) if not g and n not in keys)
    return Opened(
        path, target, {**columns, JSON_FLAG: "BOOLEAN"}, "jsonl", unused=keys, absent=absent
    )


def _sampled_keys(
    connection: duckdb.DuckDBPyConnection, path: Path, compression: str
) -> tuple[str, ...]:
    """Keys of the objects in the first lines of a file."""
    rows = connection.execute(
        f"""SELECT DISTINCT unnest(json_keys(CASE WHEN json_valid(line) THEN line END))
            FROM (SELECT line FROM {_lines_of(path, compression)} LIMIT {SAMPLED_LINES})
            ORDER BY 1"""
    ).fetchall()
    return tuple(str(r[0]) for r in rows)


def _lines_of(path: Path, compression: str) -> str:
    return (
        f"read_csv({text(path)}, auto_detect = false, header = false, "
        "columns = {'line': 'VARCHAR'}, delim = '\\0', quote = '', escape = '', "
        f"max_line_size = 16777216, compression = {text(compression)})"
    )
