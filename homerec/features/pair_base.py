"""The kept base: the pairs as some snapshot has read them, so that later ones add what is new.

It lies beside the rollups that it was summed from and names them. Values never depend on it: who
finds none, or one of other rollups, sums all rollups.
"""

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

from homerec.lake import Lake, atomic_file, read_json, write_json

#: After so many days a night writes a new base; the days since the last are read each night.
FOLD_DAYS: Final = 7


@dataclass(frozen=True)
class PairBase:
    """What a file of pairs holds.

    Attributes
    ----------
    as_of : date
        Days before it.
    known_at : datetime
        Arrivals before it.
    made : dict of str to int
        The rollups that it was summed from.
    """

    as_of: date
    known_at: datetime
    made: Mapping[str, int]

    def is_of(self, made: Mapping[str, int]) -> bool:
        """Whether it was summed from these rollups, or some of them, and from no other."""
        return all(made.get(key) == number for key, number in self.made.items())

    def is_old(self, as_of: date) -> bool:
        """Whether a snapshot of a date should write a new base."""
        return (as_of - self.as_of).days >= FOLD_DAYS


def base_files(lake: Lake) -> tuple[Path, Path]:
    """Return where the pairs lie, and what is known of them."""
    return lake.rollups / "pairs.arrow", lake.rollups / "pairs.json"


def take_base(
    lake: Lake, as_of: date, known_at: datetime, made: Mapping[str, int], target: Path
) -> PairBase | None:
    """Link the kept base to ``target``, if a snapshot may add to it.

    Parameters
    ----------
    lake : Lake
    as_of, known_at : date, datetime
        Of the snapshot.
    made : mapping of str to int
        The rollups that it reads: the base must have read nothing else.
    target : Path
        Does not exist yet.

    Returns
    -------
    PairBase or None
        ``None`` where there is none that fits; ``target`` is not there then.
    """
    base = _read(lake)
    if base is None or base[0].as_of > as_of or base[0].known_at > known_at:
        return None
    found, stamp = base
    if not found.is_of(made):
        return None
    with suppress(FileNotFoundError):
        link(base_files(lake)[0], target)
        # Whoever wrote another base in between has replaced the file first.
        if _stamp(target) == stamp:
            return found
        target.unlink()
    return None


def publish_base(lake: Lake, base: PairBase, source: Path, rolled: Mapping[str, int]) -> None:
    """Keep a file of pairs as the base of later snapshots, unless a later one is kept.

    Parameters
    ----------
    lake : Lake
    base : PairBase
        What the file holds.
    source : Path
        Stays where it is.
    rolled : mapping of str to int
        All rollups that there are: a base of others is of no use.
    """
    kept = _read(lake)
    if kept is not None and kept[0].as_of > base.as_of and kept[0].is_of(rolled):
        return
    pairs, about = base_files(lake)
    with atomic_file(pairs) as temporary:
        link(source, temporary)
    write_json(
        {
            "as_of": base.as_of.isoformat(),
            "known_at": base.known_at.isoformat(),
            "made": dict(base.made),
            "stamp": _stamp(pairs),
        },
        about,
    )


def link(source: Path, target: Path) -> None:
    """Make a second name of a file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copy2(source, target)


def _read(lake: Lake) -> tuple[PairBase, list[int]] | None:
    about = base_files(lake)[1]
    if not about.exists():
        return None
    found = read_json(about)
    base = PairBase(
        date.fromisoformat(found["as_of"]),
        datetime.fromisoformat(found["known_at"]),
        {str(key): int(number) for key, number in found["made"].items()},
    )
    return base, [int(n) for n in found["stamp"]]


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
