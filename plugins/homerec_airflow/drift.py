"""DriftSensor: lets a night go on only when the library finds no drift."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseSensorOperator, Context

from homerec_airflow import steps
from homerec_airflow.errors import translated

#: Each would turn drift, or the failure to measure it, into something other than a failed run.
_REFUSED = ("soft_fail", "never_fail", "silent_fail")


class DriftSensor(BaseSensorOperator):
    """Wait for the night's snapshot, then check it for drift, once.

    Parameters
    ----------
    as_of : str
        The night's date, YYYY-MM-DD; templated.
    model : str, optional
        Check the features that this model's ranker will read; by default the snapshot.
    **kwargs : Any
        Of the sensor; by default it looks every 30 s, for 15 minutes, and leaves its slot between.

    Raises
    ------
    ValueError
        ``soft_fail``, ``never_fail`` or ``silent_fail``: drift must fail the run.
    """

    template_fields: Sequence[str] = ("as_of", "model")
    ui_color = "#fbe5d6"

    def __init__(self, *, as_of: str, model: str | None = None, **kwargs: Any) -> None:
        refused = [name for name in _REFUSED if kwargs.get(name)]
        if refused:
            raise ValueError(
                f"DriftSensor {kwargs.get('task_id')} takes no {', '.join(refused)}: drift must "
                "fail the run. To let a real change pass, say `homerec drift accept`."
            )
        super().__init__(**{"mode": "reschedule", "poke_interval": 30, "timeout": 900, **kwargs})
        self.as_of = as_of
        self.model = model

    def poke(self, context: Context) -> bool:
        """Check when there is something to check.

        Raises
        ------
        AirflowFailException
            Drift over its limit, too few rows, or a reference that cannot be read.
        """
        del context
        with translated():
            if not steps.snapshot_is_kept(self.as_of):
                self.log.info("The snapshot of %s is not there yet.", self.as_of)
                return False
            self.log.info("%s", steps.check_drift(self.as_of, self.model))
        return True
