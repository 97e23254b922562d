"""Bring files or a database's rows into the lake, without a night."""

from typing import Any

from airflow.sdk import DAG, get_current_context, task

from homerec_airflow import alerts, steps
from homerec_airflow.common import check_conf, dag_arguments, ingest_params
from homerec_airflow.errors import translated


@task
def ingest() -> dict[str, Any]:
    """Map, check and merge; on any error the lake stays as it was."""
    context = get_current_context()
    params = context["params"]
    with translated():
        check_conf(context)
        brought = steps.ingest(params["source"] or "", params["mapping"])
    alerts.tell_problem(steps.report_ingest(brought["ingest_id"]), get_current_context())
    return brought


with DAG(
    "ingest",
    schedule=None,
    params=ingest_params(),
    **dag_arguments(
        "Bring files of the inbox, of an object store, or a database's rows into the lake.",
        "ingest",
    ),
):
    ingest()
