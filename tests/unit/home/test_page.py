"""The page's rows as a release stores them."""

import numpy as np

from homerec.home.cards import Cards
from homerec.home.page import Slot, deduplicate, shelf_table

SLOTS = [
    Slot(1, "shortcuts", "Shortcuts", "model", 2),
    Slot(2, "recent", "Recent", "rule", 1),
    Slot(3, "picks", "Picks", "editorial", 5),
    Slot(4, "popular", "Popular", "rule", 3),
]


def cards(*rows: tuple[int, int, int], daypart: int = -1, source: int = 5) -> Cards:
    out = Cards.of(*np.array(rows).T, source=source)
    out.daypart[:] = daypart
    return out


def table(shelves: dict[str, Cards], listeners: list[int], editorial: bool = True) -> list[tuple]:
    keys = np.array(listeners, dtype=np.int32)
    rows = shelf_table(deduplicate(shelves, SLOTS), SLOTS, keys, editorial).to_pylist()
    return [(r["listener"], r["shelf"], r["daypart"], r["items"]) for r in rows]


def test_rows_are_ordered_by_listener_shelf_and_daypart() -> None:
    shelves = {
        "popular": cards((1, 7, 1), (1, 8, 2), (2, 7, 1)),
        "shortcuts": Cards.join([cards((2, 5, 1), daypart=0), cards((1, 5, 1), daypart=2)]),
    }
    assert table(shelves, [1, 2, 3]) == [
        (1, 1, 2, [5]), (1, 3, -1, []), (1, 4, -1, [7, 8]),
        (2, 1, 0, [5]), (2, 3, -1, []), (2, 4, -1, [7]),
        (3, 3, -1, []),
    ]  # fmt: skip


def test_without_editors_there_is_no_empty_row() -> None:
    assert table({"popular": cards((1, 7, 1))}, [1, 2], editorial=False) == [(1, 4, -1, [7])]


def test_a_card_stays_on_the_first_shelf() -> None:
    shelves = {"recent": cards((1, 7, 1), (1, 8, 2)), "popular": cards((1, 8, 1), (1, 9, 2))}
    assert table(shelves, [1], editorial=False) == [(1, 2, -1, [7, 8]), (1, 4, -1, [9])]


def test_a_card_cut_off_above_may_stand_below() -> None:
    many = [(1, item, item) for item in range(1, 31)]
    found = table({"recent": cards(*many), "popular": cards((1, 30, 1))}, [1], editorial=False)
    # One card and ten to spare fit on the first shelf.
    assert found == [(1, 2, -1, list(range(1, 12))), (1, 4, -1, [30])]


def test_source_and_reason_go_with_the_card() -> None:
    both = Cards.join([cards((1, 7, 1), source=3), cards((2, 9, 1), source=4)])
    both.proposers[:] = [3, 4 + (5 << 5)]
    page = deduplicate({"popular": both}, SLOTS)
    rows = shelf_table(page, SLOTS, np.array([1, 2], np.int32), editorial=False).to_pylist()
    assert [(r["sources"], r["reason_items"]) for r in rows] == [([3], [0]), ([4], [0])]
    assert [r["proposers"] for r in rows] == [[3], [164]]


def test_market_defaults_have_negative_keys_and_do_not_mix() -> None:
    shelves = {"recent": cards((-2, 7, 1), (-1, 7, 1)), "popular": cards((-2, 8, 1), (-1, 7, 1))}
    assert table(shelves, [-2, -1], editorial=False) == [
        (-2, 2, -1, [7]), (-2, 4, -1, [8]), (-1, 2, -1, [7]),
    ]  # fmt: skip
