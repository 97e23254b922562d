"""One real stack (Postgres, Airflow's four processes, a small world) for every test that needs one.

It is made once a test process and stopped at its end; what it takes is paid once.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from homerec.errors import DatabaseError, TransientError
from homerec.settings import Settings, load_settings

START: Final = date(2026, 1, 1)
DAYS: Final = 46
LISTENERS: Final = 1500
#: The day after the world's last event.
AS_OF: Final = START + timedelta(days=DAYS)
MODELS: Final = ("playlists", "podcasts", "shortcuts")
#: A nightly takes 30 s on an idle machine, and minutes on one that others use.
RUN_SECONDS: Final = 600.0
_ENDED: Final = ("success", "failed")
T = TypeVar("T")

#: Settings under which podcasts still beats its baseline, by far less than it could.
WEAK: Final = """
[models.podcasts]
ranker = "boosting"
[models.podcasts.ranker_parameters]
max_iter = 2
max_leaf_nodes = 2
"""


@dataclass
class Alerts:
    """A webhook that keeps what it is sent."""

    server: ThreadingHTTPServer
    received: list[dict[str, Any]]

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/"

    def subjects(self) -> list[str]:
        return [str(alert.get("title")) for alert in self.received]


@dataclass
class Stack:
    """The stack, and what tests do with it."""

    home: Path
    alerts: Alerts
    port: int
    settings: Settings = field(init=False)
    api: Any = field(init=False, default=None)
    said: list[str] = field(default_factory=list)

    @property
    def settings_file(self) -> Path:
        return self.home / "homerec.toml"

    def configure(self, text: str = "") -> None:
        """Write the settings file that every task reads anew."""
        written = self.settings_file.with_suffix(".new")
        # Two shards of listeners, so that mapped tasks run side by side.
        base = 'memory_limit = "2GB"\nshard_listeners = 800\n'
        written.write_text(f"{base}{text}", encoding="utf-8")
        written.replace(self.settings_file)

    @contextlib.contextmanager
    def environment(self) -> Iterator[None]:
        """Set the variables of a deployment, without those of the tests around it."""
        with pytest.MonkeyPatch.context() as patch:
            for name in list(os.environ):
                if name.startswith(("AIRFLOW", "HOMEREC", "MLFLOW", "PYTEST")):
                    patch.delenv(name)
            patch.setenv("HOMEREC_HOME", str(self.home))
            patch.setenv("HOMEREC_CONFIG", str(self.settings_file))
            patch.setenv("HOMEREC_UI_PORT", str(self.port))
            patch.setenv("HOMEREC_ALERTS", self.alerts.url)
            yield

    def up(self) -> None:
        """Start what does not run."""
        from homerec.stack.api import Api
        from homerec.stack.config import admin_password
        from homerec.stack.run import up

        with self.environment():
            self.settings = load_settings()
            config = up(self.settings, self.said.append)
            self.api = Api(config.url, "admin", admin_password(self.settings))

    def main_job(self) -> date:
        """Do the main job of `make up`."""
        from homerec.stack.config import read_config
        from homerec.stack.run import main_job

        config = read_config(self.settings)
        assert config is not None
        with self.environment():
            return main_job(self.settings, config, self.said.append)

    def down(self) -> None:
        """Stop everything."""
        from homerec.stack.run import down

        with self.environment():
            down(self.settings)

    def runs(self, dag: str) -> dict[str, str]:
        """State of each triggered run of a DAG, oldest first; runs of the schedule are left out."""
        found = self.api.get(f"/dags/{dag}/dagRuns?order_by=run_after&limit=100")["dag_runs"]
        return {r["dag_run_id"]: r["state"] for r in found if r["run_type"] == "manual"}

    def tasks(self, dag: str, run: str) -> dict[str, dict[str, Any]]:
        """Task instances of a run by task id, the mapped ones as ``task[0]``."""
        found = self.api.get(f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {
            task["task_id"] + (f"[{task['map_index']}]" if task["map_index"] >= 0 else ""): task
            for task in found
        }

    def states(self, dag: str, run: str) -> dict[str, str]:
        """State of each task of a run."""
        return {name: str(task["state"]) for name, task in self.tasks(dag, run).items()}

    def xcom(self, dag: str, run: str, task: str) -> Any:
        """Return value of a task."""
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/xcomEntries/return_value"
        return self.api.get(path)["value"]

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> str:
        """Log of a task, as the web UI shows it."""
        found = self.api.get(f"/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}")
        return json.dumps(found["content"], ensure_ascii=False)

    def trigger(self, dag: str, conf: Mapping[str, Any]) -> str:
        """Start a run and return its id."""
        return str(self.api.trigger(dag, conf))

    def wait(self, dag: str, run: str, seconds: float = RUN_SECONDS) -> str:
        """Wait for a run's end and return its state."""

        def ended() -> str | None:
            state = str(self.api.get(f"/dags/{dag}/dagRuns/{run}")["state"])
            return state if state in _ENDED else None

        return until(ended, f"the end of {dag} {run}", seconds)

    def night(self, **conf: Any) -> tuple[str, str]:
        """Run a night to its end; returns the run's id and state."""
        run = self.trigger("nightly", {"as_of": AS_OF.isoformat(), "ingest": False, **conf})
        return run, self.wait("nightly", run)

    def release_id(self) -> int:
        """Id of the release that backends read now."""
        from homerec.release.pointer import live_release

        release = live_release(self.settings)
        assert release is not None
        return release.release_id


def until(found: Callable[[], T | None], what: str, seconds: float, pause: float = 0.3) -> T:
    """Ask again until there is an answer."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(TransientError):
            value = found()
            if value is not None:
                return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}")
        time.sleep(pause)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def listening_for_alerts() -> Iterator[Alerts]:
    """Run the webhook."""
    received: list[dict[str, Any]] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            received.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Alerts(server, received)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def finished_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack on which the main job of `make up` was done, with a weak champion of podcasts."""
    from homerec.database import embedded
    from homerec.lake import Lake
    from homerec.world import generate

    home = tmp_path_factory.mktemp("real stack")
    generate(Lake(home).inbox, listeners=LISTENERS, days=DAYS, start=START, seed=7, progress=False)
    with listening_for_alerts() as alerts:
        stack = Stack(home, alerts, free_port())
        stack.configure(WEAK)
        try:
            stack.up()
        except DatabaseError as error:
            embedded.remove(stack.settings)
            if os.environ.get("CI"):
                raise
            pytest.skip(f"the embedded Postgres cannot run here: {error}")
        try:
            assert stack.main_job() == AS_OF
            stack.configure()
            yield stack
        finally:
            stack.down()
            embedded.remove(stack.settings)


@pytest.fixture
def stack(finished_stack: Stack) -> Stack:
    """The stack, running, also when a test before has stopped it."""
    finished_stack.up()
    return finished_stack
