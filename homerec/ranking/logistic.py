"""Ranker by logistic regression on log-scaled features: few parameters, for few labels."""

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from homerec.features.tables import Floats
from homerec.parameters import Positive, Whole, checked
from homerec.ranking.base import Ranker, check_labels, to_save, to_score

_FILE: Final = "ranker.npz"


class LogisticRanker(Ranker):
    """Log-odds that are linear in sign(x) ln(1 + |x|) of each feature and in its being missing.

    Parameters
    ----------
    c : float
        Inverse strength of the L2 penalty on standardised features.
    seed : int
        Not used; rankers share the parameter.

    Attributes
    ----------
    mean_, scale_ : float64 (2 n_features,)
        Standardisation of the columns and of their missing flags.
    weights_ : float64 (2 n_features,)
    intercept_ : float
    """

    name: ClassVar[str] = "logistic"

    @checked
    def __init__(self, *, c: Positive = 0.1, seed: Whole = 0) -> None:
        super().__init__(c=c, seed=seed)
        self.mean_: npt.NDArray[np.float64] | None = None
        self.scale_ = np.zeros(0)
        self.weights_ = np.zeros(0)
        self.intercept_ = 0.0

    def fit(
        self, features: Floats, labels: npt.NDArray[np.float32], groups: npt.NDArray[np.int64]
    ) -> Self:
        """Fit the weights; groups do not matter to a pointwise loss.

        Raises
        ------
        TrainingError
            The labels are all alike.
        """
        del groups
        check_labels(labels)
        columns = _columns(features)
        self.mean_ = columns.mean(axis=0)
        # A constant column would be divided by nothing; at scale 1 it stays 0.
        deviation = columns.std(axis=0)
        self.scale_ = np.where(deviation > 0, deviation, 1.0)
        model = LogisticRegression(C=self.parameters["c"], max_iter=1000)
        model.fit((columns - self.mean_) / self.scale_, labels.astype(np.int8))
        self.weights_ = model.coef_[0]
        self.intercept_ = float(model.intercept_[0])
        return self

    def score(self, features: Floats) -> Floats:
        """Log-odds of a play, float32 (n,)."""
        standard = (_columns(features) - to_score(self.mean_)) / self.scale_
        # Summed row by row, so that a score does not depend on the rows beside it.
        odds: Floats = ((standard * self.weights_).sum(axis=1) + self.intercept_).astype(np.float32)
        return odds

    def save(self, folder: Path) -> None:
        """Write the weights.

        Raises
        ------
        ArtifactError
            There are none yet.
        """
        np.savez(
            folder / _FILE,
            mean=to_save(self.mean_, _FILE),
            scale=self.scale_,
            weights=self.weights_,
            intercept=np.array(self.intercept_),
        )

    def load(self, folder: Path) -> Self:
        """Read the weights."""
        with np.load(folder / _FILE, allow_pickle=False) as arrays:
            self.mean_, self.scale_ = arrays["mean"], arrays["scale"]
            self.weights_, self.intercept_ = arrays["weights"], float(arrays["intercept"])
        return self


def _columns(features: Floats) -> npt.NDArray[np.float64]:
    """Log-scaled features and their missing flags, float64 (n, 2 n_features), row-major."""
    wide = np.ascontiguousarray(features, dtype=np.float64)
    missing = np.isnan(wide)
    scaled = np.sign(wide) * np.log1p(np.abs(wide))
    return np.hstack([np.where(missing, 0.0, scaled), missing])
