from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from homerec.artifacts import load_estimator, save_estimator
from homerec.errors import ArtifactError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(300, 3)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=300) > 0).astype(np.int8)


@pytest.mark.parametrize(
    "estimator",
    [
        HistGradientBoostingClassifier(max_iter=5),
        HistGradientBoostingClassifier(max_iter=5, early_stopping=True),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
)
def test_a_loaded_estimator_scores_the_same(tmp_path: Path, estimator: object) -> None:
    fitted = estimator.fit(X, Y)  # type: ignore[attr-defined]
    save_estimator(fitted, tmp_path / "e.skops")
    loaded = load_estimator(tmp_path / "e.skops")
    np.testing.assert_array_equal(loaded.decision_function(X), fitted.decision_function(X))


def test_an_estimator_with_an_unknown_type_is_not_saved(tmp_path: Path) -> None:
    estimator = make_pipeline(FunctionTransformer(func=test_no_estimator_is_refused)).fit(X)
    with pytest.raises(ArtifactError, match=r"not trusted: .*test_no_estimator_is_refused"):
        save_estimator(estimator, tmp_path / "e.skops")
    assert not (tmp_path / "e.skops").exists()


def test_a_file_with_an_unknown_type_is_not_loaded(tmp_path: Path) -> None:
    from skops import io

    io.dump(FunctionTransformer(func=test_no_estimator_is_refused), tmp_path / "e.skops")
    with pytest.raises(ArtifactError, match="not trusted"):
        load_estimator(tmp_path / "e.skops")


def test_no_estimator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no fitted estimator"):
        save_estimator(None, tmp_path / "e.skops")


def test_a_damaged_or_missing_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e.skops").write_bytes(b"not a zip")
    for name in ("e.skops", "absent.skops"):
        with pytest.raises(ArtifactError, match="not a readable skops file"):
            load_estimator(tmp_path / name)
