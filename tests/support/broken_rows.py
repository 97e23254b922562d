"""Every kind of row that a contract names as broken, and of those that only look broken.

A row is a good one of its table (:data:`GOOD`) with some columns changed, or a raw line. ``column``
and ``value`` are what quarantine must say; the value is the source's own text.
"""

from dataclasses import dataclass, field
from typing import Any, Final

Row = dict[str, Any]
TEXT: Final = ("csv", "jsonl", "parquet")

#: What the rows below refer to; it comes in with them.
CATALOG: Final[dict[str, list[Row]]] = {
    "items": [
        {"item_id": "the-artist", "type": "artist"},
        {"item_id": "the-album", "type": "album", "artist_id": "the-artist"},
        {"item_id": "the-show", "type": "show"},
        {"item_id": "the-playlist", "type": "playlist", "markets": "US|DE"},
    ],
    "contents": [
        {"content_id": "the-track", "type": "track", "artist_id": "the-artist",
         "album_id": "the-album"},
        {"content_id": "the-episode", "type": "episode", "show_id": "the-show"},
        {"content_id": "an-orphan", "type": "track"},
    ],
    "listeners": [{"listener_id": "the-listener"}],
}  # fmt: skip

#: A good row of each table, with every column of its contract.
GOOD: Final[dict[str, Row]] = {
    "items": {
        "item_id": None, "type": "show", "title": "A title", "language": "en", "tags": "news|talk",
        "released_at": "2025-01-01T00:00:00Z", "artist_id": None, "markets": None,
        "updated_at": "2026-01-01T00:00:00Z",
    },
    "contents": {
        "content_id": None, "type": "track", "title": "A title", "artist_id": None,
        "album_id": None, "show_id": None, "duration_ms": "200000",
        "released_at": "2025-01-01T00:00:00Z", "updated_at": None,
    },
    "listeners": {
        "listener_id": None, "market": "US", "time_zone": "America/New_York",
        "registered_at": "2025-06-01T00:00:00Z", "updated_at": None,
    },
    "signup_picks": {
        "listener_id": "the-listener", "item_id": "the-artist",
        "picked_at": "2025-06-01T00:01:00Z",
    },
    "dismissals": {
        "listener_id": "the-listener", "item_id": "the-show",
        "dismissed_at": "2026-02-01T00:00:00Z",
    },
    "editorial": {
        "shelf": "Editors' picks", "market": "DE", "position": "1", "item_id": "the-show",
        "starts_at": "2026-03-01T00:00:00Z", "ends_at": "2026-04-01T00:00:00Z",
    },
    "blocked": {
        "item_id": "the-show", "market": "DE", "reason": "rights",
        "blocked_at": "2026-03-01T00:00:00Z",
    },
    "availability": {
        "item_id": "the-show", "market": "DE", "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2026-12-31T00:00:00Z",
    },
    "events": {
        "event_id": None, "listener_id": "the-listener", "content_id": "the-track",
        "context_id": "the-playlist", "artist_id": None, "album_id": None, "show_id": None,
        "started_at": "2026-03-01T10:00:00Z", "ms_played": "60000",
        "arrived_at": "2026-03-01T11:00:00Z", "surface": "home",
    },
    "impressions": {
        "listener_id": "the-listener", "item_id": "the-show", "shelf": "Jump back in",
        "position": "1", "shown_at": "2026-03-01T10:00:00Z", "arrived_at": "2026-03-01T11:00:00Z",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Broken:
    """One kind of broken row."""

    kind: str
    table: str
    change: Row = field(default_factory=dict)
    rule: str = ""
    column: str | None = None
    forms: tuple[str, ...] = TEXT
    #: The whole line, in the place of a row; "," stands for the file's delimiter.
    raw: bytes = b""
    #: What quarantine says where it is not the source's text.
    says: str | None = None

    @property
    def value(self) -> str | None:
        """The value that quarantine must show."""
        return self.says or (self.change.get(self.column) if self.column else None)


def _broken(table: str, rule: str, column: str, *cases: tuple[str, Any]) -> list[Broken]:
    return [
        Broken(f"{table}: {column} {what}", table, {column: value}, rule, column)
        for what, value in cases
    ]


def _instants(table: str, column: str, *, required: bool = True, past: bool = True) -> list[Broken]:
    """Faults of a time that may reach from 1970 to year 9999."""
    found = _broken(
        table, "not_castable", column,
        ("is a word", "yesterday"), ("has a day that is not", "2026-02-30T00:00:00Z"),
        ("is a number", "1772366400"), ("is beyond any calendar", "999999-01-01T00:00:00Z"),
    )  # fmt: skip
    found += _broken(
        table, "out_of_range", column,
        ("lies before 1970", "1969-12-31T23:59:59Z"), ("lies in year 1", "0001-01-01T00:00:00Z"),
    )  # fmt: skip
    if required:
        found += _broken(table, "missing", column, ("is missing", None), ("is blank", "   "))
    if past:
        found += _broken(
            table, "from_the_future", column, ("lies after the ingest", "2026-03-10T04:00:01Z")
        )
    return found


def _raw(table: str) -> list[Broken]:
    """Lines that are no rows."""
    lines = [
        ("has too few fields", b"too,short", "csv", "malformed_line", "missing columns"),
        ("has too many fields", b"x," * 20 + b"x", "csv", "malformed_line", "too many columns"),
        ("is cut short", b'{"listener_id": "the-lis', "jsonl", "not_json", None),
        ("is a list", b"[1, 2]", "jsonl", "not_json", None),
        ("is a bare text", b'"hello"', "jsonl", "not_json", None),
    ]
    return [
        Broken(f"{table}: a line {what}", table, {}, rule, None, (form,), raw, says)
        for what, raw, form, rule, says in lines
    ]


def _own_id(table: str, column: str) -> list[Broken]:
    return [
        *_broken(table, "missing", column, ("is missing", None), ("is blank", "  "),
                 ("is a no-break space", "\u00a0"), ("is a zero-width space", "\u200b")),
        *_broken(table, "too_long", column, ("has 257 characters", "x" * 257)),
        *_broken(table, "control_character", column, ("rings a bell", "bad\x07id"),
                 ("holds a tab", "bad\tid"), ("holds a line break", "bad\nid")),
    ]  # fmt: skip


def _label(table: str, column: str, longest: int, *, required: bool = False) -> list[Broken]:
    found = [
        *_broken(table, "too_long", column, ("is too long", "é" * (longest + 1))),
        *_broken(table, "control_character", column, ("rings a bell", "a\x07b"),
                 ("holds a C1 control", "a\u0085b"), ("holds an escape", "\x1b[31mred")),
    ]  # fmt: skip
    if required:
        found += _broken(table, "missing", column, ("is missing", None), ("is blank", " \u3000 "))
    return found


def _parent(table: str, column: str) -> list[Broken]:
    kind = column.removesuffix("_id")
    other = "the-playlist" if kind != "playlist" else "the-show"
    return [
        *_broken(table, "unknown_item", column, ("names nothing", "no-such-item")),
        *_broken(table, "wrong_type", column, (f"names no {kind}", other)),
    ]


def _ids(table: str, *, listener: bool = True, item: bool = True) -> list[Broken]:
    found = []
    if listener:
        found += _broken(table, "missing", "listener_id", ("is missing", None))
        found += _broken(table, "unknown_listener", "listener_id", ("names nobody", "nobody"),
                         ("differs in case", "The-Listener"))  # fmt: skip
    if item:
        found += _broken(table, "missing", "item_id", ("is missing", None))
        found += _broken(table, "unknown_item", "item_id", ("names nothing", "no-such-item"),
                         ("names a content", "the-track"))  # fmt: skip
    return found


_BAD_MARKETS: Final = (("is in small letters", "us"), ("has three letters", "USA"),
                       ("is a name", "Germany"), ("has a digit", "U1"))  # fmt: skip

KINDS: Final[list[Broken]] = [
    *(broken for table in GOOD for broken in _raw(table)),
    # items
    *_own_id("items", "item_id"),
    *_broken("items", "missing", "type", ("is missing", None)),
    *_broken("items", "unknown_type", "type", ("is not known", "song"), ("is a capital", "Show")),
    *_label("items", "title", 1_000, required=True),
    *_broken("items", "bad_language", "language", ("is a name", "English"), ("is one letter", "e"),
             ("has an underscore", "en_US"), ("has an empty part", "en--US")),
    *_broken("items", "too_long", "tags", ("hold a sentence", "news|" + "x" * 101)),
    *_broken("items", "too_many", "tags", ("are 201", "|".join(f"t{i}" for i in range(201)))),
    *_broken("items", "control_character", "tags", ("ring a bell", "news|a\x07b")),
    *_instants("items", "released_at", past=False)[:4],
    *_broken("items", "missing", "released_at", ("is missing", None)),
    *_broken("items", "out_of_range", "released_at", ("lies before 1800", "1799-12-31T00:00:00Z"),
             ("lies after 2100", "2100-01-02T00:00:00Z")),
    *_broken("items", "bad_market", "markets", *(
        (what, f"DE|{market}") for what, market in _BAD_MARKETS)),
    *_broken("items", "too_many", "markets", ("are 301", "|".join(["US"] * 301))),
    *_instants("items", "updated_at", required=False),
    *_parent("items", "artist_id"),
    # contents
    *_own_id("contents", "content_id"),
    *_broken("contents", "missing", "type", ("is missing", None)),
    *_broken("contents", "unknown_type", "type", ("is an item's", "show")),
    *_label("contents", "title", 1_000),
    *_parent("contents", "artist_id"), *_parent("contents", "album_id"),
    *_parent("contents", "show_id"),
    *_broken("contents", "not_castable", "duration_ms", ("is a word", "long"),
             ("is a fraction", "1.5")),
    *_broken("contents", "out_of_range", "duration_ms", ("is negative", "-1"),
             ("is over 7 days", "604800001")),
    *_instants("contents", "released_at", past=False)[:4],
    *_broken("contents", "missing", "released_at", ("is missing", None)),
    *_broken("contents", "out_of_range", "released_at", ("lies before 1800", "1700-01-01")),
    *_instants("contents", "updated_at", required=False),
    # listeners
    *_own_id("listeners", "listener_id"),
    *_broken("listeners", "missing", "market", ("is missing", None)),
    *_broken("listeners", "bad_market", "market", *_BAD_MARKETS),
    *_broken("listeners", "missing", "time_zone", ("is missing", None)),
    *_broken("listeners", "bad_time_zone", "time_zone", ("is not on Earth", "Mars/Olympus"),
             ("is an offset", "+01:00"), ("is in small letters", "europe/berlin")),
    *_instants("listeners", "registered_at"),
    *_instants("listeners", "updated_at", required=False),
    # sign-up picks, dismissals
    *_ids("signup_picks"), *_instants("signup_picks", "picked_at"),
    *_ids("dismissals"), *_instants("dismissals", "dismissed_at"),
    # editorial
    *_label("editorial", "shelf", 200, required=True),
    *_broken("editorial", "bad_market", "market", *_BAD_MARKETS),
    *_broken("editorial", "not_castable", "position", ("is a word", "first"), ("is half", "1.5")),
    *_broken("editorial", "missing", "position", ("is missing", None)),
    *_broken("editorial", "out_of_range", "position", ("is zero", "0"), ("is huge", "1000001")),
    *_ids("editorial", listener=False),
    *_instants("editorial", "starts_at", past=False),
    *_instants("editorial", "ends_at", required=False, past=False),
    *_broken("editorial", "ends_before_start", "ends_at",
             ("lies before the start", "2026-02-28T23:59:59Z")),
    # blocked
    *_ids("blocked", listener=False),
    *_broken("blocked", "bad_market", "market", *_BAD_MARKETS),
    *_label("blocked", "reason", 1_000),
    *_instants("blocked", "blocked_at", past=False),
    # availability
    *_ids("availability", listener=False),
    *_broken("availability", "bad_market", "market", *_BAD_MARKETS),
    *_instants("availability", "starts_at", required=False, past=False),
    *_instants("availability", "ends_at", required=False, past=False),
    *_broken("availability", "ends_before_start", "ends_at",
             ("lies before the start", "2025-12-31T23:59:59Z")),
    # events
    *_broken("events", "too_long", "event_id", ("has 257 characters", "e" * 257)),
    *_ids("events", item=False),
    *_broken("events", "unknown_content", "content_id", ("names nothing", "no-such-content"),
             ("names an item", "the-show")),
    *_broken("events", "unknown_item", "context_id", ("names nothing", "no-such-item"),
             ("names a content", "the-track")),
    *_parent("events", "artist_id"), *_parent("events", "album_id"), *_parent("events", "show_id"),
    *_instants("events", "started_at"),
    *_broken("events", "after_arrival", "started_at", ("lies after it arrived",
                                                       "2026-03-01T12:00:01Z")),
    *_broken("events", "not_castable", "ms_played", ("is a word", "long"), ("is a fraction", "1.5"),
             ("is not a number", "NaN"), ("is infinite", "Infinity")),
    *_broken("events", "missing", "ms_played", ("is missing", None)),
    *_broken("events", "out_of_range", "ms_played", ("is negative", "-1"),
             ("is over a day", "86400001"), ("is beyond 32 bits", "99999999999")),
    *_instants("events", "arrived_at", past=False),
    *_broken("events", "too_long", "surface", ("is too long", "s" * 201)),
    *_broken("events", "control_character", "surface", ("rings a bell", "ho\x07me")),
    Broken("events: nothing that was played is known", "events",
           {"content_id": None, "context_id": None}, "no_item"),
    Broken("events: its content is of no item", "events",
           {"content_id": "an-orphan", "context_id": None}, "no_item"),
    # impressions
    *_ids("impressions"),
    *_label("impressions", "shelf", 200, required=True),
    *_broken("impressions", "not_castable", "position", ("is a word", "first")),
    *_broken("impressions", "missing", "position", ("is missing", None)),
    *_broken("impressions", "out_of_range", "position", ("is zero", "0"), ("is huge", "1000001")),
    *_instants("impressions", "shown_at"),
    *_broken("impressions", "after_arrival", "shown_at", ("lies after it arrived",
                                                          "2026-03-01T12:00:01Z")),
    *_instants("impressions", "arrived_at", past=False),
]  # fmt: skip

#: Rows that look broken and are legal: what happens in honest data.
LEGAL: Final[list[tuple[str, str, Row]]] = [
    ("an event before its content's release", "events", {"started_at": "2024-12-31T00:00:00Z",
                                                         "arrived_at": "2024-12-31T01:00:00Z"}),
    ("an event before the listener registered", "events", {"started_at": "2025-03-01T00:00:00Z",
                                                           "arrived_at": "2025-03-01T01:00:00Z"}),
    ("an event that arrives later than this ingest", "events",
     {"arrived_at": "2026-03-12T00:00:00Z"}),
    ("a clock that is an hour fast", "events", {"started_at": "2026-03-01T12:00:00Z"}),
    ("more played than the content lasts", "events", {"ms_played": "86400000"}),
    ("nothing played", "events", {"ms_played": "0"}),
    ("a surface named as an editors' shelf", "events", {"surface": "Été à Paris"}),
    ("an event id of 256 characters", "events", {"event_id": "e" * 256}),
    ("the content's artist named once more", "events", {"artist_id": "the-artist"}),
    ("a title of 1,000 characters", "items", {"title": "é" * 1_000}),
    ("a title with a line break, a tab and an emoji", "items",
     {"title": "two\nlines\t\U0001f469‍\U0001f680"}),
    ("an id of 256 characters", "items", {"item_id": "i" * 256}),
    ("an id with blanks, quotes and accents", "items", {"item_id": "it's \"a\" |; naïve"}),
    ("a language with script and region", "items", {"language": "zh-Hant-TW"}),
    ("a language of three letters", "items", {"language": "yue"}),
    ("a release announced ahead", "items", {"released_at": "2027-01-01T00:00:00Z"}),
    ("a release of 1800", "items", {"released_at": "1800-01-01T00:00:00Z"}),
    ("an update a little ahead of this clock", "items", {"updated_at": "2026-03-10T04:00:00Z"}),
    ("a content without a title", "contents", {"title": None}),
    ("a content that lasts 7 days", "contents", {"duration_ms": "604800000"}),
    ("a time zone of old", "listeners", {"time_zone": "Asia/Calcutta"}),
    ("a listener who registers now", "listeners", {"registered_at": "2026-03-10T03:30:00Z"}),
    ("a block ahead", "blocked", {"blocked_at": "2027-01-01T00:00:00Z"}),
    ("an empty window", "editorial", {"ends_at": "2026-03-01T00:00:00Z"}),
    ("a window that is over", "editorial", {"starts_at": "2020-01-01T00:00:00Z",
                                            "ends_at": "2020-02-01T00:00:00Z"}),
    ("a licence without bounds", "availability", {"starts_at": None, "ends_at": None}),
    ("a licence for all markets", "availability", {"market": None}),
    ("a pick before the listener registered", "signup_picks", {"picked_at": "2024-01-01"}),
]  # fmt: skip
