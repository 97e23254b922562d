"""The one place that says for which date a run computes."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from homerec.errors import SettingsError


def as_of_of_run(
    params: Mapping[str, Any], logical_date: datetime | None, run_after: datetime
) -> date:
    """Return the form's date, else the UTC date of ``logical_date``, else of ``run_after``.

    Parameters
    ----------
    params : mapping
        The run's form; ``as_of`` is ISO text, or empty.
    logical_date : datetime or None
        Aware; of a scheduled run the time it was due, of a backfill the day it fills. A run by hand
        or by an asset may have none.
    run_after : datetime
        Aware; every run has one.

    Raises
    ------
    SettingsError
        The form's text is no date, or a moment has no time zone.

    Examples
    --------
    >>> due = datetime(2026, 3, 2, 3, 30, tzinfo=UTC)
    >>> as_of_of_run({"as_of": None}, due, due)
    datetime.date(2026, 3, 2)
    >>> as_of_of_run({"as_of": "2016-01-01"}, due, due)
    datetime.date(2016, 1, 1)
    """
    given = str(params.get("as_of") or "").strip()
    if given:
        try:
            return date.fromisoformat(given)
        except ValueError as error:
            raise SettingsError(
                f"as_of is {given!r} in the form of this run; write YYYY-MM-DD, or leave it empty."
            ) from error
    moment = logical_date or run_after
    if moment.tzinfo is None:
        raise SettingsError(f"{moment!r} has no time zone, so its UTC date is not known.")
    return moment.astimezone(UTC).date()
