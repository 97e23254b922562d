from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from homerec.errors import SettingsError
from homerec_airflow.as_of import as_of_of_run

DUE = datetime(2026, 3, 2, 3, 30, tzinfo=UTC)
CLICKED = datetime(2026, 3, 5, 17, 4, tzinfo=UTC)
AHEAD = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("params", "logical_date", "run_after", "expected"),
    [
        pytest.param({"as_of": None}, DUE, DUE, date(2026, 3, 2), id="scheduled"),
        pytest.param({}, DUE, DUE, date(2026, 3, 2), id="scheduled, no form"),
        pytest.param({"as_of": ""}, None, CLICKED, date(2026, 3, 5), id="manual, no date"),
        pytest.param({"as_of": None}, CLICKED, CLICKED, date(2026, 3, 5), id="manual, dated"),
        pytest.param({"as_of": "2016-01-01"}, None, CLICKED, date(2016, 1, 1), id="form"),
        pytest.param({"as_of": "2016-01-01"}, DUE, CLICKED, date(2016, 1, 1), id="form wins"),
        pytest.param({"as_of": None}, DUE, CLICKED, date(2026, 3, 2), id="backfill of a past day"),
        pytest.param({"as_of": None}, None, CLICKED, date(2026, 3, 5), id="asset-triggered"),
        pytest.param(
            {},
            datetime(2026, 3, 2, 3, 30, tzinfo=AHEAD),
            CLICKED,
            date(2026, 3, 1),
            id="another zone's morning is yesterday in UTC",
        ),
    ],
)
def test_the_date_of_a_run(
    params: dict[str, str], logical_date: datetime | None, run_after: datetime, expected: date
) -> None:
    assert as_of_of_run(params, logical_date, run_after) == expected


def test_a_form_that_is_no_date_names_what_it_needs() -> None:
    with pytest.raises(SettingsError, match=r"as_of is '2\. March'.*YYYY-MM-DD"):
        as_of_of_run({"as_of": "2. March"}, DUE, DUE)


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(SettingsError, match="no time zone"):
        as_of_of_run({}, datetime(2026, 3, 2), DUE)  # noqa: DTZ001
