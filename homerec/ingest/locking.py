"""One writer of the lake at a time."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from homerec.errors import TransientError
from homerec.lake import Lake


@contextmanager
def writing(lake: Lake) -> Iterator[None]:
    """Hold the lake's lock: two ingests at once would give the same keys to different ids.

    Raises
    ------
    TransientError
        Another process holds it.
    """
    lake.tables.mkdir(parents=True, exist_ok=True)
    path = lake.tables / ".ingest.lock"
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TransientError(
                f"Another ingest into {lake.tables} is running ({path} is locked). Try again later."
            ) from error
        yield
