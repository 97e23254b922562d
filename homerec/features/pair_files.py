"""Pairs in Arrow files: written block by block, read by a range of listeners.

Arrow and not Parquet because of the lists: measured, reading takes a seventh.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from pyarrow import ipc

from homerec.features.pairs import SCHEMA, Longs, PlayedPairs, from_arrow, pair_keys
from homerec.lake import atomic_file

#: Rows of a batch, the least that is read at once.
_BATCH_ROWS: Final = 50_000


class PairWriter:
    """Appends pairs to a file; those of later calls must be of later listeners."""

    def __init__(self, writer: ipc.RecordBatchFileWriter) -> None:
        self._writer = writer
        self.rows = 0

    def write(self, pairs: PlayedPairs) -> None:
        """Append pairs."""
        self.rows += len(pairs)
        self._writer.write_table(pairs.to_arrow(), max_chunksize=_BATCH_ROWS)


@contextmanager
def pair_writer(target: Path) -> Iterator[PairWriter]:
    """Write a file of pairs, atomically."""
    options = ipc.IpcWriteOptions(compression="lz4")
    with (
        atomic_file(target) as temporary,
        ipc.new_file(str(temporary), SCHEMA, options=options) as writer,
    ):
        yield PairWriter(writer)


def read_pairs(path: Path, low: int, high: int) -> PlayedPairs:
    """Read the pairs of the listeners with ``low <= key < high``."""
    with pa.memory_map(str(path)) as source:
        first, end = _batches(source, low, high)
        reader = ipc.open_file(source)
        batches = [reader.get_batch(at) for at in range(first, end)]
        table = pa.Table.from_batches(batches, schema=SCHEMA)
        start, stop = np.searchsorted(table["listener"].to_numpy(), [low, high])
        return from_arrow(table.slice(start, stop - start))


def n_pairs(path: Path) -> int:
    """Count the pairs of a file."""
    with pa.memory_map(str(path)) as source:
        reader = _only(source, 1)
        return sum(reader.get_batch(at).num_rows for at in range(reader.num_record_batches))


def read_keys(path: Path) -> Longs:
    """Read only which pairs there are: ``listener << 32 | item``, int64 (n,), ascending."""
    with pa.memory_map(str(path)) as source:
        table = _only(source, 2).read_all()
        if not table.num_rows:
            return np.zeros(0, np.int64)
        return pair_keys(table["listener"].to_numpy(), table["item"].to_numpy())


def cuts(path: Path, low: int, high: int, n_rows: int) -> list[tuple[int, int]]:
    """Cut a range of listener keys so that each part has about ``n_rows`` pairs of a file."""
    with pa.memory_map(str(path)) as source:
        first, end = _batches(source, low, high)
        keys = _only(source, 1)
        step = max(n_rows // _BATCH_ROWS, 1)
        found = {keys.get_batch(at)["listener"][0].as_py() for at in range(first, end, step)}
    inner = sorted(key for key in found if low < key < high)
    return list(zip([low, *inner], [*inner, high], strict=True))


def _only(source: pa.NativeFile, n_columns: int) -> ipc.RecordBatchFileReader:
    """Read only the first columns: the listener, and the item."""
    fields = list(range(n_columns))
    return ipc.open_file(source, options=ipc.IpcReadOptions(included_fields=fields))


def _batches(source: pa.NativeFile, low: int, high: int) -> tuple[int, int]:
    """Find the batches that may have a listener of a range."""
    keys = _only(source, 1)

    def count(key: int) -> int:
        """Batches that begin before a key."""
        left, right = 0, keys.num_record_batches
        while left < right:
            middle = (left + right) // 2
            if keys.get_batch(middle)["listener"][0].as_py() < key:
                left = middle + 1
            else:
                right = middle
        return left

    return max(count(low) - 1, 0), count(high)
