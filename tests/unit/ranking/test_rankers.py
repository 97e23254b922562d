"""What is particular to each ranker; the promises of all are in tests/contracts."""

from pathlib import Path

import lightgbm
import numpy as np
import pytest

from homerec.errors import ArtifactError, SettingsError, TrainingError
from homerec.ranking.boosting import BoostingRanker
from homerec.ranking.listwise import LambdaRanker
from homerec.ranking.logistic import LogisticRanker

GROUPS = np.zeros(400, dtype=np.int64)


def signal(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.exponential(50, size=(400, 2)).astype(np.float32)
    features[::4, 1] = np.nan
    return features, (features[:, 0] + np.nan_to_num(features[:, 1]) > 90).astype(np.float32)


def test_the_logistic_score_is_linear_in_scaled_features_and_missing_flags(tmp_path: Path) -> None:
    features, labels = signal()
    ranker = LogisticRanker(c=1.0).fit(features, labels, GROUPS)
    asked = np.array([[3.0, np.nan], [-8.0, 2.0]], dtype=np.float32)
    columns = np.array([[np.log(4), 0, 0, 1], [-np.log(9), np.log(3), 0, 0]])
    odds = ((columns - ranker.mean_) / ranker.scale_) @ ranker.weights_ + ranker.intercept_
    np.testing.assert_allclose(ranker.score(asked), odds, rtol=1e-5)


def test_a_gap_may_decide() -> None:
    features, _ = signal()
    missing = np.isnan(features[:, 1])
    scores = LogisticRanker(c=10.0).fit(features, missing.astype("f4"), GROUPS).score(features)
    assert scores[missing].min() > scores[~missing].max()
    # A gap is not a zero.
    both = np.array([[50, np.nan], [50, 0]], dtype=np.float32)
    gap, zero = LogisticRanker(c=10.0).fit(features, missing.astype("f4"), GROUPS).score(both)
    assert gap > zero


def test_a_weaker_penalty_gives_larger_weights() -> None:
    features, labels = signal()
    norms = [
        np.linalg.norm(LogisticRanker(c=c).fit(features, labels, GROUPS).weights_)
        for c in (0.001, 0.1, 10.0)
    ]
    assert norms == sorted(norms)
    assert norms[2] > 5 * norms[0]


def test_the_boosting_score_is_the_log_odds_of_a_play() -> None:
    features, labels = signal()
    ranker = BoostingRanker(max_iter=20).fit(features, labels, GROUPS)
    scores = ranker.score(features)
    likely = ranker.estimator_.predict_proba(features)[:, 1]
    np.testing.assert_allclose(scores, np.log(likely / (1 - likely)), rtol=1e-4)


@pytest.mark.parametrize(
    ("parameter", "value"), [("max_iter", 3), ("learning_rate", 0.5), ("max_leaf_nodes", 3)]
)
def test_parameters_reach_the_trees(parameter: str, value: float) -> None:
    features, labels = signal()
    plain = BoostingRanker(max_iter=20).fit(features, labels, GROUPS)
    other = BoostingRanker(**{"max_iter": 20, parameter: value}).fit(features, labels, GROUPS)
    assert getattr(other.estimator_, parameter) == value
    assert not np.array_equal(plain.score(features), other.score(features))


def test_a_damaged_boosting_file_is_an_artifact_error(tmp_path: Path) -> None:
    (tmp_path / "ranker.skops").write_bytes(b"not a zip")
    with pytest.raises(ArtifactError, match=r"ranker\.skops is not a readable skops file"):
        BoostingRanker().load(tmp_path)


@pytest.mark.parametrize(("kind", "column"), [(BoostingRanker, 0), (LambdaRanker, 1)])
def test_only_lambdarank_looks_past_how_much_of_a_list_is_played(kind: type, column: int) -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(200), 20)
    of_list = rng.normal(size=200)[groups].astype(np.float32)
    of_pair = rng.normal(size=len(groups)).astype(np.float32)
    odds = 3 * of_list + of_pair
    labels = (rng.random(len(groups)) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    # One tree of one split shows what a loss asks for first.
    ranker = kind(max_iter=1, max_leaf_nodes=2)
    scores = ranker.fit(np.stack([of_list, of_pair], axis=1), labels, groups).score
    asked = np.zeros((2, 2), dtype=np.float32)
    asked[:, column] = [-3, 3]
    low, high = scores(asked)
    assert low < high
    other = np.roll(asked, 1, axis=1)
    assert scores(other)[0] == scores(other)[1]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("max_iter", 3), ("learning_rate", 0.5), ("max_leaf_nodes", 3), ("truncation", 1)],
)
def test_parameters_reach_lightgbm(parameter: str, value: float) -> None:
    features, labels = signal()
    groups = np.repeat(np.arange(20), 20)
    plain = LambdaRanker(max_iter=20).fit(features, labels, groups)
    other = LambdaRanker(**{"max_iter": 20, parameter: value}).fit(features, labels, groups)
    assert not np.array_equal(plain.score(features), other.score(features))


def test_threads_change_no_bit_of_lambdarank(monkeypatch: pytest.MonkeyPatch) -> None:
    # Fewer pairs are summed in one order anyway.
    n = 400_000
    rng = np.random.default_rng(6)
    features = rng.normal(size=(n, 6)).astype(np.float32)
    labels = (features[:, 0] + rng.normal(size=n) > 1).astype(np.float32)
    groups = np.repeat(np.arange(n // 20), 20)
    train, scores = lightgbm.train, []
    for threads in (1, 2):
        monkeypatch.setattr(
            lightgbm, "train", lambda p, *a, t=threads, **k: train({**p, "num_threads": t}, *a, **k)
        )
        ranker = LambdaRanker(learning_rate=0.1).fit(features, labels, groups)
        # In 64 bits, where the order of a sum shows.
        scores.append(ranker.booster_.predict(features))
    np.testing.assert_array_equal(scores[1], scores[0])


def lists_with_a_base() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A log chance, and a property that it does not know of; lists of twenty."""
    rng = np.random.default_rng(8)
    chance, property_ = rng.normal(size=(2, 8_000)).astype(np.float32)
    luck = rng.gumbel(size=8_000)
    odds = (2 * chance + (property_ > 1) * 1.5 + luck).reshape(-1, 20)
    labels = (odds >= np.sort(odds, axis=1)[:, -2:-1]).ravel().astype(np.float32)
    return np.stack([property_, 2 * chance], axis=1), labels, np.repeat(np.arange(400), 20)


def test_trees_begin_from_the_base_and_correct_it(tmp_path: Path) -> None:
    features, labels, groups = lists_with_a_base()
    ranker = LambdaRanker(base="chance", max_iter=20).read(["property", "chance"])
    ranker.fit(features, labels, groups)
    # Between two bins of the trees the base still tells pairs apart, one for one.
    asked = np.array([[0, 0.3], [0, 0.3001], [2, 0.3]], dtype=np.float32)
    low, high, better = ranker.score(asked)
    assert high - low == pytest.approx(0.0001, rel=0.05)
    assert better > low + 0.2
    ranker.save(tmp_path)
    again = LambdaRanker(base="chance").read(["property", "chance"]).load(tmp_path)
    np.testing.assert_array_equal(again.score(asked), ranker.score(asked))


def test_a_pair_without_a_base_comes_last() -> None:
    features, labels, groups = lists_with_a_base()
    ranker = LambdaRanker(base="chance", max_iter=5).read(["property", "chance"])
    scores = ranker.fit(features, labels, groups).score
    worst = scores(np.array([[0, features[:, 1].min()]], dtype=np.float32))
    assert scores(np.array([[2, np.nan]], dtype=np.float32)) < worst


def test_trees_split_on_the_named_features_only(tmp_path: Path) -> None:
    features, labels, groups = lists_with_a_base()
    names = ["property", "chance"]
    ranker = LambdaRanker(base="chance", splits=["chance"]).read(names)
    ranker.fit(features, labels, groups)
    other = features.copy()
    other[:, 0] = -7.0
    np.testing.assert_array_equal(ranker.score(features), ranker.score(other))
    free = LambdaRanker(base="chance").read(names).fit(features, labels, groups)
    assert (free.score(features) != free.score(other)).any()
    ranker.save(tmp_path)
    again = LambdaRanker(base="chance", splits=["chance"]).read(names).load(tmp_path)
    np.testing.assert_array_equal(again.score(features), ranker.score(features))


def test_features_to_split_on_must_be_read_and_be_found_before_they_are_used() -> None:
    features, labels, groups = lists_with_a_base()
    with pytest.raises(SettingsError, match="splits on luck, which the model does not read; it re"):
        LambdaRanker(splits=["luck", "chance"]).read(["property", "chance"])
    with pytest.raises(TrainingError, match="splits on chance and was not told"):
        LambdaRanker(splits=["chance"]).fit(features, labels, groups)


def test_a_base_must_be_a_feature_and_be_found_before_it_is_read() -> None:
    features, labels, groups = lists_with_a_base()
    with pytest.raises(SettingsError, match=r"begins with the feature luck.*reads property, ch"):
        LambdaRanker(base="luck").read(["property", "chance"])
    with pytest.raises(TrainingError, match="Call read first"):
        LambdaRanker(base="chance").fit(features, labels, groups)


@pytest.mark.parametrize("content", [None, "no trees"])
def test_a_damaged_or_missing_lightgbm_file_is_an_artifact_error(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "ranker.txt").write_text(content)
    with pytest.raises(ArtifactError, match=r"ranker\.txt is not a readable LightGBM model"):
        LambdaRanker().load(tmp_path)
