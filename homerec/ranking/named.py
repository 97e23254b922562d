"""Rankers that treat features differently by name: what they share."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from homerec.errors import SettingsError, TrainingError
from homerec.features.tables import Floats
from homerec.ranking.base import Ranker

#: Stands for a base that is missing: the log of a chance below all that are ever started.
_NO_BASE: Final = -20.0


class NamedRanker(Ranker):
    """Finds its columns by the names of the features; may begin with one, ``base``."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self._features: list[str] | None = None

    def uses(self) -> Mapping[str, Sequence[str]]:
        """Features that the parameters name, by what the ranker does with them."""
        base = self.parameters["base"]
        return {"begins with the feature": [base] if base else []}

    def read(self, features: Sequence[str]) -> Self:
        """Find the features that the parameters name among the columns.

        Raises
        ------
        SettingsError
            One of them is not there.
        """
        for use, names in self.uses().items():
            if missing := [name for name in names if name not in features]:
                raise SettingsError(
                    f"Ranker {self.name} {use} {', '.join(missing)}, which the model does not "
                    f"read; it reads {', '.join(features)}. Add it to the features, or name "
                    "another."
                )
        self._features = list(features)
        return self

    def _begin(self, features: Floats) -> npt.NDArray[np.float64] | None:
        """Scores to begin with, if there is a base."""
        base = self.parameters["base"]
        if not base:
            return None
        column = features[:, self._at(base, "begins with")].astype(np.float64)
        return np.where(np.isnan(column), _NO_BASE, column)

    def _at(self, name: str, use: str) -> int:
        """Look up the column of a feature."""
        if self._features is None:
            raise TrainingError(
                f"Ranker {self.name} {use} {name} and was not told which column that is. Call read "
                "first."
            )
        return self._features.index(name)
