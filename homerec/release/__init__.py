"""Releases: a night's Homes written, audited and published as one, and what backends read."""

from homerec.release.info import AuditLimits, ReleaseInfo
from homerec.release.pointer import (
    keep,
    live_release,
    recent_moves,
    releases,
    resume,
    rollback,
)
from homerec.release.publishing import publish
from homerec.release.reading import home

__all__ = [
    "AuditLimits",
    "ReleaseInfo",
    "home",
    "keep",
    "live_release",
    "publish",
    "recent_moves",
    "releases",
    "resume",
    "rollback",
]
