# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Quarantine: rows and files that cannot be used, kept with their place and the rule they broke."""

import shutil
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from homerec.errors import QuarantineExceeded, RowsLost
from homerec.ingest.contracts import CONTRACTS
from homerec.ingest.gathering import rows_by_file
from homerec.ingest.lines import line_shifts, reject_lines
from homerec.ingest.quoting import ident, text
from homerec.ingest.report import BrokenRule
from homerec.ingest.rules import MALFORMED_LINE
from homerec.ingest.sources import FILE_COLUMN, FORGOTTEN, JSON_FLAG, ROW_COLUMN, Opened, scan_of
from homerec.ingest.state import Run

#: A handful of bad rows does not make new files a bad delivery; the report warns of them.
FEW_ROWS: Final = 10


def count_bad(run: Run) -> None:
    """Bring the rows found bad, and the lines that were no rows, into the report."""
    for name, rule, n in run.sql(
        "SELECT tbl, rule, count(*) FROM bad GROUP BY ALL ORDER BY tbl, count(*) DESC, rule"
    ):
        run.report.tables[str(name)].quarantined[str(rule)] = int(str(n))
    for name, files in run.opened.items():
        rejects = sum(r.reason != FORGOTTEN for opened in files for r in opened.rejects)
        if rejects:
            report = run.report.tables[name]
            report.quarantined[MALFORMED_LINE] = rejects
            report.read += rejects


def write_quarantine(run: Run, folder: Path) -> None:
    """Write one Parquet file per table that has bad rows, and copy the unreadable files.

    Columns: file, line (1-based), rule, column, value, row (JSON).
    """
    written = False
    for name, files in run.opened.items():
        if run.report.tables[name].quarantined:
            _write_rows(run, name, files, folder / f"{name}.parquet")
            written = True
    for name, (path, reason) in run.broken_files.items():
        # An object's key is free to have dots as a folder; the copy stays in its own.
        parts = [part.replace("..", "__") for part in PurePosixPath(name).parts]
        target = folder.joinpath("files", *parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        run.report.set_aside_files[name] = reason
        written = True
    if written:
        run.report.quarantine = str(folder)


def examples(run: Run) -> dict[str, list[BrokenRule]]:
    """Return by table each broken rule and column, with the first row that breaks it."""
    folder = run.staging / "quarantine"
    found: dict[str, list[BrokenRule]] = {}
    for name, files in run.opened.items():
        if not run.report.tables[name].quarantined:
            continue
        path = folder / f"{name}.parquet"
        _write_rows(run, name, files, path)
        rows = run.sql(
            f"""SELECT rule, "column", count(*), arg_min(struct_pack(file, line, value),
                    struct_pack(file, line))
                FROM read_parquet({text(path)}) GROUP BY ALL ORDER BY 3 DESC, 1, 2"""
        )
        found[name] = [
            BrokenRule(str(rule), None if column is None else str(column), int(str(n)), **first)
            for rule, column, n, first in rows
            if isinstance(first, dict)
        ]
    return found


def _write_rows(run: Run, name: str, files: list[Opened], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    run.sql(
        "CREATE OR REPLACE TEMP TABLE aside "
        '(file VARCHAR, line BIGINT, rule VARCHAR, "column" VARCHAR, value VARCHAR, row VARCHAR)'
    )
    _add_lines(run, files)
    broken = {
        str(r[0]) for r in run.sql(f"SELECT DISTINCT filename FROM bad WHERE tbl = {text(name)}")
    }
    # Files of one schema are read together: a query for each of a thousand files takes its time.
    by_schema: dict[tuple[str, ...], list[Opened]] = {}
    for opened in files:
        if str(opened.scan) in broken:
            by_schema.setdefault(tuple(opened.columns), []).append(opened)
    for alike in by_schema.values():
        _add_rows(run, name, alike)
    n_rows, n_bad = run.number("SELECT count(*) FROM aside"), run.report.tables[name].n_quarantined
    if n_rows != n_bad:
        raise RowsLost(
            f"{n_bad:,} rows of {name} break a rule, and quarantine would hold {n_rows:,}; none "
            "may be lost. Nothing was written to the lake. This is a fault of homerec's: report it."
        )
    run.sql(
        f"COPY (SELECT * FROM aside ORDER BY file, line) TO {text(target)} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )


def _add_lines(run: Run, files: list[Opened]) -> None:
    """Add the lines that were no rows."""
    found: dict[str, list[Any]] = {"file": [], "line": [], "reason": [], "content": []}
    for opened in files:
        rejects = [r for r in opened.rejects if r.reason != FORGOTTEN]
        lines = reject_lines(opened) if rejects else {}
        for reject in rejects:
            found["file"].append(opened.name)
            found["line"].append(lines.get(reject.line, reject.line))
            found["reason"].append(reject.reason)
            found["content"].append(reject.content)
    select = f"file, line, {text(MALFORMED_LINE)}, NULL, reason, to_json(content)"
    if found["file"]:
        _with_values(run, found, f"INSERT INTO aside SELECT {select} FROM given_values")


def _with_values(run: Run, values: dict[str, list[Any]], query: str) -> None:
    """Run a query that reads columns of values; row by row would take minutes."""
    run.connection.register("given_values", pa.table(values))
    run.sql(query)
    run.connection.unregister("given_values")


def _add_rows(run: Run, name: str, files: list[Opened]) -> None:
    """Add the rows of files of one schema that break a rule."""
    mapping = run.mapping.tables[name]
    columns = files[0].columns
    moved: dict[str, list[Any]] = {"scan": [], "file": [], "start": [], "shift": []}
    for opened in files:
        for start, shift in line_shifts(opened):
            moved["scan"].append(str(opened.scan))
            moved["file"].append(opened.name)
            moved["start"].append(start)
            moved["shift"].append(shift)
    cells = ", ".join(f"{text(c)}, s.{ident(c)}" for c in columns if c != JSON_FLAG)
    values = " ".join(
        f"WHEN {text(c.name)} THEN CAST(s.{ident(how.column)} AS VARCHAR)"
        for c in CONTRACTS[name].columns
        if (how := mapping.columns.get(c.name)) and how.column and how.column in columns
    )
    value = f"CASE b.col {values} END" if values else "CAST(NULL AS VARCHAR)"
    _with_values(
        run,
        moved,
        f"""INSERT INTO aside
            SELECT t.file, b.row + t.shift, b.rule, b.col, {value},
                   CAST(json_object({cells}) AS VARCHAR)
            FROM (SELECT * FROM bad WHERE tbl = {text(name)}) b
            JOIN {scan_of(files)} s ON s.{ROW_COLUMN} = b.row AND s.{FILE_COLUMN} = b.filename
            ASOF JOIN given_values t ON t.scan = b.filename AND b.row >= t.start""",
    )


def check_nothing_lost(run: Run) -> None:
    """Compare what was read with what became of it, before anything is written.

    Raises
    ------
    RowsLost
        A table's rows do not add up.
    """
    for name, table in run.report.tables.items():
        kept = table.written + table.duplicates + table.n_quarantined + table.forgotten
        if table.read != kept:
            raise RowsLost(
                f"{table.read:,} rows of {name} were read, and {table.written:,} written + "
                f"{table.duplicates:,} duplicates + {table.n_quarantined:,} quarantined + "
                f"{table.forgotten:,} forgotten make {kept:,}; none may be lost. Nothing was "
                "written to the lake. "
                "This is a fault of homerec's: report it."
            )
        if CONTRACTS[name].write == "append":
            staged = sum(pq.read_metadata(p).num_rows for p in run.staged_partitions(name))
            if staged != table.written:
                raise RowsLost(
                    f"{table.written:,} rows of {name} are new, and the files made for the lake "
                    f"hold {staged:,}. Nothing was written to the lake. "
                    "This is a fault of homerec's: report it."
                )


def check_limit(run: Run, folder: Path) -> None:
    """Refuse the ingest when a table has too large a share of bad rows.

    Judged are all rows of the source, and by themselves the files that no ingest has accepted yet:
    in a year of good files, a new one that is all bad would not be seen.

    Raises
    ------
    QuarantineExceeded
        A share is over ``Settings.quarantine_limit_ratio``.
    """
    limit = run.settings.quarantine_limit_ratio
    parts = []
    for name, table in run.report.tables.items():
        if not table.n_quarantined:
            continue
        bad, rows = table.bad_share
        what = "rows"
        if bad / rows <= limit:
            bad, rows, n_files = _never_accepted(run, name)
            what = f"rows of {n_files} new file{'s' * (n_files != 1)}"
            if bad < FEW_ROWS or bad / rows <= limit:
                continue
        top = sorted(table.quarantined.items(), key=lambda rule: (-rule[1], rule[0]))[:3]
        parts.append(
            f"{name}: {bad:,} of {rows:,} {what} ({bad / rows:.2%}) break a rule, mostly "
            + ", ".join(f"{rule} ({count:,})" for rule, count in top)
        )
    if not parts:
        return
    run.report.status = "refused"
    raise QuarantineExceeded(
        f"{'; '.join(parts)}; allowed is {limit:.2%} of a table. Nothing was written to the lake. "
        f"Look at {folder}, then correct the source or the mapping, or raise "
        "quarantine_limit_ratio."
    )


def _never_accepted(run: Run, table: str) -> tuple[int, int, int]:
    """Bad rows, rows and number of the files that no ingest has taken in before."""
    new = {f.name for f in run.listed.get(table, []) if not run.ledger.accepted(table, f)}
    counts = [of for name, of in rows_by_file(run, table).items() if name in new]
    return sum(bad for _, bad in counts), sum(rows for rows, _ in counts), len(counts)
