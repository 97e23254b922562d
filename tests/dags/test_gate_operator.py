from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, DownstreamTasksSkipped

from homerec.errors import GateError
from homerec_airflow import steps
from homerec_airflow.gate import EvaluationGateOperator


class Instance:
    """As much of a task instance as the operator uses."""

    map_index = -1

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture
def gate() -> EvaluationGateOperator:
    with DAG("gate_test", schedule=None):
        made = EvaluationGateOperator(task_id="gate", model="podcasts", as_of="2026-03-02")
        made >> EmptyOperator(task_id="promoted")
    return made


def test_a_promotion_lets_the_rest_run(gate: EvaluationGateOperator, library: Any) -> None:
    found = gate.execute({"ti": Instance()})
    assert found["outcome"] == "promote"
    assert library.calls == [("judge", "2026-03-02", "podcasts")]


@pytest.mark.parametrize(("outcome", "told"), [("hold", 0), ("reject", 1)])
def test_without_a_promotion_the_rest_is_skipped_and_the_verdict_kept(
    gate: EvaluationGateOperator,
    library: Any,
    alerts_sent: list[tuple[str, str]],
    outcome: str,
    told: int,
) -> None:
    library.outcome = outcome
    instance = Instance()
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        gate.execute({"ti": instance})
    assert list(skipped.value.tasks) == ["promoted"]
    assert instance.pushed["return_value"]["outcome"] == outcome
    assert instance.pushed["return_value"]["verdict"] == "the table"
    assert len(alerts_sent) == told


def test_a_gate_that_cannot_judge_is_not_tried_again(
    gate: EvaluationGateOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(as_of: str, model: str) -> dict[str, Any]:
        raise GateError("metric_floor is missing")

    monkeypatch.setattr(steps, "judge", refuse)
    with pytest.raises(AirflowFailException, match="GateError: metric_floor is missing"):
        gate.execute({"ti": Instance()})
