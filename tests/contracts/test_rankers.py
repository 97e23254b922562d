"""What every ranker promises."""

from pathlib import Path

import numpy as np
import pytest

from homerec.errors import ArtifactError, TrainingError
from homerec.models.spec import RANKERS
from homerec.ranking.base import Ranker

EVERY = pytest.mark.parametrize("name", sorted(RANKERS))
N = 3_000


def make(name: str) -> Ranker:
    return RANKERS[name](seed=3, **({} if name == "logistic" else {"max_iter": 30}))


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns: one that decides, one of counts with gaps, noise, nothing at all, a constant."""
    rng = np.random.default_rng(11)
    features = rng.normal(size=(N, 5)).astype(np.float32)
    features[:, 1] = rng.poisson(20, N)
    features[rng.random(N) < 0.3, 1] = np.nan
    features[:, 3] = np.nan
    features[:, 4] = 7
    odds = 2 * features[:, 0] + np.where(np.isnan(features[:, 1]), -1, 0.5)
    labels = (rng.random(N) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    return features, labels, np.repeat(np.arange(N // 10), 10)


@pytest.fixture(scope="module")
def fitted(data: tuple[np.ndarray, ...]) -> dict[str, Ranker]:
    return {name: make(name).fit(*data) for name in RANKERS}


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    ranks = np.argsort(np.argsort(scores)) + 1
    positive = labels == 1
    n = positive.sum()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (~positive).sum()))


@EVERY
def test_what_decides_is_learned(
    fitted: dict[str, Ranker], data: tuple[np.ndarray, ...], name: str
) -> None:
    scores = fitted[name].score(data[0])
    assert scores.dtype == np.float32
    assert scores.shape == (N,)
    assert np.isfinite(scores).all()
    assert auc(scores, data[1]) > 0.85


@EVERY
def test_a_row_scores_the_same_alone_and_among_others(
    fitted: dict[str, Ranker], data: tuple[np.ndarray, ...], name: str
) -> None:
    features = data[0][:200]
    together = fitted[name].score(np.asfortranarray(features))
    alone = [fitted[name].score(features[i : i + 1])[0] for i in range(len(features))]
    np.testing.assert_array_equal(together, alone)
    backwards = fitted[name].score(np.ascontiguousarray(features[::-1]))
    np.testing.assert_array_equal(together, backwards[::-1])


@EVERY
def test_saved_and_loaded_it_scores_the_same(
    fitted: dict[str, Ranker], data: tuple[np.ndarray, ...], name: str, tmp_path: Path
) -> None:
    fitted[name].save(tmp_path)
    loaded = make(name).load(tmp_path)
    np.testing.assert_array_equal(loaded.score(data[0]), fitted[name].score(data[0]))


@EVERY
def test_fitting_again_gives_the_same_and_forgets_the_first_fit(
    fitted: dict[str, Ranker], data: tuple[np.ndarray, ...], name: str
) -> None:
    features, labels, groups = data
    again = make(name).fit(features, 1 - labels, groups)
    assert auc(again.score(features), labels) < 0.5
    again.fit(features, labels, groups)
    np.testing.assert_array_equal(again.score(features), fitted[name].score(features))


@EVERY
def test_a_column_missing_everywhere_says_nothing(
    fitted: dict[str, Ranker], data: tuple[np.ndarray, ...], name: str
) -> None:
    features = data[0][:50].copy()
    before = fitted[name].score(features)
    features[:, 4] = 7
    np.testing.assert_array_equal(fitted[name].score(features), before)
    everything_missing = np.full((3, 5), np.nan, dtype=np.float32)
    assert np.isfinite(fitted[name].score(everything_missing)).all()


@EVERY
@pytest.mark.parametrize("value", [0, 1])
def test_labels_that_are_all_alike_are_an_error(
    data: tuple[np.ndarray, ...], name: str, value: int
) -> None:
    features, labels, groups = data
    with pytest.raises(TrainingError, match=rf"of 3000 pairs {value * N} were played"):
        make(name).fit(features, np.full_like(labels, value), groups)


@EVERY
def test_no_rows_have_no_scores(fitted: dict[str, Ranker], name: str) -> None:
    assert fitted[name].score(np.zeros((0, 5), dtype=np.float32)).shape == (0,)


@EVERY
def test_an_unfitted_ranker_does_not_score(name: str) -> None:
    with pytest.raises(TrainingError, match="was not fitted"):
        make(name).score(np.zeros((1, 5), dtype=np.float32))


@EVERY
def test_an_unfitted_ranker_is_not_saved(name: str, tmp_path: Path) -> None:
    with pytest.raises((ArtifactError, TrainingError), match=r"[Ff]it"):
        make(name).save(tmp_path)
    assert not list(tmp_path.iterdir())


@EVERY
def test_parameters_are_plain_values(name: str) -> None:
    ranker = make(name)
    assert RANKERS[name](**ranker.parameters).parameters == ranker.parameters
