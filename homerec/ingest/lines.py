"""From rows of a scan back to lines of the file, so that a bad row can be found with any editor."""

import gzip
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from homerec.ingest.sources import Opened


def line_shifts(opened: Opened) -> list[tuple[int, int]]:
    """Tell how rows (0-based) of a scan become lines (1-based) of the file.

    For Parquet, lines are row numbers. A CSV file is read again, for its header, blank lines,
    line breaks inside quotes and rejected lines all move the rows after them; so call this only
    for files with bad rows.

    Parameters
    ----------
    opened : Opened
        The file.

    Returns
    -------
    list of (int, int)
        From which row on, what to add to the row, ascending by row.
    """
    if opened.format != "csv":
        return [(0, 1)]
    rejected = {reject.line for reject in opened.rejects}
    shifts: list[tuple[int, int]] = []
    row = 0
    for record, line in _records(opened):
        if record in rejected or (opened.csv.header and record == 1):
            continue
        if not shifts or line - row != shifts[-1][1]:
            shifts.append((row, line - row))
        row += 1
    return shifts or [(0, 1)]


def reject_lines(opened: Opened) -> dict[int, int]:
    """Line of the file by the number that a reject has in :class:`Opened`."""
    if not opened.rejects:
        return {}
    wanted = {reject.line for reject in opened.rejects}
    return {record: line for record, line in _records(opened) if record in wanted}


def _records(opened: Opened) -> Iterator[tuple[int, int]]:
    """Yield number (1-based, blank lines counted, as DuckDB does) and first line of each record."""
    quote = opened.csv.quote
    # In a table of one column a blank line is a row without a value.
    keeps_blank = len(opened.columns) == 1
    record, start, inside = 0, 1, False
    with _text(opened.path, opened.compression, opened.csv.encoding) as stream:
        for line, content in enumerate(stream, start=1):
            if not inside:
                record, start = record + 1, line
            if quote and content.count(quote) % 2:
                inside = not inside
            if not inside and (keeps_blank or start != line or content.strip("\r\n")):
                yield record, start


def _text(path: Path, compression: str, encoding: str) -> io.TextIOWrapper:
    raw: io.BufferedIOBase
    if compression == "none":
        raw = path.open("rb")
    elif compression == "gzip":
        raw = gzip.GzipFile(path, "rb")
    else:
        raw = io.BufferedReader(pa.input_stream(str(path), compression=compression))
    return io.TextIOWrapper(raw, encoding=encoding, errors="replace", newline="\n")
