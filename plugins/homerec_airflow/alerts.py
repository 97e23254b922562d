"""Alerts through Airflow's notifiers, to wherever ``HOMEREC_ALERTS`` says."""

import html
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
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


def send(subject: str, body: str, context: Mapping[str, Any]) -> int:
    """Send an alert to every target of ``HOMEREC_ALERTS``; returns how many took it.

    One target that fails does not keep the others from being told, and never fails the task that
    has something to tell: it is logged as an error.

    Parameters
    ----------
    subject, body : str
        Plain text; neither is a template.
    context : mapping
        Of the task or the run.
    """
    logger.warning("ALERT %s\n%s", subject, body)
    urls = [url.strip() for url in os.environ.get(VARIABLE, "").split(",")]
    return sum(_sent(url, subject, body, context) for url in urls if url)


def tell_problem(problem: str, context: Mapping[str, Any]) -> None:
    """Send an alert of something that must not stop the run, if there is a problem."""
    if problem:
        run = context.get("dag_run")
        dag_id = str(getattr(run, "dag_id", "") or "a DAG")
        send(f"homerec: {dag_id} goes on, but without a data report", problem, context)


def notifier(url: str, subject: str, body: str) -> BaseNotifier:
    """Make the notifier of one target.

    Raises
    ------
    SettingsError
        The target is not a URL that SMTP or Apprise knows, or its provider is not installed.
    """
    parts = urlsplit(url)
    if not parts.scheme:
        raise SettingsError(
            f"{VARIABLE} has {url!r}, which is no URL. Write mailto:ops@example.org, or an Apprise "
            "URL such as slack://..."
        )
    if parts.scheme == "mailto":
        return _smtp(parts.path, parse_qs(parts.query), subject, body)
    return _apprise(url, subject, body)


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


def _sent(url: str, subject: str, body: str, context: Mapping[str, Any]) -> bool:
    # A URL may hold a token, so only its scheme is logged.
    scheme = urlsplit(url).scheme
    try:
        # notify() and not the call: the texts are data, braces in an error are no template.
        notifier(url, subject, body).notify(cast("Context", context))
    except Exception:
        logger.exception("could not send the alert to %s:...", scheme)
        return False
    return True


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
    scheme = urlsplit(url).scheme
    try:
        from airflow.providers.apprise.notifications.apprise import AppriseNotifier
        from apprise import Apprise, NotifyType
    except ImportError as error:
        raise SettingsError(
            f"{VARIABLE} names {scheme}://..., which needs apache-airflow-providers-apprise. "
            "Install it, or use a mailto: URL."
        ) from error
    with _quiet("apprise"):
        known = Apprise().add(url)
    if not known:
        raise SettingsError(
            f"{VARIABLE} names {scheme}://..., which Apprise does not take: its scheme is unknown "
            "or a part is missing. See https://github.com/caronc/apprise/wiki."
        )
    # The hook hands it to Apprise.add, which takes a URL as well as a configuration.
    config: Any = url
    return AppriseNotifier(body=body, title=subject, notify_type=NotifyType.FAILURE, config=config)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a library from logging: what it says of a URL that it cannot read repeats its token."""

    def nothing(record: logging.LogRecord) -> bool:
        del record
        return False

    loud = logging.getLogger(name)
    loud.addFilter(nothing)
    try:
        yield
    finally:
        loud.removeFilter(nothing)
