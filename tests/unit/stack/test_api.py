"""The client of Airflow's API, against a stand-in that answers as Airflow does."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from homerec.errors import StackError, TransientError
from homerec.stack.api import Api, NotFound, wait_for_dag

HEALTH = "/api/v2/monitor/health"
DAG = "/api/v2/dags/nightly"


@dataclass
class Airflow:
    """Answers (status, body) by method and path, and what it was asked."""

    url: str = ""
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, Any, str | None]] = field(default_factory=list)
    tokens: list[str] = field(default_factory=lambda: ["first"])

    def answer(self, method: str, path: str, body: Any, bearer: str | None) -> tuple[int, Any]:
        self.asked.append((method, path, body, bearer))
        if (method, path) == ("POST", "/auth/token"):
            known = body == {"username": "admin", "password": "secret"}
            return (201, {"access_token": self.tokens[-1]}) if known else (401, {"detail": "no"})
        if path != HEALTH and bearer != f"Bearer {self.tokens[-1]}":
            return 401, {"detail": "Invalid JWT token"}
        return self.answers.get((method, path), (404, {"detail": "not found"}))


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    stand_in = Airflow()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, found = stand_in.answer(
                self.command, self.path, body, self.headers.get("Authorization")
            )
            text = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stand_in
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def api(airflow: Airflow) -> Api:
    return Api(airflow.url, "admin", "secret")


def test_a_trigger_logs_in_and_sends_the_logical_date_that_airflow_insists_on(
    airflow: Airflow, api: Api
) -> None:
    airflow.answers["POST", f"{DAG}/dagRuns"] = (200, {"dag_run_id": "manual__1"})
    assert api.trigger("nightly", {"as_of": "2026-03-02"}) == "manual__1"
    login, trigger = airflow.asked
    assert login[1] == "/auth/token"
    body = {"logical_date": None, "conf": {"as_of": "2026-03-02"}}
    assert trigger == ("POST", f"{DAG}/dagRuns", body, "Bearer first")


def test_one_login_serves_many_calls_until_the_token_ends(airflow: Airflow, api: Api) -> None:
    airflow.answers["GET", DAG] = (200, {"dag_id": "nightly"})
    api.get("/dags/nightly")
    api.get("/dags/nightly")
    assert [asked[1] for asked in airflow.asked].count("/auth/token") == 1
    airflow.tokens.append("second")
    assert api.get("/dags/nightly") == {"dag_id": "nightly"}
    assert [asked[1] for asked in airflow.asked].count("/auth/token") == 2


def test_a_wrong_password_is_an_error_and_not_an_endless_loop(airflow: Airflow) -> None:
    with pytest.raises(StackError, match="Airflow answered 401 to POST /auth/token"):
        Api(airflow.url, "admin", "wrong").get("/dags/nightly")
    assert len(airflow.asked) == 1


def test_a_token_that_is_never_taken_is_an_error(airflow: Airflow, api: Api) -> None:
    airflow.answers["GET", DAG] = (401, {"detail": "Forbidden"})
    api.exists("/dags/another")
    with pytest.raises(StackError, match=r"Airflow answered 401 to GET .*/nightly: Forbidden"):
        api.get("/dags/nightly")
    assert [asked[1] for asked in airflow.asked].count("/auth/token") == 2


def test_what_is_not_there_is_told_from_what_is_refused(airflow: Airflow, api: Api) -> None:
    assert not api.exists("/dags/nightly")
    airflow.answers["GET", DAG] = (200, {})
    assert api.exists("/dags/nightly")
    airflow.answers["GET", DAG] = (403, {"detail": "not 404"})
    with pytest.raises(StackError, match="Airflow answered 403") as refused:
        api.exists("/dags/nightly")
    assert not isinstance(refused.value, NotFound)


def test_an_error_of_the_server_may_pass_and_its_words_are_kept(airflow: Airflow, api: Api) -> None:
    airflow.answers["GET", DAG] = (503, {"detail": "the database is away"})
    with pytest.raises(TransientError, match=r"503 to GET .*/nightly: the database is away$"):
        api.get("/dags/nightly")


def test_health_names_each_part_and_is_empty_while_nobody_answers(
    airflow: Airflow, api: Api
) -> None:
    airflow.answers["GET", HEALTH] = (
        200,
        {
            "metadatabase": {"status": "healthy"},
            "scheduler": {"status": "unhealthy", "latest_scheduler_heartbeat": None},
            "triggerer": {"status": None},
        },
    )
    assert api.health() == {"metadatabase": "healthy", "scheduler": "unhealthy"}
    assert airflow.asked[0][3] is None
    assert Api("http://127.0.0.1:1", "admin", "secret").health() == {}


def test_another_program_on_the_port_is_said_to_be_none_of_ours(airflow: Airflow, api: Api) -> None:
    airflow.answers["GET", HEALTH] = airflow.answers["GET", DAG] = (200, b"<html>")
    assert api.health() == {}
    with pytest.raises(StackError, match=r"is not Airflow: .* gave no JSON"):
        api.get("/dags/nightly")


def test_a_proxy_of_the_surroundings_is_not_asked(
    airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    airflow.answers["GET", DAG] = (200, {})
    assert Api(airflow.url, "admin", "secret").exists("/dags/nightly")


def test_nobody_there_is_worth_another_try() -> None:
    with pytest.raises(TransientError, match=r"Airflow at http://127\.0\.0\.1:1 does not answer"):
        Api("http://127.0.0.1:1", "admin", "secret").get("/dags/nightly")


def test_a_dag_that_never_comes_is_an_error_with_its_import_error(
    airflow: Airflow, api: Api
) -> None:
    errors = [{"filename": "nightly.py", "stack_trace": "SyntaxError: line 3"}]
    airflow.answers["GET", "/api/v2/importErrors"] = (200, {"import_errors": errors})
    with pytest.raises(StackError, match=r"(?s)nightly after 0 s.*nightly.py: SyntaxError"):
        wait_for_dag(api, "nightly", 0)
    errors.clear()
    with pytest.raises(StackError, match="homerec logs dag-processor"):
        wait_for_dag(api, "nightly", 0)
    airflow.answers["GET", DAG] = (200, {})
    wait_for_dag(api, "nightly", 0)
