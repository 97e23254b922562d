"""Airflow's own records of homerec's runs: XCom, rendered templates, notes, logs.

Airflow itself is not imported: its metadata are tables like any other.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from homerec.database import secrets, state, urls
from homerec.errors import DatabaseError, TransientError
from homerec.forget.database import DatabaseSearch, compact
from homerec.forget.report import Finding
from homerec.forget.targets import Targets
from homerec.forget.texts import purge_text
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: LIKE patterns of the ids of homerec's DAGs.
DAGS: Final = ("nightly", "ingest", "housekeeping", "retrain\\_%", "homerec%")
DATABASE_VARIABLE: Final = "HOMEREC_AIRFLOW_DATABASE_URL"
LOGS_VARIABLE: Final = "AIRFLOW__LOGGING__BASE_LOG_FOLDER"
_ROLE: Final = "airflow"
#: Of these a run that is under way does not read or write a listener.
_HARMLESS: Final = ("housekeeping",)


def airflow_database(settings: Settings) -> str | None:
    """URL of Airflow's database: the one that is named, else the embedded server's, if it is there.

    Raises
    ------
    DatabaseError
        The embedded server has one, but does not run.
    """
    named = os.environ.get(DATABASE_VARIABLE)
    if named:
        return named
    if settings.database_url or not state.status(settings).initialised:
        return None
    if _ROLE not in secrets.read_secrets(settings):
        return None
    return urls.embedded_url(settings, _ROLE, _ROLE)


def airflow_logs(settings: Settings) -> Path | None:
    """Folder of the logs of tasks, where it lies outside the data folder; else ``None``.

    What lies below the data folder is searched with all its other files.
    """
    named = os.environ.get(LOGS_VARIABLE)
    if not named:
        return None
    folder = Path(named).resolve()
    inside = folder.is_relative_to(settings.home.resolve())
    return None if inside or not folder.is_dir() else folder


def refuse_while_running(url: str) -> None:
    """Refuse to go on while a run of homerec's DAGs is under way: its tasks hand on to each other.

    Raises
    ------
    TransientError
        A run is under way.
    DatabaseError
        The database cannot be asked.
    """
    engine = _engine(url)
    try:
        if not sa.inspect(engine).has_table("dag_run"):
            return
        runs = sa.Table("dag_run", sa.MetaData(), autoload_with=engine, resolve_fks=False)
        query = sa.select(runs.c.dag_id, runs.c.run_id).where(
            sa.cast(runs.c.state, sa.Text) == "running",
            sa.or_(*(runs.c.dag_id.like(d, escape="\\") for d in DAGS)),
            runs.c.dag_id.not_in(_HARMLESS),
        )
        with engine.connect() as connection:
            found = connection.execute(query).fetchall()
    except sa.exc.SQLAlchemyError as error:
        raise _unreachable(url, error) from error
    finally:
        engine.dispose()
    if found:
        named = ", ".join(f"{dag} {run}" for dag, run in found)
        raise TransientError(
            f"Airflow runs {named} now; nothing was changed. Try again when it has ended, or fail "
            "the run in the web UI if it is stuck."
        )


def purge_airflow(
    url: str | None,
    logs: Path | None,
    targets: Targets,
    *,
    apply: bool,
    progress: Callable[[str], None] = logger.info,
) -> list[Finding]:
    """Overwrite every mention of a listener in Airflow's tables and in logs of tasks.

    Parameters
    ----------
    url : str or None
        SQLAlchemy URL of Airflow's database; ``None`` leaves it out.
    logs : Path or None
        Folder of logs; files are overwritten in place, for Airflow may be writing to them.
    targets : Targets
    apply : bool
        Change things; otherwise only count.
    progress : callable
        Receives one line a part.

    Raises
    ------
    DatabaseError
        The database cannot be reached, or refuses.
    """
    findings: list[Finding] = []
    if url is not None:
        progress("forget: Airflow's database")
        engine = _engine(url)
        try:
            search = DatabaseSearch(engine, targets, "airflow", apply, keyed=False, dags=DAGS)
            findings += search.run()
            if apply and search.touched and engine.dialect.name == "postgresql":
                compact(engine, search.touched)
        except sa.exc.SQLAlchemyError as error:
            raise _unreachable(url, error) from error
        finally:
            engine.dispose()
    if logs is not None:
        progress("forget: logs of tasks")
        for path in sorted(p for p in logs.rglob("*") if p.is_file() and not p.is_symlink()):
            counts = purge_text(path, targets, in_place=path.suffix != ".gz", apply=apply)
            name = str(path.relative_to(logs))
            findings += [Finding("airflow logs", name, what, n) for what, n in counts.items()]
    return findings


def _engine(url: str) -> sa.Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() in ("postgresql", "postgres"):
        parsed = parsed.set(drivername=urls.DRIVER)
    return sa.create_engine(parsed, poolclass=sa.NullPool)


def _unreachable(url: str, error: sa.exc.SQLAlchemyError) -> DatabaseError:
    where = make_url(url).render_as_string(hide_password=True)
    told = str(getattr(error, "orig", None) or error).strip()
    return DatabaseError(
        f"Airflow's database {where} cannot be searched: {told}. Name the right one in "
        f"{DATABASE_VARIABLE}."
    )
