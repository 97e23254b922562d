"""The one translation of homerec's errors into Airflow's."""

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from homerec.errors import DatabaseError, HomerecError, TransientError


@contextmanager
def translated() -> Iterator[None]:
    """Fail at once where a retry would meet the same data; let everything else be retried.

    Raises
    ------
    AirflowFailException
        In place of any :class:`homerec.errors.HomerecError` but those of the surroundings
        (``TransientError``, ``DatabaseError``), which pass unchanged like all other exceptions.
    """
    try:
        yield
    except (TransientError, DatabaseError):
        raise
    except HomerecError as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error
