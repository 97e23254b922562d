"""An experiment in MLflow: one parent run, and one run a configuration below it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from homerec.models.spec import ModelSpec
from homerec.registry.mlflow_client import is_absent, translated
from homerec.registry.runs import experiment_id, log_run
from homerec.registry.store import Registry
from homerec.registry.version import PREFIX
from homerec.training.experiments.cell import Cell
from homerec.training.experiments.comparing import Row
from homerec.training.experiments.keeping import Record
from homerec.training.experiments.keys import key_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PARENT = "parent"


def track(
    registry: Registry,
    record: Record,
    cells: Mapping[str, Sequence[Cell]],
    specs: Mapping[str, ModelSpec],
    report: Path,
) -> None:
    """Log an experiment; what was logged before, by the same checksums, is not logged again.

    Parameters
    ----------
    registry : Registry
        Names the MLflow server.
    record : Record
        Its ``runs`` are filled in.
    cells : mapping of str to sequence of Cell
        The cells on the validation windows, by name.
    specs : mapping of str to ModelSpec
        Of the configurations, by name.
    report : Path
        HTML, logged with the parent.

    Raises
    ------
    RegistryError, TransientError
        MLflow refuses, or cannot be reached; the results are kept all the same.
    """
    name = f"{registry.experiment}-experiment-{record.name}"
    with translated(f"logging the experiment {record.name}"):
        client = registry.client
        remote = urlparse(registry.tracking_uri).scheme in ("http", "https", "databricks")
        location = None if remote else (registry.artifact_root / name).as_uri()
        where = experiment_id(client, name, location)
        tags = {f"{PREFIX}experiment": record.name, f"{PREFIX}model": record.model}
        identity = key_of(sorted(c.key for several in cells.values() for c in several))
        if _is_there(client, record.runs.get(f"{_PARENT} {identity}")):
            parent = record.runs[f"{_PARENT} {identity}"]
        else:
            run = client.create_run(where, run_name=record.name, tags=tags)
            parent = run.info.run_id
            record.runs[f"{_PARENT} {identity}"] = parent
            log_run(client, parent, _about(record), _test_metrics(record))
            client.log_text(parent, record.text, "experiment.yaml")
            client.set_terminated(parent, "FINISHED" if record.winner else "FAILED")
        client.log_artifact(parent, str(report))
        for row in record.rows:
            key = key_of([c.key for c in cells[row.name]], bool(row.error))
            if _is_there(client, record.runs.get(key)):
                continue
            child = {**tags, "mlflow.parentRunId": parent, f"{PREFIX}window": "validation"}
            if row.error:
                child[f"{PREFIX}error"] = row.error[:5000]
            run = client.create_run(where, run_name=row.name, tags=child)
            record.runs[key] = run.info.run_id
            log_run(client, run.info.run_id, _params(row, specs), _metrics(row))
            client.set_terminated(run.info.run_id, "FAILED" if row.error else "FINISHED")


def _is_there(client: "MlflowClient", run_id: str | None) -> bool:
    if run_id is None:
        return False
    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except Exception as error:
        if not is_absent(error):
            raise
        return False


def _about(record: Record) -> dict[str, Any]:
    return {
        "model": record.model,
        "n_configurations": record.n_configurations,
        "seeds": record.seeds,
        "validation": record.validation,
        "test": record.test,
        "winner": record.winner or "",
        "champion": record.champion,
        "decides": record.metrics[0],
    }


def _test_metrics(record: Record) -> dict[str, float]:
    found = {"n_failed": float(record.n_failed), "earlier_looks": float(record.earlier_looks)}
    for row in record.test_rows:
        who = "winner" if row.name == record.winner else row.name
        found |= {f"test {who} {_plain(m)}": value for m, value in row.means.items()}
    return found


def _params(row: Row, specs: Mapping[str, ModelSpec]) -> dict[str, Any]:
    found: dict[str, Any] = {"configuration": row.name, **row.values}
    if row.name in specs:
        found["spec"] = specs[row.name].to_json()
    return found


def _metrics(row: Row) -> dict[str, float]:
    found = {_plain(m): value for m, value in row.means.items()}
    for who, interval in row.against.items():
        found |= {f"lift {who}": interval.mean, f"lift {who} low": interval.low}
        found[f"lift {who} high"] = interval.high
    return {**found, "seconds": row.seconds, "n_listeners": float(row.n_listeners)}


def _plain(metric: str) -> str:
    return metric.replace(":", ".")
