"""Forgetting listeners: in order, each step safe to repeat, and nothing marked done that is not."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from homerec.database import embedded, urls
from homerec.errors import DatabaseError, ForgetError, SettingsError
from homerec.features.redaction import up_to_date
from homerec.forget.airflow import (
    airflow_database,
    airflow_logs,
    purge_airflow,
    refuse_while_running,
)
from homerec.forget.database import DatabaseSearch, compact
from homerec.forget.files import FileSearch, own_files
from homerec.forget.manifests import redact_manifests
from homerec.forget.report import Finding, ForgetReport
from homerec.forget.sources import Producers, read_producers
from homerec.forget.targets import Targets
from homerec.forget.wal import scrub_embedded
from homerec.ingest.forgotten import Hasher, Tombstone, read_tombstones, write_tombstones
from homerec.lake import Lake, alone, connect, write_parquet
from homerec.release.session import publishing_lock, session
from homerec.settings import Settings

logger = logging.getLogger(__name__)

Progress = Callable[[str], None]


def forget(
    settings: Settings,
    ids: Sequence[str],
    *,
    reason: str = "",
    dry_run: bool = False,
    mappings: Sequence[Path | str] = (),
    now: datetime | None = None,
    progress: Progress = logger.info,
) -> ForgetReport:
    """Remove listeners from everything that homerec owns, and keep them away for good.

    Searched are all files below the data folder, every table of every schema of homerec's
    database, MLflow's records, and Airflow's. Cut short, it is completed by running it again;
    run again afterwards, it changes nothing.

    Parameters
    ----------
    settings : Settings
    ids : sequence of str
        Ids of the listeners, as their producer writes them after mapping.
    reason : str
        Why; kept beside the hash, so it must not name the listener.
    dry_run : bool
        Only say what would be removed.
    mappings : sequence of Path or str
        Mappings of past ingests that are not in ``config/mappings`` any more.
    now : datetime, optional
        Aware moment of the removal, by default the clock's.
    progress : callable
        Receives one line a part.

    Returns
    -------
    ForgetReport
        What was removed, place by place.

    Raises
    ------
    SettingsError
        No id, an empty one, or a reason that names a listener.
    TransientError
        An ingest, a training, a night or a publisher is at work; nothing was changed.
    DatabaseError
        A database that is part of the deployment cannot be reached; nothing was changed.
    ForgetError
        Something is left that homerec cannot remove; the rest is removed.
    """
    wanted = frozenset(ids)
    if not wanted or any(not i.strip() for i in wanted):
        raise SettingsError("Name at least one listener id; an empty one cannot be forgotten.")
    airflow = airflow_database(settings)
    if airflow is not None:
        refuse_while_running(airflow)
    with alone(settings.home), _database(settings) as database:
        work = _Work.prepare(
            settings,
            wanted,
            mappings,
            reason,
            database,
            airflow,
            now or datetime.now(UTC),
            progress,
        )
        if not dry_run:
            work.mark(complete=False)
        report = ForgetReport(
            len(wanted), len(work.targets.keys), work.search(apply=not dry_run), dry_run=dry_run
        )
        report.notes = work.notes()
        if dry_run:
            return report
        report.findings += work.retire_keys()
        progress("forget: looking again")
        remaining = work.search(apply=False)
        if remaining:
            _refuse(report, remaining)
        work.mark(complete=True)
    logger.info("%s", report.render())
    return report


def _refuse(report: ForgetReport, remaining: list[Finding]) -> None:
    named = "; ".join(sorted({f"{f.place}: {f.where}" for f in remaining}))
    raise ForgetError(
        f"{report.render()}\n\nStill found in {len(remaining)} places, none is allowed: {named}. "
        "Remove or mend these by hand (a file that cannot be read cannot be searched), then run "
        "the same command again. See docs/privacy.md."
    )


@dataclass
class _Work:
    """One run: whom, where, and what is known before anything is changed."""

    settings: Settings
    targets: Targets
    stones: dict[str, Tombstone]
    producers: Producers
    current: set[date]
    resuming: bool
    database: sa.Engine | None
    airflow: str | None
    progress: Progress

    @classmethod
    def prepare(
        cls,
        settings: Settings,
        ids: frozenset[str],
        mappings: Sequence[Path | str],
        reason: str,
        database: sa.Engine | None,
        airflow: str | None,
        now: datetime,
        progress: Progress,
    ) -> "_Work":
        hasher, before = Hasher(settings), read_tombstones(settings)
        found = _keys(settings, ids)
        stones = {}
        for one in ids:
            digest = hasher.digest(one)
            old = before.get(digest)
            key = found.get(one, old.key if old else None)
            # After a run that was cut short, the dictionary may not know the key any more.
            stones[digest] = replace(old, key=key) if old else Tombstone(
                digest, key, now, reason, False
            )  # fmt: skip
        keys = {s.key for s in stones.values() if s.key is not None}
        targets = Targets(ids, frozenset(keys))
        if targets.mentions(reason):
            raise SettingsError(
                "The reason names the listener, and it is kept. Write a ticket's number instead."
            )
        return cls(
            settings, targets, stones, read_producers(settings, mappings), up_to_date(settings),
            any(d in before and not before[d].complete for d in stones),
            database, airflow, progress,
        )  # fmt: skip

    def mark(self, *, complete: bool) -> None:
        """Keep the hashes: from then on an ingest leaves these listeners out."""
        everyone = read_tombstones(self.settings)
        for digest, stone in self.stones.items():
            old = everyone.get(digest)
            done = complete or bool(old and old.complete and old.key == stone.key)
            everyone[digest] = replace(stone, complete=done)
        write_tombstones(self.settings, everyone)

    def search(self, *, apply: bool) -> list[Finding]:
        """Go through databases, then files; what readers see goes first."""
        findings: list[Finding] = []
        touched: list[sa.Table] = []
        if self.database is not None:
            self.progress("forget: Postgres")
            found = DatabaseSearch(self.database, self.targets, "postgres", apply)
            findings += found.run()
            touched = found.touched
        mlflow = _separate_mlflow(self.settings)
        if mlflow is not None:
            engine = sa.create_engine(mlflow, poolclass=sa.NullPool)
            findings += DatabaseSearch(engine, self.targets, "mlflow", apply, keyed=False).run()
            engine.dispose()
        logs = airflow_logs(self.settings)
        findings += purge_airflow(
            self.airflow, logs, self.targets, apply=apply, progress=self.progress
        )
        with connect(self.settings) as connection:
            files = FileSearch(
                self.settings.home, self.targets, self.producers, connection, apply,
                own_files(self.settings.home),
            )  # fmt: skip
            findings += files.run(self.progress)
        if apply:
            redact_manifests(self.settings, self.current, findings, resuming=self.resuming)
            self._compact(touched)
        return findings

    def _compact(self, touched: list[sa.Table]) -> None:
        if self.database is None or not (touched or self.resuming):
            return
        if self.resuming:
            inner = DatabaseSearch(self.database, self.targets, "", apply=False)
            touched = [t for t in inner.tables() if t.schema == "homerec" and t.name == "listener"]
        self.progress("forget: compacting tables")
        compact(self.database, touched)
        if not self.settings.database_url:
            scrub_embedded(self.settings)

    def retire_keys(self) -> list[Finding]:
        """Take the ids out of the dictionary; their keys stay in it, so that no one gets them."""
        path = Lake(self.settings.home).dictionary("listeners")
        if not path.exists():
            return []
        table = pq.read_table(path)
        ids = table["id"].to_pylist()
        n = sum(i in self.targets.ids for i in ids)
        if n:
            kept = pa.array([None if i in self.targets.ids else i for i in ids], pa.string())
            place = table.column_names.index("id")
            write_parquet(table.set_column(place, "id", kept), path)
        return [Finding("lake", "dictionaries/listeners.parquet", "keys", n)] if n else []

    def notes(self) -> list[str]:
        """Say what was out of reach."""
        notes = [
            f"{folder} was ingested from and is not homerec's: remove the listener there too, or "
            "the rows are only left out when they come again."
            for folder in self.producers.outside
        ]
        notes += [
            f"The mapping {name!r} of a past ingest is not in config/mappings; name its file with "
            "--mapping if its ids carry a prefix."
            for name in self.producers.unknown
        ]
        if self.database is None:
            notes.append("There is no Postgres yet, so none was searched.")
        if self.airflow is None:
            notes.append(
                "Airflow's database was not searched: there is none here, and "
                "HOMEREC_AIRFLOW_DATABASE_URL names none."
            )
        uri = self.settings.mlflow_tracking_uri
        if uri and urlparse(uri).scheme in ("http", "https"):
            notes.append(f"The MLflow server at {uri} was not searched: see docs/privacy.md.")
        return notes


def _keys(settings: Settings, ids: frozenset[str]) -> dict[str, int]:
    path = Lake(settings.home).dictionary("listeners")
    if not path.exists():
        return {}
    table = pq.read_table(path, filters=[("id", "in", sorted(ids))])
    rows = zip(table["id"].to_pylist(), table["key"].to_pylist(), strict=True)
    return {str(one): int(key) for one, key in rows}


def _separate_mlflow(settings: Settings) -> str | None:
    """URL of a database of MLflow's that is not homerec's own, if it is a database."""
    uri = settings.mlflow_tracking_uri
    if not uri or urlparse(uri).scheme.split("+")[0] not in ("postgresql", "sqlite", "mysql"):
        return None
    return uri


@contextlib.contextmanager
def _database(settings: Settings) -> Iterator[sa.Engine | None]:
    """Yield homerec's database, with publishers kept out; ``None`` when there was never one."""
    if not settings.database_url and not embedded.status(settings).initialised:
        yield None
        return
    engine = urls.engine(urls.app_url(settings))
    try:
        with session(settings) as connection, publishing_lock(connection):
            yield engine
    except sa.exc.SQLAlchemyError as error:
        told = str(getattr(error, "orig", None) or error).strip()
        raise DatabaseError(f"Postgres refused while forgetting: {told}.") from error
    finally:
        engine.dispose()
