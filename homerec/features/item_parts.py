"""What a block of listeners adds to ``item_market``: sums of their pairs by item and market.

A compiled loop over the pairs, because they have many groups and many sums: measured, DuckDB's
hashing of them was a third of a night's features. Sums are of integers, so that blocks add up
exactly, in any order.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa

from homerec.compiling import entry_point
from homerec.errors import SnapshotError
from homerec.features.pairs import DAY_US, PlayedPairs, day_number, split_keys

#: Columns of ``item_part``, in the order of the loop's sums.
SUMS: Final = (
    "n_listeners", "n_listeners_7d", "n_listeners_28d", "n_starts_7d", "n_starts_28d",
    "n_plays_7d", "n_plays_28d", "n_new_listener_plays_28d", "n_plays_28d_under_180d",
    "n_new_listener_starts_28d", "duration_ms", "heard_ms", "fixed_3d", "fixed_14d", "fixed_60d",
)  # fmt: skip
_DECAYS: Final = ("fixed_3d", "fixed_14d", "fixed_60d")
#: Weights are below 2^30, so that the weighted sum of fewer plays than this fits into 64 bits.
_MAX_PLAYS: Final = 2**33


def item_part(
    connection: duckdb.DuckDBPyConnection, pairs: PlayedPairs, table: pa.Table, as_of: date
) -> pa.Table:
    """Sum pairs by item and the market of the listener.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Has the table ``listeners``; pairs of others are left out.
    pairs : PlayedPairs
    table : pa.Table
        The same pairs as :func:`homerec.features.pairs.weighed` gives them.
    as_of : date

    Returns
    -------
    pa.Table
        item (int32), market, :data:`SUMS` (int64; ``n_listeners_*`` by last, ``n_starts_*`` by
        first card play; ``fixed_*`` in units of 2^-30) and last_at, a row per item and market.

    Raises
    ------
    SnapshotError
        A block holds 2^33 card plays or more.
    """
    plays = int(table["n_plays"].to_numpy().sum(dtype=np.int64))
    if plays >= _MAX_PLAYS:
        raise SnapshotError(
            f"A block of listeners has {plays:,} card plays; fewer than {_MAX_PLAYS:,} can be "
            "summed exactly. Have BLOCK_ROWS of homerec/features/pair_sources.py lowered."
        )
    people = connection.execute(
        "SELECT listener, market, epoch_us(registered_at) AS registered "
        "FROM listeners ORDER BY listener"
    ).fetchnumpy()
    markets, market = np.unique(np.asarray(people["market"], dtype=np.str_), return_inverse=True)
    listeners = np.asarray(people["listener"], dtype=np.int32)
    registered = np.asarray(people["registered"], dtype=np.int64)
    owners, items = split_keys(pairs.pair)
    n_items = int(items.max()) + 1 if len(items) else 0
    slot, person = np.empty(len(pairs), np.int32), np.empty(len(pairs), np.int32)
    place = np.zeros((n_items, max(len(markets), 1)), np.int32)
    n_slots = _place(owners, items, listeners, market.astype(np.int32), place, slot, person)
    sums, last = np.zeros((n_slots, len(SUMS)), np.int64), np.zeros(n_slots, np.int64)
    now = day_number(as_of) * DAY_US
    read = [table[name].to_numpy() for name in ("n_plays_7d", "n_plays_28d", *SUMS[10:])]
    arguments: list[Any] = [slot, person, registered, now, pairs.first_at, pairs.last_at, *read]
    arguments += [sums, last]
    _sum(*arguments)
    item, of_market = np.nonzero(place)
    order = place[item, of_market] - 1
    columns: dict[str, Any] = {
        "item": item.astype(np.int32),
        "market": pa.array(markets[of_market].tolist(), pa.string()),
        **{name: sums[order, at] for at, name in enumerate(SUMS)},
        "last_at": pa.array(last[order]).cast(pa.timestamp("us")),
    }
    return pa.table(columns)


def added(connection: duckdb.DuckDBPyConnection, parts: Sequence[pa.Table]) -> pa.Table:
    """Add up the parts of several blocks, so that they take the room of one.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    parts : sequence of pa.Table
        From :func:`item_part`, or from here.

    Returns
    -------
    pa.Table
        As :func:`item_part` gives it, in any order.
    """
    connection.register("item_parts", pa.concat_tables(parts))
    sums = ", ".join(f"CAST(sum({name}) AS BIGINT) AS {name}" for name in SUMS)
    return connection.sql(
        f"SELECT item, market, {sums}, max(last_at) AS last_at FROM item_parts "  # noqa: S608
        "GROUP BY item, market"
    ).to_arrow_table()


@entry_point
def _place(
    owners: Any, items: Any, listeners: Any, markets: Any, place: Any, slot: Any, person: Any
) -> int:
    """Give groups numbers in the order they come; ``place`` receives the numbers plus 1."""
    n_slots = 0
    at = 0
    for p in range(len(owners)):
        while at < len(listeners) and listeners[at] < owners[p]:
            at += 1
        if at == len(listeners) or listeners[at] != owners[p]:
            slot[p] = -1
            continue
        found = place[items[p], markets[at]]
        if found == 0:
            n_slots += 1
            found = n_slots
            place[items[p], markets[at]] = found
        slot[p] = found - 1
        person[p] = at
    return n_slots


@entry_point
def _sum(
    slot: Any, person: Any, registered: Any, now: int, first_at: Any, last_at: Any,
    plays_7: Any, plays_28: Any, duration: Any, heard: Any, decay_3: Any, decay_14: Any,
    decay_60: Any, sums: Any, last: Any,
) -> None:  # fmt: skip
    day = 86_400_000_000
    for p in range(len(slot)):
        group = slot[p]
        if group < 0:
            continue
        row = sums[group]
        since = registered[person[p]]
        row[0] += 1
        row[1] += last_at[p] >= now - 7 * day
        row[2] += last_at[p] >= now - 28 * day
        row[3] += first_at[p] >= now - 7 * day
        recent = first_at[p] >= now - 28 * day
        row[4] += recent
        row[5] += plays_7[p]
        row[6] += plays_28[p]
        if since >= now - 30 * day:
            row[7] += plays_28[p]
        if since >= now - 180 * day:
            row[8] += plays_28[p]
        row[9] += recent and first_at[p] < since + 30 * day
        row[10] += duration[p]
        row[11] += heard[p]
        row[12] += decay_3[p]
        row[13] += decay_14[p]
        row[14] += decay_60[p]
        last[group] = max(last[group], last_at[p])
