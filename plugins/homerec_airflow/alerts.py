"""Alerts through Airflow's notifiers, to wherever ``HOMEREC_ALERTS`` says."""

import html
import logging
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qs, unquote, urlsplit

from airflow.sdk import BaseNotifier

from homerec.errors import SettingsError

if TYPE_CHECKING:
    from airflow.sdk import Context

logger = logging.getLogger(__name__)

#: Comma-separated URLs: ``mailto:`` goes by SMTP, anything else by Apprise.
VARIABLE: Final = "HOMEREC_ALERTS"
#: Airflow connection of the mail server.
SMTP_CONNECTION: Final = "smtp_default"
_RUNBOOK: Final = "See docs/runbook.md#{}."


def notifiers(subject: str, body: str, targets: str | None = None) -> list[BaseNotifier]:
    """Make one notifier a target.

    Parameters
    ----------
    subject, body : str
        Plain text; neither is a template.
    targets : str, optional
        Comma-separated URLs, by default of ``HOMEREC_ALERTS``.

    Raises
    ------
    SettingsError
        A target is not a URL, or its provider is not installed.
    """
    text = os.environ.get(VARIABLE, "") if targets is None else targets
    return [_notifier(url.strip(), subject, body) for url in text.split(",") if url.strip()]


def send(subject: str, body: str, context: Mapping[str, Any]) -> int:
    """Send an alert to every target; returns how many took it.

    One target that fails does not keep the others from being told, and never fails the task that
    has something to tell: it is logged as an error.
    """
    logger.warning("ALERT %s\n%s", subject, body)
    try:
        found = notifiers(subject, body)
    except SettingsError:
        logger.exception("%s cannot be used; the alert is only in this log", VARIABLE)
        return 0
    return sum(_sent(notifier, context) for notifier in found)


def alert_failure(context: Mapping[str, Any]) -> None:
    """Say that a task failed for good: which, in which run, the error, and where to read on."""
    subject, body = describe_failure(context)
    send(subject, body, context)


def alert_run(context: Mapping[str, Any]) -> None:
    """Say that a run failed for another reason than a task, which has said so itself."""
    if context.get("reason") == "task_failure":
        logger.info("The task that failed has sent the alert of this run.")
        return
    alert_failure(context)


def describe_failure(context: Mapping[str, Any]) -> tuple[str, str]:
    """Subject and text of a failed run's alert, from whatever the context holds."""
    run = context.get("dag_run")
    ti = context.get("task_instance") or context.get("ti")
    dag_id = str(getattr(run, "dag_id", "") or getattr(context.get("dag"), "dag_id", "a DAG"))
    run_id = getattr(run, "run_id", None) or context.get("run_id", "unknown")
    task_id = str(getattr(ti, "task_id", ""))
    at = f" at {task_id}" if task_id else ""
    lines = [f"DAG {dag_id}, run {run_id}{at}."]
    for what in ("exception", "reason"):
        if context.get(what):
            lines.append(f"{what}: {context[what]}")
    url = getattr(ti, "log_url", None)
    if url:
        lines.append(f"Log: {url}")
    lines.append("The live release stays live.")
    lines.append(_RUNBOOK.format(_section(dag_id, task_id)))
    return f"homerec: {dag_id} failed{at}", "\n".join(lines)


def _section(dag_id: str, task_id: str) -> str:
    last = task_id.rpartition(".")[2]
    if last.startswith("drift_"):
        return "drift"
    if dag_id.startswith("retrain"):
        return "gate"
    if dag_id in ("ingest", "housekeeping"):
        return dag_id
    return {"ingest": "ingest", "publish": "audit"}.get(last, "night")


def _sent(notifier: BaseNotifier, context: Mapping[str, Any]) -> bool:
    try:
        # notify() and not the call: the texts are data, braces in an error are no template.
        notifier.notify(cast("Context", context))
    except Exception:
        logger.exception("%s could not send the alert", type(notifier).__name__)
        return False
    return True


def _notifier(url: str, subject: str, body: str) -> BaseNotifier:
    parts = urlsplit(url)
    if not parts.scheme:
        raise SettingsError(
            f"{VARIABLE} has {url!r}, which is no URL. Write mailto:ops@example.org, or an Apprise "
            "URL such as slack://..."
        )
    if parts.scheme == "mailto":
        return _smtp(parts.path, parse_qs(parts.query), subject, body)
    return _apprise(url, subject, body)


def _smtp(address: str, options: Mapping[str, list[str]], subject: str, body: str) -> BaseNotifier:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    to: Iterable[str] = [unquote(address)]
    return SmtpNotifier(
        to=to,
        from_email=options.get("from", [None])[0] or "homerec@localhost",
        subject=subject,
        html_content=f"<pre>{html.escape(body)}</pre>",
        smtp_conn_id=options.get("conn", [SMTP_CONNECTION])[0],
    )


def _apprise(url: str, subject: str, body: str) -> BaseNotifier:
    try:
        from airflow.providers.apprise.notifications.apprise import (  # type: ignore[import-not-found,unused-ignore]
            AppriseNotifier,
        )
    except ImportError as error:
        raise SettingsError(
            f"{VARIABLE} names {urlsplit(url).scheme}://..., which needs "
            "apache-airflow-providers-apprise. Install it, or use a mailto: URL."
        ) from error
    made: BaseNotifier = AppriseNotifier(
        body=body, title=subject, notify_type="failure", config=url
    )
    return made
