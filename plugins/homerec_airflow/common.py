"""What the DAGs share: defaults, fields of their forms, and the task that settles the date."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from airflow.sdk import Asset, CronTriggerTimetable, Param, get_current_context, task

from homerec.errors import SettingsError
from homerec_airflow.alerts import alert_failure, alert_run
from homerec_airflow.as_of import as_of_of_run
from homerec_airflow.errors import translated

#: Task id of :func:`resolve_as_of`.
AS_OF_TASK: Final = "as_of"
#: The run's date, where a template is allowed. An XComArg would draw an edge to every task.
AS_OF: Final = f"{{{{ ti.xcom_pull(task_ids='{AS_OF_TASK}') }}}}"
#: Told when a release went live; its extra has ``release_id`` and ``as_of``.
RELEASE: Final = Asset("homerec_release")

#: How long ago a new deployment's first run may have been due.
FIRST_RUN_GRACE: Final = timedelta(minutes=5)
_RUNBOOK: Final = "What to do when it fails: docs/runbook.md#{}."


def dag_arguments(description: str, section: str, tags: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what every DAG is made with.

    Parameters
    ----------
    description : str
        One line.
    section : str
        Of docs/runbook.md.
    tags : tuple of str
        Beside ``homerec``.
    """
    return {
        "description": description,
        "doc_md": f"{description}\n\n{_RUNBOOK.format(section)}",
        "catchup": False,
        "max_active_runs": 1,
        "dagrun_timeout": timedelta(hours=12),
        "default_args": {
            "owner": "homerec",
            "retries": 2,
            "retry_delay": timedelta(seconds=30),
            "on_failure_callback": alert_failure,
        },
        "on_failure_callback": alert_run,
        "render_template_as_native_obj": False,
        "tags": ["homerec", *tags],
    }


def cron(expression: str) -> CronTriggerTimetable:
    """Return a schedule whose logical date is the moment it is due, UTC.

    A new deployment waits for the next one (no start date is given, and none is run in arrears),
    unless one was due in the last minutes: the DAG may be parsed anew between due and started.
    """
    return CronTriggerTimetable(expression, timezone="UTC", run_immediately=FIRST_RUN_GRACE)


def as_of_param() -> Param:
    """Return the field that says for which date a run computes."""
    return Param(
        default=None,
        type=["null", "string"],
        format="date",
        title="as_of",
        description="Events before this UTC date count. Empty: the date of the run.",
    )


def ingest_params() -> dict[str, Param]:
    """Return the fields that say what is ingested."""
    return {
        # The form takes an empty field only where null is allowed.
        "source": Param(
            default=None,
            type=["null", "string"],
            title="Source",
            description="Folder or file on the machine that runs the tasks, or an object store's "
            "URI such as s3://bucket/prefix. Empty: the inbox, or the database that the mapping "
            "names. Never a URL with a password, which everybody who sees the run could read: put "
            "it into an environment variable of the workers, name that in the mapping (url_env), "
            "and leave this empty.",
        ),
        "mapping": Param(
            default="homerec",
            type="string",
            minLength=1,
            title="Mapping",
            description="Name of a file in config/mappings, or a path.",
        ),
    }


def check_conf(context: Mapping[str, Any]) -> None:
    """See that all that a run was triggered with is known to the form of its DAG.

    Airflow merges whatever it is given into the form's values: a misspelt key would leave the
    default in force, and nobody would hear of it.

    Parameters
    ----------
    context : mapping
        Of a task of the run.

    Raises
    ------
    SettingsError
        The run's conf has a key that the form does not have.
    """
    known, conf = set(context["dag"].params), context["dag_run"].conf or {}
    unknown = sorted(set(conf) - known)
    if unknown:
        raise SettingsError(
            f"The conf of this run has {', '.join(unknown)}; {context['dag'].dag_id} knows "
            f"{', '.join(sorted(known))}. Nothing was done. Trigger it again with a known name."
        )


@task(task_id=AS_OF_TASK, doc_md="Says for which date this run computes.")
def resolve_as_of() -> str:
    """Return the run's date, YYYY-MM-DD."""
    context: Mapping[str, Any] = get_current_context()
    with translated():
        check_conf(context)
        day = as_of_of_run(
            context["params"], context.get("logical_date"), context["dag_run"].run_after
        )
    return day.isoformat()
