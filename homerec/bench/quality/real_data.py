"""The public data sets as they lie on disk, and how they are split; every contender sees the same.

References
----------
Cantador, Brusilovsky, Kuflik 2011, HetRec 2011 (lastfm-2k).
Ni, Li, McAuley 2019, Justifying recommendations using distantly-labeled reviews (the Amazon data).
"""

import csv
import gzip
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.bench.quality.protocol import Split
from homerec.errors import EmptyInput

Codes = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

LASTFM: Final = "lastfm-2k"
AMAZON: Final = "amazon-digital-music"
#: Share of the pairs that is held out, and of the rest that is held out once more.
HELD_OUT: Final = 0.2


@dataclass(frozen=True)
class Interactions:
    """Pairs of a data set, in the order of its file.

    Attributes
    ----------
    listener, item : int64 (n,)
        Codes, positions in ``listener_ids`` and ``item_ids``.
    listener_ids, item_ids : list of str
        Ids as in the file, sorted.
    plays : float32 (n,)
        Play counts; 1 where the data has none.
    time : int64 (n,)
        Unix seconds; 0 where the data has none.
    """

    listener: Codes
    item: Codes
    listener_ids: list[str]
    item_ids: list[str]
    plays: npt.NDArray[np.float32]
    time: Codes

    def __len__(self) -> int:
        return len(self.listener)


def read_lastfm(folder: Path) -> Interactions:
    """Read lastfm-2k: listeners, artists, play counts.

    Raises
    ------
    EmptyInput
        The folder lacks the file.
    """
    lines = _lines(folder / "user_artists.dat.gz", header=False)
    plays = np.array([float(line[2]) for line in lines], dtype=np.float32)
    return _interactions(lines, plays, np.zeros(len(lines), dtype=np.int64))


def read_amazon(folder: Path) -> Interactions:
    """Read amazon-digital-music: listeners, albums, times.

    Raises
    ------
    EmptyInput
        The folder lacks the file.
    """
    lines = _lines(folder / "ratings.tsv.gz", header=True)
    time = np.array([int(line[2]) for line in lines], dtype=np.int64)
    return _interactions(lines, np.ones(len(lines), dtype=np.float32), time)


def _lines(path: Path, *, header: bool) -> list[list[str]]:
    if not path.is_file():
        raise EmptyInput(
            f"{path} is not there. Give the folder that holds {path.parent.name} with --data; "
            "docs/real-data.md says where the data come from."
        )
    with gzip.open(path, "rt", encoding="utf-8", newline="") as text:
        lines = list(csv.reader(text, delimiter="\t"))
    return lines[1:] if header else lines


def _interactions(
    lines: list[list[str]], plays: npt.NDArray[np.float32], time: Codes
) -> Interactions:
    listener_ids, listener = np.unique([line[0] for line in lines], return_inverse=True)
    item_ids, item = np.unique([line[1] for line in lines], return_inverse=True)
    return Interactions(
        listener.astype(np.int64),
        item.astype(np.int64),
        [str(i) for i in listener_ids],
        [str(i) for i in item_ids],
        plays,
        time,
    )


@dataclass(frozen=True)
class RandomSplit:
    """A nested random split: each pair is known, to learn ranking from, or to be found.

    Attributes
    ----------
    part : int8 (n,)
        0 known to stage 1 from the start, 1 the ranker's labels, 2 held out.
    """

    part: npt.NDArray[np.int8]

    @classmethod
    def draw(cls, n: int, seed: int) -> "RandomSplit":
        """Hold out a fifth of n pairs, then a fifth of the rest.

        The first draw is numpy's ``default_rng(seed).random(n) < 0.2`` in the order of the file, as
        in the reference figures.
        """
        rng = np.random.default_rng(seed)
        held_out = rng.random(n) < HELD_OUT
        labels = rng.random(n) < HELD_OUT
        return cls(np.where(held_out, 2, np.where(labels, 1, 0)).astype(np.int8))

    def within(self) -> "RandomSplit":
        """Split what is not held out in the same way, for choices that may not see the rest.

        The ranker's labels are held out, a fifth of stage 1's pairs are labels, what was held out
        is nowhere (part 3).
        """
        again = np.random.default_rng(int(self.part.astype(np.int64).sum())).random(len(self.part))
        inner = np.where(again < HELD_OUT, 1, 0)
        part = np.choose(self.part, [inner, 2, 3])
        return RandomSplit(part.astype(np.int8))


def random_split(
    data: Interactions, split: RandomSplit, name: str, *, validation: bool = False
) -> Split:
    """Make what peers learn from and are judged by in a random split.

    Parameters
    ----------
    data : Interactions
    split : RandomSplit
    name : str
    validation : bool
        Whether the ranker's labels are what is to be found, and the held-out pairs are nowhere.
    """
    known = split.part == 0 if validation else split.part <= 1
    return _split(data, name, known, split.part == (1 if validation else 2), min_items=1)


def seconds(day: date) -> int:
    """Unix seconds of a date, 00:00 UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def timed_split(
    data: Interactions, origin: date, end: date | None = None, min_items: int = 5
) -> Split:
    """Make what peers learn from and are judged by in a split by time.

    Parameters
    ----------
    data : Interactions
    origin : date
        Pairs before it, 00:00 UTC, are known.
    end : date, optional
        Pairs in [origin, end) are to be found; all later ones by default.
    min_items : int
        Known items that a listener must have to be judged, beside one new pair.
    """
    start = seconds(origin)
    known = data.time < start
    later = ~known if end is None else ~known & (data.time < seconds(end))
    age = np.where(known, (start - data.time) / 86_400, 0).astype(np.float32)
    until = "" if end is None else f"-{end}"
    return _split(data, f"{AMAZON}-{origin}{until}", known, later, min_items=min_items, age=age)


def _split(
    data: Interactions,
    name: str,
    known: Flags,
    found: Flags,
    *,
    min_items: int,
    age: npt.NDArray[np.float32] | None = None,
) -> Split:
    """Keep each known pair once, and of the found ones what is new to a listener with enough."""
    n_items = len(data.item_ids)
    key = data.listener * n_items + data.item
    at = np.flatnonzero(known)
    at = np.sort(at[np.unique(key[at], return_index=True)[1]])
    count = np.bincount(data.listener[at], minlength=len(data.listener_ids))
    new = found & ~np.isin(key, key[at]) & (count[data.listener] >= min_items)
    test = np.unique(key[new])
    return Split(
        name=name,
        n_listeners=len(data.listener_ids),
        n_items=n_items,
        listener=data.listener[at],
        item=data.item[at],
        plays=data.plays[at],
        age_days=np.zeros(len(at), dtype=np.float32) if age is None else age[at],
        test_listener=test // n_items,
        test_item=test % n_items,
    )
