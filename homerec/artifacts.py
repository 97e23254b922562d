"""Estimators of scikit-learn as files without pickle, read back only when every type is trusted."""

import zipfile
from pathlib import Path
from typing import Any, Final

from homerec.errors import ArtifactError

#: Types beyond skops' own list that an estimator may hold: the trees of scikit-learn's histogram
#: gradient boosting. A type enters only after what building it runs was read.
TRUSTED_TYPES: Final = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)


def save_estimator(estimator: Any, path: Path) -> None:
    """Write a scikit-learn estimator as skops, if :func:`load_estimator` will read it back.

    Raises
    ------
    ArtifactError
        It holds a type outside skops' own list and :data:`TRUSTED_TYPES`, or there is no estimator.
    """
    from skops import io

    if estimator is None:
        raise ArtifactError(f"There is no fitted estimator to save as {path.name}. Fit it first.")
    io.dump(estimator, path)
    try:
        _trusted(path)
    except ArtifactError:
        path.unlink()
        raise


def load_estimator(path: Path) -> Any:
    """Read an estimator that holds only trusted types.

    Raises
    ------
    ArtifactError
        The file is missing or damaged, or holds a type that is not trusted; then nothing of it was
        built.
    """
    from skops import io

    trusted = _trusted(path)
    try:
        return io.load(path, trusted=trusted)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{path} cannot be loaded: {type(error).__name__} {error}. It may have been written by "
            "another version of scikit-learn; retrain, or install the version its manifest names."
        ) from error


def _trusted(path: Path) -> list[str]:
    from skops import io

    try:
        found = io.get_untrusted_types(file=path)
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise ArtifactError(
            f"{path} is not a readable skops file: {type(error).__name__} {error}."
        ) from error
    refused = sorted(set(found) - set(TRUSTED_TYPES))
    if refused:
        raise ArtifactError(
            f"{path} holds types that are not trusted: {', '.join(refused)}; trusted beyond skops' "
            f"own list are {', '.join(TRUSTED_TYPES)}. Use another estimator or setting."
        )
    return list(found)
