"""The binary COPY encoder, read back by an independent decoder."""

import struct

import numpy as np
import pytest

from homerec.release.encoding import SIGNATURE, TRAILER, CopyStream, ShelfRows, encode


def decode(payload):
    """Decode COPY's binary format the slow way, field by field."""
    place, rows = len(SIGNATURE), []
    assert payload[:place] == SIGNATURE

    def take(form):
        nonlocal place
        value = struct.unpack_from(">" + form, payload, place)[0]
        place += struct.calcsize(">" + form)
        return value

    while (n_fields := take("h")) != -1:
        assert n_fields == 8
        row = []
        for form, size in (("q", 8), ("i", 4), ("h", 2), ("h", 2)):
            assert take("i") == size
            row.append(take(form))
        for form, oid in (("i", 23), ("h", 21), ("i", 23), ("i", 23)):
            end = take("i") + place
            n_dims, flags, found = take("i"), take("i"), take("i")
            assert (flags, found) == (0, oid)
            values = []
            if n_dims:
                length, first = take("i"), take("i")
                assert (n_dims, first) == (1, 1)
                for _ in range(length):
                    assert take("i") == struct.calcsize(form)
                    values.append(take(form))
            assert place == end
            row.append(values)
        rows.append(tuple(row))
    assert place == len(payload)
    return rows


def made(lengths, rng):
    n, offsets = len(lengths), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    m = int(offsets[-1])
    return ShelfRows(
        listener=rng.integers(-5, 2**31 - 1, n).astype(np.int32),
        shelf=rng.integers(0, 2**15 - 1, n).astype(np.int16),
        daypart=rng.integers(-1, 4, n).astype(np.int16),
        offsets=offsets,
        items=rng.integers(1, 2**31 - 1, m).astype(np.int32),
        sources=rng.integers(-(2**15), 2**15 - 1, m).astype(np.int16),
        reason_items=rng.integers(0, 2**31 - 1, m).astype(np.int32),
        proposers=rng.integers(0, 2**30, m).astype(np.int32),
    )


ARRAYS = ("items", "sources", "reason_items", "proposers")


def expected(rows, release):
    return sorted(
        (
            release,
            int(rows.listener[i]),
            int(rows.shelf[i]),
            int(rows.daypart[i]),
            *(getattr(rows, name)[a:b].tolist() for name in ARRAYS),
        )
        for i, (a, b) in enumerate(zip(rows.offsets[:-1], rows.offsets[1:], strict=True))
    )


@pytest.mark.parametrize("lengths", [[14] * 5, [0], [1], [0, 3, 0, 1, 3, 500], []])
def test_every_value_comes_back(lengths):
    rows = made(lengths, np.random.default_rng(1))
    stream = CopyStream(encode(rows, 2**40))
    payload = b"".join(iter(lambda: stream.read(1 << 20), b""))
    assert sorted(decode(payload)) == expected(rows, 2**40)
    assert stream.n_bytes == len(payload)


def test_rows_of_one_length_keep_their_order():
    rows = made([2] * 100, np.random.default_rng(2))
    stream = CopyStream(encode(rows, 1))
    payload = b"".join(iter(lambda: stream.read(1 << 20), b""))
    assert [row[1] for row in decode(payload)] == rows.listener.tolist()


def test_the_stream_never_gives_more_than_asked_for():
    rows = made([3, 4, 5], np.random.default_rng(3))
    stream = CopyStream(encode(rows, 1))
    parts = list(iter(lambda: stream.read(7), b""))
    assert max(map(len, parts)) <= 7
    assert b"".join(parts).endswith(TRAILER)
    assert stream.read(7) == b""
