import subprocess
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from homerec.errors import ArtifactError, DriftExceeded, TransientError
from homerec_airflow import steps
from homerec_airflow.drift import DriftSensor


def sensor(**changes: Any) -> DriftSensor:
    given = {"task_id": "drift", "as_of": "2026-03-02", "mode": "poke", "poke_interval": 0}
    return DriftSensor(**{**given, **changes})


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "snapshot_is_kept", lambda as_of: True)


def test_a_pass_ends_the_sensor(library: Any) -> None:
    sensor(model="podcasts").execute({})
    assert library.calls == [("drift", "2026-03-02", "podcasts")]


@pytest.mark.parametrize("name", ["soft_fail", "never_fail", "silent_fail"])
def test_what_would_hide_drift_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"takes no {name}: drift must fail the run"):
        sensor(**{name: True})


def test_what_would_hide_drift_may_be_named_as_off() -> None:
    assert sensor(soft_fail=False, never_fail=False).soft_fail is False


@pytest.mark.parametrize("error", [DriftExceeded, ArtifactError])
def test_drift_fails_at_once_with_the_librarys_message(
    there: None, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    calls = []

    def found(as_of: str, model: str | None) -> str:
        calls.append((as_of, model))
        raise error("show_genre drift 0.217 > 0.150")

    monkeypatch.setattr(steps, "check_drift", found)
    with pytest.raises(AirflowFailException, match=rf"{error.__name__}: show_genre drift 0\.217"):
        sensor().execute({})
    assert calls == [("2026-03-02", None)]


@pytest.mark.parametrize("error", [TransientError("no route"), subprocess.SubprocessError("odd")])
def test_a_failure_of_the_surroundings_may_be_retried(
    there: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(as_of: str, model: str | None) -> str:
        raise error

    monkeypatch.setattr(steps, "check_drift", broken)
    with pytest.raises(type(error)) as caught:
        sensor().execute({})
    assert not isinstance(caught.value, AirflowFailException)


def test_it_waits_for_the_snapshot_and_then_checks_once(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, False, True])
    monkeypatch.setattr(steps, "snapshot_is_kept", lambda as_of: next(answers))
    sensor().execute({})
    assert library.names() == ["drift"]


def test_a_snapshot_that_never_comes_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "snapshot_is_kept", lambda as_of: False)
    with pytest.raises(AirflowSensorTimeout):
        sensor(timeout=0).execute({})


def test_it_leaves_its_slot_while_it_waits() -> None:
    waiting = DriftSensor(task_id="drift", as_of="2026-03-02")
    assert (waiting.mode, waiting.poke_interval, waiting.timeout) == ("reschedule", 30, 900)
    assert tuple(waiting.template_fields) == ("as_of", "model")
