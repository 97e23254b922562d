"""Where a card came from, by number, and how that is said to a listener.

A source that can name an item or a tag says so under a number of its own: the source's plus 100
with an item the listener played, plus 200 with one picked at sign-up, 1000 and up for tags. Where
the item may not be named when a Home is read, what the source says without it is shown.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.candidates.base import PICKED, PLAYED, TAG, Reasons

#: (number, name, what the listener reads); numbers are kept in releases and never reused.
SOURCES: Final = (
    (1, "als", "Because of what you listen to"),
    (2, "co_listening", "People who listen to what you do play this"),
    (3, "by_tags", "Close to your taste"),
    (4, "new_items", "New, and close to your taste"),
    (5, "popular", "Popular in {market}"),
    (6, "familiar", "You listen to this"),
    (7, "baseline", None),
    (8, "ease", "Goes with what you listen to"),
    (20, "recent", "You listened to this recently"),
    (21, "new_episode", "New episode"),
    (22, "popular_in_market", None),
    (30, "editorial", "Picked by our editors"),
)
NUMBERS: Final[dict[str, int]] = {name: number for number, name, _ in SOURCES}
#: Added to a source's number, and what it then says; {item} is the title of the reason's item.
WITH_ITEM: Final = {
    PLAYED: (100, "Because you listened to {item}"),
    PICKED: (200, "Because you picked {item}"),
}
#: Sources that can name an item.
_NAMING: Final = ("als", "co_listening")
#: First number of the tags, and of those from which on none is named (numbers are int16).
FIRST_TAG: Final = 1_000
_LAST: Final = 32_767


def source_rows(tags: Sequence[str] = ()) -> list[dict[str, object]]:
    """Return the table of sources as a release keeps it.

    Parameters
    ----------
    tags : sequence of str
        Of the night's catalog, in its order.
    """
    rows = list(SOURCES)
    rows += [
        (NUMBERS[name] + more, name, label)
        for more, label in WITH_ITEM.values()
        for name in _NAMING
    ]
    named = enumerate(tags[: _LAST - FIRST_TAG + 1], start=FIRST_TAG)
    # Braces stand for what is filled in when a Home is read; a tag must not bring its own.
    rows += [
        (number, "by_tags", f"Because you like {tag.replace('{', '(').replace('}', ')')}")
        for number, tag in named
    ]
    return [{"source": number, "name": name, "label": label} for number, name, label in rows]


def numbers_with_reasons(names: Sequence[str], reasons: Reasons) -> npt.NDArray[np.int16]:
    """Return the number of each card's source and reason, int16 (n,).

    Parameters
    ----------
    names : sequence of str
        Source of each card.
    reasons : Reasons
        Of each card.
    """
    numbers = np.array([NUMBERS[name] for name in names], dtype=np.int64)
    for kind, (more, _) in WITH_ITEM.items():
        numbers[reasons.kind == kind] += more
    tag = FIRST_TAG + reasons.tag
    named = (reasons.kind == TAG) & (tag <= _LAST)
    numbers[named] = tag[named]
    return numbers.astype(np.int16)
