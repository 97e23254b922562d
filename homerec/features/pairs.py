"""What listeners did with items, summed by pair: integers that no coming night changes.

A pair keeps the days on which it was played, so that everything that depends on the age of a play
(windows, decays, activation, sets of days) is summed when it is read, for any as_of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homerec.features import pair_kernels

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]

_US: Final = pa.timestamp("us")
DAY_US: Final = 86_400_000_000
#: Summed in 32 and in 64 bits; plays of a pair are limited to 2^20, see compute.py.
COUNTS: Final = ("n_morning", "n_afternoon", "n_evening", "n_weekend", "n_chosen")
SUMS: Final = ("ms_played", "duration_ms", "heard_ms")
#: Columns of daily rows that are read.
DAILY: Final = ("listener", "item", "day", "n_plays", *COUNTS, *SUMS, "first_at", "last_at")
#: As pairs are kept in Parquet.
SCHEMA: Final = pa.schema(
    [
        pa.field("listener", pa.int32(), nullable=False),
        pa.field("item", pa.int32(), nullable=False),
        *(pa.field(name, pa.int32(), nullable=False) for name in COUNTS),
        *(pa.field(name, pa.int64(), nullable=False) for name in SUMS),
        pa.field("first_at", _US, nullable=False),
        pa.field("last_at", _US, nullable=False),
        pa.field("days", pa.list_(pa.field("day", pa.date32(), nullable=False)), nullable=False),
        pa.field("plays", pa.list_(pa.field("n", pa.int32(), nullable=False)), nullable=False),
    ]
)
#: Room that is filled to this share is kept as it is.
_FULL: Final = 0.8
#: Windows of :func:`homerec.features.pair_kernels.weigh`, in their order.
_WINDOWS: Final = ("n_plays", "n_plays_7d", "n_plays_28d", "n_same_weekday")


@dataclass(frozen=True)
class PlayedPairs:
    """Pairs of a listener and an item that were played, sorted, each once.

    Attributes
    ----------
    pair : int64 (n,)
        ``listener << 32 | item``, ascending.
    counts : tuple of int32 (n,)
        :data:`COUNTS`: card plays by local daypart, on weekends, and of the item itself.
    sums : tuple of int64 (n,)
        :data:`SUMS`, milliseconds.
    first_at, last_at : int64 (n,)
        First and last card play, microseconds since 1970, UTC.
    offsets : int64 (n + 1,)
        The pair's entries of ``days`` and ``plays``.
    days, plays : int32
        UTC days with a card play, since 1970 and ascending, and the card plays of each.
    """

    pair: Longs
    counts: tuple[Ints, ...]
    sums: tuple[Longs, ...]
    first_at: Longs
    last_at: Longs
    offsets: Longs
    days: Ints
    plays: Ints

    def __len__(self) -> int:
        return len(self.pair)

    def to_arrow(self) -> pa.Table:
        """Return a table of :data:`SCHEMA`."""
        offsets = pa.array(self.offsets.astype(np.int32))
        days = pa.array(self.days).cast(pa.date32())
        columns = [
            *(pa.array(keys) for keys in split_keys(self.pair)),
            *(pa.array(values) for values in (*self.counts, *self.sums)),
            pa.array(self.first_at).cast(_US),
            pa.array(self.last_at).cast(_US),
            pa.ListArray.from_arrays(offsets, days, type=SCHEMA.field("days").type),
            pa.ListArray.from_arrays(offsets, pa.array(self.plays), SCHEMA.field("plays").type),
        ]
        return pa.Table.from_arrays(columns, schema=SCHEMA)


def from_arrow(table: pa.Table) -> PlayedPairs:
    """Read a table of :data:`SCHEMA` whose rows are sorted by listener and item."""
    if not table.num_rows:
        return NOTHING
    column = {name: table[name].combine_chunks() for name in SCHEMA.names}
    first, last = (column[name].cast(pa.int64()).to_numpy() for name in ("first_at", "last_at"))
    days, plays = column["days"], column["plays"]
    # A list array may be a part of a longer one; flatten() gives its own values.
    offsets = days.offsets.to_numpy().astype(np.int64)
    return PlayedPairs(
        pair_keys(column["listener"].to_numpy(), column["item"].to_numpy()),
        tuple(column[name].to_numpy() for name in COUNTS),
        tuple(column[name].to_numpy() for name in SUMS),
        first,
        last,
        offsets - offsets[0],
        days.flatten().cast(pa.int32()).to_numpy(),
        plays.flatten().to_numpy(),
    )


def day_number(day: date) -> int:
    """Return days since 1970, as ``days`` of pairs has them."""
    return (day - date(1970, 1, 1)).days


def pair_keys(listener: npt.NDArray[Any], item: npt.NDArray[Any]) -> Longs:
    """Return ``listener << 32 | item``, int64."""
    keys: Longs = (listener.astype(np.int64) << 32) | item.astype(np.int64)
    return keys


def split_keys(pairs: Longs) -> tuple[Ints, Ints]:
    """Return the listeners and the items of :func:`pair_keys`, int32."""
    return (pairs >> 32).astype(np.int32), (pairs & 0xFFFFFFFF).astype(np.int32)


def group_rows(rows: pa.Table) -> PlayedPairs:
    """Sum daily rows (:data:`DAILY`, any order, a pair and day any number of times) by pair."""
    n = rows.num_rows
    if not n:
        return NOTHING
    column = {name: rows[name].combine_chunks() for name in DAILY}
    plain: dict[str, Any] = {
        name: (values.cast(_plain_type(values.type))).to_numpy(zero_copy_only=False)
        for name, values in column.items()
    }
    pair = pair_keys(plain["listener"], plain["item"])
    out = _room(n, n)
    row = np.empty(n, np.int64)
    n_pairs = pair_kernels.group(
        # Rows come by file, so nearly by day: a stable order leaves little to move.
        np.argsort(pair, kind="stable"), pair, plain["day"], plain["n_plays"],
        tuple(plain[name] for name in COUNTS), tuple(plain[name] for name in SUMS),
        plain["first_at"], plain["last_at"],
        row, out.counts, out.sums, out.first_at, out.last_at, out.offsets, out.days, out.plays,
    )  # fmt: skip
    np.take(pair, row[:n_pairs], out=out.pair[:n_pairs])
    return _filled(out, n_pairs)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return pa.int64()
    return pa.int32() if pa.types.is_date(kind) else kind


def merge(left: PlayedPairs, right: PlayedPairs) -> PlayedPairs:
    """Add two sets of pairs: what both have is summed."""
    if not len(left) or not len(right):
        return left if len(left) else right
    out = _room(len(left) + len(right), len(left.days) + len(right.days))
    arrays: list[Any] = [*_arrays(left), *_arrays(right), *_arrays(out)]
    return _filled(out, pair_kernels.merge(*arrays))


def _arrays(of: PlayedPairs) -> tuple[Any, ...]:
    return (of.pair, of.counts, of.sums, of.first_at, of.last_at, of.offsets, of.days, of.plays)


def weighed(pairs: PlayedPairs, today: int, weights: Longs, names: Sequence[str]) -> pa.Table:
    """Sum plays by age: the table ``pair`` that ``listener_item.sql`` and others read.

    Parameters
    ----------
    pairs : PlayedPairs
        Played before ``today``.
    today : int
        as_of, in days since 1970.
    weights : int64 (max_age + 1, n_weights)
        Weights by age in days, as ``decay.sql`` gives them.
    names : sequence of str
        Columns of the weighted sums.

    Returns
    -------
    pa.Table
        listener, item, n_plays, n_plays_7d, n_plays_28d, n_same_weekday, n_days (int32),
        :data:`COUNTS` (int32), :data:`SUMS` (int64), first_at, last_at, the weighted sums (int64,
        units of 2^-30), days_56 (int64: the last 56 days with a card play, bit 0 is yesterday).
    """
    n = len(pairs)
    windows = np.empty((len(_WINDOWS), n), np.int32)
    decayed = np.empty((len(names), n), np.int64)
    n_days, day_set = np.empty(n, np.int32), np.empty(n, np.int64)
    pair_kernels.weigh(
        today, pairs.offsets, pairs.days, pairs.plays, weights, windows, decayed, n_days, day_set
    )
    columns: dict[str, Any] = {
        **dict(zip(("listener", "item"), split_keys(pairs.pair), strict=True)),
        **dict(zip(_WINDOWS, windows, strict=True)),
        "n_days": n_days,
        **dict(zip(COUNTS, pairs.counts, strict=True)),
        **dict(zip(SUMS, pairs.sums, strict=True)),
        "first_at": pa.array(pairs.first_at).cast(_US),
        "last_at": pa.array(pairs.last_at).cast(_US),
        **dict(zip(names, decayed, strict=True)),
        "days_56": day_set,
    }
    return pa.table(columns)


def _room(n_pairs: int, n_days: int) -> PlayedPairs:
    """Arrays that a kernel fills."""
    return PlayedPairs(
        np.empty(n_pairs, np.int64),
        tuple(np.empty(n_pairs, np.int32) for _ in COUNTS),
        tuple(np.empty(n_pairs, np.int64) for _ in SUMS),
        np.empty(n_pairs, np.int64),
        np.empty(n_pairs, np.int64),
        np.empty(n_pairs + 1, np.int64),
        np.empty(n_days, np.int32),
        np.empty(n_days, np.int32),
    )


def _filled(room: PlayedPairs, n: int) -> PlayedPairs:
    """Return the first n pairs; copied where that gives back much room."""
    n_days = int(room.offsets[n])
    few, short = n < _FULL * len(room), n_days < _FULL * len(room.days)

    def part(values: npt.NDArray[Any], end: int, give_back: bool) -> npt.NDArray[Any]:
        return values[:end].copy() if give_back else values[:end]

    return PlayedPairs(
        part(room.pair, n, few),
        tuple(part(values, n, few) for values in room.counts),
        tuple(part(values, n, few) for values in room.sums),
        part(room.first_at, n, few),
        part(room.last_at, n, few),
        part(room.offsets, n + 1, few),
        part(room.days, n_days, short),
        part(room.plays, n_days, short),
    )


_EMPTY: Final = np.zeros(0, np.int64)
NOTHING: Final = PlayedPairs(
    _EMPTY,
    tuple(np.zeros(0, np.int32) for _ in COUNTS),
    tuple(_EMPTY for _ in SUMS),
    _EMPTY,
    _EMPTY,
    np.zeros(1, np.int64),
    np.zeros(0, np.int32),
    np.zeros(0, np.int32),
)
