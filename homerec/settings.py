"""Settings: one TOML file of commented defaults, overridden by environment variables.

Order of precedence, strongest first: environment (``HOMEREC_HOME``, ``HOMEREC_DATABASE_URL``,
``HOMEREC_CONFIG``, ``MLFLOW_TRACKING_URI``), the TOML file, the defaults below.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from homerec.errors import SettingsError

#: The folder that holds ``sql/`` and ``config/``: the repository, or the installed package.
PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent


_OPTIONAL_DAYS: Final = (
    "history_days",
    "keep_event_days",
    "keep_catalog_days",
    "keep_version_days",
    "keep_quarantine_days",
    "keep_experiment_days",
)
_MEMORY: Final = re.compile(r"\d+(\.\d+)? ?([KMGT]i?B)")


@dataclass(frozen=True)
class Settings:
    """What a deployment may change without touching code.

    Attributes
    ----------
    home : Path
        Folder of everything homerec writes outside Postgres (lake, snapshots, artifacts, reports).
    database_url : str or None
        SQLAlchemy URL of the application role; ``None`` means the embedded Postgres under ``home``.
    mlflow_tracking_uri : str or None
        MLflow server or store; ``None`` means the schema ``mlflow`` of the same Postgres.
    arrival_grace_hours : int
        Hours after as_of 00:00 UTC until which an arrival still counts (known_at).
    quarantine_limit_ratio : float
        Share of broken rows in one table of one ingest over which nothing is written, in [0, 1].
    future_tolerance_minutes : int
        How far an event may lie after its own arrival (clock skew) before it is set aside.
    threads : int
        Threads for DuckDB and implicit; 0 means one per core.
    memory_limit : str
        DuckDB's memory limit, such as ``"4GB"``.
    shard_listeners : int
        Listeners scored together; bounds the memory of a night.
    max_judged_listeners : int
        Listeners by whom a challenger is judged at most; of more a sample is drawn.
    seed : int
        Seed of every fit and every sample.
    history_days : int or None
        Events older than this before as_of are not read; ``None`` reads all.
    max_days_without_events : int
        A night fails when the last event is older than this many days before as_of.
    keep_releases : int
        Releases whose Homes are kept for a rollback; the live one is never dropped.
    keep_snapshot_days : int
        Snapshots and nights older than the newest by more are removed, unless something needs them.
    keep_event_days : int or None
        Events and impressions older than the newest by more are removed; ``None`` keeps all.
    keep_catalog_days : int or None
        Rows of the catalog that ended to hold longer ago are removed; ``None`` keeps all.
    keep_version_days : int or None
        Versions older than this that nothing needs are removed; ``None`` keeps all.
    keep_quarantine_days : int or None
        Quarantines of older ingests are removed; ``None`` keeps all.
    keep_experiment_days : int or None
        Experiments that were last run longer ago are removed, with their results, which hold
        metrics by listener; ``None`` keeps all.
    volume_limit_ratio : float
        Largest change of a day's card plays, against the last snapshot that passed, either way.
    models : mapping of str to mapping
        Per model, parameters that replace those of its spec (``[models.podcasts]`` in the TOML).
    """

    home: Path = ROOT / "var"
    database_url: str | None = None
    mlflow_tracking_uri: str | None = None
    arrival_grace_hours: int = 3
    quarantine_limit_ratio: float = 0.01
    future_tolerance_minutes: int = 60
    threads: int = 0
    memory_limit: str = "4GB"
    shard_listeners: int = 20_000
    max_judged_listeners: int = 30_000
    seed: int = 20_260_101
    history_days: int | None = None
    max_days_without_events: int = 1
    keep_releases: int = 7
    keep_snapshot_days: int = 60
    keep_event_days: int | None = None
    keep_catalog_days: int | None = None
    keep_version_days: int | None = 180
    keep_quarantine_days: int | None = 90
    keep_experiment_days: int | None = 180
    volume_limit_ratio: float = 0.6
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check ranges, so that a wrong value fails here and not in the middle of a night."""
        checks = {
            "arrival_grace_hours": (self.arrival_grace_hours, 0, 48),
            "quarantine_limit_ratio": (self.quarantine_limit_ratio, 0, 1),
            "future_tolerance_minutes": (self.future_tolerance_minutes, 0, 24 * 60),
            "threads": (self.threads, 0, 1024),
            "max_days_without_events": (self.max_days_without_events, 1, 100_000),
            "keep_releases": (self.keep_releases, 2, 10_000),
            "keep_snapshot_days": (self.keep_snapshot_days, 1, 100_000),
            "volume_limit_ratio": (self.volume_limit_ratio, 0.01, 1_000_000),
            "shard_listeners": (self.shard_listeners, 1, 10_000_000),
            "max_judged_listeners": (self.max_judged_listeners, 1_000, 10_000_000),
            "seed": (self.seed, 0, 2**63 - 1),
        }
        for name in _OPTIONAL_DAYS:
            days = getattr(self, name)
            if days is not None:
                checks[name] = (days, 1, 100_000)
        for name, (value, low, high) in checks.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise SettingsError(
                    f"{name} is {value!r}, a number from {low} to {high} is needed."
                )
            if not low <= value <= high:
                raise SettingsError(f"{name} is {value}, allowed is {low} to {high}.")
        if not _MEMORY.fullmatch(self.memory_limit):
            raise SettingsError(
                f"memory_limit is {self.memory_limit!r}; write a number and a unit, such as 4GB."
            )

    @property
    def n_threads(self) -> int:
        """Threads to use, with 0 resolved to the number of cores this process may run on."""
        return self.threads or len(os.sched_getaffinity(0))


def load_settings(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings of this process.

    Parameters
    ----------
    path : Path, optional
        The TOML file; by default ``$HOMEREC_CONFIG``, else ``homerec.toml`` in the repository if it
        is there.
    environ : mapping, optional
        Environment to read, by default the process's.

    Raises
    ------
    SettingsError
        The file is missing or not TOML, or names a setting that does not exist or is out of range.
    """
    env = os.environ if environ is None else environ
    named = path or (Path(env["HOMEREC_CONFIG"]) if env.get("HOMEREC_CONFIG") else None)
    source = named or ROOT / "homerec.toml"
    values: dict[str, Any] = {}
    if source.exists():
        try:
            values = tomllib.loads(source.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{source} is not valid TOML: {error}") from error
    elif named is not None:
        raise SettingsError(
            f"The settings file {source} does not exist. Make it, or name another one: "
            f"{'--config' if path else 'HOMEREC_CONFIG'} says so."
        )
    known = {f.name for f in fields(Settings)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise SettingsError(
            f"{source} sets {', '.join(unknown)}; known are {', '.join(sorted(known))}."
        )
    if "home" in values:
        values["home"] = (source.parent / str(values["home"])).resolve()
    if env.get("HOMEREC_HOME"):
        values["home"] = Path(env["HOMEREC_HOME"]).resolve()
    for name, variable in (
        ("database_url", "HOMEREC_DATABASE_URL"),
        ("mlflow_tracking_uri", "MLFLOW_TRACKING_URI"),
    ):
        if env.get(variable):
            values[name] = env[variable]
    return Settings(**values)


def resource(name: str) -> Path:
    """Path of a file shipped beside the code, such as ``sql/features/item.sql``.

    Raises
    ------
    SettingsError
        No such file in the repository or in the installed package.
    """
    for base in (PACKAGE / "_resources", ROOT):
        if (base / name).exists():
            return base / name
    raise SettingsError(f"{name} is not part of this installation ({ROOT}).")
