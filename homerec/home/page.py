"""The page: ordered shelves, no card twice among those that hold for the whole day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homerec.columns import ANY_DAYPART
from homerec.features.tables import Keys
from homerec.home.cards import Cards
from homerec.home.rules import SPARE


@dataclass(frozen=True)
class Slot:
    """A shelf's place on the page.

    Attributes
    ----------
    number : int
        1-based place; the shelf's key in a release.
    name, title : str
        ``{market}`` in the title is replaced when a Home is read.
    kind : {"model", "rule", "editorial"}
    cards : int
        Cards shown.
    """

    number: int
    name: str
    title: str
    kind: Literal["model", "rule", "editorial"]
    cards: int


def deduplicate(shelves: Mapping[str, Cards], slots: Sequence[Slot]) -> dict[str, Cards]:
    """Keep a card on the first shelf that has room for it.

    Parameters
    ----------
    shelves : mapping of str to Cards
        By name of the slot; slots without cards may be missing.
    slots : sequence of Slot
        In the order of the page.

    Returns
    -------
    dict of str to Cards
        Re-ranked and cut at the shelf's size plus spare cards. Shelves with a list per daypart are
        cut only: which of their lists is shown is known when the Home is read, and home() keeps
        the first of two equal cards.
    """
    out = {}
    placed = np.zeros(0, dtype=np.int64)
    for slot in slots:
        cards = shelves.get(slot.name)
        if cards is None or len(cards) == 0:
            continue
        keys = cards.listener.astype(np.int64) << 32 | cards.item
        by_daypart = bool((cards.daypart != ANY_DAYPART).any())
        if not by_daypart:
            fresh = ~np.isin(keys, placed)
            cards, keys = cards.take(fresh), keys[fresh]
        lists = (cards.daypart.astype(np.int64) + 1 << 32) + cards.listener
        rank = _ranks(lists)
        kept = rank <= slot.cards + SPARE
        out[slot.name] = Cards(
            cards.listener[kept],
            cards.item[kept],
            cards.daypart[kept],
            rank[kept],
            cards.source[kept],
            cards.reason_item[kept],
            cards.proposers[kept],
        )
        if not by_daypart:
            placed = np.concatenate([placed, keys[kept]])
    return out


def _ranks(lists: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """1-based position of each entry in its run of equal values, int32 (n,)."""
    if len(lists) == 0:
        return np.zeros(0, dtype=np.int32)
    starts = np.flatnonzero(np.concatenate(([True], lists[1:] != lists[:-1])))
    lengths = np.diff(np.append(starts, len(lists)))
    return (np.arange(len(lists)) - np.repeat(starts, lengths) + 1).astype(np.int32)


def shelf_table(
    shelves: Mapping[str, Cards], slots: Sequence[Slot], listeners: Keys, editorial: bool
) -> pa.Table:
    """Rows of a release: one per listener, shelf and daypart, with its cards as lists.

    Parameters
    ----------
    shelves : mapping of str to Cards
        From :func:`deduplicate`.
    slots : sequence of Slot
    listeners : int32 (n,)
        Everybody who has a Home in this part, ascending; each gets the editors' empty row.
    editorial : bool
        Whether there is an editors' shelf.

    Returns
    -------
    pyarrow.Table
        Columns as :data:`homerec.release.bundle.SCHEMA`, ordered by listener, shelf, daypart.
    """
    parts = []
    for slot in slots:
        if slot.kind == "editorial" and editorial:
            parts.append(_empty_rows(slot, listeners))
        elif slot.name in shelves and len(shelves[slot.name]):
            parts.append(_rows(slot, shelves[slot.name]))
    table = pa.concat_tables(parts)
    order = [("listener", "ascending"), ("shelf", "ascending"), ("daypart", "ascending")]
    return table.sort_by(order)


def _rows(slot: Slot, cards: Cards) -> pa.Table:
    lists = (cards.daypart.astype(np.int64) + 1 << 32) + cards.listener
    starts = np.flatnonzero(np.concatenate(([True], lists[1:] != lists[:-1])))
    offsets = pa.array(np.append(starts, len(cards)).astype(np.int32))
    return pa.table(
        {
            "listener": pa.array(cards.listener[starts]),
            "shelf": pa.array(np.full(len(starts), slot.number, dtype=np.int16)),
            "daypart": pa.array(cards.daypart[starts].astype(np.int16)),
            "items": pa.ListArray.from_arrays(offsets, pa.array(cards.item)),
            "sources": pa.ListArray.from_arrays(offsets, pa.array(cards.source)),
            "reason_items": pa.ListArray.from_arrays(offsets, pa.array(cards.reason_item)),
            "proposers": pa.ListArray.from_arrays(offsets, pa.array(cards.proposers)),
        }
    )


def _empty_rows(slot: Slot, listeners: Keys) -> pa.Table:
    n = len(listeners)
    offsets = pa.array(np.zeros(n + 1, dtype=np.int32))
    return pa.table(
        {
            "listener": pa.array(listeners.astype(np.int32)),
            "shelf": pa.array(np.full(n, slot.number, dtype=np.int16)),
            "daypart": pa.array(np.full(n, ANY_DAYPART, dtype=np.int16)),
            "items": pa.ListArray.from_arrays(offsets, pa.array([], pa.int32())),
            "sources": pa.ListArray.from_arrays(offsets, pa.array([], pa.int16())),
            "reason_items": pa.ListArray.from_arrays(offsets, pa.array([], pa.int32())),
            "proposers": pa.ListArray.from_arrays(offsets, pa.array([], pa.int32())),
        }
    )
