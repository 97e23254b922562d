"""The contract of rankers (stage 2)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt

from homerec.errors import ArtifactError, TrainingError
from homerec.features.tables import Floats

Learned = TypeVar("Learned")


class Ranker(ABC):
    """Orders candidates by features; ``parameters`` are plain JSON values."""

    name: ClassVar[str]

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def read(self, features: Sequence[str]) -> Self:
        """Say what the columns are called; a ranker that treats them all alike does not care.

        Parameters
        ----------
        features : sequence of str
            Names of the columns of what ``fit`` and ``score`` are given.

        Raises
        ------
        SettingsError
            A parameter names a feature that is not among them.
        """
        del features
        return self

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


def check_labels(labels: npt.NDArray[np.float32]) -> None:
    """Refuse labels from which no order can be learned.

    Raises
    ------
    TrainingError
        The labels are all alike.
    """
    positive = int(labels.sum())
    if positive in (0, len(labels)):
        raise TrainingError(
            f"The ranker needs played and unplayed candidates; of {len(labels)} pairs "
            f"{positive} were played. Take a longer label window or more listeners."
        )


def to_score(learned: Learned | None) -> Learned:
    """Return what a ranker has learned, for scoring.

    Raises
    ------
    TrainingError
        There is nothing yet.
    """
    if learned is None:
        raise TrainingError("This ranker was not fitted. Call fit or load first.")
    return learned


def to_save(learned: Learned | None, file: str) -> Learned:
    """Return what a ranker has learned, for a file of that name.

    Raises
    ------
    ArtifactError
        There is nothing yet.
    """
    if learned is None:
        raise ArtifactError(f"There is no fitted ranker to save as {file}. Fit it first.")
    return learned
