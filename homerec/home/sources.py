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
from homerec.errors import ReleaseError
from homerec.features.tables import Floats

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
    (9, "starts", "Close to what you choose"),
    (10, "centroids", "Liked by listeners like you"),
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
_NAMING: Final = ("als", "co_listening", "starts")
#: First number of the tags, and of those from which on none is named (numbers are int16).
FIRST_TAG: Final = 1_000
_LAST: Final = 32_767
#: Proposers of a card are kept in one int32: so many, of so many bits each.
MAX_PROPOSERS: Final = 6
PROPOSER_BITS: Final = 5


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


def pack_proposers(names: Sequence[str], ranks: Floats) -> npt.NDArray[np.int32]:
    """Pack the numbers of all sources that proposed each card into one integer.

    The source that ranked the card highest takes the lowest :data:`PROPOSER_BITS` bits, the next
    one the bits above, and so on for :data:`MAX_PROPOSERS` sources; 0 ends the list. Sources that
    ranked it alike come in the order of ``names``.

    Parameters
    ----------
    names : sequence of str
        Sources of a model, in the order of its spec.
    ranks : float32 (n_names, n)
        1-based rank of each card in each source, NaN where the source did not propose it.

    Returns
    -------
    int32 (n,)

    Raises
    ------
    ReleaseError
        A source has a number that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> nan = np.nan
    >>> packed = pack_proposers(["als", "popular"], np.array([[3, nan], [1, 2]], np.float32))
    >>> [proposers_of(int(one)) for one in packed]
    [['popular', 'als'], ['popular']]
    """
    numbers = np.array([NUMBERS[name] for name in names], dtype=np.int32)
    if len(names) and numbers.max() >= 1 << PROPOSER_BITS:
        raise ReleaseError(
            f"Source {names[int(numbers.argmax())]} has number {numbers.max()}; those of candidate "
            f"sources must be below {1 << PROPOSER_BITS}. Give it a free one in "
            "homerec/home/sources.py."
        )
    out = np.zeros(ranks.shape[1], dtype=np.int32)
    order = np.argsort(np.nan_to_num(ranks, nan=np.inf), axis=0, kind="stable")[:MAX_PROPOSERS]
    for place, source in enumerate(order):
        proposed = ~np.isnan(np.take_along_axis(ranks, source[None], axis=0)[0])
        out |= np.where(proposed, numbers[source], 0) << (PROPOSER_BITS * place)
    return out


def proposers_of(packed: int) -> list[str]:
    """Names of the sources in an integer of :func:`pack_proposers`, best rank first.

    ``home()`` reads them the same way in ``sql/serving``.
    """
    names = {number: name for name, number in NUMBERS.items()}
    numbers = (packed >> PROPOSER_BITS * n & (1 << PROPOSER_BITS) - 1 for n in range(MAX_PROPOSERS))
    return [names[number] for number in numbers if number]
