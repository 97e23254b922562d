# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Quarantine: rows and files that cannot be used, kept with their place and the rule they broke."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from homerec.errors import QuarantineExceeded
from homerec.ingest.contracts import CONTRACTS
from homerec.ingest.lines import line_shifts, reject_lines
from homerec.ingest.quoting import ident, text
from homerec.ingest.rules import MALFORMED_LINE
from homerec.ingest.sources import FILE_COLUMN, JSON_FLAG, ROW_COLUMN, Opened, scan_of
from homerec.ingest.state import Run


def count_bad(run: Run) -> None:
    """Bring the rows found bad, and the lines that were no rows, into the report."""
    for name, rule, n in run.sql(
        "SELECT tbl, rule, count(*) FROM bad GROUP BY ALL ORDER BY tbl, count(*) DESC, rule"
    ):
        run.report.tables[str(name)].quarantined[str(rule)] = int(str(n))
    for name, files in run.opened.items():
        rejects = sum(len(opened.rejects) for opened in files)
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
    for path, reason in run.broken_files.items():
        relative = path.relative_to(run.root)
        target = folder / "files" / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        run.report.set_aside_files[str(relative)] = reason
        written = True
    if written:
        run.report.quarantine = str(folder)


def _write_rows(run: Run, name: str, files: list[Opened], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    run.sql("CREATE OR REPLACE TEMP TABLE shifts (scan VARCHAR, start BIGINT, shift BIGINT)")
    run.sql("CREATE OR REPLACE TEMP TABLE names (scan VARCHAR, file VARCHAR)")
    run.sql(
        "CREATE OR REPLACE TEMP TABLE aside "
        '(file VARCHAR, line BIGINT, rule VARCHAR, "column" VARCHAR, value VARCHAR, row VARCHAR)'
    )
    for opened in files:
        file = str(opened.path.relative_to(run.root))
        run.sql(f"INSERT INTO names VALUES ({text(opened.scan)}, {text(file)})")
        if opened.rejects:
            lines = reject_lines(opened)
            found: dict[str, list[Any]] = {
                "line": [lines.get(r.line, r.line) for r in opened.rejects],
                "reason": [r.reason for r in opened.rejects],
                "content": [r.content for r in opened.rejects],
            }
            select = f"{text(file)}, line, {text(MALFORMED_LINE)}, NULL, reason, to_json(content)"
            _insert(run, "aside", select, found)
    broken = {
        str(r[0]) for r in run.sql(f"SELECT DISTINCT filename FROM bad WHERE tbl = {text(name)}")
    }
    for opened in files:
        if str(opened.scan) in broken:
            _add_rows(run, name, opened)
    run.sql(
        f"COPY (SELECT * FROM aside ORDER BY file, line) TO {text(target)} "
        "(FORMAT parquet, COMPRESSION zstd)"
    )


def _insert(run: Run, table: str, select: str, values: dict[str, list[Any]]) -> None:
    """Insert a selection from columns of values; row by row would take minutes."""
    run.connection.register("given_values", pa.table(values))
    run.sql(f"INSERT INTO {table} SELECT {select} FROM given_values")
    run.connection.unregister("given_values")


def _add_rows(run: Run, name: str, opened: Opened) -> None:
    mapping = run.mapping.tables[name]
    starts, shifts = zip(*line_shifts(opened), strict=True)
    moved = {"start": list(starts), "shift": list(shifts)}
    _insert(run, "shifts", f"{text(opened.scan)}, start, shift", moved)
    cells = ", ".join(f"{text(c)}, s.{ident(c)}" for c in opened.columns if c != JSON_FLAG)
    values = " ".join(
        f"WHEN {text(c.name)} THEN CAST(s.{ident(how.column)} AS VARCHAR)"
        for c in CONTRACTS[name].columns
        if (how := mapping.columns.get(c.name)) and how.column and how.column in opened.columns
    )
    value = f"CASE b.col {values} END" if values else "CAST(NULL AS VARCHAR)"
    run.sql(
        f"""INSERT INTO aside
            SELECT n.file, b.row + t.shift, b.rule, b.col, {value},
                   CAST(json_object({cells}) AS VARCHAR)
            FROM (SELECT * FROM bad WHERE tbl = {text(name)}
                  AND filename = {text(opened.scan)}) b
            JOIN {scan_of([opened])} s ON s.{ROW_COLUMN} = b.row
            JOIN names n ON n.scan = s.{FILE_COLUMN}
            ASOF JOIN shifts t ON t.scan = b.filename AND b.row >= t.start"""
    )


def check_limit(run: Run, folder: Path) -> None:
    """Refuse the ingest when a table has too large a share of bad rows.

    Raises
    ------
    QuarantineExceeded
        The share is over ``Settings.quarantine_limit_ratio``.
    """
    limit = run.settings.quarantine_limit_ratio
    over = [
        (name, table)
        for name, table in run.report.tables.items()
        if table.read and table.n_quarantined / table.read > limit
    ]
    if not over:
        return
    run.report.status = "refused"
    parts = []
    for name, table in over:
        top = sorted(table.quarantined.items(), key=lambda rule: (-rule[1], rule[0]))[:3]
        parts.append(
            f"{name}: {table.n_quarantined:,} of {table.read:,} rows "
            f"({table.n_quarantined / table.read:.2%}) break a rule, mostly "
            + ", ".join(f"{rule} ({count:,})" for rule, count in top)
        )
    raise QuarantineExceeded(
        f"{'; '.join(parts)}; allowed is {limit:.2%} of a table. Nothing was written to the lake. "
        f"Look at {folder}, then correct the source or the mapping, or raise "
        "quarantine_limit_ratio."
    )
