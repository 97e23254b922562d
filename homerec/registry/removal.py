"""Versions that nothing needs any more: which they are, and their removal with all their files."""

import logging
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from homerec.errors import RegistryError
from homerec.registry.history import in_order_of_promotion
from homerec.registry.mlflow_client import translated
from homerec.registry.store import Registry
from homerec.registry.version import Version

logger = logging.getLogger(__name__)

#: A retraining is measured against the champions of so many days.
_RIVAL_DAYS = 90


def removable_versions(
    registry: Registry, model: str, days: int, used: Iterable[int], now: datetime | None = None
) -> list[Version]:
    """Versions of a model that are old and that nothing needs, oldest first.

    Kept at any age: every version with an alias, the champion before this one (to roll back to),
    those that were champion in the last 90 days, and those that a kept release was made with.

    Parameters
    ----------
    registry : Registry
    model : str
    days : int
        A younger version stays.
    used : iterable of int
        Versions that kept releases were made with.
    now : datetime, optional
        Aware, by default the present.
    """
    moment = now or datetime.now(UTC)
    versions = registry.versions(model)
    promoted = in_order_of_promotion(versions)
    needed = {v.version for v in versions if v.aliases} | set(used)
    needed |= {v.version for v in promoted[-2:]}
    needed |= {v.version for v in registry.champions_of_last(model, _RIVAL_DAYS, moment)}
    oldest = moment - timedelta(days=days)
    old = [v for v in versions if v.version not in needed and v.created_at < oldest]
    return sorted(old, key=lambda v: v.version)


def version_bytes(version: Version) -> int:
    """Size of a version's local files."""
    folder = version.folder
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def remove_version(registry: Registry, version: Version) -> None:
    """Remove a version, its run and its files.

    Raises
    ------
    RegistryError, TransientError
        It has an alias, or MLflow refuses.
    """
    if version.aliases:
        raise RegistryError(
            f"{version.name} is {' and '.join(version.aliases)}; it cannot be removed."
        )
    run_folder = registry.artifact_root / registry.experiment / version.run_id
    with translated(f"removing {version.name}"):
        client = registry.client
        client.delete_model_version(registry.registered_name(version.model), str(version.version))
        client.delete_run(version.run_id)
    _remove(run_folder)
    for copy in (registry.artifact_root / "downloads" / version.model).glob(
        f"v{version.version}-*"
    ):
        _remove(copy)
    logger.info("removed %s with its run %s", version.name, version.run_id)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        # Half a folder would be taken for an altered artifact.
        gone = folder.with_name(f".{folder.name}.gone.tmp")
        folder.replace(gone)
        shutil.rmtree(gone)
