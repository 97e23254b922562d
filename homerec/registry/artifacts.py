"""A saved model is a folder: files without pickle, and a manifest with their checksums."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from homerec.artifacts import TRUSTED_TYPES, load_estimator, save_estimator
from homerec.errors import ArtifactError
from homerec.lake import checksum, read_json, write_json

__all__ = [
    "MANIFEST",
    "REQUIRED",
    "TRUSTED_TYPES",
    "Manifest",
    "load_estimator",
    "read_artifact",
    "save_estimator",
    "write_manifest",
]

MANIFEST: Final = "manifest.json"

#: What every manifest holds; ``git_commit`` and any further value may be added.
REQUIRED: Final = (
    "model",
    "as_of",
    "created_at",
    "code_version",
    "seed",
    "features",
    "training_snapshots",
    "label_windows",
    "metrics",
    "thresholds",
    "histograms",
    "parameters",
)

_FORMAT: Final = 1


@dataclass(frozen=True)
class Manifest:
    """What a saved model says of itself; its files have been checked.

    Attributes
    ----------
    folder : Path
        Where the files are.
    values : mapping
        Everything in ``manifest.json``.
    """

    folder: Path
    values: Mapping[str, Any]

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.values["model"])

    @property
    def as_of(self) -> date:
        """The date whose events it was trained before."""
        return date.fromisoformat(self.values["as_of"])

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, in the order of the ranker's columns."""
        return tuple(self.values["features"])

    @property
    def label_windows(self) -> tuple[tuple[date, date], ...]:
        """Half-open (start, end) windows of the labels it was trained on."""
        return tuple(
            (date.fromisoformat(start), date.fromisoformat(end))
            for start, end in self.values["label_windows"]
        )

    @property
    def labels_end(self) -> date:
        """First date that no training label saw."""
        return max(end for _, end in self.label_windows)

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics measured when it was trained."""
        return {name: float(value) for name, value in self.values["metrics"].items()}

    @property
    def histograms(self) -> Path:
        """File of the frozen histograms."""
        return self.folder / str(self.values["histograms"])


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> Manifest:
    """Write ``manifest.json`` with the checksum of every other file of a folder.

    Parameters
    ----------
    folder : Path
        Holds every file of the model; nothing may be added afterwards.
    manifest : mapping
        The values of :data:`REQUIRED`; dates and numpy numbers become plain JSON. ``label_windows``
        is a list of half-open (start, end) dates, ``histograms`` a file's name in the folder.

    Raises
    ------
    ArtifactError
        A value is missing, is not JSON or is not finite, or the folder has no files or a link.
    """
    checksums = {name: checksum(folder / name) for name in _files(folder)}
    if not checksums:
        raise ArtifactError(f"{folder} holds no files: save the model before its manifest.")
    values = _plain({**manifest, "format": _FORMAT, "checksums": checksums}, "manifest")
    _check_values(values, folder)
    write_json(values, folder / MANIFEST)
    return read_artifact(folder)


def read_artifact(folder: Path, manifest_checksum: str | None = None) -> Manifest:
    """Read a saved model's manifest and verify every file against it.

    Parameters
    ----------
    folder : Path
        As :func:`write_manifest` left it.
    manifest_checksum : str, optional
        SHA-256 of the manifest itself, as the registry recorded it.

    Raises
    ------
    ArtifactError
        The manifest is missing, incomplete or altered, or a file is missing, extra or altered.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ArtifactError(f"{folder} is no saved model: it has no {MANIFEST}.")
    if manifest_checksum is not None and checksum(path) != manifest_checksum:
        raise ArtifactError(
            f"{path} was altered since it was registered: its SHA-256 is {checksum(path)[:12]}..., "
            f"{manifest_checksum[:12]}... was recorded. Restore it, or roll back to another "
            "version."
        )
    values = read_json(path)
    if not isinstance(values, dict):
        raise ArtifactError(f"{path} holds a {type(values).__name__}, an object is needed.")
    _check_values(values, folder)
    _verify(folder, values["checksums"])
    return Manifest(folder, values)


def _files(folder: Path) -> Iterator[str]:
    """Names of all files but the manifest, relative to the folder, ascending."""
    if not folder.is_dir():
        raise ArtifactError(f"There is no artifact folder {folder}.")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise ArtifactError(f"{folder} holds a link, {name}; only plain files are allowed.")
        if not path.is_dir() and name != MANIFEST:
            yield name


def _verify(folder: Path, checksums: Mapping[str, str]) -> None:
    present = set(_files(folder))
    missing = sorted(checksums.keys() - present)
    extra = sorted(present - checksums.keys())
    altered = [
        name
        for name in sorted(present & checksums.keys())
        if checksum(folder / name) != checksums[name]
    ]
    faults = {"missing": missing, "extra": extra, "altered": altered}
    if any(faults.values()):
        said = "; ".join(f"{what} {', '.join(names)}" for what, names in faults.items() if names)
        raise ArtifactError(
            f"The saved model in {folder} is not as it was written: {said}. Restore the folder, or "
            "roll back to another version."
        )


def _check_values(values: Mapping[str, Any], folder: Path) -> None:
    missing = [name for name in (*REQUIRED, "format", "checksums") if name not in values]
    if missing:
        raise ArtifactError(f"The manifest of {folder} lacks {', '.join(missing)}.")
    if values["format"] != _FORMAT:
        raise ArtifactError(
            f"The manifest of {folder} has format {values['format']}, {_FORMAT} can be read. Use "
            f"the version of homerec that wrote it ({values['code_version']}), or retrain."
        )
    try:
        manifest = Manifest(folder, values)
        backwards = [w for w in manifest.label_windows if w[0] >= w[1]]
        usable = bool(manifest.features and manifest.label_windows and manifest.as_of)
        datetime.fromisoformat(values["created_at"])
        dict(manifest.metrics)
        listed = manifest.histograms.relative_to(folder).as_posix() in values["checksums"]
    except (TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"The manifest of {folder} is malformed: {error}.") from error
    if backwards or not usable:
        raise ArtifactError(
            f"The manifest of {folder} needs features and label windows (start < end); it has "
            f"{len(manifest.features)} features, windows {values['label_windows']}."
        )
    if not listed:
        raise ArtifactError(
            f"The manifest of {folder} names histograms {values['histograms']!r}, which the folder "
            "does not hold."
        )


def _plain(value: Any, where: str) -> Any:
    """Turn dates, numpy values and tuples into JSON values."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value) if isinstance(value, set | frozenset) else value
        return [_plain(inner, where) for inner in ordered]
    if isinstance(value, float) and not math.isfinite(value):
        raise ArtifactError(f"{where} is {value}, a finite number is needed.")
    if value is None or isinstance(value, str | int | float):
        return value
    raise ArtifactError(f"{where} is a {type(value).__name__}, which JSON cannot hold.")
