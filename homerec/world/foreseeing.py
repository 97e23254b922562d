"""What listeners will play: the generator's own probabilities, given what they have in mind.

The past is simulated again up to a day, so that every listener's memory, habits and picks are the
ones that wrote the events. From there on the formulas of `homerec.world.listening` are written out
instead of drawn: sessions of the day, what kind of thing each plays, a familiar item by its pull or
a new one by taste, and whether a play of it lasts 30 s.

What is left out, because it hardly moves an order: that a play of the window itself changes memory,
that sessions can be cut by the end of a day, and, for familiar plays, which track is skipped. Tests
compare the result with many simulated futures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.columns import DAYPARTS, ITEM_TYPES
from homerec.errors import SettingsError
from homerec.world.attraction import Day, make_day
from homerec.world.catalog import ALBUM, ARTIST, PLAYLIST, SHOW
from homerec.world.generating import World, make_world, replay
from homerec.world.intents import (
    Doubles,
    Intents,
    first_content,
    new_intents,
    pulls,
    sessions,
    space_shares,
    weekend_share,
)  # fmt: skip
from homerec.world.parameters import Parameters
from homerec.world.population import People
from homerec.world.remembering import Minds
from homerec.world.rules import RATES
from homerec.world.truth import Truth

_BLOCK: Final = 256


@dataclass(frozen=True)
class Foresight:
    """An oracle that knows every mind as of a day, and not the future's dice.

    Attributes
    ----------
    truth : Truth
        The world, and what is known of it without a past.
    day : int
        Days since the world's start; the first day that is foreseen.
    people, minds
        Everybody of the world, by number; minds as they are when ``day`` begins.
    """

    truth: Truth
    day: int
    people: People
    minds: Minds

    @property
    def world(self) -> World:
        """The world's fixed parts."""
        return self.truth.world

    @property
    def item_ids(self) -> npt.NDArray[np.object_]:
        """Text ids of all items, object (n_items,), artists, albums, playlists, shows."""
        return np.array(self.world.catalog.item_ids().to_pylist(), object)

    def new_plays(
        self, listener_ids: Sequence[str], item_type: str, n_days: int = 7
    ) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float32]]:
        """Probability that a listener plays an item not played before, within some days.

        A play is one of 30 s or more. An item comes up when a session tries something new, through
        a popular card of the old Home, or because it is in mind although its plays were all skipped
        or lie before the first event.

        Parameters
        ----------
        listener_ids : sequence of str
            Text ids of n listeners.
        item_type : {"playlist", "show"}
        n_days : int
            Days from the foreseen one on.

        Returns
        -------
        items : object (n_items,)
            Text ids of all items of the type.
        probability : float32 (n, n_items)
            Also for items that the listener has played: whoever asks for unseen ones leaves them
            out.

        Raises
        ------
        SettingsError
            An unknown listener or type, or days outside the world.
        """
        kind = ITEM_TYPES.index(item_type) if item_type in ITEM_TYPES else -1
        if kind not in (PLAYLIST, SHOW):
            raise SettingsError(f"item_type is {item_type!r}, allowed are playlist and show.")
        last = self.world.p.calendar.days
        if not 1 <= n_days <= last - self.day:
            raise SettingsError(
                f"{n_days} days from day {self.day} on are outside the world of {last} days."
            )
        rows = self.truth.numbers(listener_ids)
        low, high = self.world.catalog.first[kind : kind + 2]
        hazard = np.zeros((len(rows), int(high - low)))
        for ahead in range(n_days):
            today = self._today(self.day + ahead)
            for some in self._blocks(rows):
                minds = self._later(self.minds[rows[some]], ahead)
                hazard[some] += self._hazard(self.people[rows[some]], minds, kind, today)
        return self.item_ids[low:high], (1.0 - np.exp(-hazard)).astype(np.float32)

    def familiar_plays(
        self, listener_ids: Sequence[str], known: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        """Chance of each item to be the next familiar play in a daypart of the foreseen day.

        A play counts for its context and for the artist and album of its track, so one session can
        have several such items, and those of a new playlist can be familiar too.

        Parameters
        ----------
        listener_ids : sequence of str
            Text ids of n listeners.
        known : bool (n, n_items)
            What each listener has played, all types, in the order of :attr:`item_ids`.

        Returns
        -------
        float32 (n, 4, n_items)
            By listener, local daypart and item; 0 where the item is not known. Of one list, values
            are proportional to the probability that the first familiar play counts for the item.

        Raises
        ------
        SettingsError
            An unknown listener, or ``known`` of another shape.
        """
        rows, n_items = self.truth.numbers(listener_ids), self.world.catalog.n_items
        if known.shape != (len(rows), n_items):
            raise SettingsError(
                f"known is {known.shape}; {(len(rows), n_items)} is needed: listeners by items."
            )
        today = self._today(self.day)
        counted = [first_content(self.world, today, m) for m in range(len(self.world.p.markets))]
        out = np.zeros((len(rows), len(DAYPARTS), n_items), np.float32)
        for some in self._blocks(rows):
            people, minds = self.people[rows[some]], self._later(self.minds[rows[some]], 0)
            market = int(people["market"][0])
            by_part = self._contexts(people, minds, today)
            for part, contexts in enumerate(by_part):
                out[some, part] = self._counted(contexts, known[some], counted[market])
        return out

    def _today(self, day: int) -> Day:
        world = self.world
        blocked = world.blocked.mask(len(world.p.markets), world.catalog.n_items, day)
        return make_day(world.p, world.catalog, day, blocked)

    def _blocks(self, rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
        """Positions of listeners of one market, a few at a time, which bounds the memory."""
        markets = self.people["market"][rows]
        for market in np.unique(markets):
            here = np.flatnonzero(markets == market)
            for start in range(0, len(here), _BLOCK):
                yield here[start : start + _BLOCK]

    def _later(self, minds: Minds, nights: int) -> Minds:
        """Let a number of nights pass over minds as of the foreseen day."""
        later = minds.copy()
        if nights:
            later["trace"] *= np.exp(-np.array(RATES, np.float32) * nights)
            total = later["trace"].sum(axis=2)
            power = self.world.p.memory.retrieval_power
            later["odds"] = total**power * (0.2 + later["liking"])
        return later

    def _hazard(self, people: People, minds: Minds, kind: int, today: Day) -> Doubles:
        """Mean plays of each item of a type on one day, float64 (n, n_items of the type)."""
        world, space = self.world, int(kind == SHOW)
        weekend = int((world.p.calendar.start.weekday() + today.day) % 7 >= 5)
        intents = new_intents(world, people, minds, today, kind)
        n_sessions = sessions(world.p, people, today.day)
        first = int(world.catalog.first[kind])
        fresh = np.zeros(len(people))
        recalled = np.zeros_like(intents.tried)
        for part in range(len(DAYPARTS)):
            of_space = n_sessions * people["daypart"][:, weekend, part]
            of_space = of_space * space_shares(people, part)[space]
            pull = pulls(world, people, minds, today, space, part, weekend)
            total = pull.sum(axis=1)
            explore = np.where(total > 0, intents.explore, 1.0)
            fresh += of_space * explore * intents.kind_share
            share = np.divide(pull, total[:, None], out=np.zeros_like(pull), where=pull > 0)
            amount = share * (of_space * (1.0 - explore))[:, None]
            own = (minds["item"] >= first) & (minds["item"] < first + recalled.shape[1])
            line, slot = np.nonzero(own)
            np.add.at(recalled, (line, minds["item"][line, slot] - first), amount[line, slot])
        return fresh[:, None] * intents.tried * intents.lasts + recalled * intents.lasts_familiar

    def _contexts(self, people: People, minds: Minds, today: Day) -> list[Doubles]:
        """Probability that a session of each daypart plays each item, float64 (n, n_items)."""
        world = self.world
        tried = [new_intents(world, people, minds, today, kind) for kind in range(4)]
        share = weekend_share(world, people, today.day)
        out = []
        for part in range(len(DAYPARTS)):
            total = np.zeros((len(people), world.catalog.n_items))
            for weekend in (0, 1):
                weight = share[:, part] if weekend else 1.0 - share[:, part]
                if weight.any():
                    total += weight[:, None] * self._session(
                        people, minds, today, tried, part, weekend
                    )
            out.append(total)
        return out

    def _session(
        self,
        people: People,
        minds: Minds,
        today: Day,
        tried: list[Intents],
        part: int,
        weekend: int,
    ) -> Doubles:
        world, first = self.world, self.world.catalog.first
        out = np.zeros((len(people), world.catalog.n_items))
        for space, of_space in enumerate(space_shares(people, part)):
            pull = pulls(world, people, minds, today, space, part, weekend)
            total = pull.sum(axis=1)
            kinds = (SHOW,) if space else (ARTIST, ALBUM, PLAYLIST)
            explore = np.where(total > 0, tried[kinds[0]].explore, 1.0)
            for kind in kinds:
                amount = of_space * explore * tried[kind].kind_share
                out[:, first[kind] : first[kind + 1]] += amount[:, None] * tried[kind].tried
            line, slot = np.nonzero(pull)
            amount = (of_space * (1.0 - explore))[line] * pull[line, slot] / total[line]
            np.add.at(out, (line, minds["item"][line, slot]), amount)
        return out

    def _counted(
        self, contexts: Doubles, known: npt.NDArray[np.bool_], counted: sparse.csr_matrix
    ) -> Doubles:
        """From what a session plays to what its first familiar play counts for."""
        n_artists = int(self.world.catalog.first[ALBUM])
        # In a session of something new the first track that means something may come later.
        found = np.asarray((counted[:, :n_artists] @ known[:, :n_artists].T.astype(float)).T)
        more = 1.0 - 1.0 / self.world.p.rhythm.tracks_per_session
        later = 1.0 / (1.0 - (1.0 - np.clip(found, 0.0, 1.0)) * more)
        weight = contexts * np.where(known, 1.0, later)
        result: Doubles = np.asarray((counted.T @ weight.T).T) * known
        return result


def foresee(
    as_of: date,
    *,
    listeners: int | None = None,
    days: int | None = None,
    start: date | None = None,
    seed: int | None = None,
    parameters: Path | Parameters | None = None,
    threads: int | None = None,
) -> Foresight:
    """Simulate the world that `generate` writes for the same arguments up to a day.

    Parameters
    ----------
    as_of : date
        First day that is foreseen; from the world's start to its last day.
    listeners, days, start, seed, parameters, threads
        As in `homerec.world.generate`.

    Raises
    ------
    SettingsError
        A parameter or argument is out of its range.
    """
    world = make_world(
        listeners=listeners, days=days, start=start, seed=seed, parameters=parameters
    )
    day = (as_of - world.p.calendar.start).days
    if not 0 <= day < world.p.calendar.days:
        raise SettingsError(
            f"{as_of} is outside the world, which has {world.p.calendar.days} days from "
            f"{world.p.calendar.start} on."
        )
    people, minds = replay(world, day, threads=threads)
    foresight = Foresight(Truth(world), day, people, minds)
    # One night lies between the last simulated day and the foreseen one.
    return Foresight(foresight.truth, day, people, foresight._later(minds, 1))
