"""What a new server needs before the first migration: roles, databases, and their rights."""

import logging
from typing import Any

from psycopg2 import sql
from sqlalchemy.engine import URL

from homerec.database import migrations, secrets, urls
from homerec.settings import Settings

logger = logging.getLogger(__name__)


def prepare(settings: Settings, host: str, port: int) -> None:
    """Create the roles and the database of the embedded server where they are missing, and migrate.

    Parameters
    ----------
    settings : Settings
        Of the deployment.
    host, port : str, int
        Where the server accepts connections.
    """
    passwords = secrets.ensure_secrets(settings, secrets.SUPERUSER, secrets.APP, secrets.READER)
    owner = _url(secrets.SUPERUSER, passwords[secrets.SUPERUSER], host, port, "postgres")
    with (
        urls.psycopg2_connection(owner, autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        for role in (secrets.APP, secrets.READER):
            _ensure_role(cursor, role, passwords[role])
        _ensure_database(cursor, urls.DATABASE, secrets.APP)
        cursor.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                sql.Identifier(urls.DATABASE), sql.Identifier(secrets.READER)
            )
        )
    migrations.migrate(_url(secrets.APP, passwords[secrets.APP], host, port, urls.DATABASE))


def ensure_owned_database(settings: Settings, name: str) -> str:
    """Create a database and a role of the same name on the embedded server, for another program.

    Airflow's metadata lives in such a database; calling it again changes nothing.

    Returns
    -------
    str
        SQLAlchemy URL with the role's password.

    Raises
    ------
    DatabaseError
        The embedded server does not run.
    """
    password = secrets.ensure_secrets(settings, name)[name]
    owner = urls.embedded_url(settings, secrets.SUPERUSER, "postgres")
    with (
        urls.psycopg2_connection(owner, autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        _ensure_role(cursor, name, password)
        _ensure_database(cursor, name, name)
    return urls.embedded_url(settings, name, name)


def _url(role: str, password: str, host: str, port: int, database: str) -> str:
    return urls.render(URL.create(urls.DRIVER, role, password, host, port, database))


def _ensure_role(cursor: Any, role: str, password: str) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    verb = "ALTER" if cursor.fetchone() else "CREATE"
    statement = sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
        sql.SQL(verb), sql.Identifier(role), sql.Literal(password)
    )
    cursor.execute(statement)


def _ensure_database(cursor: Any, name: str, owner: str) -> None:
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
    if cursor.fetchone():
        return
    database, role = sql.Identifier(name), sql.Identifier(owner)
    cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
    # Nobody but the owner and those it names may connect, or fill the disk with temporary tables.
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    logger.info("created database %s", name)
