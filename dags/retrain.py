"""One DAG per model: train a challenger, and let the gate decide."""

from typing import Any, cast

from airflow.sdk import DAG, Asset, chain, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from homerec.models.catalogue import ModelEntry, read_catalogue
from homerec.settings import load_settings
from homerec_airflow import steps
from homerec_airflow.common import AS_OF, as_of_param, cron, dag_arguments, resolve_as_of
from homerec_airflow.errors import translated
from homerec_airflow.gate import EvaluationGateOperator


@task
def challenger(as_of: str, model: str) -> dict[str, Any]:
    """Fit a version on what was known at the date, evaluate it beside its rivals, register it."""
    with translated():
        made = steps.challenge(as_of, model)
    if made["version"] is None:
        raise AirflowSkipException(f"{model} was not trained: {made['skipped']}.")
    return made


def retrain_dag(model: ModelEntry) -> DAG:
    """Make the DAG of one model."""
    champion = Asset(f"homerec_champion_{model.name}")

    @task(outlets=[champion])
    def promoted(verdict: dict[str, Any]) -> int:
        """Tell that the model has a new champion."""
        events = get_current_context()["outlet_events"]
        events[champion].extra = {"version": verdict["version"]}
        return int(verdict["version"])

    with DAG(
        f"retrain_{model.name}",
        schedule=cron(model.cadence) if model.enabled else None,
        params={"as_of": as_of_param()},
        **dag_arguments(f"Retrain {model.name} ({model.shelf}).", "gate", ("retrain",)),
    ) as dag:
        gate = EvaluationGateOperator(
            task_id="gate",
            model=model.name,
            as_of=AS_OF,
            doc_md="Promote, hold or reject the challenger; the verdict is in the log.",
        )
        chain(
            resolve_as_of(),
            challenger(AS_OF, model.name),
            gate,
            promoted(cast("dict[str, Any]", gate.output)),
        )
    return dag


for entry in read_catalogue(load_settings()):
    retrain_dag(entry)
