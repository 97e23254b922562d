"""The names that tables, SQL files and arrays share: item types, dayparts, columns."""

from typing import Final

# Dense integer keys (inside) and text ids (outside).
LISTENER: Final = "listener"
LISTENER_ID: Final = "listener_id"
ITEM: Final = "item"
ITEM_ID: Final = "item_id"

ITEM_TYPES: Final = ("artist", "album", "playlist", "show")
CONTENT_TYPES: Final = ("track", "episode")

#: Index = daypart number; boundaries in local hours: 0-6, 6-12, 12-18, 18-24.
DAYPARTS: Final = ("night", "morning", "afternoon", "evening")
#: Stands for "not bound to a daypart" in arrays and tables.
ANY_DAYPART: Final = -1

#: A play shorter than this is not a card play.
CARD_PLAY_MIN_MS: Final = 30_000

SHELF_KINDS: Final = ("model", "rule", "editorial")

#: Surfaces a play can come from, beside the name of a Home shelf.
SURFACES: Final = ("home", "search", "library", "browse", "external", "unknown")
