"""Generate a world by chunks of listeners, which bound the memory, and by day, in threads."""

import logging
import os
import threading
import time as clock
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from homerec.errors import SettingsError
from homerec.lake import atomic_folder
from homerec.world.attraction import make_day
from homerec.world.catalog import Catalog, make_catalog
from homerec.world.listening import (
    EVENT,
    IMPRESSION,
    Room,
    Scene,
    listen_slice,
    make_room,
    plan_slice,
)  # fmt: skip
from homerec.world.parameters import Parameters, load_parameters
from homerec.world.population import People, Zones, make_people, make_zones
from homerec.world.remembering import Minds, make_minds
from homerec.world.rules import make_rules
from homerec.world.writing import Blocked, Inbox, listener_ids, make_blocked

logger = logging.getLogger(__name__)

#: Rows of a structured array.
Table = npt.NDArray[np.void]

#: Listeners simulated at once; about 1.5 kB each stay in memory.
CHUNK_LISTENERS = 50_000
#: Listeners a thread takes at once.
_SLICE = 2_000


@dataclass(frozen=True)
class WorldReport:
    """What was generated.

    Attributes
    ----------
    out : Path
        The inbox folder.
    seed, listeners, days : int
        What it was made with.
    start : date
        First UTC day.
    items, contents, events, impressions, signup_picks, dismissals : int
        Rows of those tables.
    compile_seconds, seconds : float
        Time until the first day could be simulated, and in all.
    """

    out: Path
    seed: int
    listeners: int
    days: int
    start: date
    items: int
    contents: int
    events: int
    impressions: int
    signup_picks: int
    dismissals: int
    compile_seconds: float
    seconds: float

    @property
    def events_per_second(self) -> float:
        """Events a second of wall time, compilation apart."""
        return self.events / max(self.seconds - self.compile_seconds, 1e-9)

    def render(self) -> str:
        """Write for people."""
        end = self.start + timedelta(days=self.days)
        return (
            f"Demo world of {self.listeners:,} listeners in {self.out}, seed {self.seed}: "
            f"{self.events:,} events from {self.start} to before {end} of {self.items:,} items, "
            f"{self.impressions:,} impressions, in {self.seconds:.1f} s"
        )


@dataclass(frozen=True)
class World:
    """What is fixed before anyone listens; ``p`` holds the days, start and seed asked for."""

    p: Parameters
    n_listeners: int
    catalog: Catalog
    zones: Zones
    blocked: Blocked


def make_world(
    *,
    listeners: int | None = None,
    days: int | None = None,
    start: date | None = None,
    seed: int | None = None,
    parameters: Path | Parameters | None = None,
) -> World:
    """Make what is fixed before anyone listens; arguments as in `generate`.

    Raises
    ------
    SettingsError
        A parameter or argument is out of its range.
    """
    p = parameters if isinstance(parameters, Parameters) else load_parameters(parameters)
    n = p.population.listeners if listeners is None else listeners
    calendar = replace(
        p.calendar,
        start=start or p.calendar.start,
        days=p.calendar.days if days is None else days,
    )
    p = replace(p, calendar=calendar, seed=p.seed if seed is None else seed)
    for name, value, low, high in (
        ("listeners", n, 1, 100_000_000),
        ("days", calendar.days, 1, 3660),
        ("seed", p.seed, 0, 2**62),
    ):
        if not low <= value <= high:
            raise SettingsError(f"{name} is {value}, allowed is {low} to {high}.")
    catalog = make_catalog(p, n)
    return World(p, n, catalog, make_zones(p), make_blocked(p, catalog))


def generate(
    out: Path,
    *,
    listeners: int | None = None,
    days: int | None = None,
    start: date | None = None,
    seed: int | None = None,
    parameters: Path | Parameters | None = None,
    progress: bool = True,
    replace: bool = False,
    threads: int | None = None,
    chunk_listeners: int = CHUNK_LISTENERS,
) -> WorldReport:
    """Write a simulated app's data in the inbox form.

    Parameters
    ----------
    out : Path
        Folder to make: ``<table>/*.parquet``; whole or absent.
    listeners, days, seed : int, optional
        Size and seed; by default those of the parameters.
    start : date, optional
        First UTC day.
    parameters : Path or Parameters, optional
        A TOML file of what differs from the committed ``config/world.toml``.
    progress : bool
        Show a progress bar on standard error.
    replace : bool
        Allow replacing a folder that is not empty.
    threads : int, optional
        Threads; by default one per core. It changes nothing but the time.
    chunk_listeners : int
        Listeners simulated at once. It changes the number of files and the memory, not the rows.

    Returns
    -------
    WorldReport

    Raises
    ------
    SettingsError
        A parameter is wrong, or ``out`` is there, is not empty, and may not be replaced.
    """
    began = clock.perf_counter()
    _check_target(out, replace)
    if chunk_listeners < 1:
        raise SettingsError(f"chunk_listeners is {chunk_listeners}, at least 1 is needed.")
    world = make_world(
        listeners=listeners, days=days, start=start, seed=seed, parameters=parameters
    )
    n_threads = threads or len(os.sched_getaffinity(0))
    bounds = [*range(0, world.n_listeners, chunk_listeners), world.n_listeners]
    totals: dict[str, int] = dict.fromkeys(("events", "impressions", "picks", "dismissals"), 0)
    compile_seconds = 0.0
    with (
        atomic_folder(out) as folder,
        ThreadPoolExecutor(n_threads) as pool,
        ThreadPoolExecutor(1) as writer,
        tqdm(
            total=world.p.calendar.days * (len(bounds) - 1), disable=not progress, unit="day"
        ) as bar,
    ):
        inbox = Inbox(folder, world.p, world.catalog, world.zones, len(bounds) - 1)
        inbox.catalog_tables(world.blocked)
        for number in range(len(bounds) - 1):
            chunk = _Chunk(world, number, bounds[number], bounds[number + 1], pool)
            if number == 0:
                chunk.warm_up()
                compile_seconds = clock.perf_counter() - began
            chunk.simulate(inbox, writer, bar, totals)
    seconds = clock.perf_counter() - began
    report = WorldReport(
        out, world.p.seed, world.n_listeners, world.p.calendar.days, world.p.calendar.start,
        world.catalog.n_items, len(world.catalog.content_release_s), totals["events"],
        totals["impressions"], totals["picks"], totals["dismissals"], compile_seconds, seconds,
    )  # fmt: skip
    logger.info("Generated %d events of %d listeners in %.1f s.", report.events,
                report.listeners, seconds)  # fmt: skip
    return report


def replay(
    world: World, day: int, low: int = 0, high: int | None = None, threads: int | None = None
) -> tuple[People, Minds]:
    """Simulate the days before one without writing anything.

    Parameters
    ----------
    world : World
    day : int
        Days since the world's start; what was in mind on that day's first instant is wanted.
    low, high : int
        Range of listener numbers, by default all.
    threads : int, optional
        Threads; by default one per core. It changes nothing but the time.

    Returns
    -------
    People, Minds
        The listeners, and what they have in mind after day - 1; the night's forgetting that
        opens ``day`` is still to come. Those who are not registered yet have an empty mind.

    Raises
    ------
    SettingsError
        The day is outside the world.
    """
    if not 0 <= day <= world.p.calendar.days:
        raise SettingsError(f"Day {day} is outside the world of {world.p.calendar.days} days.")
    with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
        chunk = _Chunk(world, 0, low, world.n_listeners if high is None else high, pool)
        for past in range(day):
            chunk._day(past)
    return chunk.people, chunk.minds


def _check_target(out: Path, may_replace: bool) -> None:
    if out.exists() and not out.is_dir():
        raise SettingsError(f"{out} is a file; name a folder to generate a world in.")
    if out.exists() and any(out.iterdir()) and not may_replace:
        raise SettingsError(
            f"{out} is not empty; nothing was generated. Name another folder or allow replacing it."
        )


class _Chunk:
    """A range of listeners on their way through the days."""

    def __init__(
        self, world: World, number: int, low: int, high: int, pool: ThreadPoolExecutor
    ) -> None:
        self.world = world
        self.number = number
        self.pool = pool
        self.n = high - low
        p = world.p
        self.people = _people(world, low, high, pool)
        self.ids = listener_ids(self.people["number"])
        midnight = datetime.combine(p.calendar.start, time(), UTC)
        self.rules = make_rules(p, round(midnight.timestamp()) * 1_000_000)
        self.minds = make_minds(self.n, p.memory.capacity)
        self.local = threading.local()

    def _scene(self, day: int) -> Scene:
        world = self.world
        blocked = world.blocked.mask(len(world.p.markets), world.catalog.n_items, day)
        today = make_day(world.p, world.catalog, day, blocked)
        self.people["ahead_s"] = world.zones.offset_s[self.people["zone"], day]
        return Scene(world.catalog.things, today, 0)

    def _room(self) -> Room:
        if not hasattr(self.local, "room"):
            self.local.room = make_room()
        room: Room = self.local.room
        return room

    def warm_up(self) -> None:
        """Compile, by simulating nobody."""
        scene, rows, cards = self._scene(0), np.empty(0, EVENT), np.empty(0, IMPRESSION)
        self._plan(scene, (0, 0))
        self._listen(scene, rows, cards, (0, 0))

    def _plan(self, scene: Scene, bounds: tuple[int, int]) -> None:
        plan_slice(*bounds, scene, self.rules, self.people, self.minds, self._room())

    def _listen(self, scene: Scene, rows: Table, cards: Table, bounds: tuple[int, int]) -> None:
        room = self._room()
        listen_slice(*bounds, scene, self.rules, self.people, self.minds, rows, cards, room)

    def simulate(
        self, inbox: Inbox, writer: ThreadPoolExecutor, bar: tqdm, totals: dict[str, int]
    ) -> None:
        """Run all days; files of one day are written while the next is simulated."""
        pending: list[Future[None]] = []
        dismissals: list[tuple[npt.NDArray[np.int64], ...]] = []
        for day in range(self.world.p.calendar.days):
            rows, cards = self._day(day)
            gone = np.flatnonzero(self.minds["dismissed"] >= 0)
            dismissals.append(
                (gone, self.minds["dismissed"][gone], self.minds["dismissed_us"][gone])
            )
            for future in pending:
                future.result()
            pending = [
                writer.submit(inbox.events, day, self.number, self.people, self.ids, rows),
                writer.submit(inbox.impressions, day, self.number, self.ids, cards),
            ]
            totals["events"] += len(rows)
            totals["impressions"] += len(cards)
            bar.update()
        for future in pending:
            future.result()
        listener, item, at = (np.concatenate(part) for part in zip(*dismissals, strict=True))
        # What is dismissed once stays dismissed: the first time counts.
        _, first = np.unique(np.stack([listener, item]), axis=1, return_index=True)
        listener, item, at = listener[first], item[first], at[first]
        inbox.dismissals(self.number, self.ids, listener, item, at)
        inbox.listeners(self.number, self.people, self.ids)
        totals["dismissals"] += len(listener)
        totals["picks"] += inbox.signup_picks(
            self.number, self.people, self.ids, self.minds["picks"]
        )

    def _day(self, day: int) -> tuple[Table, Table]:
        """Simulate one day; returns its events and impressions, by listener and time."""
        scene = self._scene(day)
        minds = self.minds
        list(self.pool.map(lambda bounds: self._plan(scene, bounds), self._slices()))
        first_row = np.cumsum(minds["n_rows"]) - minds["n_rows"]
        first_card = np.cumsum(minds["n_cards"]) - minds["n_cards"]
        rows = np.empty(int(minds["n_rows"].sum()), EVENT)
        cards = np.empty(int(minds["n_cards"].sum()), IMPRESSION)
        minds["row_at"], minds["card_at"] = first_row, first_card
        list(self.pool.map(lambda bounds: self._listen(scene, rows, cards, bounds), self._slices()))
        return (
            rows[_kept(first_row, minds["row_at"] - first_row)],
            cards[_kept(first_card, minds["card_at"] - first_card)],
        )

    def _slices(self) -> Iterator[tuple[int, int]]:
        for low in range(0, self.n, _SLICE):
            yield low, min(low + _SLICE, self.n)


def _people(world: World, low: int, high: int, pool: ThreadPoolExecutor) -> People:
    parts = list(
        pool.map(
            lambda first: make_people(
                world.p,
                np.arange(first, min(first + _SLICE, high), dtype=np.int64),
                world.catalog.centres,
            ),
            range(low, high, _SLICE),
        )
    )
    return np.concatenate(parts)


def _kept(first: npt.NDArray[np.int64], count: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rows that were filled: ``count[i]`` from ``first[i]`` on, in order."""
    shift = np.repeat(first - (np.cumsum(count) - count), count)
    kept: npt.NDArray[np.int64] = shift + np.arange(len(shift))
    return kept
