"""Retention: what is kept of past releases, versions, data, and Airflow's own history."""

import shlex
import sys

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, chain, get_current_context, task

from homerec.settings import load_settings
from homerec_airflow import steps
from homerec_airflow.common import check_conf, cron, dag_arguments
from homerec_airflow.errors import translated

SETTINGS = load_settings()

# Airflow keeps its own database's URL from tasks, so this one is handed the URL under another name.
CLEAN_AIRFLOW = f"""
set -eu
: "${{HOMEREC_AIRFLOW_DATABASE_URL:?must hold the URL of the database of Airflow}}"
export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN="$HOMEREC_AIRFLOW_DATABASE_URL"
unset AIRFLOW__CORE__SQL_ALCHEMY_CONN
before="{{{{ (dag_run.run_after - macros.timedelta(days=params.airflow_days)).isoformat() }}}}"
exec {shlex.quote(sys.executable)} -m airflow db clean --clean-before-timestamp "$before" \
    --yes --skip-archive --error-on-cleanup-failure
"""


@task
def form() -> None:
    """Refuse a run that was triggered with a name that the form does not have."""
    with translated():
        check_conf(get_current_context())


@task
def retain() -> dict[str, int]:
    """Remove releases, versions, snapshots, nights, events, quarantine, experiments: see keep_*."""
    params = get_current_context()["params"]
    with translated():
        return steps.retain(int(params["keep_releases"]), int(params["keep_days"]))


with DAG(
    "housekeeping",
    schedule=cron("0 5 * * 0"),
    params={
        "keep_releases": Param(
            default=SETTINGS.keep_releases,
            type="integer",
            minimum=2,
            title="Releases",
            description="Kept at least.",
        ),
        "keep_days": Param(
            default=SETTINGS.keep_snapshot_days,
            type="integer",
            minimum=1,
            title="Days of snapshots and nights",
            description="Counted back from the newest night.",
        ),
        "airflow_days": Param(
            default=30,
            type="integer",
            minimum=7,
            title="Days of Airflow's history",
            description="Runs, tasks and logs' entries in Airflow's database.",
        ),
    },
    **dag_arguments("Remove what is no longer needed.", "housekeeping"),
):
    clean_airflow = BashOperator(
        task_id="clean_airflow",
        bash_command=CLEAN_AIRFLOW,
        append_env=True,
        doc_md="Remove old runs from Airflow's own database.",
    )
    chain(form(), [retain(), clean_airflow])
