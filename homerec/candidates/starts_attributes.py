"""What is known of items beside who starts them, for :mod:`homerec.candidates.starts`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.candidates.starts_folding import Doubles, Vectors
from homerec.features.tables import Catalog, Rows

#: Tags and language of an item that count at most.
_ATTRIBUTES: Final = 8


@dataclass(frozen=True)
class Attributes:
    """Which attributes items can have: the most common tags, and languages.

    Attributes
    ----------
    tags, languages : tuple of str
    tag_strength, language_strength : float
        Standard deviation, over listeners, of what an attribute adds to the log of a chance.
    """

    tags: tuple[str, ...]
    languages: tuple[str, ...]
    tag_strength: float
    language_strength: float

    def __len__(self) -> int:
        return len(self.tags) + len(self.languages)

    def shares(self, catalog: Catalog, items: Rows) -> Doubles:
        """Attributes of catalog rows: tags sum to 1 at most, a language is 1.

        Returns
        -------
        float64 (len(items), len(self))
        """
        out = np.zeros((len(items), len(self)))
        known = {name: at for at, name in enumerate(catalog.tags)}
        for at, name in enumerate(self.tags):
            if name in known:
                # A unit row squared is the item's distribution over its tags.
                out[:, at] = catalog.item_tags[items, known[name]].astype(np.float64) ** 2
        spoken = catalog.languages[items]
        for at, name in enumerate(self.languages, start=len(self.tags)):
            if name in catalog.language_names:
                out[:, at] = spoken == catalog.language_names.index(name)
        return out

    def vectors(self, factors: Doubles, shares: Doubles) -> Vectors:
        """Vectors of items from their factors and :meth:`shares`."""
        scale = np.repeat(
            [self.tag_strength, self.language_strength], [len(self.tags), len(self.languages)]
        )
        strength = shares * scale
        most = int((strength > 0).sum(axis=1).max(initial=0))
        width = min(_ATTRIBUTES, most)
        best = np.argsort(-strength, axis=1, kind="stable")[:, :width]
        return Vectors(
            factors, best.astype(np.int64), np.take_along_axis(strength, best, 1), len(self)
        )


def common(names: Sequence[str], counts: npt.NDArray[np.floating], most: int) -> tuple[str, ...]:
    """Names with the largest counts, at most so many, in alphabetical order."""
    best = np.argsort(-counts, kind="stable")[:most]
    return tuple(sorted(names[at] for at in best if counts[at] > 0))
