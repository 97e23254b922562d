# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""What an ingest reads: files that the lake does not hold yet, and the rows of queries."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from homerec.errors import EmptyInput, MalformedFile
from homerec.ingest.contracts import CONTRACTS, DEFINING, Contract
from homerec.ingest.ledger import SETTLED
from homerec.ingest.quoting import ident, text, texts
from homerec.ingest.report import TableReport
from homerec.ingest.rules import mapped_sql
from homerec.ingest.sources import Found, open_file
from homerec.ingest.state import Run

#: Objects of a table with plays that a dry run copies, at most; of the catalog it needs all.
DRY_RUN_OBJECTS: Final = 3
#: What ``:since`` is while the lake has no row of a table.
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


def open_all(run: Run) -> None:
    """Open every file and run every query that the mapping names.

    Files that the lake holds already are left out, and counted.

    Raises
    ------
    EmptyInput
        No file matches.
    MalformedFile
        A file is unreadable and files are not to be set aside, or a query lacks a column.
    SourceError, TransientError
        The source cannot be read, or cannot be reached now.
    """
    files, database = run.sources.files, run.sources.database
    of_files = {n: t for n, t in run.mapping.tables.items() if t.query is None}
    if files is not None:
        run.progress(f"listing {files.shown}")
        run.listed = {name: files.find(t) for name, t in of_files.items()}
    if files is not None and database is None and not any(run.listed.values()):
        looked_for = ", ".join(f"{name}: {' '.join(t.files)}" for name, t in of_files.items())
        raise EmptyInput(
            f"{files.shown} has no file for the mapping {run.mapping.name}; looked for "
            f"{looked_for}. Lay files there, or name the right folder and mapping."
        )
    for name, found in run.listed.items():
        if found:
            _open_files(run, name, found)
    if database is not None:
        _run_queries(run)
    for name, opened in run.opened.items():
        counts = Counter(column for one in opened for column in one.unused)
        run.report.tables[name].unmapped = dict(sorted(counts.items()))


def _open_files(run: Run, name: str, found: list[Found]) -> None:
    files = run.sources.files
    assert files is not None  # noqa: S101 - there are files in it
    report = run.report.tables[name] = TableReport()
    found = _without_set_aside(run, name, found)
    known = {} if run.again or run.limit is not None else run.ledger.known(name, found)
    report.skipped = len(known)
    report.skipped_rows = sum(entry.rows for entry in known.values())
    report.skipped_bad = sum(entry.bad for entry in known.values())
    todo = [f for f in found if f.name not in known]
    if run.limit is not None and files.must_copy and CONTRACTS[name].write == "append":
        todo = todo[:DRY_RUN_OBJECTS]
        if len(todo) < len(found):
            run.report.notes.append(
                f"{name}: only the first {len(todo)} of {len(found)} objects were looked at"
            )
    if not todo:
        return
    run.opened[name] = []
    paths = files.fetch(todo, run.staging, run.progress)
    for one, path in zip(todo, paths, strict=True):
        run.progress(f"opening {one.name}")
        _open(run, name, one, path)


def _without_set_aside(run: Run, table: str, found: list[Found]) -> list[Found]:
    """Leave out unreadable files that were set aside before and did not change, and say so."""
    aside = {} if run.again else run.ledger.set_aside(table, found)
    run.report.still_aside |= {
        name: f"set aside by ingest {entry.ingest_id}, and unchanged since"
        for name, entry in aside.items()
    }
    return [one for one in found if one.name not in aside]


def _open(run: Run, table: str, found: Found, path: Path) -> None:
    try:
        opened = open_file(
            run.connection, path, run.mapping.tables[table], run.staging,
            name=found.name, label=found.label,
        )  # fmt: skip
    except MalformedFile as error:
        run.break_file(table, found.name, path, error)
        return
    run.opened[table].append(opened)
    run.report.tables[table].files.append(found.name)


def _run_queries(run: Run) -> None:
    database = run.sources.database
    assert database is not None  # noqa: S101 - only called where there is one
    with database.connected() as connection:
        for name, table in run.mapping.tables.items():
            if table.query is None:
                continue
            run.progress(f"querying {name}")
            opened = database.stage(
                connection, table, run.staging, since=_since(run, name), limit=run.limit,
                progress=run.progress,
            )  # fmt: skip
            run.opened[name] = [opened]
            run.report.tables[name] = TableReport(files=[opened.name])


def _since(run: Run, name: str) -> datetime:
    """Return the value of ``:since`` for a table's query, and note it."""
    contract, mapping = run.parts(name)
    if mapping.query is None or not mapping.query.uses_since:
        return BEGINNING
    if run.since is not None:
        run.report.notes.append(f"{name}: :since is {run.since:%Y-%m-%d %H:%M} UTC, as given")
        return run.since
    # Where arrivals are the moments of ingest, the source knows nothing of them.
    of_source = contract.has_arrival and mapping.arrival == "column"
    column = "arrived_at" if of_source else contract.time
    newest = _newest(run, contract, column)
    if newest is None:
        run.report.notes.append(f"{name}: :since is 1970-01-01, for the lake has no row yet")
        return BEGINNING
    hours = mapping.query.overlap_hours
    since = max(newest - timedelta(hours=hours), BEGINNING)
    run.report.notes.append(
        f"{name}: :since is {since:%Y-%m-%d %H:%M} UTC, {hours:g} h before the newest {column} "
        "of the lake"
    )
    return since


def _newest(run: Run, contract: Contract, column: str) -> datetime | None:
    if contract.write == "append":
        paths = list(run.lake.partitions(contract.name).glob("date=*/*.parquet"))
    else:
        paths = [p for p in [run.lake.table(contract.name)] if p.exists()]
    if not paths:
        return None
    (value,) = run.sql(
        f"SELECT max({ident(column)}) FROM read_parquet({texts(paths)}, hive_partitioning = false)"
    )[0]
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else None


def enter_ledger(run: Run) -> None:
    """Enter what was read into the ledger, and stage it; only good for a whole ingest."""
    keys = [
        name
        for name in DEFINING
        if run.staged_dictionary(name).exists() or run.lake.dictionary(name).exists()
    ]
    for table, found in run.listed.items():
        if not found:
            continue
        names = {str(opened.scan): opened.name for opened in run.opened.get(table, [])}
        passing = run.sql(
            f"SELECT DISTINCT filename FROM bad WHERE tbl = {text(table)} "
            f"AND rule NOT IN ({', '.join(text(rule) for rule in sorted(SETTLED))})"
        )
        unsettled = {names[str(scan)] for (scan,) in passing}
        broken = run.broken_in.get(table, ())
        run.ledger.note(
            table, found, rows_by_file(run, table), unsettled, broken, run.report.ingest_id,
            run.dates.get(table, []), keys,
        )  # fmt: skip
    run.ledger.stage(run.staged_lake / run.lake.ledger.relative_to(run.lake.tables))


def rows_by_file(run: Run, table: str) -> dict[str, tuple[int, int]]:
    """Count the rows of each file that is read, and those of them that were set aside.

    Returns
    -------
    dict of str to (int, int)
        By the file's name.
    """
    if table not in run.by_file:
        names = {str(opened.scan): opened.name for opened in run.opened.get(table, [])}
        n_rows: Counter[str] = Counter()
        n_bad: Counter[str] = Counter()
        for files in run.batches(table) if names else ():
            mapped = mapped_sql(*run.parts(table), files, run.now)
            for scan, n in run.sql(f"SELECT filename, count(*) FROM ({mapped}) GROUP BY 1"):
                n_rows[names[str(scan)]] += int(str(n))
        for scan, n in run.sql(
            f"SELECT filename, count(*) FROM bad WHERE tbl = {text(table)} GROUP BY 1"
        ):
            n_bad[names[str(scan)]] += int(str(n))
        run.by_file[table] = {
            o.name: (n_rows[o.name] + len(o.rejects), n_bad[o.name] + len(o.rejects))
            for o in run.opened.get(table, [])
        }
    return run.by_file[table]
