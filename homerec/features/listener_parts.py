"""Pairs summed by listener: by the kind of item (its type and language), and by its tags.

``listener.sql`` and ``listener_tag.sql`` read these, which are many times fewer rows than pairs. A
listener's pairs follow each other, so that one pass over them needs no hashing.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homerec.compiling import entry_point
from homerec.features.pairs import DAY_US, Ints, Longs, PlayedPairs, day_number, split_keys

#: What is summed of each pair, from the table of :func:`homerec.features.pairs.weighed`.
_READ: Final = (
    "n_plays", "n_plays_7d", "n_plays_28d", "n_morning", "n_afternoon", "n_evening", "n_weekend",
    "duration_ms", "heard_ms", "fixed_60d",
)  # fmt: skip
#: Columns of a row by kind, in the order of the loop's sums.
KIND_SUMS: Final = ("n_items", "n_items_28d", "n_starts_28d", *_READ)


@dataclass(frozen=True)
class ItemSide:
    """What the sums need to know of items, by key.

    Attributes
    ----------
    kind : int32 (n,)
        Number of the item's kind; 0 for keys that are no item.
    n_kinds : int
        Numbers end before it.
    tag_offsets, tags : int64 (n + 1,), int32
        Numbers of each item's tags, for items released before as_of.
    n_tags : int
        Of all items.
    """

    kind: Ints
    n_kinds: int
    tag_offsets: Longs
    tags: Ints
    n_tags: int

    @classmethod
    def read(cls, connection: duckdb.DuckDBPyConnection, as_of: date) -> Self:
        """Read them from the table ``items``.

        Leaves the tables ``item_kind`` (kind, type, language) and ``tag_name`` (number, tag).
        """
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE item_kind AS SELECT "
            "CAST(row_number() OVER (ORDER BY type, language) AS INTEGER) AS kind, type, language "
            "FROM (SELECT DISTINCT type, language FROM items)"
        )
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE tagged AS SELECT item, unnest(tags) AS tag FROM items "
            "WHERE released_at < CAST($as_of AS TIMESTAMP) AND len(tags) > 0",
            {"as_of": as_of},
        )
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE tag_name AS SELECT "
            "CAST(row_number() OVER (ORDER BY tag) - 1 AS INTEGER) AS number, tag "
            "FROM (SELECT DISTINCT tag FROM tagged)"
        )
        found = connection.execute(
            "SELECT i.item, k.kind FROM items i JOIN item_kind k ON k.type = i.type "
            "AND k.language IS NOT DISTINCT FROM i.language"
        ).fetchnumpy()
        tagged = connection.execute(
            "SELECT t.item, n.number FROM tagged t JOIN tag_name n ON n.tag = t.tag "
            "ORDER BY t.item, n.number"
        ).fetchnumpy()
        connection.execute("DROP TABLE tagged")
        items = np.asarray(found["item"], dtype=np.int64)
        kind = np.zeros(int(items.max(initial=-1)) + 1, np.int32)
        kind[items] = np.asarray(found["kind"])
        counts = np.bincount(np.asarray(tagged["item"], dtype=np.int64), minlength=len(kind))
        numbers = np.asarray(tagged["number"], dtype=np.int32)
        return cls(
            kind,
            int(kind.max(initial=0)) + 1,
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            numbers,
            int(numbers.max(initial=-1)) + 1,
        )


def expose_listener_parts(
    connection: duckdb.DuckDBPyConnection,
    pairs: PlayedPairs,
    table: pa.Table,
    items: ItemSide,
    as_of: date,
) -> None:
    """Make a block's pairs readable by listener.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Has the tables of :meth:`ItemSide.read`. Receives the views ``listener_kind`` (listener,
        type, language, :data:`KIND_SUMS`, last_at, days_56; type is null for keys that are no item)
        and ``listener_tag_part`` (listener, tag, weight: ``fixed_60d`` of the items with the tag,
        each divided by its number of tags).
    pairs : PlayedPairs
    table : pa.Table
        The same pairs as :func:`homerec.features.pairs.weighed` gives them.
    items : ItemSide
    as_of : date
    """
    owners, keys = split_keys(pairs.pair)
    connection.register("kind_sums", _by_kind(owners, keys, pairs, table, items, as_of))
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW listener_kind AS SELECT s.* EXCLUDE (kind), k.type, "
        "k.language FROM kind_sums s LEFT JOIN item_kind k ON k.kind = s.kind"
    )
    connection.register("tag_sums", _by_tag(owners, keys, table["fixed_60d"].to_numpy(), items))
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW listener_tag_part AS SELECT s.listener, n.tag, s.weight "
        "FROM tag_sums s JOIN tag_name n ON n.number = s.number"
    )


def _by_kind(
    owners: Ints,
    keys: Ints,
    pairs: PlayedPairs,
    table: pa.Table,
    items: ItemSide,
    as_of: date,
) -> pa.Table:
    n_rows = _count_kinds(owners, keys, items.kind, items.n_kinds)
    listener, kind = np.empty(n_rows, np.int32), np.empty(n_rows, np.int32)
    sums = np.zeros((n_rows, len(KIND_SUMS)), np.int64)
    last, days = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64)
    month_ago = (day_number(as_of) - 28) * DAY_US
    counts = tuple(table[name].to_numpy() for name in _READ[:7])
    amounts = tuple(table[name].to_numpy() for name in _READ[7:])
    arguments: list[Any] = [owners, keys, items.kind, items.n_kinds, month_ago]
    arguments += [pairs.first_at, pairs.last_at, table["days_56"].to_numpy(), counts, amounts]
    arguments += [listener, kind, sums, last, days]
    _sum_kinds(*arguments)
    return pa.table(
        {
            "listener": listener,
            "kind": kind,
            **{name: np.ascontiguousarray(sums[:, at]) for at, name in enumerate(KIND_SUMS)},
            "last_at": pa.array(last).cast(pa.timestamp("us")),
            "days_56": days,
        }
    )


def _by_tag(owners: Ints, keys: Ints, weight: npt.NDArray[np.int64], items: ItemSide) -> pa.Table:
    room = _count_tags(owners, keys, items.tag_offsets)
    listener, number = np.empty(room, np.int32), np.empty(room, np.int32)
    total = np.empty(room, np.int64)
    arguments: list[Any] = [owners, keys, weight, items.tag_offsets, items.tags, items.n_tags]
    arguments += [listener, number, total]
    n = _sum_tags(*arguments)
    return pa.table({"listener": listener[:n], "number": number[:n], "weight": total[:n]})


@entry_point
def _count_kinds(owners: Any, keys: Any, kind: Any, n_kinds: int) -> int:
    """Count the rows that :func:`_sum_kinds` makes."""
    seen = np.full(n_kinds, -1, np.int64)
    n = 0
    for p in range(len(owners)):
        k = kind[keys[p]] if keys[p] < len(kind) else 0
        if seen[k] != owners[p]:
            seen[k] = owners[p]
            n += 1
    return n


@entry_point
def _sum_kinds(
    owners: Any, keys: Any, kind: Any, n_kinds: int, month_ago: int, first_at: Any, last_at: Any,
    day_set: Any, counts: Any, amounts: Any, out_listener: Any, out_kind: Any, sums: Any,
    last: Any, days: Any,
) -> None:  # fmt: skip
    row_of = np.full(n_kinds, -1, np.int64)
    seen = np.full(n_kinds, -1, np.int64)
    n = 0
    for p in range(len(owners)):
        k = kind[keys[p]] if keys[p] < len(kind) else 0
        if seen[k] != owners[p]:
            seen[k] = owners[p]
            row_of[k] = n
            out_listener[n] = owners[p]
            out_kind[n] = k
            n += 1
        at = row_of[k]
        row = sums[at]
        row[0] += 1
        row[1] += last_at[p] >= month_ago
        row[2] += first_at[p] >= month_ago
        for c in range(len(counts)):
            row[3 + c] += counts[c][p]
        for c in range(len(amounts)):
            row[3 + len(counts) + c] += amounts[c][p]
        last[at] = max(last[at], last_at[p])
        days[at] |= day_set[p]


@entry_point
def _count_tags(owners: Any, keys: Any, tag_offsets: Any) -> int:
    """Count the tags of all pairs: as many rows as :func:`_sum_tags` can make."""
    n = 0
    for p in range(len(owners)):
        if keys[p] < len(tag_offsets) - 1:
            n += tag_offsets[keys[p] + 1] - tag_offsets[keys[p]]
    return n


@entry_point
def _sum_tags(
    owners: Any, keys: Any, weight: Any, tag_offsets: Any, tags: Any, n_tags: int,
    out_listener: Any, out_number: Any, out_weight: Any,
) -> int:  # fmt: skip
    row_of = np.zeros(n_tags, np.int64)
    seen = np.full(n_tags, -1, np.int64)
    n = 0
    for p in range(len(owners)):
        if keys[p] >= len(tag_offsets) - 1:
            continue
        low, high = tag_offsets[keys[p]], tag_offsets[keys[p] + 1]
        if low == high:
            continue
        # Integer division first: an exact sum does not depend on the order of its terms.
        part = weight[p] // (high - low)
        for t in range(low, high):
            tag = tags[t]
            if seen[tag] != owners[p]:
                seen[tag] = owners[p]
                row_of[tag] = n
                out_listener[n] = owners[p]
                out_number[n] = tag
                out_weight[n] = 0
                n += 1
            out_weight[row_of[tag]] += part
    return n
