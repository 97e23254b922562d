"""Retention: what is kept of past releases, nights, and Airflow's own history."""

import shlex
import sys
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param, get_current_context, task

from homerec_airflow import steps
from homerec_airflow.common import cron, dag_arguments
from homerec_airflow.errors import translated

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
def drop_releases() -> list[int]:
    """Drop the Homes of old releases; the live one and the one to roll back to stay."""
    with translated():
        return steps.keep_releases(int(get_current_context()["params"]["keep_releases"]))


@task
def drop_files() -> dict[str, Any]:
    """Remove old snapshots and nights that no release and no champion needs."""
    with translated():
        return steps.tidy(int(get_current_context()["params"]["keep_days"]))


with DAG(
    "housekeeping",
    schedule=cron("0 5 * * 0"),
    params={
        "keep_releases": Param(
            default=7, type="integer", minimum=2, title="Releases", description="Kept at least."
        ),
        "keep_days": Param(
            default=60,
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
    # What a release needs is told from the releases, so those go first.
    drop_releases() >> drop_files()
    BashOperator(
        task_id="clean_airflow",
        bash_command=CLEAN_AIRFLOW,
        append_env=True,
        doc_md="Remove old runs from Airflow's own database.",
    )
