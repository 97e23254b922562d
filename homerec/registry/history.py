"""Which version was champion when; pure functions over the versions of one model."""

import itertools
from collections.abc import Iterable, Sequence
from datetime import date, datetime

from homerec.registry.version import CHAMPION, Version


def in_order_of_promotion(versions: Iterable[Version]) -> list[Version]:
    """Versions that are or were champion and were not rolled back; today's champion is the last."""
    found = [
        (CHAMPION in version.aliases, version.promoted_at, version.version, version)
        for version in versions
        if version.promoted_at is not None and version.status in ("champion", "former")
    ]
    # The alias is the truth: whatever the tags say, its version was promoted last.
    return [entry[-1] for entry in sorted(found, key=lambda entry: entry[:3])]


def champion_of_date(promoted: Sequence[Version], as_of: date) -> tuple[Version | None, bool]:
    """Champion whose labels end at or before a date, and whether there is hindsight instead.

    Parameters
    ----------
    promoted : sequence of Version
        From :func:`in_order_of_promotion`.
    as_of : date
        The date to be computed.
    """
    fitting = [version for version in promoted if version.labels_end <= as_of]
    if fitting:
        return fitting[-1], False
    if not promoted:
        return None, False
    return min(promoted, key=lambda v: (v.labels_end, -v.version)), True


def past_champions(promoted: Sequence[Version], since: datetime, until: datetime) -> list[Version]:
    """Versions in production at some moment of a period and followed by another, best first.

    Parameters
    ----------
    promoted : sequence of Version
        From :func:`in_order_of_promotion`.
    since, until : datetime
        Aware bounds of the period.
    """
    dated = [(v, v.promoted_at) for v in promoted if v.promoted_at and v.promoted_at <= until]
    # A version is in production until the next one is promoted, so the last one is not past.
    past = [version for (version, _), (_, end) in itertools.pairwise(dated) if end >= since]
    return sorted(past, key=_quality, reverse=True)


def _quality(version: Version) -> tuple[bool, float, int]:
    value = 0.0 if version.verdict is None else version.verdict.value
    return (version.verdict is not None, value, version.version)
