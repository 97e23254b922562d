from datetime import date

import numpy as np
import pytest

from homerec.drift.check import Limits, check, compare, enforce, volumes
from homerec.drift.histogram import Histograms, count, freeze
from homerec.drift.report import DriftReport
from homerec.errors import ArtifactError, DriftExceeded, EmptyInput, SettingsError

AS_OF = date(2026, 3, 15)
RNG = np.random.default_rng(9)
NAMES = ["genre", "score"]
TRAINING = np.column_stack([np.repeat([0.0, 1.0], [8, 92]).repeat(20), RNG.random(2_000)])
REFERENCE = freeze(TRAINING, NAMES, label="2026-03-08 (champion podcasts v7)")
NEWS = np.column_stack([np.repeat([0.0, 1.0], [30, 70]).repeat(20), TRAINING[:, 1]])


def now(values: np.ndarray = TRAINING, names: list[str] = NAMES) -> Histograms:
    return count(REFERENCE, values, names, label="2026-03-15")


def report(*references: Histograms | None, current: Histograms | None = None) -> DriftReport:
    chosen = current if current is not None else now()
    return check("podcasts", "features", AS_OF, chosen, references, Limits())


def test_equal_windows_show_no_drift() -> None:
    found = compare(REFERENCE, now(), Limits())
    assert [(f.feature, f.status, f.distance) for f in found] == [
        ("genre", "ok", 0.0),
        ("score", "ok", 0.0),
    ]


def test_drift_says_what_moved_between_which_windows() -> None:
    found = compare(REFERENCE, now(NEWS), Limits(default=0.15))
    assert found[0].status == "drifted"
    assert found[0].message() == (
        "genre drift 0.220 > 0.150 between 2026-03-08 (champion podcasts v7) and 2026-03-15; "
        "'0.0' 0.08 -> 0.30."
    )
    assert found[1].status == "ok"


def test_a_distance_equal_to_its_limit_passes() -> None:
    distance = compare(REFERENCE, now(NEWS), Limits())[0].distance
    assert distance is not None
    exact = Limits(per_feature={"genre": distance})
    assert compare(REFERENCE, now(NEWS), exact)[0].status == "ok"
    below = Limits(per_feature={"genre": np.nextafter(distance, 0)})
    assert compare(REFERENCE, now(NEWS), below)[0].status == "drifted"


def test_a_limit_of_its_own_replaces_the_default() -> None:
    limits = Limits(default=0.5, per_feature={"genre": 0.1})
    assert [f.status for f in compare(REFERENCE, now(NEWS), limits)] == ["drifted", "ok"]


def test_missing_values_are_drift() -> None:
    values = TRAINING.copy()
    values[:600, 1] = np.nan
    found = compare(REFERENCE, now(values), Limits())[1]
    assert (found.status, found.bin, found.current_share) == ("drifted", "missing", 0.3)


def test_a_missing_column_fails_and_an_extra_one_is_noted() -> None:
    current = now(TRAINING, ["genre", "tempo"])
    found = {f.feature: f for f in compare(REFERENCE, current, Limits())}
    assert (found["score"].status, found["score"].failed) == ("missing", True)
    assert (found["tempo"].status, found["tempo"].failed) == ("extra", False)
    with pytest.raises(DriftExceeded, match="score is missing between 2026-03-08"):
        enforce(report(REFERENCE, current=current))


def test_when_every_column_is_missing_every_one_fails() -> None:
    current = now(TRAINING[:, :1], ["tempo"])
    assert [f.status for f in compare(REFERENCE, current, Limits())] == [
        "missing",
        "missing",
        "extra",
    ]


def test_too_few_rows_fail_and_measure_nothing() -> None:
    found = compare(REFERENCE, now(TRAINING[:10]), Limits(), min_rows=11)
    assert [(f.feature, f.status, f.distance) for f in found] == [("rows", "too_few_rows", 10.0)]
    with pytest.raises(DriftExceeded, match=r"rows 10 < 1000 between .*too few to judge"):
        enforce(report(REFERENCE, current=now(TRAINING[:10])))
    assert compare(REFERENCE, now(TRAINING[:10]), Limits(default=1), min_rows=10)[0].status == "ok"


def test_an_empty_side_is_an_error() -> None:
    empty = Histograms({}, 0)
    for reference, current in ((empty, now()), (REFERENCE, empty), (Histograms({}, 5), now())):
        with pytest.raises(EmptyInput, match="at least 1 of each is needed"):
            compare(reference, current, Limits(), min_rows=0)


def test_other_edges_are_an_error() -> None:
    other = freeze(RNG.random((2_000, 2)), NAMES)
    with pytest.raises(ArtifactError, match="counted on other edges"):
        compare(REFERENCE, other, Limits())


@pytest.mark.parametrize("limit", [-0.1, 1.1, float("nan")])
def test_a_limit_out_of_range_is_refused(limit: float) -> None:
    with pytest.raises(SettingsError, match="allowed is 0 to 1"):
        Limits(per_feature={"genre": limit})


def test_a_first_night_is_recorded_and_passes() -> None:
    found = enforce(report(None, None))
    assert found.passed
    assert [f.status for f in found.features] == ["first", "first"]
    assert "There is no reference yet" in found.render()


def test_a_first_night_with_too_few_rows_fails() -> None:
    with pytest.raises(DriftExceeded, match="rows 10 < 1000"):
        enforce(report(None, current=now(TRAINING[:10])))


def test_every_reference_counts() -> None:
    yesterday = count(REFERENCE, NEWS, NAMES, label="2026-03-14")
    found = report(yesterday, REFERENCE, current=now(NEWS))
    assert [(f.feature, f.reference, f.status) for f in found.failures] == [
        ("genre", "2026-03-08 (champion podcasts v7)", "drifted")
    ]


def test_a_weekday_feature_is_compared_with_its_weekday() -> None:
    yesterday = count(REFERENCE, TRAINING, NAMES, label="2026-03-14")
    last_week = count(REFERENCE, NEWS, NAMES, label="2026-03-08")
    training = count(REFERENCE, np.vstack([TRAINING, NEWS]), NAMES, label="training")
    found = check(
        "podcasts",
        "features",
        AS_OF,
        now(NEWS),
        [training, yesterday],
        Limits(),
        weekday_reference=last_week,
        weekday_features={"genre"},
    )
    assert found.passed
    assert [(f.feature, f.reference) for f in found.features] == [
        ("genre", "training"),
        ("score", "training"),
        ("score", "2026-03-14"),
        ("genre", "2026-03-08"),
    ]


def test_an_accepted_drift_passes_and_is_recorded() -> None:
    failing = report(REFERENCE, current=now(NEWS))
    with pytest.raises(DriftExceeded, match=r"0\.220 > 0\.150 .*See docs/runbook\.md#drift\.$"):
        enforce(failing, {"score"})
    passed = enforce(failing, {"genre": "any mapping", "unrelated": ""})
    assert passed.passed
    assert passed.accepted == ("genre",)
    assert "accepted" in passed.render()


def test_missing_columns_and_rows_cannot_be_accepted() -> None:
    with pytest.raises(DriftExceeded, match="score is missing"):
        enforce(report(REFERENCE, current=now(TRAINING[:, :1], ["genre"])), {"score"})
    with pytest.raises(DriftExceeded, match="rows 10"):
        enforce(report(REFERENCE, current=now(TRAINING[:10])), {"rows"})


def test_many_failures_are_counted() -> None:
    names = [f"f{i}" for i in range(30)]
    reference = freeze(np.tile(TRAINING[:, 1:], 30), names)
    current = count(reference, np.tile(TRAINING[:, 1:] + 2, 30), names)
    with pytest.raises(DriftExceeded, match="And 20 more") as caught:
        enforce(check("podcasts", "features", AS_OF, current, [reference], Limits()))
    assert len(str(caught.value).split("\n")) == 12


def test_volumes_see_what_a_distance_cannot() -> None:
    found = volumes(
        {"DE": 1_000, "SE": 1_000, "NO": 1_000, "FI": 1_000, "IS": 9, "DK": 500},
        {"DE": 500, "SE": 499, "NO": 1_501, "FI": 1_500, "IS": 0, "FR": 200},
        0.5,
    )
    assert {v.name: v.status for v in found} == {
        "DE": "ok",
        "SE": "drifted",
        "NO": "drifted",
        "FI": "ok",
        "IS": "small",
        "DK": "drifted",
        "FR": "new",
    }
    assert found[1].message() == "SE volume 1000 -> 499 (-50.1%); allowed is a change of 50%."
    assert found[-1].change is None
    assert found[-1].message().startswith("FR volume 0 -> 200 (new)")


def test_a_vanished_volume_fails_whatever_the_limit() -> None:
    found = volumes({"DE": 1_000, "SE": 900}, {"SE": 900}, 5.0)
    assert [v.status for v in found] == ["drifted", "ok"]


def test_empty_volumes_and_a_limit_of_nothing_are_errors() -> None:
    for reference, current in (({}, {"DE": 1}), ({"DE": 1}, {}), ({"DE": 1}, {"DE": 0})):
        with pytest.raises(EmptyInput, match="counts 0 rows"):
            volumes(reference, current, 0.5)
    with pytest.raises(SettingsError, match="must be above 0"):
        volumes({"DE": 1}, {"DE": 1}, float("nan"))


def test_a_volume_can_be_accepted() -> None:
    found = volumes({"events/DE": 1_000}, {"events/DE": 100}, 0.5)
    failing = check("podcasts", "snapshot", AS_OF, now(), [None], Limits(), volumes_found=found)
    with pytest.raises(DriftExceeded, match=r"events/DE volume 1000 -> 100 \(-90\.0%\)"):
        enforce(failing)
    assert enforce(failing, {"events/DE"}).accepted == ("events/DE",)


def test_a_report_round_trips_and_renders_every_row() -> None:
    found = volumes({"events/DE": 1_000, "SE": 5}, {"events/DE": 100, "FI": 1}, 0.5)
    current = now(NEWS, ["genre", "tempo"])
    whole = check(
        "podcasts", "snapshot", AS_OF, current, [REFERENCE], Limits(), volumes_found=found
    )
    assert DriftReport.from_json(whole.to_json()) == whole
    text = whole.render()
    assert text.startswith("Drift of podcasts, snapshot as of 2026-03-15: FAILED (3)")
    for name in ("genre", "tempo", "score", "events/DE", "'0.0' 0.08 -> 0.30"):
        assert name in text
    few = report(REFERENCE, current=now(TRAINING[:10]))
    assert DriftReport.from_json(few.to_json()) == few
    assert "1000" in few.render()
    with pytest.raises(ArtifactError, match="cannot be read"):
        DriftReport.from_json("{}")


def test_messages_of_what_is_fine_are_sentences_too() -> None:
    assert compare(REFERENCE, now(), Limits())[0].message().startswith("genre drift 0.000 <= 0.150")
    assert "is recorded" in report(None).features[0].message()
    extra = compare(REFERENCE, now(np.hstack([TRAINING] * 2)[:, :3], [*NAMES, "x"]), Limits())[-1]
    assert "does not use it" in extra.message()
    assert report(REFERENCE).failure_message() == ""
