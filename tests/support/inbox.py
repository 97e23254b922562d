"""A seeded inbox of many small files of every form, with good, repeated and broken rows."""

import csv
import gzip
import io
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from support.broken_rows import CATALOG, GOOD, KINDS, LEGAL, Broken, Row

FORMS: Final = ("csv", "tsv", "csv.gz", "csv.zst", "jsonl", "jsonl.gz", "jsonl.zst", "parquet")
#: Share of the files that each table gets, in percent.
SHARES: Final = {
    "items": 6, "contents": 6, "listeners": 6, "signup_picks": 4, "dismissals": 4, "editorial": 3,
    "blocked": 3, "availability": 3, "events": 50, "impressions": 15,
}  # fmt: skip
Aside = tuple[str, int, str, str | None, str | None]


@dataclass
class Expected:
    """What one table must look like after the ingest.

    Attributes
    ----------
    rows : list of dict
        The rows that must be in the lake, as the source names them.
    aside : Counter of (file, line, rule, column, value)
        What must be in quarantine.
    repeated : int
        Rows that say again what another one says, or that a later one replaces.
    """

    rows: list[Row] = field(default_factory=list)
    aside: Counter[Aside] = field(default_factory=Counter)
    repeated: int = 0


def _at(start: str, rng: random.Random, days: int) -> str:
    base = datetime.fromisoformat(start).replace(tzinfo=UTC)
    return (base + timedelta(seconds=rng.randrange(days * 86_400))).isoformat()


def _good(table: str, n: int, rng: random.Random) -> list[Row]:
    """Good rows of a table that all differ in their key."""
    rows = []
    for i in range(n):
        row = GOOD[table] | {}
        if table == "events":
            started = _at("2026-03-01", rng, 8)
            row |= {"event_id": f"event-{i}", "started_at": started, "arrived_at": started,
                    "content_id": rng.choice(["the-track", "the-episode"]),
                    "context_id": rng.choice(["the-playlist", None]),
                    "ms_played": str(rng.randrange(86_400_000))}  # fmt: skip
        elif table == "impressions":
            shown = _at("2026-03-01", rng, 8)
            row |= {"position": str(i + 1), "shown_at": shown, "arrived_at": shown}
        elif table in ("items", "contents", "listeners"):
            row |= {f"{table[:-1]}_id": f"{table[:-1]}-{i}"}
        elif table in ("signup_picks", "dismissals"):
            row |= {"listener_id": f"listener-{i}"}
        elif table == "editorial":
            row |= {"position": str(i + 1)}
        else:
            row |= {"item_id": f"item-{i}"}
        rows.append(row)
    return rows


def _key(table: str, row: Row) -> tuple[Any, ...]:
    keys = {
        "items": ("item_id",), "contents": ("content_id",), "listeners": ("listener_id",),
        "signup_picks": ("listener_id", "item_id"), "dismissals": ("listener_id", "item_id"),
        "editorial": ("shelf", "market", "position", "starts_at"), "blocked": ("item_id", "market"),
        "availability": ("item_id", "market", "starts_at"), "events": ("event_id",),
        "impressions": tuple(GOOD["impressions"]),
    }  # fmt: skip
    return tuple(row[k] for k in keys[table])


@dataclass
class _File:
    name: str
    form: str
    records: list[tuple[Row | bytes | None, Broken | None]] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return (
            "parquet" if self.form == "parquet" else self.form.split(".")[0].replace("tsv", "csv")
        )


def _records(table: str, rng: random.Random, n: int, copies: int) -> tuple[list[Any], Expected]:
    expected = Expected()
    rows = [GOOD[table] | row for row in CATALOG.get(table, [])] + _good(table, n, rng)
    for i, (_, where, change) in enumerate(LEGAL):
        if where == table:
            rows.append({**_good(table, n + 1 + i, rng)[-1], **change})
    expected.rows = rows
    records: list[tuple[Row | bytes | None, Broken | None]] = [(row, None) for row in rows]
    again = rng.sample(rows, len(rows) // 10)
    expected.repeated = len(again)
    records += [(row, None) for row in again]
    for kind in KINDS:
        for copy in range(copies if kind.table == table else 0):
            row = _good(table, 1, rng)[0]
            for name in row:
                # Each broken row would be a row of its own, were it not broken.
                if name in (f"{table[:-1]}_id", "event_id"):
                    row[name] = f"broken-{KINDS.index(kind)}-{copy}"
            # Where the start is changed alone, the arrival must not be what breaks.
            row |= {k: GOOD[table][k] for k in ("started_at", "shown_at", "arrived_at") if k in row}
            records.append((kind.raw or row | kind.change, kind))
    rng.shuffle(records)
    return records, expected


def make_inbox(
    inbox: Path, *, n_files: int, n_rows: int, copies: int, seed: int
) -> dict[str, Expected]:
    """Write the files; each holds some of the good rows, and of the broken ones what fits it.

    Parameters
    ----------
    inbox : Path
        Gets ``<table>/<file>``.
    n_files, n_rows : int
        Files in all; good rows of a table for each of its files.
    copies : int
        Rows of each kind of broken ones.
    seed : int
        Equal seeds make equal inboxes.
    """
    rng = random.Random(seed)  # noqa: S311 - nothing here is secret
    expected = {}
    for table, share in SHARES.items():
        n = n_files * share // 100
        files = [_File(f"{table}/{i:04d}.{FORMS[i % 8]}", FORMS[i % 8]) for i in range(n)]
        records, expected[table] = _records(table, rng, n * n_rows, copies)
        for record in records:
            kind = record[1]
            fitting = [f for f in files if kind is None or f.kind in kind.forms]
            rng.choice(fitting).records.append(record)
        for file in files:
            _write(inbox, file, list(GOOD[table]), expected[table], rng)
    return expected


def _write(
    inbox: Path, file: _File, columns: list[str], into: Expected, rng: random.Random
) -> None:
    write = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[file.kind]
    data, lines = write(file, columns, rng)
    for (_, kind), line in zip(file.records, lines, strict=True):
        if kind is not None:
            into.aside[file.name, line, kind.rule, kind.column, kind.value] += 1
    if file.form.endswith(".gz"):
        data = gzip.compress(data)
    elif file.form.endswith(".zst"):
        data = pa.compress(data, codec="zstd", asbytes=True)
    path = inbox / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _csv(file: _File, columns: list[str], rng: random.Random) -> tuple[bytes, list[int]]:
    delimiter = "\t" if file.form == "tsv" else ","
    out, lines = io.StringIO(newline=""), []
    writer = csv.DictWriter(out, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    for record, _ in file.records:
        if rng.random() < 0.1:
            out.write("\n")
        lines.append(out.getvalue().count("\n") + 1)
        if isinstance(record, bytes):
            out.write(record.decode().replace(",", delimiter) + "\n")
        else:
            writer.writerow(record)
    return out.getvalue().encode(), lines


def _jsonl(file: _File, columns: list[str], rng: random.Random) -> tuple[bytes, list[int]]:
    out: list[str] = []
    lines = []
    for record, _ in file.records:
        if rng.random() < 0.1:
            out.append("")
        lines.append(len(out) + 1)
        out.append(record.decode() if isinstance(record, bytes) else json.dumps(record))
    return "".join(line + "\n" for line in out).encode(), lines


def _parquet(file: _File, columns: list[str], rng: random.Random) -> tuple[bytes, list[int]]:
    """Every column as text, or, where no row is broken, typed as a real log would be."""
    typed = not any(kind for _, kind in file.records)
    rows = [_typed(record) if typed else record for record, _ in file.records]
    fields = [pa.field(name, _type(name) if typed else pa.string()) for name in columns]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(fields)), sink, row_group_size=7)
    return sink.getvalue(), [i + 1 for i in range(len(rows))]


def _type(name: str) -> pa.DataType:
    if name.endswith("_at"):
        return pa.timestamp("us", "UTC")
    if name in ("tags", "markets"):
        return pa.list_(pa.string())
    return pa.int64() if name in ("ms_played", "duration_ms", "position") else pa.string()


def _typed(record: Any) -> Row:
    out = {}
    for name, value in record.items():
        kind = _type(name)
        if value is None or pa.types.is_string(kind):
            out[name] = value
        elif pa.types.is_timestamp(kind):
            moment = datetime.fromisoformat(value)
            out[name] = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            out[name] = value.split("|") if pa.types.is_list(kind) else int(value)
    return out
