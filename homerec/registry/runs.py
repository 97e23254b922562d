"""Small calls on MLflow that a registration is made of."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from homerec.errors import RegistryError
from homerec.registry.mlflow_client import exists_already, is_absent

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow's limits on one batch and on one parameter's text.
_BATCH: Final = 100
_PARAM_LENGTH: Final = 6_000


def experiment_id(client: "MlflowClient", name: str, location: str | None) -> str:
    """Id of an experiment, made when it is not there yet.

    Raises
    ------
    RegistryError
        It was deleted.
    """
    for _ in range(2):
        found = client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "active":
            return str(found.experiment_id)
        if found is not None:
            raise RegistryError(
                f"The MLflow experiment {name} is deleted. Restore it: "
                f"mlflow experiments restore -x {found.experiment_id}."
            )
        try:
            return str(client.create_experiment(name, location))
        except Exception as error:
            # Another process was first: take its experiment.
            if not exists_already(error):
                raise
    raise RegistryError(f"The MLflow experiment {name} cannot be made. Try again.")


def create_model(client: "MlflowClient", name: str) -> None:
    """Make a registered model unless it is there."""
    try:
        client.create_registered_model(name)
    except Exception as error:
        if not exists_already(error):
            raise


def aliases_of(client: "MlflowClient", name: str) -> dict[int, tuple[str, ...]]:
    """Aliases of a registered model by version; none when there is no such model."""
    try:
        stored: Mapping[str, Any] = client.get_registered_model(name).aliases
    except Exception as error:
        if not is_absent(error):
            raise
        return {}
    by_version: dict[int, tuple[str, ...]] = {}
    for alias, number in sorted(stored.items()):
        by_version[int(number)] = (*by_version.get(int(number), ()), alias)
    return by_version


def log_run(
    client: "MlflowClient", run_id: str, params: Mapping[str, Any], metrics: Mapping[str, float]
) -> None:
    """Log parameters and metrics, in batches, under names that MLflow allows."""
    from mlflow.entities import Metric, Param

    moment = int(datetime.now(UTC).timestamp() * 1000)
    logged = [Metric(_entity(k), float(v), moment, 0) for k, v in metrics.items()]
    given = [Param(_entity(k), _text(v)[:_PARAM_LENGTH]) for k, v in params.items()]
    for start in range(0, max(len(logged), len(given)), _BATCH):
        part = slice(start, start + _BATCH)
        client.log_batch(run_id, metrics=logged[part], params=given[part])


def _entity(name: str) -> str:
    return re.sub(r"[^\w. :/-]", "_", name.replace("@", "_at_"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, sort_keys=True)
