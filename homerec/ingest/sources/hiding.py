"""Keeping passwords out of everything that is written down or shown."""

import re
from typing import Final
from urllib.parse import quote

from sqlalchemy.engine import URL

#: What stands in a password's place.
HIDDEN: Final = "***"

_USER_INFO: Final = re.compile(r"(?<=://)([^/\s:@]*):([^/\s]*)@")
_SECRET_NAME: Final = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(
    r"(?<=[?&])([^=&\s]*(?:pass|pwd|secret|token|key|credential|signature)[^=&\s]*)=[^&\s]*",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """Return a text with the passwords of the URIs in it hidden.

    >>> masked("sftp://ada:secret@host/logs?token=abc&x=1")
    'sftp://ada:***@host/logs?token=***&x=1'
    """
    text = _USER_INFO.sub(rf"\1:{HIDDEN}@", text)
    return _SECRET_VALUE.sub(rf"\1={HIDDEN}", text)


def shown_url(url: URL) -> str:
    """Write a database's URL with its password, and secrets among its options, hidden."""
    hidden = {k: HIDDEN if _SECRET_NAME.search(k) else v for k, v in url.query.items()}
    text = url.set(query=hidden).render_as_string(hide_password=True)
    return text.replace(quote(HIDDEN, safe=""), HIDDEN)


def has_secret(url: URL) -> bool:
    """Whether a database's URL holds a password or another secret."""
    return bool(url.password) or any(_SECRET_NAME.search(k) for k in url.query)


def secrets_of(url: URL) -> list[str]:
    """Every secret in a database's URL, the longest first."""
    found = [str(url.password)] if url.password else []
    found += [str(v) for k, v in url.query.items() if _SECRET_NAME.search(k)]
    return sorted(found, key=len, reverse=True)


def scrubbed(text: str, url: URL) -> str:
    """Return a text without the secrets of a URL, as drivers may quote them in their errors."""
    for secret in secrets_of(url):
        text = text.replace(secret, HIDDEN)
    return masked(text)
