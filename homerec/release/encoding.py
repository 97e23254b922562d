"""Rows of shelves as Postgres's binary COPY format, made by numpy: no Python code runs per row.

Rows whose arrays have the same length have the same width in bytes, so they are one structured
array.

References
----------
PostgreSQL documentation, COPY, "Binary Format"; ``array_send`` for the layout of arrays.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIGNATURE = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"

_INT4, _INT2 = 23, 21
#: Field name, type of its elements, that type's OID.
_ARRAYS = (
    ("items", ">i4", _INT4),
    ("sources", ">i2", _INT2),
    ("reason_items", ">i4", _INT4),
    ("proposers", ">i4", _INT4),
)
_SCALARS = (("release", ">i8"), ("listener", ">i4"), ("shelf", ">i2"), ("daypart", ">i2"))


@dataclass(frozen=True)
class ShelfRows:
    """Some rows of ``home_shelf``.

    Attributes
    ----------
    listener : int32 (n,)
    shelf, daypart : int16 (n,)
    offsets : int64 (n + 1,)
        Row i has the elements ``offsets[i]:offsets[i + 1]`` of the arrays below.
    items, reason_items, proposers : int32 (m,)
    sources : int16 (m,)
    """

    listener: npt.NDArray[np.int32]
    shelf: npt.NDArray[np.int16]
    daypart: npt.NDArray[np.int16]
    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    sources: npt.NDArray[np.int16]
    reason_items: npt.NDArray[np.int32]
    proposers: npt.NDArray[np.int32]


def encode(rows: ShelfRows, release_id: int) -> Iterator[memoryview]:
    """Encode rows for COPY's binary format, without signature and trailer.

    Parameters
    ----------
    rows : ShelfRows
        The rows; those of one length come together, otherwise their order is kept.
    release_id : int
        First column of every row.

    Yields
    ------
    memoryview of bytes
        One for each length of array.
    """
    lengths = np.diff(rows.offsets)
    for length in np.unique(lengths):
        n = int(length)
        chosen = np.flatnonzero(lengths == length)
        out = np.tile(_template(n), len(chosen))
        out["release"]["value"] = release_id
        for name in ("listener", "shelf", "daypart"):
            out[name]["value"] = getattr(rows, name)[chosen]
        if n:
            places = rows.offsets[chosen, None] + np.arange(n)
            for name, _, _ in _ARRAYS:
                out[name]["element"]["value"] = getattr(rows, name)[places]
        yield out.view(np.uint8).data


@functools.lru_cache(maxsize=512)
def _template(n: int) -> npt.NDArray[np.void]:
    """One row whose arrays have ``n`` elements: all that does not depend on the values."""
    fields: list[tuple[str, object]] = [("n_fields", ">i2")]
    fields += [(name, np.dtype([("bytes", ">i4"), ("value", kind)])) for name, kind in _SCALARS]
    fields += [(name, _array_dtype(kind, n)) for name, kind, _ in _ARRAYS]
    row: npt.NDArray[np.void] = np.zeros(1, np.dtype(fields))
    row["n_fields"] = len(fields) - 1
    for name, kind in _SCALARS:
        row[name]["bytes"] = np.dtype(kind).itemsize
    for name, kind, oid in _ARRAYS:
        array = row[name]
        array["bytes"] = array.dtype.itemsize - 4
        array["oid"] = oid
        if n:
            array["n_dims"] = 1
            array["length"] = n
            array["first"] = 1
            array["element"]["bytes"] = np.dtype(kind).itemsize
    return row


def _array_dtype(kind: str, n: int) -> np.dtype[np.void]:
    head = [("bytes", ">i4"), ("n_dims", ">i4"), ("flags", ">i4"), ("oid", ">i4")]
    if n == 0:
        return np.dtype(head)
    element = np.dtype([("bytes", ">i4"), ("value", kind)])
    return np.dtype([*head, ("length", ">i4"), ("first", ">i4"), ("element", element, (n,))])


class CopyStream:
    """A file-like object over byte chunks, for ``cursor.copy_expert``.

    Parameters
    ----------
    chunks : iterator of memoryview
        What is read, after the signature and before the trailer.
    """

    def __init__(self, chunks: Iterator[memoryview]) -> None:
        self._chunks = self._framed(chunks)
        self._rest = memoryview(b"")
        self.n_bytes = 0

    @staticmethod
    def _framed(chunks: Iterator[memoryview]) -> Iterator[memoryview]:
        yield memoryview(SIGNATURE)
        yield from chunks
        yield memoryview(TRAILER)

    def read(self, size: int = 1 << 20) -> bytes:
        """Return up to ``size`` bytes, empty at the end."""
        while not self._rest:
            following = next(self._chunks, None)
            if following is None:
                return b""
            self._rest = following
        part, self._rest = self._rest[:size], self._rest[size:]
        self.n_bytes += len(part)
        return bytes(part)
