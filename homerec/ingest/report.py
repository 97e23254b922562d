"""What an ingest did, as data and as text."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from difflib import get_close_matches
from typing import Any


@dataclass
class TableReport:
    """Counts of one table.

    ``read = written + duplicates + sum(quarantined) + forgotten`` always holds, unless refused.

    Attributes
    ----------
    files : list of str
        Files read, relative to the source.
    read : int
        Rows and lines found.
    written : int
        Rows that became rows of the lake: new events, new keys, new versions of a key.
    duplicates : int
        Rows that say what the lake or another row of the ingest says already, and rows that a
        later one of the same key and moment replaces.
    quarantined : dict of str to int
        Rows set aside, by rule.
    forgotten : int
        Rows of listeners who were forgotten; they are not kept anywhere.
    first, last : date or None
        Range of the rows' own time.
    skipped : int
        Files that were not read, for the lake holds them already.
    skipped_rows, skipped_bad : int
        Their rows, and how many of them were set aside when they were read.
    unmapped : dict of str to int
        Columns of the source that the mapping does not use, and in how many files.
    """

    files: list[str] = field(default_factory=list)
    read: int = 0
    written: int = 0
    duplicates: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)
    forgotten: int = 0
    first: date | None = None
    last: date | None = None
    skipped: int = 0
    skipped_rows: int = 0
    skipped_bad: int = 0
    unmapped: dict[str, int] = field(default_factory=dict)

    @property
    def bad_share(self) -> tuple[int, int]:
        """Rows set aside and all rows of the source, those of skipped files included.

        Else the share would rise with every file that is not read again.
        """
        return self.n_quarantined + self.skipped_bad, self.read + self.skipped_rows

    @property
    def n_quarantined(self) -> int:
        """Rows set aside, over all rules."""
        return sum(self.quarantined.values())


@dataclass
class IngestReport:
    """What one ingest read, wrote and set aside.

    Attributes
    ----------
    ingest_id : str
        UTC time and a short hash, such as ``20260301T000000-ab12cd``.
    mapping, source : str
        Which mapping was used, on which folder.
    status : str
        ``done``; ``refused`` when the share of broken rows was over the limit; ``failed`` on any
        other error; ``dry run``.
    tables : dict of str to TableReport
        Counts by contract table.
    new_keys : dict of str to int
        Ids that got a key in this ingest, by dictionary.
    derived : dict of str to int
        Rows made of the events, by table.
    assumed : list of str
        What the source does not say and the mapping made up.
    notes : list of str
        What else is worth knowing, such as from when on a query was read.
    set_aside_files : dict of str to str
        Unreadable files that were left out, with the reason.
    still_aside : dict of str to str
        Unreadable files that an ingest before has set aside, left out again, and by which.
    quarantine : str
        Folder of the rows and files set aside; empty when there are none.
    seconds : float
        Wall time.
    """

    ingest_id: str
    mapping: str
    source: str
    status: str = "failed"
    tables: dict[str, TableReport] = field(default_factory=dict)
    new_keys: dict[str, int] = field(default_factory=dict)
    derived: dict[str, int] = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    set_aside_files: dict[str, str] = field(default_factory=dict)
    still_aside: dict[str, str] = field(default_factory=dict)
    quarantine: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-ready values."""
        return asdict(self)

    def render(self) -> str:
        """Return the report as a text table."""
        rows = [
            (name, len(t.files), t.read, t.written, t.duplicates, t.n_quarantined,
             f"{t.first or ''} .. {t.last or ''}".strip(" ."))
            for name, t in self.tables.items()
        ]  # fmt: skip
        header = ("table", "files", "read", "written", "duplicates", "quarantined", "dates")
        lines = [
            f"Ingest {self.ingest_id} ({self.mapping}): {self.status}, {self.seconds:.1f} s",
            text_table(header, rows),
        ]
        lines += [
            f"  {name}: {count:,} x {rule}"
            for name, table in self.tables.items()
            for rule, count in sorted(table.quarantined.items(), key=lambda rc: (-rc[1], rc[0]))
        ]
        lines += [
            f"  {name}: {table.forgotten:,} rows of forgotten listeners left out"
            for name, table in self.tables.items()
            if table.forgotten
        ]
        keys = ", ".join(f"{name} {count:,}" for name, count in self.new_keys.items() if count)
        lines.append(f"New keys: {keys or 'none'}")
        if self.derived:
            made = ", ".join(f"{name} {count:,}" for name, count in self.derived.items())
            lines.append(f"Derived from events: {made}")
        skipped = ", ".join(f"{name} {t.skipped:,}" for name, t in self.tables.items() if t.skipped)
        if skipped:
            lines.append(f"Files skipped, already ingested: {skipped} (--again reads them)")
        # A handful of bad rows is under every limit; a bad delivery must still be seen.
        lines += [
            f"WARNING: {name}: {t.n_quarantined:,} of the {t.read:,} rows read now were set aside"
            for name, t in self.tables.items()
            if t.skipped_rows and t.n_quarantined > t.read / 10
        ]
        lines += [f"Assumed: {what}" for what in self.assumed]
        lines += [
            f"Not mapped: {name}: {_columns(t)}" for name, t in self.tables.items() if t.unmapped
        ]
        lines += [f"Note: {what}" for what in self.notes]
        lines += [f"File set aside: {name}: {why}" for name, why in self.set_aside_files.items()]
        lines += [
            f"WARNING: {name} was not read: {why} (--again tries it)"
            for name, why in self.still_aside.items()
        ]
        if self.quarantine:
            lines.append(f"Quarantine: {self.quarantine}")
        return "\n".join(lines)


@dataclass(frozen=True)
class BrokenRule:
    """A rule that rows of a source break, and the first that does.

    Attributes
    ----------
    rule : str
        Its name.
    column : str or None
        The contract's column; ``None`` for the whole row.
    count : int
        How many rows break it.
    file : str
        File of the first one.
    line : int
        Its line, 1-based; for Parquet and queries the number of the row.
    value : str or None
        What the source gives there.
    """

    rule: str
    column: str | None
    count: int
    file: str
    line: int
    value: str | None

    def render(self) -> str:
        """Return one line for people."""
        where = f" ({self.column})" if self.column else ""
        value = "" if self.value is None else f": {shorten(self.value, 60)!r}"
        return f"{self.count:,} x {self.rule}{where}, first in {self.file}:{self.line}{value}"


@dataclass
class DryRun:
    """What an ingest would make of a source, without writing anything.

    Attributes
    ----------
    report : IngestReport
        Counts over the rows looked at; ``written`` counts the rows that break no rule.
    columns : dict of str to list of str
        Contract columns by table.
    rows : dict of str to list of list
        The first rows by table, mapped, each with the broken rule (empty for none) as its last
        value.
    broken : dict of str to list of BrokenRule
        Each broken rule by table, with an example.
    absent : dict of str to list of str
        By table, columns that the mapping would read and no file has.
    checked_rows_per_file : int
        How many rows of each file were looked at.
    """

    report: IngestReport
    columns: dict[str, list[str]] = field(default_factory=dict)
    rows: dict[str, list[list[Any]]] = field(default_factory=dict)
    broken: dict[str, list[BrokenRule]] = field(default_factory=dict)
    absent: dict[str, list[str]] = field(default_factory=dict)
    checked_rows_per_file: int = 0

    def render(self) -> str:
        """Return the first rows, the broken rules and the unused columns as text."""
        parts = [
            f"Dry run of {self.report.source} ({self.report.mapping}): nothing was written. "
            f"First {self.checked_rows_per_file:,} rows a file or query."
        ]
        for name, rows in self.rows.items():
            table = self.report.tables[name]
            parts.append(
                f"\n{name}: {table.read:,} rows looked at, {table.n_quarantined:,} break a rule"
            )
            header = [*self.columns[name], "broken rule"]
            parts.append(text_table(header, [["" if v is None else v for v in r] for r in rows]))
            parts += [f"  {broken.render()}" for broken in self.broken.get(name, [])]
            if table.unmapped:
                parts.append(f"  not mapped: {_columns(table)}")
            parts += self._guesses(name)
        parts += [f"Assumed: {what}" for what in self.report.assumed]
        parts += [f"Note: {what}" for what in self.report.notes]
        parts += [f"WARNING: {n} was not read: {why}" for n, why in self.report.still_aside.items()]
        return "\n".join(parts)

    def _guesses(self, name: str) -> list[str]:
        """Name unused columns that look like one that the mapping would read."""
        lines: list[str] = []
        for column in self.report.tables[name].unmapped:
            close = get_close_matches(column, self.absent.get(name, []), n=1)
            if close:
                lines.append(f"  is {column} a misspelt {close[0]}, which the mapping would read?")
        return lines


def shorten(value: str, width: int) -> str:
    """Cut a long value, so that a line stays readable."""
    return value if len(value) <= width else value[: width - 3] + "..."


def _columns(table: TableReport) -> str:
    """List unused columns, with the number of files where not all have them."""
    n_files = len(table.files)
    return ", ".join(
        column if count == n_files else f"{column} (in {count:,} of {n_files:,} files)"
        for column, count in table.unmapped.items()
    )


def text_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay values out in columns; numbers to the right, with thousands separators."""
    cells = [[f"{v:,}" if isinstance(v, int) else str(v) for v in row] for row in rows]
    widths = [max([len(h), *(len(c[i]) for c in cells)]) for i, h in enumerate(header)]
    numeric = [all(isinstance(r[i], int) for r in rows) and bool(rows) for i in range(len(header))]

    def line(values: Sequence[str]) -> str:
        laid = (
            v.rjust(w) if n else v.ljust(w)
            for v, w, n in zip(values, widths, numeric, strict=True)
        )  # fmt: skip
        return "  ".join(laid).rstrip()

    return "\n".join([line(header), line(["-" * w for w in widths]), *(line(c) for c in cells)])
