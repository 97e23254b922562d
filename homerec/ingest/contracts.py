"""The tables that producers hand over, declared once as data.

Everything else in this package (which columns a mapping may fill, which rules a row is held to,
what the lake's tables look like) is made from these declarations.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from homerec.columns import CONTENT_TYPES, ITEM_TYPES

Kind = Literal["text", "integer", "instant", "texts"]
Check = Literal["market", "time_zone"]
Dictionary = Literal["listeners", "items", "contents"]
Write = Literal["upsert", "append"]

#: Times before this are taken for a wrong unit (milliseconds read as seconds, and the like).
FIRST_PLAUSIBLE: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_RELEASE: Final = datetime(1800, 1, 1, tzinfo=UTC)
LAST_PLAUSIBLE: Final = datetime(9999, 12, 31, tzinfo=UTC)
DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class Column:
    """One column of a contract.

    Attributes
    ----------
    name : str
        Its name in the contract.
    kind : {"text", "integer", "instant", "texts"}
        Type after mapping: VARCHAR, BIGINT, TIMESTAMP (UTC, microseconds), VARCHAR[].
    required : bool
        Whether a row without a value is set aside.
    unit : str
        Unit of the number, empty where there is none.
    low, high : int, datetime or None
        Inclusive bounds; a value outside is set aside.
    allowed : tuple of str
        The only values allowed; empty means any.
    check : {"market", "time_zone"} or None
        A named test of the value (of each value, for lists).
    references : {"listeners", "items", "contents"} or None
        Dictionary in which the id must be known.
    lake : str
        Name of the lake's column; the key's name for references.
    about : str
        One line for people.
    """

    name: str
    kind: Kind = "text"
    required: bool = False
    unit: str = ""
    low: int | datetime | None = None
    high: int | datetime | None = None
    allowed: tuple[str, ...] = ()
    check: Check | None = None
    references: Dictionary | None = None
    lake: str = ""
    about: str = ""

    @property
    def lake_name(self) -> str:
        """Name of the column in the lake."""
        return self.lake or self.name


@dataclass(frozen=True)
class Contract:
    """One table that producers hand over.

    Attributes
    ----------
    name : str
        Name of the table, in the inbox and in the lake.
    columns : tuple of Column
        Its columns, in the lake's order.
    key : tuple of str
        Contract columns that identify a row; for ``append`` tables the event hash does.
    write : {"upsert", "append"}
        ``upsert``: the newest row of a key wins. ``append``: rows are added to date partitions
        once.
    time : str
        Column that dates a row; empty where rows have no time of their own.
    defines : {"listeners", "items", "contents"} or None
        Dictionary that the table's id column feeds.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    write: Write = "upsert"
    time: str = ""
    defines: Dictionary | None = None

    def column(self, name: str) -> Column:
        """Return the column of that name.

        Raises
        ------
        KeyError
            The contract has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def has_arrival(self) -> bool:
        """Whether the table carries ``arrived_at``, which a mapping's ``arrival`` may fill."""
        return "arrived_at" in self.names


def _instant(name: str, about: str, *, required: bool = True) -> Column:
    return Column(name, "instant", required, "UTC", FIRST_PLAUSIBLE, LAST_PLAUSIBLE, about=about)


def _released(about: str) -> Column:
    return Column("released_at", "instant", True, "UTC", FIRST_RELEASE, LAST_PLAUSIBLE, about=about)


def _listener() -> Column:
    return Column("listener_id", required=True, references="listeners", lake="listener",
                  about="who; must be in listeners")  # fmt: skip


def _item(name: str = "item_id", *, required: bool = False, about: str = "") -> Column:
    return Column(name, required=required, references="items", lake=name.removesuffix("_id"),
                  about=about or "must be in items")  # fmt: skip


def _position() -> Column:
    return Column("position", "integer", True, "1-based", 1, 1_000_000, about="place on the shelf")


_MARKET = Column("market", required=True, check="market", about="two capital letters")

ITEMS: Final = Contract(
    "items",
    (
        Column("item_id", required=True, lake="item", about="id of a card's target"),
        Column("type", required=True, allowed=ITEM_TYPES, about="what the item is"),
        Column("title", required=True, about="shown on the card"),
        Column("language", about="BCP 47 tag"),
        Column("tags", "texts", about="genres and the like"),
        _released("when the item came out"),
        _item("artist_id", about="an album's artist; must be in items"),
        Column("markets", "texts", check="market", about="where available; empty = everywhere"),
    ),
    ("item_id",),
    defines="items",
)

CONTENTS: Final = Contract(
    "contents",
    (
        Column("content_id", required=True, lake="content", about="id of a track or an episode"),
        Column("type", required=True, allowed=CONTENT_TYPES, about="track or episode"),
        Column("title", about="for people"),
        _item("artist_id"),
        _item("album_id"),
        _item("show_id"),
        Column("duration_ms", "integer", False, "ms", 0, 30 * DAY_MS, about="length"),
        _released("when it came out"),
    ),
    ("content_id",),
    defines="contents",
)

LISTENERS: Final = Contract(
    "listeners",
    (
        Column("listener_id", required=True, lake="listener", about="who gets a Home"),
        _MARKET,
        Column("time_zone", required=True, check="time_zone", about="IANA name"),
        _instant("registered_at", "first day of the account"),
    ),
    ("listener_id",),
    defines="listeners",
)

EVENTS: Final = Contract(
    "events",
    (
        Column("event_id", about="makes a delivery recognisable; else a hash of the row does"),
        _listener(),
        Column("content_id", references="contents", lake="content", about="track or episode"),
        _item("context_id", about="item it was played from; must be in items"),
        _item("artist_id"),
        _item("album_id"),
        _item("show_id"),
        _instant("started_at", "start of the play"),
        Column("ms_played", "integer", True, "ms", 0, DAY_MS, about="time played"),
        _instant("arrived_at", "when homerec could know of it"),
        Column("surface", about="where in the app; empty = unknown"),
    ),
    ("event_id",),
    write="append",
    time="started_at",
)

IMPRESSIONS: Final = Contract(
    "impressions",
    (
        _listener(),
        _item(required=True),
        Column("shelf", required=True, about="the row of cards"),
        _position(),
        _instant("shown_at", "when the card was seen"),
        _instant("arrived_at", "when homerec could know of it"),
    ),
    (),
    write="append",
    time="shown_at",
)

SIGNUP_PICKS: Final = Contract(
    "signup_picks",
    (_listener(), _item(required=True), _instant("picked_at", "when it was picked")),
    ("listener_id", "item_id"),
    time="picked_at",
)

DISMISSALS: Final = Contract(
    "dismissals",
    (_listener(), _item(required=True), _instant("dismissed_at", "when it was dismissed")),
    ("listener_id", "item_id"),
    time="dismissed_at",
)

EDITORIAL: Final = Contract(
    "editorial",
    (
        Column("shelf", required=True, about="the shelf's title"),
        Column("market", check="market", about="empty = all markets"),
        _position(),
        _item(required=True),
        _instant("starts_at", "shown from"),
        _instant("ends_at", "shown until, exclusive; empty = no end", required=False),
    ),
    ("shelf", "market", "position", "starts_at"),
)

BLOCKED: Final = Contract(
    "blocked",
    (
        _item(required=True),
        Column("market", check="market", about="empty = all markets"),
        Column("reason", about="for people"),
        _instant("blocked_at", "from when on"),
    ),
    ("item_id", "market"),
)

#: In the order of ingest: what others refer to comes first.
CONTRACTS: Final[dict[str, Contract]] = {
    contract.name: contract
    for contract in (
        ITEMS, CONTENTS, LISTENERS, SIGNUP_PICKS, DISMISSALS, EDITORIAL, BLOCKED,
        EVENTS, IMPRESSIONS,
    )
}  # fmt: skip

#: The tables that feed a dictionary, by the dictionary's name.
DEFINING: Final[dict[str, Contract]] = {c.defines: c for c in CONTRACTS.values() if c.defines}
