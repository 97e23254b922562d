"""Rows of a listener out of producers' text files, and mentions out of any other text."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from homerec.forget.report import What
from homerec.forget.targets import Targets
from homerec.ingest.mapping import CsvOptions
from homerec.ingest.sources import COMPRESSIONS
from homerec.lake import atomic_file

Counts = dict[What, int]
Columns = Mapping[str, frozenset[str]]
#: What a file that cannot be decompressed or decoded raises.
_MAX_FIELD: Final = 1 << 24
READ_ERRORS: Final = (OSError, EOFError, UnicodeError, pa.ArrowException, csv.Error)


def purge_lines(
    path: Path, targets: Targets, columns: Columns, options: CsvOptions, *, apply: bool
) -> Counts:
    """Remove a listener's records from a CSV or JSON Lines file, compressed or not.

    Every other record keeps its bytes. One that names the listener elsewhere than in ``columns``
    has the mention overwritten; one that cannot be read as a record is removed if it names them.

    Parameters
    ----------
    path : Path
    targets : Targets
    columns : mapping of str to frozenset of str
        Columns that name a listener, to the values that do.
    options : CsvOptions
        How a text table is written.
    apply : bool
        Change the file; otherwise only count.

    Raises
    ------
    OSError, EOFError, UnicodeError, pyarrow.ArrowException, csv.Error
        The file cannot be read to its end.
    """
    stem = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    is_json = stem.suffix.lower() in (".jsonl", ".ndjson", ".json")
    encoding = "utf-8" if is_json else options.encoding
    csv.field_size_limit(_MAX_FIELD)

    def sifted() -> Iterator[tuple[str | None, int]]:
        """Yield what stays of each record (``None``: nothing), and the mentions overwritten."""
        with _reading(path, encoding) as stream:
            records = _json_records(stream) if is_json else _csv_records(stream, stem, options)
            for raw, values in records:
                if values is not None and _own(values, columns):
                    yield None, 0
                    continue
                new, n = targets.redact(raw)
                yield (None, 0) if n and values is None else (new, n)

    # Read twice, so that a file of any size passes through and an unaffected one stays untouched.
    gone = told = 0
    for stays, n in sifted():
        gone += stays is None
        told += n
    if apply and (gone or told):
        with atomic_file(path) as target, _writing(target, path, encoding) as out:
            out.writelines(stays for stays, _ in sifted() if stays is not None)
    counts: Counts = {"rows": gone, "mentions": told}
    return {what: n for what, n in counts.items() if n}


def _own(values: Mapping[str, Any], columns: Columns) -> bool:
    for name, wanted in columns.items():
        value: Any = values.get(name)
        if value is None and "." in name:
            # As in a mapping, a dot descends into nested objects.
            value = values
            for part in name.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None and str(value).strip() in wanted:
            return True
    return False


Record = tuple[str, Mapping[str, Any] | None]


def _json_records(stream: io.TextIOBase) -> Iterator[Record]:
    for line in stream:
        try:
            value = json.loads(line)
        except ValueError:
            value = None
        yield line, value if isinstance(value, dict) else None


def _csv_records(stream: io.TextIOBase, stem: Path, options: CsvOptions) -> Iterator[Record]:
    delimiter = options.delimiter or ("\t" if stem.suffix.lower() == ".tsv" else ",")
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in stream:
            taken.append(line)
            yield line

    quoting: Any = csv.QUOTE_MINIMAL if options.quote else csv.QUOTE_NONE
    rows = csv.reader(
        lines(), delimiter=delimiter, quotechar=options.quote or None, quoting=quoting
    )
    names = list(options.names)
    for row in rows:
        raw = "".join(taken)
        taken.clear()
        if options.header and not names:
            names = [name.strip().lstrip("\ufeff") for name in row]
            yield raw, {}
            continue
        yield raw, dict(zip(names, row, strict=False)) if len(row) == len(names) else None
    if taken:
        yield "".join(taken), None


def purge_text(path: Path, targets: Targets, *, in_place: bool, apply: bool) -> Counts:
    """Overwrite every mention of a listener in a text.

    Parameters
    ----------
    path : Path
        Any text, compressed or not; what is not UTF-8 in it is kept as it is.
    targets : Targets
    in_place : bool
        Overwrite letter by letter in the file itself: a process may be writing at its end.
    apply : bool
        Change the file; otherwise only count.

    Raises
    ------
    OSError, EOFError, pyarrow.ArrowException
        The file cannot be read to its end.
    """
    with _reading(path, "utf-8") as stream:
        old = stream.read()
    new, n = targets.redact(old, same_length=in_place)
    if not n:
        return {}
    if apply and in_place:
        _overwrite(path, old, new)
    elif apply:
        with atomic_file(path) as target, _writing(target, path, "utf-8") as out:
            out.write(new)
    return {"mentions": n}


def _overwrite(path: Path, old: str, new: str) -> None:
    before, after = (s.encode("utf-8", "surrogateescape") for s in (old, new))
    if len(after) != len(before):
        raise AssertionError(f"a mask changed the length of {path}")
    with path.open("r+b") as stream:
        stream.write(after)


@contextmanager
def _reading(path: Path, encoding: str) -> Iterator[io.TextIOBase]:
    kind = COMPRESSIONS.get(path.suffix.lower(), "none")
    raw: Any
    if kind == "none":
        raw = path.open("rb")
    elif kind == "gzip":
        raw = gzip.GzipFile(path, "rb")
    else:
        raw = io.BufferedReader(pa.input_stream(str(path), compression=kind))
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    with io.TextIOWrapper(raw, encoding=encoding, errors=errors, newline="") as stream:
        yield stream


@contextmanager
def _writing(target: Path, like: Path, encoding: str) -> Iterator[io.TextIOBase]:
    kind = COMPRESSIONS.get(like.suffix.lower(), "none")
    opener: dict[str, Callable[[], Any]] = {
        "none": lambda: target.open("wb"),
        "gzip": lambda: gzip.GzipFile(target, "wb"),
        "zstd": lambda: pa.output_stream(str(target), compression="zstd"),
    }
    errors = "surrogateescape" if encoding == "utf-8" else "strict"
    with (
        opener[kind]() as raw,
        io.TextIOWrapper(raw, encoding=encoding, errors=errors, newline="") as stream,
    ):
        yield stream
