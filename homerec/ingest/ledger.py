"""Which files the lake holds already, so that an unchanged one need not be read again.

The ledger stands in the lake and is committed with it, last: cut short, it knows less than the
lake, and a file read again changes nothing. An entry counts only while what came of the file is
still there. Files whose rows may be judged otherwise another day (an unknown listener may be
delivered tomorrow) are entered as not settled: they are read again, but were accepted once.
Unreadable files that were set aside are entered too: they are left out until they change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from homerec import __version__
from homerec.ingest.contracts import CONTRACTS
from homerec.ingest.mapping import SourceMapping
from homerec.ingest.sources import Found
from homerec.lake import Lake, checksum_text
from homerec.settings import Settings

#: To be raised when something else than contracts, mapping and settings changes what becomes of a
#: row: the rules' SQL, the hash of an event.
READING: Final = 1
#: Rules that a row breaks by itself: it will tomorrow as well. A rule not named here (unknown ids,
#: times in the future, time zones) is taken for one that may pass.
SETTLED: Final = frozenset(
    {"missing", "not_castable", "out_of_range", "unknown_type", "bad_market", "after_arrival",
     "ends_before_start", "malformed_line", "not_json", "too_long", "too_many",
     "control_character", "bad_language"}
)  # fmt: skip

_SCHEMA: Final = pa.schema(
    [
        ("mapping", pa.string()),
        ("source", pa.string()),
        ("table", pa.string()),
        ("file", pa.string()),
        ("size", pa.int64()),
        ("stamp", pa.string()),
        ("reading", pa.string()),
        ("ingest_id", pa.string()),
        ("rows", pa.int64()),
        ("bad", pa.int64()),
        ("dates", pa.list_(pa.date32())),
        ("dictionaries", pa.list_(pa.string())),
        ("settled", pa.bool_()),
        ("unreadable", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Entry:
    """One file that was ingested.

    Attributes
    ----------
    mapping, source, table, file : str
        Which one, and what it was read for.
    size : int
        Bytes.
    stamp : str
        Of its content, see :class:`homerec.ingest.sources.Found`.
    reading : str
        How it was read, see :func:`reading_of`.
    ingest_id : str
        By which ingest.
    rows, bad : int
        Rows that it has, and how many of them were set aside.
    dates : tuple of date
        Dates of the table that this ingest had rows for.
    dictionaries : tuple of str
        Those that the lake had then.
    settled : bool
        Whether its rows will be judged alike for ever, so that it need not be read again.
    unreadable : bool
        Whether the whole file was set aside, so that nothing of it is in the lake.
    """

    mapping: str
    source: str
    table: str
    file: str
    size: int
    stamp: str
    reading: str
    ingest_id: str
    rows: int
    bad: int
    dates: tuple[date, ...]
    dictionaries: tuple[str, ...]
    settled: bool = True
    unreadable: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies the entry."""
        return self.mapping, self.source, self.table, self.file


def reading_of(settings: Settings, mapping: SourceMapping, table: str) -> str:
    """Digest of everything that decides what becomes of a table's file.

    Parameters
    ----------
    settings : Settings
        Whose tolerances count.
    mapping : SourceMapping
        How files are read; of a change in it, only what concerns the table counts.
    table : str
        Name of the contract table.
    """
    derived = (mapping.derive_listeners, mapping.derive_items) if table == "events" else ()
    return checksum_text(
        [
            f"{READING} {__version__} {settings.future_tolerance_minutes}",
            repr(CONTRACTS[table]),
            repr(mapping.tables[table]),
            repr(derived),
        ]
    )


@dataclass
class Ledger:
    """The entries of one lake, as one ingest of one source sees and changes them."""

    lake: Lake
    settings: Settings
    mapping: SourceMapping
    source: str
    entries: dict[tuple[str, str, str, str], Entry] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the entries; none are there in a new lake."""
        if self.lake.ledger.exists():
            for row in pq.read_table(self.lake.ledger).to_pylist():
                lists = {name: tuple(row[name]) for name in ("dates", "dictionaries")}
                # A ledger of before has settled files only.
                older = {
                    "settled": row.get("settled") is not False,
                    "unreadable": bool(row.get("unreadable")),
                }
                entry = Entry(**row | lists | older)
                self.entries[entry.key] = entry
        self._before = dict(self.entries)
        self._present: dict[str, set[date]] = {}

    def known(self, table: str, files: Sequence[Found]) -> dict[str, Entry]:
        """Entries, by name, of the files that need not be read.

        Of a table to which rows are added, every unchanged file; of a table in which the newest
        row wins, all or none: the files decide together.

        Parameters
        ----------
        table : str
            Name of the contract table.
        files : sequence of Found
            All files of the table.
        """
        reading = reading_of(self.settings, self.mapping, table)
        same: dict[str, Entry] = {}
        for found in files:
            entry = self._entry(table, found.name)
            if entry is None or entry.unreadable or not entry.settled:
                continue
            if self._holds(entry, found, reading):
                same[found.name] = entry
        if CONTRACTS[table].write == "upsert" and len(same) < len(files):
            return {}
        return same

    def set_aside(self, table: str, files: Sequence[Found]) -> dict[str, Entry]:
        """Entries, by name, of unreadable files that an ingest has set aside and left unchanged.

        Parameters
        ----------
        table : str
            Name of the contract table.
        files : sequence of Found
            All files of the table.
        """
        reading = reading_of(self.settings, self.mapping, table)
        same: dict[str, Entry] = {}
        for found in files:
            entry = self._entry(table, found.name)
            if entry is not None and entry.unreadable and _unchanged(entry, found, reading):
                same[found.name] = entry
        return same

    def accepted(self, table: str, found: Found) -> bool:
        """Whether an ingest has taken in this very file before, settled or not."""
        entry = self._entry(table, found.name)
        reading = reading_of(self.settings, self.mapping, table)
        return entry is not None and not entry.unreadable and self._holds(entry, found, reading)

    def note(
        self,
        table: str,
        listed: Sequence[Found],
        read: Mapping[str, tuple[int, int]],
        unsettled: Iterable[str],
        broken: Iterable[str],
        ingest_id: str,
        dates: Sequence[date],
        dictionaries: Sequence[str],
    ) -> None:
        """Enter what was read.

        Parameters
        ----------
        table : str
            Name of the contract table.
        listed : sequence of Found
            All files that the source has for it; entries of others are dropped.
        read : mapping of str to (int, int)
            By the name of those read now, their rows, and how many were set aside.
        unsettled : iterable of str
            Names of those to be read again the next time.
        broken : iterable of str
            Names of those that were unreadable and set aside.
        ingest_id : str
            Of this ingest.
        dates : sequence of date
            Dates that rows of this ingest lie in.
        dictionaries : sequence of str
            Those that the lake will have after the commit.
        """
        reading = reading_of(self.settings, self.mapping, table)
        files = {f.name: f for f in listed}
        unsettled = set(unsettled)
        for key in [k for k in self.entries if k[:3] == (self.mapping.name, self.source, table)]:
            if key[3] not in files or (key[3] in unsettled and key[3] not in read):
                del self.entries[key]
        for name in sorted(set(broken)):
            found = files[name]
            entry = Entry(
                self.mapping.name, self.source, table, name, found.size, found.stamp, reading,
                ingest_id, 0, 0, (), (), unreadable=True,
            )  # fmt: skip
            # Without a stamp it cannot be told whether it changes: it is tried again.
            self.entries.pop(entry.key, None)
            if found.stamp:
                self.entries[entry.key] = entry
        for name in sorted(read):
            found, old = files[name], self._entry(table, name)
            settled = name not in unsettled
            if not found.stamp:
                continue
            same = old is not None and (old.settled, old.unreadable) == (settled, False)
            if old is not None and same and self._holds(old, found, reading):
                continue
            entry = Entry(
                self.mapping.name, self.source, table, name, found.size, found.stamp, reading,
                ingest_id, *read[name], tuple(dates), tuple(dictionaries), settled,
            )  # fmt: skip
            self.entries[entry.key] = entry

    def stage(self, target: Path) -> None:
        """Write the entries to be committed, if any changed."""
        if self.entries == self._before:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = [vars(self.entries[key]) for key in sorted(self.entries)]
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), target, compression="zstd")

    def _entry(self, table: str, name: str) -> Entry | None:
        return self.entries.get((self.mapping.name, self.source, table, name))

    def _holds(self, entry: Entry, found: Found, reading: str) -> bool:
        return _unchanged(entry, found, reading) and self._is_there(entry)

    def _is_there(self, entry: Entry) -> bool:
        """Whether the lake still has what came of a file: its table, its dates, its keys."""
        contract = CONTRACTS[entry.table]
        if not all(self.lake.dictionary(name).exists() for name in entry.dictionaries):
            return False
        if contract.write == "upsert":
            return self.lake.table(entry.table).exists()
        if entry.table == "events":
            derived = ["items"] * bool(self.mapping.derive_items)
            derived += ["listeners"] * bool(self.mapping.derive_listeners)
            if not all(self.lake.table(name).exists() for name in derived):
                return False
        return set(entry.dates) <= self._dates(entry.table)

    def _dates(self, table: str) -> set[date]:
        if table not in self._present:
            folders = {p.parent.name for p in self.lake.partitions(table).glob("date=*/*.parquet")}
            self._present[table] = {
                date.fromisoformat(name.removeprefix("date=")) for name in folders
            }
        return self._present[table]


def _unchanged(entry: Entry, found: Found, reading: str) -> bool:
    """Whether a file and the way it is read are those that were entered."""
    return found.stamp != "" and (entry.size, entry.stamp, entry.reading) == (
        found.size,
        found.stamp,
        reading,
    )
