"""What is known of items beside who starts them, for :mod:`homerec.candidates.starts`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.candidates.starts.vectors import Doubles, Integers, Vectors
from homerec.features.tables import Catalog, Rows

#: Tags of an item that count at most.
_ATTRIBUTES: Final = 8


@dataclass(frozen=True)
class Attributes:
    """Which attributes items can have: the most common tags, and languages.

    Attributes
    ----------
    tags, languages : tuple of str
    tag_strength : float
        Standard deviation, over listeners, of what a tag adds to the log of a chance.
    """

    tags: tuple[str, ...]
    languages: tuple[str, ...]
    tag_strength: float

    def __len__(self) -> int:
        return len(self.tags) + len(self.languages)

    def shares(self, catalog: Catalog, items: Rows) -> Doubles:
        """Read which tags catalog rows have; they sum to 1 at most.

        Returns
        -------
        float64 (len(items), len(self.tags))
        """
        out = np.zeros((len(items), len(self.tags)))
        known = {name: at for at, name in enumerate(catalog.tags)}
        for at, name in enumerate(self.tags):
            if name in known:
                # A unit row squared is the item's distribution over its tags.
                out[:, at] = catalog.item_tags[items, known[name]].astype(np.float64) ** 2
        return out

    def spoken(self, catalog: Catalog, items: Rows) -> Integers:
        """Look up the languages of catalog rows, int64 (len(items),); -1 for none of these."""
        place = {name: at for at, name in enumerate(self.languages)}
        codes = [place.get(name, -1) for name in catalog.language_names]
        # Of an item without a language the code is -1: the last one.
        return np.array([*codes, -1], dtype=np.int64)[catalog.languages[items]]

    def vectors(self, factors: Doubles, shares: Doubles, spoken: Integers) -> Vectors:
        """Vectors of items from their factors, :meth:`shares` and :meth:`spoken`."""
        strength = shares * self.tag_strength
        most = int((strength > 0).sum(axis=1).max(initial=0))
        width = min(_ATTRIBUTES, most)
        best = np.argsort(-strength, axis=1, kind="stable")[:, :width]
        return Vectors(
            factors,
            best.astype(np.int64),
            np.take_along_axis(strength, best, 1),
            len(self.tags),
            spoken,
            len(self.languages),
        )


def common(names: Sequence[str], counts: npt.NDArray[np.floating], most: int) -> tuple[str, ...]:
    """Names with the largest counts, at most so many, in alphabetical order."""
    best = np.argsort(-counts, kind="stable")[:most]
    return tuple(sorted(names[at] for at in best if counts[at] > 0))
