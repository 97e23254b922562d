"""Migrations of the serving schema, and the SQL objects made anew when their text changes."""

import logging
from typing import Any

import alembic.command
import psycopg2
import sqlalchemy as sa
from alembic.config import Config

from homerec.database import urls
from homerec.errors import DatabaseError
from homerec.lake import checksum_text
from homerec.settings import resource

logger = logging.getLogger(__name__)

MIN_VERSION = 15
#: Any number will do, as long as every homerec uses the same one.
MIGRATION_LOCK = 7_402_113_900_001

_READER_SQL = "CREATE ROLE homerec_reader LOGIN PASSWORD '...';"
_RIGHTS_SQL = (
    "GRANT CREATE ON DATABASE {database} TO {role}; "
    "GRANT USAGE, CREATE ON SCHEMA public TO {role}; "
)


def migrate(url: str) -> str:
    """Bring the schema of a Postgres 15 or newer up to date; nothing happens when it is.

    Parameters
    ----------
    url : str
        SQLAlchemy URL of the role that owns the schemas.

    Returns
    -------
    str
        The schema's revision.

    Raises
    ------
    DatabaseError
        The server is too old, or the role lacks rights; the message holds the SQL to run.
    """
    engine = urls.engine(url)
    try:
        with engine.connect() as connection:
            return _migrate(connection)
    except sa.exc.ProgrammingError as error:
        if isinstance(error.orig, psycopg2.errors.InsufficientPrivilege):
            raise _lacks_rights(url, error.orig) from error
        raise
    except psycopg2.errors.InsufficientPrivilege as error:
        raise _lacks_rights(url, error) from error
    except sa.exc.OperationalError as error:
        raise DatabaseError(
            f"Postgres cannot be reached to migrate it: {str(error.orig).strip()}"
        ) from error
    finally:
        engine.dispose()


def _lacks_rights(url: str, error: BaseException) -> DatabaseError:
    parsed = urls.parse_url(url)
    advice = _RIGHTS_SQL.format(database=parsed.database, role=parsed.username)
    return DatabaseError(
        f"The role {parsed.username!r} may not migrate {parsed.database!r}: {str(error).strip()}. "
        f"Let an administrator run: {advice}{_READER_SQL}"
    )


def _migrate(connection: sa.Connection) -> str:
    version = connection.exec_driver_sql("SHOW server_version_num").scalar_one()
    if int(version) // 10_000 < MIN_VERSION:
        raise DatabaseError(
            f"The server is Postgres {int(version) // 10_000}, {MIN_VERSION} or newer is needed."
        )
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    _ensure_schemas(connection)
    config = Config()
    config.set_main_option("script_location", str(resource("sql/migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")
    _ensure_reader(connection)
    _apply_serving(connection)
    revision = connection.exec_driver_sql(
        "SELECT version_num FROM homerec.alembic_version"
    ).scalar_one()
    connection.commit()
    return str(revision)


def _ensure_schemas(connection: sa.Connection) -> None:
    # CREATE SCHEMA IF NOT EXISTS needs the right to create even when the schema is there.
    for schema in ("homerec", "mlflow"):
        if not connection.execute(sa.select(sa.func.to_regnamespace(schema))).scalar():
            connection.execute(sa.schema.CreateSchema(schema))


def _ensure_reader(connection: sa.Connection) -> None:
    query = sa.text("SELECT 1 FROM pg_roles WHERE rolname = 'homerec_reader'")
    if connection.execute(query).scalar():
        return
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("CREATE ROLE homerec_reader NOLOGIN")
    except sa.exc.ProgrammingError as error:
        raise DatabaseError(
            "The role homerec_reader, which backends read with, does not exist and this role may "
            "not create it. "
            f"Let an administrator run: {_READER_SQL} then migrate again."
        ) from error
    logger.warning(
        "created the role homerec_reader without a login; give it one (ALTER ROLE homerec_reader "
        "LOGIN PASSWORD "
        "'...') or grant it to the backends' role, and set HOMEREC_READER_URL"
    )


def _apply_serving(connection: sa.Connection) -> None:
    """Make the functions, views and grants anew when one of their files has changed."""
    files = sorted(resource("sql/serving").glob("*.sql"))
    texts = [path.read_text(encoding="utf-8") for path in files]
    digest = checksum_text(texts)
    current = connection.exec_driver_sql("SELECT checksum FROM homerec.serving_objects").scalar()
    if current == digest:
        return
    raw: Any = connection.connection.cursor()
    with raw as cursor:
        for path, text in zip(files, texts, strict=True):
            logger.debug("applying %s", path.name)
            cursor.execute(text)
        cursor.execute("DELETE FROM homerec.serving_objects")
        cursor.execute("INSERT INTO homerec.serving_objects (checksum) VALUES (%s)", (digest,))
