"""Connections for releases: autocommit outside, transactions where they are wanted."""

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg2

from homerec.database import urls
from homerec.errors import DatabaseError, TransientError
from homerec.settings import Settings

#: One publisher at a time; any number will do, as long as all use the same.
PUBLISH_LOCK = 7_402_113_900_002


@contextlib.contextmanager
def session(settings: Settings) -> Iterator[Any]:
    """Yield an autocommit psycopg2 connection of the role that writes, in UTC.

    Raises
    ------
    DatabaseError
        The database cannot be reached, has no serving schema, or refuses a statement.
    TransientError
        The connection was lost on the way.
    """
    with urls.psycopg2_connection(urls.app_url(settings), autocommit=True) as connection:
        try:
            execute(connection, "SET TIME ZONE 'UTC'")
            yield connection
        except psycopg2.errors.UndefinedTable as error:
            raise DatabaseError(
                f"The serving schema is missing or old ({str(error).splitlines()[0]}). Run: "
                "homerec db start."
            ) from error
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
            raise TransientError(
                f"The connection to Postgres failed: {str(error).strip()}"
            ) from error
        except psycopg2.Error as error:
            raise DatabaseError(f"Postgres refused a statement: {str(error).strip()}") from error


@contextlib.contextmanager
def transaction(connection: Any) -> Iterator[Any]:
    """Run the block in one transaction of an autocommit connection, and yield a cursor."""
    connection.autocommit = False
    try:
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    finally:
        if not connection.closed:
            connection.autocommit = True


def execute(connection: Any, statement: Any, parameters: Any = None) -> None:
    """Run one statement that returns nothing."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def rows(connection: Any, query: Any, parameters: Any = None) -> list[tuple[Any, ...]]:
    """Run a query and return its rows."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return list(cursor.fetchall())


@contextlib.contextmanager
def publishing_lock(connection: Any) -> Iterator[None]:
    """Hold the one lock of publishers; the server frees it when a publisher dies.

    Raises
    ------
    TransientError
        Another process publishes now.
    """
    if not rows(connection, "SELECT pg_try_advisory_lock(%s)", (PUBLISH_LOCK,))[0][0]:
        raise TransientError(
            "Another process is publishing a release now. Try again when it has ended."
        )
    try:
        yield
    finally:
        if not connection.closed:
            execute(connection, "SELECT pg_advisory_unlock(%s)", (PUBLISH_LOCK,))
