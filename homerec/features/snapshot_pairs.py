"""The pairs of one snapshot: read from where that is cheapest, and kept in two files.

``pairs.arrow`` is a base, which snapshots share; ``new_pairs.arrow`` holds what this one adds.
"""

from contextlib import ExitStack
from datetime import date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from homerec.features.pair_base import FOLD_DAYS, PairBase, publish_base, take_base
from homerec.features.pair_files import PairWriter, pair_writer
from homerec.features.pair_sources import RollupPairs
from homerec.features.pairs import PlayedPairs
from homerec.features.rollups import Rollups
from homerec.lake import Lake

#: Files of a snapshot's folder.
PAIRS: Final = "pairs.arrow"
NEW_PAIRS: Final = "new_pairs.arrow"
_KEPT: Final = "kept_pairs.arrow"
_EPOCH: Final = date(1970, 1, 1)


class SnapshotPairs:
    """Gives the pairs of a snapshot as ``source`` while its block runs, and writes them.

    A kept base is taken where there is one, and only the rollups beyond it are read. Where there is
    none, or where it is old, a new base is written. With a bounded history it leaves out the days
    that the coming nights will not read.

    Parameters
    ----------
    lake : Lake
    rollups : Rollups
        Of all event files that count.
    as_of, known_at : date, datetime
        Of the snapshot.
    folder : Path
        Receives the files.
    history_days : int, optional
        How far the snapshot looks back.
    """

    def __init__(
        self,
        lake: Lake,
        rollups: Rollups,
        as_of: date,
        known_at: datetime,
        folder: Path,
        history_days: int | None,
    ) -> None:
        self._lake, self._rollups, self._folder = lake, rollups, folder
        self._base: PairWriter | None = None
        self._new: PairWriter | None = None
        self._stack = ExitStack()
        self._days: list[int] = []
        old = take_base(lake, as_of, known_at, rollups.made, folder / _KEPT)
        self._written: PairBase | None = None
        base: Path | Rollups | None = folder / _KEPT if old else None
        rest = rollups.beyond(old.made, old.known_at) if old else rollups
        self._splits = False
        if old is None or old.is_old(as_of):
            core = rollups
            if history_days is not None:
                first = as_of - timedelta(days=history_days - FOLD_DAYS)
                core = rollups.of_days(first, as_of)
                base, rest = core, rollups.of_days(date.min, first)
                self._splits = True
            self._written = PairBase(as_of, known_at, core.made)
        self.source = RollupPairs(lake, rest, known_at, base, self._keep, rollups.skips)

    def __enter__(self) -> Self:
        if self._written is not None:
            self._base = self._stack.enter_context(pair_writer(self._folder / PAIRS))
        if self._written is None or self._splits:
            self._new = self._stack.enter_context(pair_writer(self._folder / NEW_PAIRS))
        return self

    def _keep(self, base: PlayedPairs, new: PlayedPairs, both: PlayedPairs) -> None:
        if self._base is not None:
            self._base.write(base if self._splits else both)
        if self._new is not None:
            self._new.write(new)
        if len(both):
            self._days += [int(both.days.min()), int(both.days.max())]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The writers remove what they began if there was an error.
        self._stack.__exit__(kind, error, trace)
        if kind is not None:
            return
        kept, pairs = self._folder / _KEPT, self._folder / PAIRS
        if self._written is None:
            kept.replace(pairs)
        else:
            kept.unlink(missing_ok=True)
            publish_base(self._lake, self._written, pairs, self._rollups.all_made)

    @property
    def days(self) -> tuple[str | None, str | None]:
        """First and last UTC day with a card play, in ISO form."""
        if not self._days:
            return None, None
        first, last = (_EPOCH + timedelta(days=n) for n in (min(self._days), max(self._days)))
        return first.isoformat(), last.isoformat()
