"""Where a card came from, by number, and how that is said to a listener."""

from typing import Final

#: (number, name, what the listener reads); numbers are kept in releases and never reused.
SOURCES: Final = (
    (1, "als", "Because of what you listen to"),
    (2, "co_listening", "People who listen to what you do play this"),
    (3, "by_tags", "Close to your taste"),
    (4, "new_items", "New, and close to your taste"),
    (5, "popular", "Popular near you"),
    (6, "familiar", "You listen to this"),
    (7, "baseline", None),
    (20, "recent", "You listened to this recently"),
    (21, "new_episode", "New episode"),
    (22, "popular_in_market", None),
    (30, "editorial", "Picked by our editors"),
)
NUMBERS: Final[dict[str, int]] = {name: number for number, name, _ in SOURCES}


def source_rows() -> list[dict[str, object]]:
    """Return the table of sources as a release keeps it."""
    return [{"source": number, "name": name, "label": label} for number, name, label in SOURCES]
