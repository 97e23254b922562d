"""Airflow's REST API, as much of it as running the main job needs."""

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homerec.errors import HomerecError, StackError, TransientError

_TIMEOUT: Final = 30.0
_NOT_FOUND: Final = 404
_UNAUTHORIZED: Final = 401
_SERVER_ERRORS: Final = 500
#: A proxy of the surroundings cannot reach this machine's own loopback address.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class NotFound(StackError):
    """Airflow knows nothing at that path."""


@dataclass
class Api:
    """A client that logs in by itself.

    Parameters
    ----------
    url : str
        Of the API server, such as ``http://127.0.0.1:8080``.
    user, password : str
        Who logs in.
    """

    url: str
    user: str
    password: str
    _token: str = ""

    def health(self) -> dict[str, str]:
        """State of each component, such as ``healthy``; empty while nobody answers."""
        try:
            found = self._send("GET", "/api/v2/monitor/health", None, authorized=False)
        except (TransientError, StackError):
            return {}
        return {
            name: str(part["status"])
            for name, part in found.items()
            if isinstance(part, dict) and part.get("status") is not None
        }

    def get(self, path: str) -> Any:
        """Read a path below ``/api/v2``."""
        return self._send("GET", f"/api/v2{path}", None)

    def exists(self, path: str) -> bool:
        """Whether a path below ``/api/v2`` is there."""
        try:
            self.get(path)
        except NotFound:
            return False
        return True

    def trigger(self, dag: str, conf: Mapping[str, Any]) -> str:
        """Trigger a DAG and return the run's id."""
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self._send("POST", f"/api/v2/dags/{dag}/dagRuns", body)["dag_run_id"])

    def _login(self) -> None:
        body = {"username": self.user, "password": self.password}
        found = self._send("POST", "/auth/token", body, authorized=False)
        self._token = str(found["access_token"])

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, *, authorized: bool = True
    ) -> Any:
        fresh = authorized and not self._token
        if fresh:
            self._login()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if authorized:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode("utf-8")
        request = urllib.request.Request(  # noqa: S310 - http on this machine
            f"{self.url}{path}", data=data, headers=headers, method=method
        )
        try:
            with _OPENER.open(request, timeout=_TIMEOUT) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code == _UNAUTHORIZED and authorized and not fresh:
                # The token may have ended; one that was just given and is refused has not.
                self._token = ""
                return self._send(method, path, body)
            raise _kind(error.code)(
                f"Airflow answered {error.code} to {method} {path}: {_reason(error.read())}"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(f"Airflow at {self.url} does not answer: {error}.") from error
        except ValueError as error:
            raise StackError(
                f"What answers at {self.url} is not Airflow: {method} {path} gave no JSON. "
                "Another program may have taken its port: make down, then HOMEREC_UI_PORT=... "
                "make up"
            ) from error


def _reason(answer: bytes) -> str:
    """Take the reason out of an error's answer; whatever else it is, its beginning."""
    text = answer.decode("utf-8", errors="replace")
    try:
        detail = json.loads(text)["detail"]
    except (ValueError, TypeError, KeyError):
        detail = text
    return str(detail)[:500]


def _kind(code: int) -> type[HomerecError]:
    if code >= _SERVER_ERRORS:
        return TransientError
    return NotFound if code == _NOT_FOUND else StackError


def wait_for_dag(api: Api, dag: str, seconds: float) -> None:
    """Wait until Airflow knows a DAG.

    Raises
    ------
    StackError
        It does not in time; import errors are in the message.
    """
    deadline = time.monotonic() + seconds
    while not api.exists(f"/dags/{dag}"):
        if time.monotonic() >= deadline:
            found = api.get("/importErrors")["import_errors"]
            errors = "\n".join(f"{e['filename']}: {e['stack_trace']}" for e in found)
            raise StackError(
                f"Airflow does not know the DAG {dag} after {seconds:.0f} s. "
                f"{errors or 'There is no import error; see `homerec logs dag-processor`.'}"
            )
        time.sleep(0.5)
