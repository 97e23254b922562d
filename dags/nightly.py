"""The night: from the inbox to every listener's Home in Postgres."""

from typing import Any, cast

from airflow.sdk import (
    DAG,
    Param,
    TaskGroup,
    TriggerRule,
    chain,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException

from homerec.models.catalogue import read_catalogue
from homerec.settings import load_settings
from homerec_airflow import alerts, steps
from homerec_airflow.common import (
    AS_OF,
    RELEASE,
    as_of_param,
    cron,
    dag_arguments,
    ingest_params,
    resolve_as_of,
)
from homerec_airflow.drift import DriftSensor
from homerec_airflow.errors import translated

MODELS = read_catalogue(load_settings())
NAMES = [model.name for model in MODELS]
#: What the web UI calls a mapped task.
SHARD = "shard {{ task.op_kwargs['shard'] }}"


@task
def ingest() -> dict[str, Any]:
    """Bring new files of the inbox into the lake."""
    params = get_current_context()["params"]
    if not params["ingest"]:
        raise AirflowSkipException("The form of this run says: no ingest.")
    with translated():
        brought = steps.ingest(params["source"] or "", params["mapping"])
    alerts.tell_problem(steps.report_ingest(brought["ingest_id"]), get_current_context())
    return brought


# A night may run without an ingest; one whose ingest failed may not.
@task(trigger_rule=TriggerRule.NONE_FAILED)
def snapshot(as_of: str) -> str:
    """Compute the feature tables as of the date, and verify rows of them."""
    with translated():
        folder = steps.snapshot(as_of)
    alerts.tell_problem(steps.report_snapshot(as_of), get_current_context())
    return folder


@task
def plan(as_of: str) -> list[dict[str, Any]]:
    """Decide for each model: its champion, its baseline, or not at all; cut the listeners."""
    with translated():
        return steps.plan(as_of, get_current_context()["params"]["models"])


@task
def shards(as_of: str) -> list[int]:
    """Name the listeners' shards that both stages are mapped over."""
    with translated():
        return steps.shards(as_of)


# A shard that fails is tried again alone.
@task(map_index_template=SHARD)
def candidates(as_of: str, model: str, shard: int) -> int:
    """Stage 1: the candidate items of every eligible listener of a shard."""
    with translated():
        reason = steps.reason_to_skip(as_of, model)
        if reason:
            raise AirflowSkipException(f"{model} is left out: {reason}.")
        return steps.candidates(as_of, model, shard)


@task(map_index_template=SHARD)
def rank(as_of: str, model: str, shard: int) -> int:
    """Stage 2: the candidates of a shard in order."""
    with translated():
        return steps.rank(as_of, model, shard)


# A model that is left out leaves the others; one that failed stops the night.
@task(trigger_rule=TriggerRule.NONE_FAILED)
def assemble(as_of: str) -> str:
    """Put every listener's page together."""
    with translated():
        return steps.assemble(as_of)


@task
def publish(bundle: str) -> dict[str, Any]:
    """Write the release, audit it, and move the pointer to it."""
    context = get_current_context()
    if not context["params"]["publish"]:
        raise AirflowSkipException(f"The form of this run says: do not publish. It is in {bundle}.")
    with translated():
        return steps.publish(
            bundle, context["params"]["force_older"], f"airflow {context['run_id']}"
        )


@task(outlets=[RELEASE])
def announce(release: dict[str, Any]) -> int:
    """Tell that a release went live."""
    context = get_current_context()
    number = release["release_id"]
    if not release["live"]:
        raise AirflowSkipException(f"Release {number} is not live: {release['note']}.")
    context["outlet_events"][RELEASE].extra = {"release_id": number, "as_of": release["as_of"]}
    if release["degraded"]:
        subject = f"homerec: release {number} is live, degraded"
        alerts.send(subject, "\n".join(release["reasons"]), context)
    return int(number)


with DAG(
    "nightly",
    schedule=cron("30 3 * * *"),
    params={
        "as_of": as_of_param(),
        "models": Param(
            default=NAMES,
            type="array",
            items={"type": "string", "enum": NAMES},
            examples=NAMES,
            minItems=1,
            uniqueItems=True,
            title="Models",
            description="Shelves by model that the page gets; the others are left out of it.",
        ),
        "publish": Param(
            default=True,
            type="boolean",
            title="Publish",
            description="Make the release live when its audit passes.",
        ),
        "force_older": Param(
            default=False,
            type="boolean",
            title="Even if older",
            description="Make it live also when the live release is of a later date.",
        ),
        "ingest": Param(
            default=True, type="boolean", title="Ingest", description="Read the inbox before."
        ),
        **ingest_params(),
    },
    **dag_arguments("Compute and publish every listener's Home.", "night"),
):
    check_snapshot = DriftSensor(
        task_id="drift_snapshot",
        as_of=AS_OF,
        doc_md="Compare the snapshot with what the champions learned from.",
    )
    numbers = shards(AS_OF)
    bundle = assemble(AS_OF)
    chain(resolve_as_of(), ingest(), snapshot(AS_OF), plan(AS_OF), check_snapshot, numbers)
    for entry in MODELS:
        with TaskGroup(entry.name, tooltip=f"{entry.shelf}: {entry.doc}"):
            found = candidates.partial(as_of=AS_OF, model=entry.name).expand(shard=numbers)
            ranked = rank.partial(as_of=AS_OF, model=entry.name).expand(shard=found)
            check_features = DriftSensor(
                task_id="drift_features",
                as_of=AS_OF,
                model=entry.name,
                doc_md="Compare what the ranker reads tonight with what it learned from.",
            )
            chain(found, check_features, ranked, bundle)
    release = publish(cast("str", bundle))
    announce(cast("dict[str, Any]", release))
