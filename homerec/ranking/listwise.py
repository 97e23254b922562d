"""Ranker by gradient boosted trees on the order within each list (listwise)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt

from homerec.errors import ArtifactError, SettingsError, TrainingError
from homerec.features.tables import Floats
from homerec.parameters import Count, Leaves, NotNegative, Positive, Whole, checked
from homerec.ranking.base import Ranker, check_labels, to_save, to_score

_FILE: Final = "ranker.txt"
#: Stands for a base that is missing: the log of a chance below all that are ever started.
_NO_BASE: Final = -20.0


class LambdaRanker(Ranker):
    """LightGBM's LambdaRank: trees that gain NDCG within lists; a score says nothing across lists.

    It pays where lists differ in how much of them is played (one list per daypart, listeners who
    play a lot and little): a pointwise loss spends its trees on that difference.

    Parameters
    ----------
    learning_rate : float
    max_iter : int
        Trees.
    max_leaf_nodes, min_samples_leaf : int
        Leaves of a tree, pairs in a leaf.
    l2_regularization : float
    truncation : int
        Pairs of which neither is among so many first ones of its list are not compared.
    base : str
        Feature that the first tree begins with, the log of a chance; none by default. Where labels
        are few, trees that correct a good score lose less than trees that must rebuild it in steps.
    splits : list of str
        Features that trees may split on, all by default. What an item has for everybody (its age,
        its popularity) has as many cases as there are items, however many pairs there are: trees
        learn single items by heart. The others are still assembled and checked for drift.
    seed : int

    References
    ----------
    Burges 2010, From RankNet to LambdaRank to LambdaMART: an overview.
    """

    name: ClassVar[str] = "lambdarank"

    @checked
    def __init__(
        self,
        *,
        learning_rate: Positive = 0.06,
        max_iter: Count = 150,
        max_leaf_nodes: Leaves = 8,
        min_samples_leaf: Count = 60,
        l2_regularization: NotNegative = 1.0,
        truncation: Count = 30,
        base: str = "",
        splits: list[str] | None = None,
        seed: Whole = 0,
    ) -> None:
        super().__init__(
            learning_rate=learning_rate,
            max_iter=max_iter,
            max_leaf_nodes=max_leaf_nodes,
            min_samples_leaf=min_samples_leaf,
            l2_regularization=l2_regularization,
            truncation=truncation,
            base=base,
            splits=list(splits or ()),
            seed=seed,
        )
        self.booster_: Any = None
        self._features: list[str] | None = None

    def read(self, features: Sequence[str]) -> Self:
        """Find the base and the features to split on among the columns.

        Raises
        ------
        SettingsError
            One of them is not there.
        """
        base, splits = self.parameters["base"], self.parameters["splits"]
        uses = {"begins with the feature": [base] if base else [], "splits on": splits}
        for use, names in uses.items():
            if missing := [name for name in names if name not in features]:
                raise SettingsError(
                    f"Ranker {self.name} {use} {', '.join(missing)}, which the model does not "
                    f"read; it reads {', '.join(features)}. Add it to the features, or name "
                    "another."
                )
        self._features = list(features)
        return self

    def fit(
        self, features: Floats, labels: npt.NDArray[np.float32], groups: npt.NDArray[np.int64]
    ) -> Self:
        """Fit the trees.

        Raises
        ------
        TrainingError
            The labels are all alike.
        """
        import lightgbm

        check_labels(labels)
        sizes = np.diff(np.flatnonzero(np.diff(groups, prepend=groups[0] - 1)), append=len(groups))
        own = self.parameters
        parameters = {
            "objective": "lambdarank",
            "learning_rate": own["learning_rate"],
            "num_leaves": own["max_leaf_nodes"],
            "min_data_in_leaf": own["min_samples_leaf"],
            "lambda_l2": own["l2_regularization"],
            "lambdarank_truncation_level": own["truncation"],
            "seed": own["seed"],
            # The same to the last bit, whatever the number of threads.
            "deterministic": True,
            "force_col_wise": True,
            "verbose": -1,
        }
        read, begin = self._read(features), self._begin(features)
        data = lightgbm.Dataset(read, labels, group=sizes, init_score=begin)
        self.booster_ = lightgbm.train(parameters, data, num_boost_round=own["max_iter"])
        return self

    def score(self, features: Floats) -> Floats:
        """Sum of base and trees, float32 (n,); to be compared within a list only."""
        booster = to_score(self.booster_)
        if len(features) == 0:
            return np.zeros(0, dtype=np.float32)
        trees = np.asarray(booster.predict(self._read(features), num_threads=1))
        begin = self._begin(features)
        return np.asarray(trees if begin is None else begin + trees, dtype=np.float32)

    def _read(self, features: Floats) -> Floats:
        """Columns that trees may split on."""
        splits = self.parameters["splits"]
        return features[:, [self._at(name, "splits on") for name in splits]] if splits else features

    def _begin(self, features: Floats) -> npt.NDArray[np.float64] | None:
        """Scores before the first tree."""
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

    def save(self, folder: Path) -> None:
        """Write the trees as LightGBM's text.

        Raises
        ------
        ArtifactError
            There are none yet.
        """
        to_save(self.booster_, _FILE).save_model(folder / _FILE)

    def load(self, folder: Path) -> Self:
        """Read the trees.

        Raises
        ------
        ArtifactError
            The file is missing or damaged.
        """
        import lightgbm

        path = folder / _FILE
        try:
            self.booster_ = lightgbm.Booster(model_file=path)
        except (OSError, TypeError, ValueError, lightgbm.basic.LightGBMError) as error:
            raise ArtifactError(
                f"{path} is not a readable LightGBM model: {type(error).__name__} {error}."
            ) from error
        return self
