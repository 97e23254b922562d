"""Items as the kernels read them."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Vectors:
    """Items as the kernel reads them: learned factors, few fixed attributes, a language.

    Attributes
    ----------
    factors : float64 (m, k)
    attribute : int64 (m, r)
        Numbers of an item's attributes (tags), padded with 0.
    strength : float64 (m, r)
        Their values; 0 for padding.
    n_attributes : int
    language : int64 (m,)
        Number of an item's language; -1 for one without.
    n_languages : int
    """

    factors: Doubles
    attribute: Integers
    strength: Doubles
    n_attributes: int
    language: Integers
    n_languages: int

    @property
    def width(self) -> int:
        """Coordinates of a listener: factors, attributes, and what languages do."""
        return int(self.factors.shape[1]) + self.n_attributes + self.n_languages

    @property
    def n_stepped(self) -> int:
        """Coordinates that steps find: all but what languages do, which come last."""
        return self.width - self.n_languages

    def take(self, at: Integers) -> "Vectors":
        """Return the vectors at positions."""
        return replace(
            self,
            factors=self.factors[at],
            attribute=self.attribute[at],
            strength=self.strength[at],
            language=self.language[at],
        )

    def dense(self) -> Doubles:
        """Full vectors, float64 (m, width)."""
        k = self.factors.shape[1]
        out = np.zeros((len(self.factors), self.width))
        out[:, :k] = self.factors
        row = np.repeat(np.arange(len(out)), self.attribute.shape[1])
        np.add.at(out, (row, k + self.attribute.ravel()), self.strength.ravel())
        spoken = np.flatnonzero(self.language >= 0)
        out[spoken, self.n_stepped + self.language[spoken]] = 1.0
        return out

    def flat(self, ceiling: float) -> Doubles:
        """Full vectors at no taste, where the bound takes something already."""
        out = self.dense()
        out[:, : self.factors.shape[1]] /= 1.0 + np.exp(-ceiling)
        return out
