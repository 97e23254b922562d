"""Ranker by gradient boosted trees on the order within each list (listwise)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import numpy.typing as npt

from homerec.errors import ArtifactError
from homerec.features.tables import Floats
from homerec.parameters import Count, Leaves, NotNegative, Positive, Whole, checked
from homerec.ranking.base import check_labels, to_save, to_score
from homerec.ranking.named import NamedRanker

_FILE: Final = "ranker.txt"


class LambdaRanker(NamedRanker):
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

    def uses(self) -> Mapping[str, Sequence[str]]:
        """Features that the parameters name, by what the ranker does with them."""
        return {**super().uses(), "splits on": self.parameters["splits"]}

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
