"""EvaluationGateOperator: the library's gate as a task."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context, SkipMixin

from homerec_airflow import alerts, steps
from homerec_airflow.errors import translated


class EvaluationGateOperator(BaseOperator, SkipMixin):
    """Judge the challenger of a date, and promote, hold or reject it.

    The task succeeds whatever the verdict is; only a promotion lets what follows it run. A
    rejection is also sent as an alert. The verdict is in the log and in XCom (``return_value``).

    Parameters
    ----------
    model : str
        Name of the model; templated.
    as_of : str
        Date that the challenger was made for, YYYY-MM-DD; templated.
    **kwargs : Any
        Of the operator.
    """

    template_fields: Sequence[str] = ("model", "as_of")
    ui_color = "#e2efda"

    def __init__(self, *, model: str, as_of: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.as_of = as_of

    def execute(self, context: Context) -> dict[str, Any]:
        """Decide.

        Raises
        ------
        AirflowFailException
            The gate cannot judge: NaN, an empty evaluation, a missing threshold.
        DownstreamTasksSkipped
            The challenger was not promoted.
        """
        with translated():
            found = steps.judge(self.as_of, self.model)
        self.log.info("%s\n%s", found["reason"], found["verdict"])
        if found["outcome"] == "promote":
            return found
        if found["outcome"] == "reject":
            subject = f"homerec: the gate rejected {self.model} v{found['version']}"
            alerts.send(subject, found["verdict"], context)
        ti = context["ti"]
        # What skips the rest ends the task by an exception, so the verdict is kept beforehand.
        ti.xcom_push(key="return_value", value=found)
        self.skip(ti, self.get_direct_relatives(upstream=False))
        return found
