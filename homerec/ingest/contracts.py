"""The tables that producers hand over, declared once as data.

Everything else in this package (which columns a mapping may fill, which rules a row is held to,
what the lake's tables look like) is made from these declarations.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from homerec.columns import CONTENT_TYPES, ITEM_TYPES, SURFACES

Kind = Literal["text", "integer", "instant", "texts"]
Check = Literal["market", "time_zone", "language"]
Form = Literal["id", "label"]
Dictionary = Literal["listeners", "items", "contents"]
Write = Literal["upsert", "append"]

#: Times before this are taken for a wrong unit (milliseconds read as seconds, and the like).
FIRST_PLAUSIBLE: Final = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_RELEASE: Final = datetime(1800, 1, 1, tzinfo=UTC)
LAST_RELEASE: Final = datetime(2100, 1, 1, tzinfo=UTC)
LAST_PLAUSIBLE: Final = datetime(9999, 12, 31, tzinfo=UTC)
LONGEST_ID: Final = 256
LONGEST_TITLE: Final = 1_000
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
    check : {"market", "time_zone", "language"} or None
        A named test of the value (of each value, for lists).
    references : {"listeners", "items", "contents"} or None
        Dictionary in which the id must be known.
    of_type : str
        Type that the item referred to must have; empty means any.
    form : {"id", "label"} or None
        ``id``: no control character at all, and not only blanks. ``label``: blanks of any kind
        are cut off its ends, and line breaks and tabs are its only control characters.
    longest : int or None
        Characters of the text, or of each text of a list, at most.
    most : int or None
        Texts of a list, at most.
    usual : tuple of str
        Values that nearly every row has; they are not searched for odd characters.
    past : bool
        Whether an instant must not lie ahead of the ingest (beyond the tolerated clock skew).
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
    of_type: str = ""
    form: Form | None = None
    longest: int | None = None
    most: int | None = None
    usual: tuple[str, ...] = ()
    past: bool = False
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
        ``upsert``: a changed row closes its key's version in force and opens a new one.
        ``append``: rows are added to date partitions once.
    time : str
        Column that dates a row; empty where rows have no time of their own.
    defines : {"listeners", "items", "contents"} or None
        Dictionary that the table's id column feeds.
    window : (str, str) or None
        Columns that start and end a window; it must not end before it starts.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    write: Write = "upsert"
    time: str = ""
    defines: Dictionary | None = None
    window: tuple[str, str] | None = None

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


def _instant(name: str, about: str, *, required: bool = True, past: bool = False) -> Column:
    return Column(
        name, "instant", required, "UTC", FIRST_PLAUSIBLE, LAST_PLAUSIBLE, past=past, about=about
    )


def _released(about: str) -> Column:
    return Column("released_at", "instant", True, "UTC", FIRST_RELEASE, LAST_RELEASE, about=about)


def _updated() -> Column:
    return _instant(
        "updated_at",
        "when the row became true in the source; else the moment of ingest",
        required=False,
        past=True,
    )


def _own_id(name: str, about: str) -> Column:
    return Column(
        name,
        required=True,
        form="id",
        longest=LONGEST_ID,
        lake=name.removesuffix("_id"),
        about=about,
    )


def _label(name: str, about: str, longest: int, *, required: bool = False) -> Column:
    return Column(name, required=required, form="label", longest=longest, about=about)


def _listener() -> Column:
    return Column("listener_id", required=True, references="listeners", lake="listener",
                  about="who; must be in listeners")  # fmt: skip


def _item(
    name: str = "item_id", *, required: bool = False, of_type: str = "", about: str = ""
) -> Column:
    kind = f", and of type {of_type}" if of_type else ""
    return Column(name, required=required, references="items", of_type=of_type,
                  lake=name.removesuffix("_id"),
                  about=about or f"must be in items{kind}")  # fmt: skip


_PARENTS: Final = (
    _item("artist_id", of_type="artist"),
    _item("album_id", of_type="album"),
    _item("show_id", of_type="show"),
)


def _position() -> Column:
    return Column("position", "integer", True, "1-based", 1, 1_000_000, about="place on the shelf")


_MARKET = Column("market", required=True, check="market", about="where the listener is")
_ANY_MARKET = Column("market", check="market", about="empty = all markets")
_WINDOW: Final = ("starts_at", "ends_at")

ITEMS: Final = Contract(
    "items",
    (
        _own_id("item_id", "id of a card's target"),
        Column("type", required=True, allowed=ITEM_TYPES, about="what the item is"),
        _label("title", "shown on the card", LONGEST_TITLE, required=True),
        Column("language", check="language", about="what is sung or spoken"),
        Column("tags", "texts", form="label", longest=100, most=200, about="genres and the like"),
        _released("when the item came out"),
        _item("artist_id", of_type="artist"),
        Column("markets", "texts", check="market", most=300,
               about="where available; empty = everywhere"),
        _updated(),
    ),
    ("item_id",),
    defines="items",
)  # fmt: skip

CONTENTS: Final = Contract(
    "contents",
    (
        _own_id("content_id", "id of a track or an episode"),
        Column("type", required=True, allowed=CONTENT_TYPES, about="track or episode"),
        _label("title", "for people", LONGEST_TITLE),
        *_PARENTS,
        Column("duration_ms", "integer", False, "ms", 0, 7 * DAY_MS, about="length"),
        _released("when it came out"),
        _updated(),
    ),
    ("content_id",),
    defines="contents",
)

LISTENERS: Final = Contract(
    "listeners",
    (
        _own_id("listener_id", "who gets a Home"),
        _MARKET,
        Column("time_zone", required=True, check="time_zone", about="where the listener lives"),
        _instant("registered_at", "first day of the account", past=True),
        _updated(),
    ),
    ("listener_id",),
    defines="listeners",
)

EVENTS: Final = Contract(
    "events",
    (
        Column("event_id", longest=LONGEST_ID,
               about="makes a delivery recognisable; else a hash of the row does"),
        _listener(),
        Column("content_id", references="contents", lake="content", about="track or episode"),
        _item("context_id", about="item it was played from; must be in items"),
        *_PARENTS,
        _instant("started_at", "start of the play", past=True),
        Column("ms_played", "integer", True, "ms", 0, DAY_MS, about="time played"),
        _instant("arrived_at", "when homerec could know of it"),
        Column("surface", form="label", longest=200, usual=SURFACES,
               about="where in the app, or a shelf's name; empty = unknown"),
    ),
    ("event_id",),
    write="append",
    time="started_at",
)  # fmt: skip

IMPRESSIONS: Final = Contract(
    "impressions",
    (
        _listener(),
        _item(required=True),
        _label("shelf", "the row of cards", 200, required=True),
        _position(),
        _instant("shown_at", "when the card was seen", past=True),
        _instant("arrived_at", "when homerec could know of it"),
    ),
    (),
    write="append",
    time="shown_at",
)

SIGNUP_PICKS: Final = Contract(
    "signup_picks",
    (_listener(), _item(required=True), _instant("picked_at", "when it was picked", past=True)),
    ("listener_id", "item_id"),
    time="picked_at",
)

DISMISSALS: Final = Contract(
    "dismissals",
    (
        _listener(),
        _item(required=True),
        _instant("dismissed_at", "when it was dismissed", past=True),
    ),
    ("listener_id", "item_id"),
    time="dismissed_at",
)

EDITORIAL: Final = Contract(
    "editorial",
    (
        _label("shelf", "the shelf's title", 200, required=True),
        _ANY_MARKET,
        _position(),
        _item(required=True),
        _instant("starts_at", "shown from"),
        _instant("ends_at", "shown until, exclusive; empty = no end", required=False),
    ),
    ("shelf", "market", "position", "starts_at"),
    window=_WINDOW,
)

BLOCKED: Final = Contract(
    "blocked",
    (
        _item(required=True),
        _ANY_MARKET,
        _label("reason", "for people", LONGEST_TITLE),
        _instant("blocked_at", "from when on"),
    ),
    ("item_id", "market"),
)

AVAILABILITY: Final = Contract(
    "availability",
    (
        _item(required=True),
        _ANY_MARKET,
        _instant("starts_at", "licensed from; empty = since ever", required=False),
        _instant("ends_at", "licensed until, exclusive; empty = no end", required=False),
    ),
    ("item_id", "market", "starts_at"),
    window=_WINDOW,
)

#: In the order of ingest: what others refer to comes first.
CONTRACTS: Final[dict[str, Contract]] = {
    contract.name: contract
    for contract in (
        ITEMS, CONTENTS, LISTENERS, SIGNUP_PICKS, DISMISSALS, EDITORIAL, BLOCKED, AVAILABILITY,
        EVENTS, IMPRESSIONS,
    )
}  # fmt: skip

#: The tables that feed a dictionary, by the dictionary's name.
DEFINING: Final[dict[str, Contract]] = {c.defines: c for c in CONTRACTS.values() if c.defines}
