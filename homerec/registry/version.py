"""One version of a model, as the registry knows it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from homerec.errors import ArtifactError, RegistryError
from homerec.registry.artifacts import Manifest, read_artifact
from homerec.registry.verdict import Verdict

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

#: Names of the two aliases, and what homerec's own tags begin with.
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
PREFIX: Final = "homerec."

#: ``former``: was champion once. ``rolled_back``: was taken out of production for a reason.
Status = Literal["challenger", "champion", "former", "rolled_back", "hold", "reject"]


@dataclass(frozen=True)
class Hold:
    """Why a model takes no new champion until someone says ``homerec models resume``."""

    who: str
    why: str
    since: datetime


@dataclass(frozen=True)
class Version:
    """A registered version.

    Attributes
    ----------
    model : str
        Name of the model.
    version : int
        Its number, from 1.
    run_id : str
        The MLflow run that made it.
    status : str
        What it is now.
    aliases : tuple of str
        ``champion``, ``challenger``, or none.
    as_of, labels_end : date
        Trained on events before ``as_of`` and on labels before ``labels_end``.
    created_at : datetime
        Aware, UTC.
    promoted_at : datetime or None
        When it last became champion; aware, UTC.
    metrics : mapping of str to float
        As they were registered.
    manifest_checksum : str
        SHA-256 of its manifest.
    verdict : Verdict or None
        The gate's last word on it.
    tags : mapping of str to str
        Everything else that was recorded.
    """

    model: str
    version: int
    run_id: str
    status: Status
    aliases: tuple[str, ...]
    as_of: date
    labels_end: date
    created_at: datetime
    promoted_at: datetime | None
    metrics: Mapping[str, float]
    manifest_checksum: str
    verdict: Verdict | None
    tags: Mapping[str, str]
    locate: Callable[[], Path] = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """Model and number, such as ``"podcasts v7"``."""
        return f"{self.model} v{self.version}"

    @cached_property
    def folder(self) -> Path:
        """Local folder of its files, fetched from the artifact store where they are not local."""
        return self.locate()

    def manifest(self) -> Manifest:
        """Verify every file and read the manifest.

        Raises
        ------
        ArtifactError
            The folder is not what was registered.
        """
        try:
            return read_artifact(self.folder, self.manifest_checksum)
        except ArtifactError as error:
            raise type(error)(f"{self.name}: {error}") from error


def version_from(
    model: str, found: "ModelVersion", aliases: tuple[str, ...], locate: Callable[[], Path]
) -> Version:
    """Read an MLflow model version that homerec registered.

    Raises
    ------
    RegistryError
        It lacks the tags that homerec writes.
    """
    tags = dict(found.tags)
    try:
        as_of = date.fromisoformat(tags[f"{PREFIX}as_of"])
        labels_end = date.fromisoformat(tags[f"{PREFIX}labels_end"])
        metrics = json.loads(tags[f"{PREFIX}metrics"])
        manifest_checksum = tags[f"{PREFIX}manifest_checksum"]
    except KeyError as error:
        raise RegistryError(
            f"{model} v{found.version} lacks the tag {error}: homerec did not register it. Remove "
            "its aliases in MLflow."
        ) from error
    at = tags.get(f"{PREFIX}promoted_at")
    promoted_at = datetime.fromisoformat(at) if at else None
    if promoted_at is None and CHAMPION in aliases:
        # The alias moved and the process died before it wrote down when.
        promoted_at = _moment(found.last_updated_timestamp)
    text = tags.get(f"{PREFIX}verdict")
    verdict = Verdict.from_json(text) if text else None
    return Version(
        model=model,
        version=int(found.version),
        run_id=str(found.run_id),
        status=_status(aliases, promoted_at, bool(tags.get(f"{PREFIX}rolled_back")), verdict),
        aliases=aliases,
        as_of=as_of,
        labels_end=labels_end,
        created_at=_moment(found.creation_timestamp),
        promoted_at=promoted_at,
        metrics=metrics,
        manifest_checksum=manifest_checksum,
        verdict=verdict,
        tags=tags,
        locate=locate,
    )


def _moment(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC)


def _status(
    aliases: tuple[str, ...],
    promoted_at: datetime | None,
    rolled_back: bool,
    verdict: Verdict | None,
) -> Status:
    if CHAMPION in aliases:
        return "champion"
    if rolled_back:
        return "rolled_back"
    if promoted_at is not None:
        return "former"
    if verdict is not None and verdict.outcome != "promote":
        return verdict.outcome
    return "challenger"
