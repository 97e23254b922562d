"""Ranker by a conditional logit: which candidates of its list a listener plays, by few weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from scipy import optimize
from threadpoolctl import threadpool_limits

from homerec.errors import SettingsError, TrainingError
from homerec.features.tables import Floats
from homerec.parameters import NotNegative, Whole, checked
from homerec.ranking.base import check_labels, to_save, to_score
from homerec.ranking.named import NamedRanker

_FILE: Final = "ranker.npz"
_MAX_STEPS: Final = 500

Doubles = npt.NDArray[np.float64]


class ChoiceRanker(NamedRanker):
    """Conditional logit: a play is one of its list's candidates with odds exp(base + weighted sum).

    A handful of weights learns from every play of a list against all its other candidates. Where
    labels are few and a good score is there to begin with, that says where the score is wrong as a
    whole; trees need many more labels for the same.

    Parameters
    ----------
    base : str
        Feature that is added with weight 1, the log of a chance; none by default.
    terms : list of str
        Features that are weighed, all by default; a missing value counts as their mean.
    present : list of str
        Features of which it is weighed whether there is a value.
    varying : list of str
        Terms, each weighed once more times ln(1 + ``by``): what they tell may depend on how much is
        known of the listener.
    by : str
        Feature of the listener, at least 0; a missing value counts as 0.
    l2 : float
        Penalty of the squared weights of standardised terms, in plays.
    seed : int
        Not used; rankers share the parameter.

    Attributes
    ----------
    weights_ : float64 (n_terms,)
        Of terms as they are, not standardised; 0 for a term that is constant.
    fill_ : float64 (len(terms),)
        Means of the terms.

    References
    ----------
    McFadden 1974, Conditional logit analysis of qualitative choice behavior.
    Cao, Qin, Liu, Tsai, Li 2007, Learning to rank: from pairwise approach to listwise approach.
    """

    name: ClassVar[str] = "choice"

    @checked
    def __init__(
        self,
        *,
        base: str = "",
        terms: list[str] | None = None,
        present: list[str] | None = None,
        varying: list[str] | None = None,
        by: str = "",
        l2: NotNegative = 10.0,
        seed: Whole = 0,
    ) -> None:
        super().__init__(
            base=base,
            terms=list(terms or ()),
            present=list(present or ()),
            varying=list(varying or ()),
            by=by,
            l2=l2,
            seed=seed,
        )
        self.weights_: Doubles | None = None
        self.fill_ = np.zeros(0)

    def uses(self) -> Mapping[str, Sequence[str]]:
        """Features that the parameters name, by what the ranker does with them."""
        own = self.parameters
        return {
            **super().uses(),
            "weighs": [*own["terms"], *own["present"], *own["varying"]],
            "weighs by": [own["by"]] if own["by"] else [],
        }

    def read(self, features: Sequence[str]) -> Self:
        """Find the features that the parameters name among the columns.

        Raises
        ------
        SettingsError
            One of them is not there, or what varies is no term or varies by nothing.
        """
        own = self.parameters
        if strangers := [name for name in own["varying"] if name not in own["terms"]]:
            raise SettingsError(
                f"Ranker {self.name} lets the weight of {', '.join(strangers)} vary, which is not "
                f"among its terms {', '.join(own['terms']) or '(none named)'}. Name it there too."
            )
        if own["varying"] and not own["by"]:
            raise SettingsError(
                f"Ranker {self.name} lets the weight of {', '.join(own['varying'])} vary by "
                "nothing. Name a feature of the listener as `by`."
            )
        return super().read(features)

    def fit(
        self, features: Floats, labels: npt.NDArray[np.float32], groups: npt.NDArray[np.int64]
    ) -> Self:
        """Find the most probable weights; a list counts by its plays.

        Raises
        ------
        TrainingError
            The labels are all alike, or no maximum is found.
        """
        check_labels(labels)
        self.fill_ = self._means(features)
        terms = self._terms(features)
        scale = terms.std(axis=0)
        scale = np.where(scale > 1e-9 * np.maximum(np.abs(terms).max(axis=0), 1.0), scale, np.inf)
        terms -= terms.mean(axis=0)
        terms /= scale
        begin = self._begin(features)
        # With more threads, products would add in another order: other last bits.
        with threadpool_limits(limits=1, user_api="blas"):
            found = _maximum(
                terms,
                np.zeros(len(labels)) if begin is None else begin,
                labels.astype(np.float64),
                groups,
                self.parameters["l2"],
            )
        self.weights_ = found / scale
        return self

    def score(self, features: Floats) -> Floats:
        """Log of the odds, float32 (n,); to be compared within a list only."""
        weights = to_score(self.weights_)
        # Summed row by row, so that a score does not depend on the rows beside it.
        odds = (self._terms(features) * weights).sum(axis=1)
        begin = self._begin(features)
        return np.asarray(odds if begin is None else begin + odds, dtype=np.float32)

    def save(self, folder: Path) -> None:
        """Write the weights.

        Raises
        ------
        ArtifactError
            There are none yet.
        """
        np.savez(folder / _FILE, weights=to_save(self.weights_, _FILE), fill=self.fill_)

    def load(self, folder: Path) -> Self:
        """Read the weights."""
        with np.load(folder / _FILE, allow_pickle=False) as arrays:
            self.weights_, self.fill_ = arrays["weights"], arrays["fill"]
        return self

    def _columns(self, features: Floats) -> list[int]:
        """Columns of the terms."""
        terms = self.parameters["terms"]
        if not terms:
            return list(range(features.shape[1]))
        return [self._at(name, "weighs") for name in terms]

    def _means(self, features: Floats) -> Doubles:
        """Mean of each term over its values, 0 for one without any."""
        means = []
        for at in self._columns(features):
            column = features[:, at]
            values = column[~np.isnan(column)].astype(np.float64)
            means.append(values.mean() if len(values) else 0.0)
        return np.array(means)

    def _terms(self, features: Floats) -> Doubles:
        """Lay out what is weighed, float64 (n, n_terms): terms, presences, products."""
        own, columns = self.parameters, self._columns(features)
        out = [
            np.where(np.isnan(features[:, at]), mean, features[:, at].astype(np.float64))
            for at, mean in zip(columns, self.fill_, strict=True)
        ]
        place = dict(zip(own["terms"], range(len(columns)), strict=False))
        out += [
            (~np.isnan(features[:, self._at(name, "weighs")])).astype(np.float64)
            for name in own["present"]
        ]
        if own["varying"]:
            by = features[:, self._at(own["by"], "weighs by")].astype(np.float64)
            by = np.log1p(np.maximum(np.nan_to_num(by, nan=0.0), 0.0))
            out += [out[place[name]] * by for name in own["varying"]]
        return np.column_stack(out)


def _maximum(
    terms: Doubles, begin: Doubles, labels: Doubles, groups: npt.NDArray[np.int64], l2: float
) -> Doubles:
    """Weights of standardised terms; the loss is convex, so there is one maximum."""
    first = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    size = np.diff(first, append=len(groups))
    plays = np.repeat(np.add.reduceat(labels, first), size)

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        odds = begin + terms @ weights
        odds -= np.repeat(np.maximum.reduceat(odds, first), size)
        chance = np.exp(odds)
        total = np.add.reduceat(chance, first)
        told = float(labels @ odds - labels @ np.repeat(np.log(total), size))
        chance /= np.repeat(total, size)
        slope = terms.T @ (plays * chance - labels) + l2 * weights
        return 0.5 * l2 * float(weights @ weights) - told, slope

    found = optimize.minimize(
        loss, np.zeros(terms.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": _MAX_STEPS}
    )
    if not found.success:
        raise TrainingError(
            f"Ranker choice found no weights in {_MAX_STEPS} steps: {found.message}. A larger l2 "
            f"helps where terms tell the same; it is {l2}."
        )
    return np.asarray(found.x, dtype=np.float64)
