"""The peers: what a team would take from the shelf, each with the space its search draws from.

References
----------
Steck 2019, Embarrassingly shallow autoencoders for sparse data (EASE).
Hu, Koren, Volinsky 2008, and Rendle et al. 2022, Revisiting the performance of iALS: how much the
search matters.
Sarwar et al. 2001, Item-based collaborative filtering recommendation algorithms.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import linalg, sparse
from threadpoolctl import threadpool_limits

from homerec.bench.quality.protocol import Floats, Ints, Scores, Split

Config = dict[str, Any]


class Peer(ABC):
    """One method with its search space."""

    name: ClassVar[str]

    @abstractmethod
    def draw(self, rng: np.random.Generator, split: Split) -> Config:
        """Draw one configuration of plain values."""

    @abstractmethod
    def fit(self, split: Split, config: Config, seed: int, n_threads: int) -> Scores:
        """Learn from the training pairs; what comes back scores eligible listeners."""


def weighted(split: Split, config: Mapping[str, Any]) -> sparse.csr_matrix:
    """Training matrix of a configuration: ones, log(1 + plays), or ones decayed by age.

    Parameters
    ----------
    split : Split
    config : mapping
        ``weights`` is ``ones``, ``log_plays`` or ``decayed`` (with ``half_life_days``).

    Returns
    -------
    csr_matrix float32 (n_listeners, n_items)
    """
    kind = config.get("weights", "ones")
    if kind == "log_plays":
        values = np.log1p(split.plays)
        # Mean 1, so that one range of alpha serves both.
        return split.matrix((values / values.mean()).astype(np.float32))
    if kind == "decayed":
        return split.matrix(np.exp2(-split.age_days / config["half_life_days"]).astype(np.float32))
    return split.matrix()


def draw_weights(rng: np.random.Generator, split: Split) -> Config:
    """Choose among the weights that the split's data can give."""
    kinds = ["ones"]
    if split.plays.max() > 1:
        kinds.append("log_plays")
    if split.age_days.max() > 0:
        kinds.append("decayed")
    config: Config = {"weights": kinds[int(rng.integers(len(kinds)))]}
    if config["weights"] == "decayed":
        config["half_life_days"] = round(log_uniform(rng, 90, 2000))
    return config


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw from [low, high), evenly over the logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


class Popular(Peer):
    """Items by the number of their listeners."""

    name: ClassVar[str] = "popularity"

    def draw(self, rng: np.random.Generator, split: Split) -> Config:
        """There is nothing to tune."""
        del rng, split
        return {}

    def fit(self, split: Split, config: Config, seed: int, n_threads: int) -> Scores:
        """Count the listeners of each item."""
        del config, seed, n_threads
        counts = np.bincount(split.item, minlength=split.n_items).astype(np.float32)
        return lambda rows: np.tile(counts, (len(rows), 1))


class RecentlyPopular(Peer):
    """Items by the number of their listeners, each decayed by age."""

    name: ClassVar[str] = "recent popularity"

    def draw(self, rng: np.random.Generator, split: Split) -> Config:
        """Draw the mean life exp(-age / mean_life_days)."""
        del split
        return {"mean_life_days": round(log_uniform(rng, 5, 1500), 1)}

    def fit(self, split: Split, config: Config, seed: int, n_threads: int) -> Scores:
        """Sum the decayed listeners of each item."""
        del seed, n_threads
        decayed = np.exp(-split.age_days.astype(np.float64) / config["mean_life_days"])
        sums = np.bincount(split.item, weights=decayed, minlength=split.n_items)
        counts = sums.astype(np.float32)
        return lambda rows: np.tile(counts, (len(rows), 1))


class ItemKnn(Peer):
    """Item-to-item neighbours: cosine with shrinkage over weighted columns."""

    name: ClassVar[str] = "item-kNN"

    def draw(self, rng: np.random.Generator, split: Split) -> Config:
        """Draw neighbours, shrinkage, weights and a power of the listener's activity."""
        return {
            **draw_weights(rng, split),
            "n_neighbours": int(rng.choice([20, 50, 100, 200, 400])),
            "shrinkage": round(log_uniform(rng, 0.5, 100), 2),
            "activity_power": float(rng.choice([0.0, 0.25, 0.5, 1.0])),
        }

    def fit(self, split: Split, config: Config, seed: int, n_threads: int) -> Scores:
        """Keep the nearest neighbours of each item."""
        del seed, n_threads
        matrix = weighted(split, config)
        activity = np.maximum(np.diff(matrix.indptr), 1) ** -config["activity_power"]
        damped = sparse.diags(activity.astype(np.float32)) @ matrix
        together = (damped.T @ matrix).tocsr()
        norms = np.sqrt(np.asarray(damped.multiply(matrix).sum(axis=0)).ravel())
        together.setdiag(0)
        together.eliminate_zeros()
        lines = np.repeat(np.arange(split.n_items), np.diff(together.indptr))
        below = norms[lines] * norms[together.indices]
        # The shrinkage is in listeners: it is damped as they are.
        scale = config["shrinkage"] * float(activity[matrix.getnnz(axis=1) > 0].mean())
        together.data /= below + scale
        nearest = keep_largest(together, config["n_neighbours"])
        return lambda rows: np.asarray((matrix[rows] @ nearest.T).todense(), dtype=np.float32)


def keep_largest(matrix: sparse.csr_matrix, n: int) -> sparse.csr_matrix:
    """Keep the n largest values of each line, ties to the lower column."""
    lines = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, lines))
    rank = np.arange(len(order)) - matrix.indptr[lines[order]]
    kept = order[rank < n]
    return sparse.csr_matrix(
        (matrix.data[kept], (lines[kept], matrix.indices[kept])), shape=matrix.shape
    )


#: EASE has one number to tune: drawn from this grid, so that equal draws are computed once.
_L2: Final = tuple(round(float(v), 1) for v in np.geomspace(5, 5000, 19))


class Ease(Peer):
    """Linear item-item regression in closed form (EASE)."""

    name: ClassVar[str] = "EASE"

    def draw(self, rng: np.random.Generator, split: Split) -> Config:
        """Draw the L2 penalty and, where there are plays, what the matrix holds."""
        config: Config = {"l2": float(rng.choice(_L2))}
        if split.plays.max() > 1:
            config.update(draw_weights(rng, split))
        return config

    def fit(self, split: Split, config: Config, seed: int, n_threads: int) -> Scores:
        """Solve in the smaller of the two spaces, listeners or items; the scores are the same."""
        del seed
        matrix = weighted(split, config)
        with threadpool_limits(limits=n_threads, user_api="blas"):
            if split.n_listeners < split.n_items:
                return _dual(matrix, config["l2"])
            return _primal(matrix, config["l2"])


def _primal(matrix: sparse.csr_matrix, l2: float) -> Scores:
    """Scores x - x P / diag(P) with P = (X'X + l2 I)^-1, by Cholesky in single precision."""
    used = np.flatnonzero(matrix.getnnz(axis=0))
    columns = matrix[:, used]
    gram = np.asarray((columns.T @ columns).todense(), dtype=np.float32, order="F")
    gram[np.diag_indices_from(gram)] += np.float32(l2)
    factor, info = linalg.lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, info_inverse = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)
    if info or info_inverse:
        raise np.linalg.LinAlgError(f"X'X + {l2} I is not positive definite ({info}).")
    del gram, factor
    lower = np.tril(inverse, -1)
    diagonal = np.diag(inverse).copy()
    inverse = lower + lower.T
    np.fill_diagonal(inverse, diagonal)
    del lower

    def scores(rows: Ints) -> Floats:
        own = columns[rows]
        out = np.zeros((len(rows), matrix.shape[1]), dtype=np.float32)
        out[:, used] = own.toarray() - (own @ inverse) / diagonal
        return out

    return scores


def _dual(matrix: sparse.csr_matrix, l2: float) -> Scores:
    """Give the same scores through K = (X X' + l2 I)^-1: X P = K X (Woodbury)."""
    gram = np.asarray((matrix @ matrix.T).todense(), dtype=np.float64)
    gram[np.diag_indices_from(gram)] += l2
    kernel = linalg.inv(gram, overwrite_a=True, check_finite=False)
    by_item = np.asarray((sparse.csr_matrix.transpose(matrix) @ kernel), dtype=np.float32)
    columns = matrix.T.tocsr()
    along = np.asarray(columns.multiply(by_item).sum(axis=1), dtype=np.float64).ravel()
    diagonal = ((1 - along) / l2).astype(np.float32)

    def scores(rows: Ints) -> Floats:
        return np.asarray(matrix[rows].toarray() - by_item[:, rows].T / diagonal)

    return scores


class ImplicitAls(Peer):
    """implicit's ALS, listeners taken as the fit left them."""

    name: ClassVar[str] = "implicit ALS"
    _factors: ClassVar[tuple[int, ...]] = (16, 32, 64, 96, 128, 192)

    def draw(self, rng: np.random.Generator, split: Split) -> Config:
        """Draw factors, regularization, alpha, iterations and weights."""
        return {
            **draw_weights(rng, split),
            "factors": int(rng.choice(self._factors)),
            "regularization": round(log_uniform(rng, 0.03, 100), 4),
            "alpha": round(log_uniform(rng, 1, 100), 3),
            "iterations": int(rng.choice([8, 15, 25])),
        }

    def fit(self, split: Split, config: Config, seed: int, n_threads: int) -> Scores:
        """Factorise the matrix."""
        with threadpool_limits(limits=1, user_api="blas"):
            model = AlternatingLeastSquares(
                factors=config["factors"],
                regularization=config["regularization"],
                alpha=config["alpha"],
                iterations=config["iterations"],
                random_state=seed,
                num_threads=n_threads,
            )
            model.fit(weighted(split, config), show_progress=False)
        return lambda rows: np.asarray(model.user_factors[rows] @ model.item_factors.T)
