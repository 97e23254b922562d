"""The door to MLflow: a quiet client, made when it is first needed, with homerec's errors."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from homerec.errors import RegistryError, TransientError

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Set before MLflow is imported, and only where the deployment has not set them itself.
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
_PASSWORD: Final = re.compile(r"(://[^:@/\s]*:)[^@\s]*@")
#: Any number that no other program locks.
_LOCK: Final = 0x686F6D65726563
_ABSENT: Final = "RESOURCE_DOES_NOT_EXIST"
_EXISTS: Final = "RESOURCE_ALREADY_EXISTS"
#: Codes after which the same call may succeed later.
_PASSING: Final = frozenset(
    {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "ABORTED", "INTERNAL_ERROR"}
)


def make_client(tracking_uri: str) -> "MlflowClient":
    """Open a client; the first one on an empty database creates MLflow's tables.

    Raises
    ------
    RegistryError, TransientError
        The store cannot be opened.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() < logging.WARNING:
            logger.setLevel(logging.WARNING)
    with (
        translated(f"opening the registry at {without_password(tracking_uri)}"),
        _alone(tracking_uri),
    ):
        client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
        # The two stores connect on first use; a wrong address should fail here, by its name.
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        return client


@contextlib.contextmanager
def _alone(uri: str) -> Iterator[None]:
    """Let one process at a time open a Postgres store, so that one makes the tables."""
    if not uri.startswith("postgres"):
        yield
        return
    import sqlalchemy as sa

    # MLflow itself tries an unreachable server for 100 s; this connection fails at once.
    engine = sa.create_engine(uri, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        yield


def without_password(uri: str) -> str:
    """Render a URI so that it may stand in a message."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(uri).render_as_string(hide_password=True)
    except ArgumentError:
        return uri


def is_absent(error: Exception) -> bool:
    """Whether MLflow says that something does not exist."""
    return getattr(error, "error_code", None) == _ABSENT or (
        # An alias that is not set is reported as an invalid parameter.
        getattr(error, "error_code", None) == "INVALID_PARAMETER_VALUE"
        and "alias" in str(error)
        and "not found" in str(error)
    )


def exists_already(error: Exception) -> bool:
    """Whether MLflow says that something was created before."""
    return getattr(error, "error_code", None) == _EXISTS


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise MLflow's errors as homerec's.

    Raises
    ------
    TransientError
        The store cannot be reached now.
    RegistryError
        The store refuses.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        # A statement's own text would list its parameters; the driver's message is enough.
        told = str(getattr(error, "orig", None) or error)
        text = _PASSWORD.sub(r"\1***@", told)
        passing = isinstance(error, DBAPIError) or getattr(error, "error_code", None) in _PASSING
        kind = TransientError if passing else RegistryError
        said = f"MLflow {'failed' if passing else 'refused'} while {doing}: {text}"
        # MLflow repeats the whole address: then the original must not be shown beside ours.
        raise kind(said) from (error if text == told else None)
