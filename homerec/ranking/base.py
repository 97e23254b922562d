"""The contract of rankers (stage 2)."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from homerec.features.tables import Floats


class Ranker(ABC):
    """Orders candidates by features; ``parameters`` are plain JSON values."""

    name: ClassVar[str]

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    @abstractmethod
    def fit(
        self, features: Floats, labels: npt.NDArray[np.float32], groups: npt.NDArray[np.int64]
    ) -> Self:
        """Learn from labelled pairs.

        Parameters
        ----------
        features : float32 (n, n_features)
            NaN means missing.
        labels : float32 (n,)
            1 for a pair that was played in the label window, else 0.
        groups : int64 (n,)
            Number of the list that each pair belongs to, ascending.
        """

    @abstractmethod
    def score(self, features: Floats) -> Floats:
        """Score pairs, float32 (n,), higher is better; a score depends on its own row alone."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what was learned into an existing folder."""

    @abstractmethod
    def load(self, folder: Path) -> Self:
        """Read what :meth:`save` wrote."""
