import builtins
import email
import logging
import socketserver
import sys
import threading
import types
from collections.abc import Iterator
from email import policy
from typing import Any, ClassVar

import pytest

from homerec.errors import SettingsError
from homerec_airflow import alerts


class Mailbox(socketserver.StreamRequestHandler):
    """A mail server that takes everything."""

    received: ClassVar[list[str]] = []

    def handle(self) -> None:
        def say(text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        say("220 here")
        while line := self.rfile.readline().decode().strip():
            command = line.split()[0].upper()
            if command == "DATA":
                say("354 go on")
                body = []
                while (part := self.rfile.readline().decode()) != ".\r\n":
                    body.append(part)
                self.received.append("".join(body))
            if command == "QUIT":
                say("221 bye")
                return
            say("250 ok")


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    Mailbox.received = []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        monkeypatch.setenv(
            "AIRFLOW_CONN_SMTP_DEFAULT",
            f"smtp://127.0.0.1:{port}/?disable_ssl=true&disable_tls=true&timeout=5",
        )
        yield Mailbox.received
        server.shutdown()


class FakeApprise:
    """Stands for the provider's notifier, which may not be installed."""

    made: ClassVar[list["FakeApprise"]] = []

    def __init__(self, **given: Any) -> None:
        self.given = given
        self.notified = 0
        FakeApprise.made.append(self)

    def notify(self, context: Any) -> None:
        del context
        self.notified += 1


@pytest.fixture
def apprise(monkeypatch: pytest.MonkeyPatch) -> list[FakeApprise]:
    FakeApprise.made = []
    name = "airflow.providers.apprise.notifications.apprise"
    module = types.ModuleType(name)
    module.AppriseNotifier = FakeApprise  # type: ignore[attr-defined]
    for parent in ("airflow.providers.apprise", "airflow.providers.apprise.notifications"):
        monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
    monkeypatch.setitem(sys.modules, name, module)
    return FakeApprise.made


def test_without_targets_an_alert_is_only_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(alerts.VARIABLE, raising=False)
    with caplog.at_level(logging.WARNING, logger="homerec_airflow.alerts"):
        assert alerts.send("subject", "what broke", {}) == 0
    assert "ALERT subject\nwhat broke" in caplog.text


def test_a_mail_arrives_with_its_text_untouched(
    monkeypatch: pytest.MonkeyPatch, mailbox: list[str]
) -> None:
    monkeypatch.setenv(alerts.VARIABLE, "mailto:ops@example.org?from=homerec@example.org")
    assert alerts.send("homerec: nightly failed", "d 0.217 > 0.150 {{ braces }} <b>", {}) == 1
    message = email.message_from_string(mailbox[0], policy=policy.default)
    assert message["To"] == "ops@example.org"
    assert message["From"] == "homerec@example.org"
    assert message["Subject"] == "homerec: nightly failed"
    part = message.get_body()
    assert part is not None
    assert "d 0.217 &gt; 0.150 {{ braces }} &lt;b&gt;" in part.get_content()


def test_other_urls_go_to_apprise(
    monkeypatch: pytest.MonkeyPatch, apprise: list[FakeApprise]
) -> None:
    monkeypatch.setenv(alerts.VARIABLE, "slack://a/b/c, json://localhost:1/hook")
    assert alerts.send("subject", "body", {}) == 2
    assert [one.given["config"] for one in apprise] == ["slack://a/b/c", "json://localhost:1/hook"]
    assert {one.given["title"] for one in apprise} == {"subject"}
    assert [one.notified for one in apprise] == [1, 1]


def test_one_target_that_fails_does_not_silence_the_others(
    monkeypatch: pytest.MonkeyPatch,
    apprise: list[FakeApprise],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", "smtp://127.0.0.1:1/?disable_ssl=true")
    monkeypatch.setenv(alerts.VARIABLE, "mailto:ops@example.org,slack://a/b/c")
    assert alerts.send("subject", "body", {}) == 1
    assert apprise[0].notified == 1
    assert "SmtpNotifier could not send the alert" in caplog.text


def test_a_missing_provider_is_named_without_the_urls_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("airflow.providers.apprise"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        SettingsError, match=r"slack://.*apache-airflow-providers-apprise"
    ) as caught:
        alerts.notifiers("s", "b", "slack://token/secret")
    assert "secret" not in str(caught.value)


def test_a_target_that_is_no_url_does_not_break_the_task(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(alerts.VARIABLE, "ops@example.org")
    assert alerts.send("subject", "body", {}) == 0
    assert "no URL. Write mailto:" in caplog.text


@pytest.mark.parametrize(
    ("dag_id", "task_id", "section"),
    [
        ("nightly", "snapshot", "night"),
        ("nightly", "ingest", "ingest"),
        ("nightly", "drift_snapshot", "drift"),
        ("nightly", "podcasts.drift_features", "drift"),
        ("nightly", "publish", "audit"),
        ("retrain_podcasts", "gate", "gate"),
        ("ingest", "ingest", "ingest"),
        ("housekeeping", "clean_airflow", "housekeeping"),
    ],
)
def test_an_alert_says_where_to_read_on(dag_id: str, task_id: str, section: str) -> None:
    context = {
        "dag_run": types.SimpleNamespace(dag_id=dag_id, run_id="one"),
        "ti": types.SimpleNamespace(task_id=task_id, log_url="http://ui/log"),
        "exception": ValueError("what broke"),
    }
    subject, body = alerts.describe_failure(context)
    assert subject == f"homerec: {dag_id} failed at {task_id}"
    assert f"docs/runbook.md#{section}." in body
    assert "what broke" in body
    assert "http://ui/log" in body


def test_a_run_that_failed_by_a_task_is_told_once(alerts_sent: list[tuple[str, str]]) -> None:
    alerts.alert_run({"reason": "task_failure", "run_id": "one"})
    assert alerts_sent == []
    alerts.alert_run({"reason": "timed_out", "dag": types.SimpleNamespace(dag_id="nightly")})
    assert alerts_sent[0][0] == "homerec: nightly failed"
    assert "timed_out" in alerts_sent[0][1]
