"""The page: no card twice among the shelves of the whole day."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from homerec.home.cards import Cards
from homerec.home.page import Slot, deduplicate
from homerec.home.rules import SPARE

LISTENERS = st.integers(-2, 3).filter(bool)
LISTS = st.dictionaries(LISTENERS, st.lists(st.integers(1, 25), unique=True, max_size=25))
SHELVES = st.lists(LISTS, min_size=1, max_size=5)
SIZES = st.lists(st.integers(1, 6), min_size=5, max_size=5)


def cards_of(lists: dict[int, list[int]], daypart: int = -1) -> Cards:
    rows = [(who, i, r) for who in sorted(lists) for r, i in enumerate(lists[who], start=1)]
    columns = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    cards = Cards.of(*columns, source=5)
    cards.daypart[:] = daypart
    return cards


def slots_of(sizes: list[int], n: int) -> list[Slot]:
    return [Slot(i + 1, f"s{i}", f"S{i}", "rule", sizes[i]) for i in range(n)]


def lists_of(cards: Cards) -> dict[tuple[int, int], list[int]]:
    out: dict[tuple[int, int], list[int]] = {}
    for who, daypart, what, rank in zip(
        cards.listener.tolist(), cards.daypart.tolist(), cards.item.tolist(),
        cards.rank.tolist(), strict=True,
    ):  # fmt: skip
        out.setdefault((who, daypart), []).append(what)
        assert rank == len(out[who, daypart])
    return out


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SHELVES, SIZES)
def test_no_item_is_twice_on_a_listeners_page_and_order_is_kept(
    shelves: list[dict[int, list[int]]], sizes: list[int]
) -> None:
    slots = slots_of(sizes, len(shelves))
    given_cards = {f"s{i}": cards_of(lists) for i, lists in enumerate(shelves)}
    page = deduplicate(given_cards, slots)
    for who in {k for lists in shelves for k in lists}:
        seen: set[int] = set()
        for i, slot in enumerate(slots):
            wanted = [x for x in shelves[i].get(who, []) if x not in seen]
            kept = lists_of(page[slot.name]).get((who, -1), []) if slot.name in page else []
            # Exactly the first cards that no shelf above has.
            assert kept == wanted[: slot.cards + SPARE]
            assert not seen & set(kept)
            seen |= set(kept)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(LISTS, LISTS, LISTS)
def test_lists_by_daypart_are_cut_but_take_nothing_from_others(
    morning: dict[int, list[int]], evening: dict[int, list[int]], below: dict[int, list[int]]
) -> None:
    parts = Cards.join([cards_of(morning, 1), cards_of(evening, 3)])
    slots = slots_of([2, 2], 2)
    page = deduplicate({"s0": parts, "s1": cards_of(below)}, slots)
    found = lists_of(page["s0"]) if "s0" in page else {}
    expected = {(who, 1): items[: 2 + SPARE] for who, items in morning.items() if items}
    expected |= {(who, 3): items[: 2 + SPARE] for who, items in evening.items() if items}
    assert found == expected
    rest = lists_of(page["s1"]) if "s1" in page else {}
    assert rest == {(who, -1): items[: 2 + SPARE] for who, items in below.items() if items}
