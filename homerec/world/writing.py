"""The inbox form: what the simulation makes, as Parquet files with text ids."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from homerec.columns import ITEM_TYPES
from homerec.world.attraction import day_factor
from homerec.world.catalog import DAY_S, PLAYLIST, SHOW, Catalog, item_titles, languages, stream
from homerec.world.listening import SHELF_NAMES, SURFACE_NAMES
from homerec.world.parameters import Parameters
from homerec.world.population import People, Zones
from homerec.world.titles import identifiers, phrases

_INSTANT: Final = pa.timestamp("us")
_US: Final = 1_000_000
#: event_id = (listener number + 1) << this, plus the listener's running number.
_SEQUENCE_BITS: Final = 20
EDITORIAL_SHELF: Final = "Editors' picks"


@dataclass(frozen=True)
class Blocked:
    """Items taken down: item, market (-1 for all), seconds since the world's start, reason."""

    item: npt.NDArray[np.int64]
    market: npt.NDArray[np.int64]
    at_s: npt.NDArray[np.int64]
    reason: tuple[str, ...]

    def mask(self, n_markets: int, n_items: int, day: int) -> npt.NDArray[np.bool_]:
        """Say what is taken down during a day, bool (n_markets, n_items)."""
        mask = np.zeros((n_markets, n_items), np.bool_)
        for item, market, at in zip(self.item, self.market, self.at_s, strict=True):
            if at < (day + 1) * DAY_S:
                mask[slice(None) if market < 0 else market, item] = True
        return mask


def make_blocked(p: Parameters, catalog: Catalog) -> Blocked:
    """Choose what is taken down a week before the end, the last of it in one market only."""
    rng = stream(p, "blocked")
    first = catalog.first
    candidates = np.arange(first[PLAYLIST], first[SHOW + 1])
    candidates = candidates[catalog.release_s[candidates] < 0]
    n = min(p.editors.blocked, len(candidates) // 10)
    item = rng.choice(candidates, n, replace=False)
    market = np.full(n, -1)
    if n:
        market[-1] = catalog.home_market[item[-1]]
    day = max(p.calendar.days - 7, 0)
    at = day * DAY_S + rng.integers(0, DAY_S, n)
    reasons = ("rights expired", "withdrawn by the publisher", "policy")
    return Blocked(item, market, at, tuple(reasons[i % 3] for i in range(n)))


def _coded(codes: npt.NDArray[np.integer], values: pa.Array) -> pa.DictionaryArray:
    """Column of ``values[codes]``, -1 being null, whose dictionary holds only what occurs."""
    used = np.zeros(len(values) + 1, np.bool_)
    used[codes] = True
    used[-1] = False  # where -1 pointed to
    place = np.cumsum(used, dtype=np.int32) - 1
    indices = pa.array(place[codes], mask=codes < 0)
    return pa.DictionaryArray.from_arrays(indices, values.take(pa.array(np.flatnonzero(used))))


def _instants(microseconds: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(microseconds).view(_INSTANT)


def save(columns: dict[str, pa.Array], target: Path) -> None:
    """Write one Parquet file; dictionary columns read back as plain text."""
    target.parent.mkdir(parents=True, exist_ok=True)
    coded = [name for name, column in columns.items() if pa.types.is_dictionary(column.type)]
    pq.write_table(
        pa.table(columns),
        target,
        compression="zstd",
        compression_level=1,
        use_dictionary=coded,
        dictionary_pagesize_limit=1 << 26,
        store_schema=False,
        write_statistics=True,
    )


class Inbox:
    """Writes one world's tables below a folder.

    Parameters
    ----------
    out : Path
        The folder; files are ``<table>/<name>.parquet``.
    p, catalog, zones
        The world.
    n_chunks : int
        Chunks of listeners; with more than one, files carry the chunk's number.
    """

    def __init__(
        self, out: Path, p: Parameters, catalog: Catalog, zones: Zones, n_chunks: int
    ) -> None:
        self.out = out
        self.p = p
        self.catalog = catalog
        self.zones = zones
        self.n_chunks = n_chunks
        self.item_ids = catalog.item_ids()
        self.content_ids = catalog.content_ids()
        self.epoch_s = (p.calendar.start - date(1970, 1, 1)).days * DAY_S

    def _path(self, table: str, name: str, chunk: int) -> Path:
        part = f".{chunk:05d}" if self.n_chunks > 1 else ""
        return self.out / table / f"{name}{part}.parquet"

    def _at(self, seconds: npt.NDArray[np.int64]) -> pa.Array:
        """Column of instants from seconds since the world's start."""
        return _instants((seconds.astype(np.int64) + self.epoch_s) * _US)

    def _date(self, day: int) -> str:
        return (self.p.calendar.start + timedelta(days=day)).isoformat()

    def events(
        self,
        day: int,
        chunk: int,
        people: People,
        listener_ids: pa.Array,
        rows: npt.NDArray[np.void],
    ) -> None:
        """Write one day of a chunk's events, ordered by listener and start."""
        things = self.catalog.things
        number = people["number"][rows["listener"]]
        event = ((number + 1) << _SEQUENCE_BITS) + rows["sequence"]
        save(
            {
                "event_id": pa.array(event),
                "listener_id": _coded(rows["listener"], listener_ids),
                "content_id": _coded(rows["content"], self.content_ids),
                "context_id": _coded(rows["context"], self.item_ids),
                "artist_id": _coded(things.contents["artist"][rows["content"]], self.item_ids),
                "album_id": _coded(things.contents["album"][rows["content"]], self.item_ids),
                "show_id": _coded(things.contents["show"][rows["content"]], self.item_ids),
                "started_at": _instants(rows["started"]),
                "ms_played": pa.array(rows["ms_played"]),
                "arrived_at": _instants(rows["arrived"]),
                "surface": _coded(rows["surface"], pa.array(SURFACE_NAMES)),
            },
            self._path("events", self._date(day), chunk),
        )

    def impressions(
        self, day: int, chunk: int, listener_ids: pa.Array, cards: npt.NDArray[np.void]
    ) -> None:
        """Write one day of a chunk's impressions."""
        save(
            {
                "listener_id": _coded(cards["listener"], listener_ids),
                "item_id": _coded(cards["item"], self.item_ids),
                "shelf": _coded(cards["shelf"], pa.array(SHELF_NAMES)),
                "position": pa.array(cards["position"].astype(np.int32)),
                "shown_at": _instants(cards["shown"]),
                "arrived_at": _instants(cards["arrived"]),
            },
            self._path("impressions", self._date(day), chunk),
        )

    def listeners(self, chunk: int, people: People, listener_ids: pa.Array) -> None:
        """Write a chunk's listeners."""
        codes = pa.array([m.code for m in self.p.markets])
        save(
            {
                "listener_id": listener_ids,
                "market": _coded(people["market"], codes),
                "time_zone": _coded(people["zone"], pa.array(self.zones.names)),
                "registered_at": self._at(people["registered_s"]),
            },
            self._path("listeners", "listeners", chunk),
        )

    def signup_picks(
        self, chunk: int, people: People, listener_ids: pa.Array, picks: npt.NDArray[np.int32]
    ) -> int:
        """Write what a chunk's listeners picked at sign-up; returns the number of picks."""
        listener, place = np.nonzero(picks >= 0)
        save(
            {
                "listener_id": listener_ids.take(pa.array(listener)),
                "item_id": self.item_ids.take(pa.array(picks[listener, place])),
                "picked_at": self._at(people["registered_s"][listener] + 60),
            },
            self._path("signup_picks", "signup_picks", chunk),
        )
        return len(listener)

    def dismissals(
        self,
        chunk: int,
        listener_ids: pa.Array,
        listener: npt.NDArray[np.int64],
        item: npt.NDArray[np.int32],
        at_us: npt.NDArray[np.int64],
    ) -> None:
        """Write a chunk's dismissals."""
        save(
            {
                "listener_id": listener_ids.take(pa.array(listener)),
                "item_id": self.item_ids.take(pa.array(item)),
                "dismissed_at": _instants(at_us),
            },
            self._path("dismissals", "dismissals", chunk),
        )

    def catalog_tables(self, blocked: Blocked) -> None:
        """Write items, contents, editorial and blocked."""
        self._items()
        self._contents()
        self._editorial()
        codes = pa.array([m.code for m in self.p.markets])
        save(
            {
                "item_id": self.item_ids.take(pa.array(blocked.item)),
                "market": _coded(blocked.market, codes).cast(pa.string()),
                "reason": pa.array(blocked.reason, pa.string()),
                "blocked_at": self._at(blocked.at_s),
            },
            self.out / "blocked" / "blocked.parquet",
        )

    def _items(self) -> None:
        catalog, p = self.catalog, self.p
        first = catalog.first
        kind = np.searchsorted(first, np.arange(catalog.n_items), side="right") - 1
        podcasts = kind == SHOW
        names = np.array([*p.tags.music, *p.tags.podcast], object)
        tags = names[catalog.tag + np.where(podcasts, len(p.tags.music), 0)[:, None]]
        artist = np.full(catalog.n_items, -1)
        album_first = catalog.things.items["low"][first[1] : first[2]]
        artist[first[1] : first[2]] = catalog.things.contents["artist"][album_first]
        codes = [m.code for m in p.markets]
        markets = [
            None if all(row) else [codes[m] for m, there in enumerate(row) if there]
            for row in catalog.available.T.tolist()
        ]
        save(
            {
                "item_id": self.item_ids,
                "type": _coded(kind, pa.array(ITEM_TYPES)),
                "title": item_titles(p, catalog),
                "language": _coded(catalog.things.items["language"], pa.array(languages(p))),
                "tags": pa.array(tags.tolist(), pa.list_(pa.string())),
                "released_at": self._at(catalog.release_s),
                "artist_id": _coded(artist, self.item_ids),
                "markets": pa.array(markets, pa.list_(pa.string())),
            },
            self.out / "items" / "items.parquet",
        )

    def _contents(self) -> None:
        things = self.catalog.things
        n = len(things.contents)
        save(
            {
                "content_id": self.content_ids,
                "type": _coded((things.contents["show"] >= 0).astype(np.int64),
                               pa.array(["track", "episode"])),
                "title": phrases(stream(self.p, "content titles"), n),
                "artist_id": _coded(things.contents["artist"], self.item_ids),
                "album_id": _coded(things.contents["album"], self.item_ids),
                "show_id": _coded(things.contents["show"], self.item_ids),
                "duration_ms": pa.array(things.contents["seconds"] * np.int32(1000)),
                "released_at": self._at(self.catalog.content_release_s),
            },
            self.out / "contents" / "contents.parquet",
        )  # fmt: skip

    def _editorial(self) -> None:
        """Write a shelf for all markets and some: an expired, a current and a coming window."""
        p, catalog = self.p, self.catalog
        rng = stream(p, "editorial")
        first = catalog.first
        odds = catalog.weight * day_factor(p, catalog, p.calendar.days - 1)
        pool = np.arange(first[PLAYLIST], first[SHOW + 1])
        markets = [-1, *range(min(p.editors.markets, len(p.markets)))]
        end = p.calendar.days * DAY_S
        window = p.editors.window_days * DAY_S
        item: list[int] = []
        market: list[int] = []
        position: list[int] = []
        starts: list[int] = []
        for begin in (end - 3 * window // 2, end - window // 2, end + window // 2):
            for m in markets:
                everywhere = catalog.available[:, pool].all(axis=0)
                share = odds[:, pool].mean(axis=0) * everywhere if m < 0 else odds[m, pool]
                share = share.astype(np.float64)
                n = min(p.editors.cards, int((share > 0).sum()))
                if n == 0:
                    continue
                item.extend(rng.choice(pool, n, replace=False, p=share / share.sum()).tolist())
                market.extend([m] * n)
                position.extend(range(1, n + 1))
                starts.extend([begin] * n)
        starts_s = np.array(starts, np.int64)
        ends = self._at(starts_s + window)
        # What is pinned last stays until somebody takes it away: the demo is read long after.
        last = pa.array(starts_s == max(starts, default=0))
        ends = pc.if_else(last, pa.scalar(None, ends.type), ends)
        codes = pa.array([m.code for m in p.markets])
        save(
            {
                "shelf": pa.array([EDITORIAL_SHELF] * len(item), pa.string()),
                "market": _coded(np.array(market, np.int64), codes).cast(pa.string()),
                "position": pa.array(position, pa.int32()),
                "item_id": self.item_ids.take(pa.array(item, pa.int64())),
                "starts_at": self._at(starts_s),
                "ends_at": ends,
            },
            self.out / "editorial" / "editorial.parquet",
        )


def listener_ids(numbers: npt.NDArray[np.int64]) -> pa.Array:
    """Text ids of listeners whose numbers are consecutive, such as "listener-0000042"."""
    return identifiers("listener", int(numbers[0]) + 1, len(numbers), 7)
