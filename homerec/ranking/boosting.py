"""Ranker by gradient boosted trees on the probability of a play (pointwise)."""

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier

from homerec.artifacts import load_estimator, save_estimator
from homerec.features.tables import Floats
from homerec.parameters import Count, Leaves, NotNegative, Positive, Whole, checked
from homerec.ranking.base import Ranker, check_labels, to_score

_FILE: Final = "ranker.skops"


class BoostingRanker(Ranker):
    """scikit-learn's histogram gradient boosting; the score is the log-odds of a play.

    Parameters
    ----------
    learning_rate, max_iter, max_leaf_nodes, min_samples_leaf, l2_regularization
        As in :class:`sklearn.ensemble.HistGradientBoostingClassifier`.
    seed : int
        Seed of the binning sample.
    """

    name: ClassVar[str] = "boosting"

    @checked
    def __init__(
        self,
        *,
        learning_rate: Positive = 0.06,
        max_iter: Count = 150,
        max_leaf_nodes: Leaves = 15,
        min_samples_leaf: Count = 40,
        l2_regularization: NotNegative = 1.0,
        seed: Whole = 0,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            max_iter=max_iter,
            max_leaf_nodes=max_leaf_nodes,
            min_samples_leaf=min_samples_leaf,
            l2_regularization=l2_regularization,
            seed=seed,
        )
        self.estimator_: HistGradientBoostingClassifier | None = None

    def fit(
        self, features: Floats, labels: npt.NDArray[np.float32], groups: npt.NDArray[np.int64]
    ) -> Self:
        """Fit the trees; groups do not matter to a pointwise loss.

        Raises
        ------
        TrainingError
            The labels are all alike.
        """
        del groups
        check_labels(labels)
        parameters = {k: v for k, v in self.parameters.items() if k != "seed"}
        estimator = HistGradientBoostingClassifier(
            early_stopping=False, random_state=self.parameters["seed"], **parameters
        )
        # A column that is missing everywhere has no bins; as a constant it can never be split on.
        missing = np.isnan(features).all(axis=0)
        usable = np.where(missing, np.float32(0), features) if missing.any() else features
        self.estimator_ = estimator.fit(usable, labels.astype(np.int8))
        return self

    def score(self, features: Floats) -> Floats:
        """Log-odds of a play, float32 (n,)."""
        estimator = to_score(self.estimator_)
        if len(features) == 0:
            return np.zeros(0, dtype=np.float32)
        return np.asarray(estimator.decision_function(features), dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write the trees as skops."""
        save_estimator(self.estimator_, folder / _FILE)

    def load(self, folder: Path) -> Self:
        """Read the trees."""
        self.estimator_ = load_estimator(folder / _FILE)
        return self
