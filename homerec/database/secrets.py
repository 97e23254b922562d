"""Passwords of the embedded server, made once and kept in a file that only its owner may read."""

import json
import logging
import os
import secrets as random_secrets
from pathlib import Path

from homerec.errors import DatabaseError
from homerec.settings import Settings

logger = logging.getLogger(__name__)

#: Name in the file of each role's password.
SUPERUSER = "postgres"
APP = "homerec_app"
READER = "homerec_reader"


def secrets_file(settings: Settings) -> Path:
    """Path of the file of secrets (mode 0600)."""
    return settings.home / "secrets.json"


def read_secrets(settings: Settings) -> dict[str, str]:
    """Read the secrets made so far; an empty dictionary when there are none.

    Raises
    ------
    DatabaseError
        The file cannot be read, or holds something else.
    """
    path = secrets_file(settings)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DatabaseError(
            f"The secrets in {path} cannot be read ({error}). Restore the file, or remove the "
            "embedded "
            "database and start anew."
        ) from error
    if not isinstance(values, dict):
        raise DatabaseError(
            f"{path} holds {type(values).__name__}, an object of names and values is needed."
        )
    return {str(name): str(value) for name, value in values.items()}


def ensure_secrets(settings: Settings, *names: str) -> dict[str, str]:
    """Return all secrets, after making those of ``names`` that do not exist yet.

    A value is never replaced, so that calling it again changes nothing.
    """
    values = read_secrets(settings)
    missing = [name for name in names if name not in values]
    if not missing:
        return values
    for name in missing:
        values[name] = random_secrets.token_urlsafe(24)
    path = secrets_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    # Created with its mode: it must not be readable by others even for a moment.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(values, stream, indent=2, sort_keys=True)
            stream.write("\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    logger.info("made secrets %s in %s", ", ".join(missing), path)
    return values
