"""Addresses of the database, and the two ways to connect to it."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from homerec.database import secrets, state
from homerec.database.ports import HOST
from homerec.errors import DatabaseError, SettingsError
from homerec.settings import Settings

DRIVER = "postgresql+psycopg2"
DATABASE = "homerec"
READER_URL_VARIABLE = "HOMEREC_READER_URL"


def parse_url(url: str) -> URL:
    """Parse a SQLAlchemy URL and see that it names Postgres.

    Raises
    ------
    SettingsError
        It is not a URL, or of another database. The message never holds the password.
    """
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError as error:
        raise SettingsError(
            "The database URL cannot be read; needed is postgresql+psycopg2://user:password@host:port/name."
        ) from error
    if parsed.get_backend_name() not in {"postgresql", "postgres"}:
        raise SettingsError(
            f"The database URL names {parsed.get_backend_name()!r}; homerec serves from Postgres "
            "15 or newer."
        )
    return parsed.set(drivername=DRIVER)


def render(url: URL) -> str:
    """Write a URL with its password, as libraries want it."""
    return url.render_as_string(hide_password=False)


def embedded_url(settings: Settings, role: str, database: str) -> str:
    """URL of a role and database on the embedded server.

    Raises
    ------
    DatabaseError
        The server was never started here, or does not run, or has no such role.
    """
    status = state.status(settings)
    if not status.initialised or not status.running or status.port is None:
        what = "does not run" if status.initialised else "was never started"
        raise DatabaseError(
            f"The embedded Postgres of {settings.home} {what}. Start it with: homerec db start "
            "(or set HOMEREC_DATABASE_URL to another Postgres)."
        )
    password = secrets.read_secrets(settings).get(role)
    if password is None:
        raise DatabaseError(
            f"{secrets.secrets_file(settings)} has no password of {role!r}. Run: homerec db start."
        )
    return render(URL.create(DRIVER, role, password, HOST, status.port, database))


def app_url(settings: Settings) -> str:
    """SQLAlchemy URL of the role that writes (``homerec_app``).

    Raises
    ------
    DatabaseError
        No URL is set and the embedded server does not run.
    """
    if settings.database_url:
        return render(parse_url(settings.database_url))
    return embedded_url(settings, secrets.APP, DATABASE)


def reader_url(settings: Settings) -> str | None:
    """SQLAlchemy URL of the role that only reads (``homerec_reader``).

    Returns
    -------
    str or None
        With a Postgres of your own: ``HOMEREC_READER_URL``, or ``None`` when that is not set.

    Raises
    ------
    DatabaseError
        The embedded server does not run.
    """
    if settings.database_url:
        given = os.environ.get(READER_URL_VARIABLE)
        return render(parse_url(given)) if given else None
    return embedded_url(settings, secrets.READER, DATABASE)


def mlflow_url(settings: Settings) -> str:
    """Return the tracking URI: the one set, else the schema ``mlflow`` of the same database."""
    if settings.mlflow_tracking_uri:
        return settings.mlflow_tracking_uri
    url = parse_url(app_url(settings))
    present = url.query.get("options", "")
    options = present if isinstance(present, str) else " ".join(present)
    return render(url.update_query_dict({"options": f"{options} -csearch_path=mlflow".strip()}))


def engine(url: str) -> sa.Engine:
    """Make a SQLAlchemy engine with a small pool whose dead connections are found before use."""
    return sa.create_engine(
        parse_url(url), pool_size=2, max_overflow=4, pool_pre_ping=True, pool_recycle=1800
    )


@contextlib.contextmanager
def psycopg2_connection(url: str, *, autocommit: bool = False) -> Iterator[Any]:
    """Yield a psycopg2 connection: committed at the end, rolled back on an error, always closed.

    Parameters
    ----------
    url : str
        SQLAlchemy URL.
    autocommit : bool
        Every statement is its own transaction.

    Raises
    ------
    DatabaseError
        The server cannot be reached, or refuses the role.
    """
    parsed = parse_url(url)
    try:
        connection = psycopg2.connect(
            render(parsed.set(drivername="postgresql")),
            application_name="homerec",
            connect_timeout=10,
        )
    except psycopg2.OperationalError as error:
        where = f"{parsed.username}@{parsed.host}:{parsed.port}/{parsed.database}"
        raise DatabaseError(
            f"Postgres at {where} cannot be reached: {str(error).strip()}. See: homerec db status."
        ) from error
    try:
        connection.autocommit = autocommit
        yield connection
        if not autocommit:
            connection.commit()
    except BaseException:
        if not autocommit and not connection.closed:
            connection.rollback()
        raise
    finally:
        connection.close()
