from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from homerec.drift.check import Limits, check
from homerec.drift.histogram import Histograms, count, freeze
from homerec.drift.references import References
from homerec.drift.report import DriftReport
from homerec.errors import ArtifactError, SnapshotError

SUNDAY = date(2026, 3, 15)
VALUES = np.random.default_rng(2).random((2_000, 1))
FROZEN = freeze(VALUES, ["score"])


@pytest.fixture
def references(tmp_path: Path) -> References:
    return References(tmp_path)


def night(as_of: date, frozen: Histograms = FROZEN) -> tuple[DriftReport, Histograms]:
    current = count(frozen, VALUES, ["score"], label=as_of.isoformat())
    return check("podcasts", "features", as_of, current, [frozen], Limits()), current


def save(references: References, *days: date) -> None:
    for day in days:
        assert references.save_passed(*night(day))


def label(found: Histograms | None) -> str | None:
    return found.label if found else None


def test_the_last_night_that_passed_is_the_reference(references: References) -> None:
    assert references.load("podcasts", "features", SUNDAY) is None
    save(references, *(SUNDAY - timedelta(days=d) for d in (8, 7, 3, 2)))
    assert label(references.load("podcasts", "features", SUNDAY)) == "2026-03-13"
    assert label(references.load("podcasts", "features", SUNDAY, same_weekday=True)) == "2026-03-08"
    assert references.load("podcasts", "snapshot", SUNDAY) is None
    assert references.load("playlists", "features", SUNDAY) is None


def test_a_date_is_never_its_own_reference(references: References) -> None:
    save(references, SUNDAY)
    assert references.load("podcasts", "features", SUNDAY) is None
    assert label(references.load("podcasts", "features", SUNDAY + timedelta(days=1))) == str(SUNDAY)


def test_a_backfilled_date_neither_replaces_nor_lacks_a_reference(references: References) -> None:
    save(references, SUNDAY)
    assert not references.save_passed(*night(SUNDAY - timedelta(weeks=1)))
    found = references.load("podcasts", "features", SUNDAY - timedelta(weeks=1))
    assert label(found) == str(SUNDAY)


def test_a_new_champions_edges_bring_new_references(references: References) -> None:
    save(references, SUNDAY)
    other = freeze(VALUES * 2, ["score"])
    monday = SUNDAY + timedelta(days=1)
    assert references.load("podcasts", "features", monday, like=FROZEN) is not None
    assert references.load("podcasts", "features", monday, like=other) is None


def test_what_failed_never_becomes_a_reference(references: References) -> None:
    current = count(FROZEN, VALUES + 5, ["score"])
    report = check("podcasts", "features", SUNDAY, current, [FROZEN], Limits())
    with pytest.raises(SnapshotError, match=r"1 failures. and cannot become a reference"):
        references.save_passed(report, current)
    assert references.load("podcasts", "features", SUNDAY + timedelta(days=1)) is None


def test_a_damaged_reference_is_an_error(references: References) -> None:
    save(references, SUNDAY)
    references.path("podcasts", "features", SUNDAY.weekday()).write_text("{}")
    with pytest.raises(ArtifactError, match="Delete it"):
        references.load("podcasts", "features", SUNDAY + timedelta(days=1))


@pytest.mark.parametrize("name", ["", "..", "a/b", "."])
def test_a_name_cannot_leave_the_folder(references: References, name: str) -> None:
    with pytest.raises(SnapshotError, match="cannot name a drift reference"):
        references.path(name, "features", 0)
    with pytest.raises(SnapshotError, match="Weekday is 7"):
        references.path("podcasts", "features", 7)
