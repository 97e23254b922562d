"""The embedded Postgres of tests, where a machine can run it."""

import os

import pytest

from homerec.database import embedded
from homerec.errors import DatabaseError
from homerec.settings import Settings


def start_server(settings: Settings) -> None:
    """Start the embedded Postgres; where it cannot run, fail in CI and skip elsewhere."""
    try:
        embedded.start(settings)
    except DatabaseError as error:
        embedded.remove(settings)
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the embedded Postgres cannot run here: {error}")
