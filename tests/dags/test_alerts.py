import builtins
import email
import http.server
import json
import logging
import socketserver
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


class Hook(http.server.BaseHTTPRequestHandler):
    """A webhook that takes everything."""

    received: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append(json.loads(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *given: Any) -> None:
        """Write nothing."""


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    Hook.received = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"json://127.0.0.1:{server.server_address[1]}/hook", Hook.received
        server.shutdown()


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
    monkeypatch: pytest.MonkeyPatch, webhook: tuple[str, list[dict[str, Any]]]
) -> None:
    url, received = webhook
    monkeypatch.setenv(alerts.VARIABLE, f"{url}/one, {url}/two")
    assert alerts.send("subject", "d 0.217 {{ braces }}", {}) == 2
    assert [one["title"] for one in received] == ["subject", "subject"]
    assert received[0]["message"] == "d 0.217 {{ braces }}"
    assert received[0]["type"] == "failure"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("mailto:ops@example.org", "could not send the alert to mailto"),
        ("ops@example.org", "no URL. Write mailto:"),
        ("nosuch://token/secret", "nosuch://..., which Apprise does not take"),
    ],
)
def test_one_target_that_fails_does_not_silence_the_others(
    monkeypatch: pytest.MonkeyPatch,
    webhook: tuple[str, list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
    wrong: str,
    said: str,
) -> None:
    url, received = webhook
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", "smtp://127.0.0.1:1/?disable_ssl=true")
    monkeypatch.setenv(alerts.VARIABLE, f"{wrong},{url}")
    assert alerts.send("subject", "body", {}) == 1
    assert len(received) == 1
    assert said in caplog.text
    assert "token/secret" not in caplog.text


def test_a_missing_provider_is_named_without_the_urls_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("airflow.providers.apprise"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match="apache-airflow-providers-apprise") as caught:
        alerts.notifier("slack://token/secret", "s", "b")
    assert "secret" not in str(caught.value)


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
