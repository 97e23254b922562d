"""A throwaway Airflow of its own for every test process, set up before Airflow is imported."""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOME = Path(tempfile.mkdtemp(prefix="homerec-airflow-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)

AIRFLOW = {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{HOME}/airflow.db",
    "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
}
if "airflow" in sys.modules:
    raise RuntimeError("Airflow was imported before tests/dags could set its home.")
os.environ.update(AIRFLOW)
os.environ.pop("HOMEREC_ALERTS", None)
sys.path.insert(0, str(ROOT / "plugins"))


@pytest.fixture(scope="session")
def airflow_environment() -> dict[str, str]:
    """Environment for an Airflow in another process."""
    return {**os.environ, **AIRFLOW}


@pytest.fixture
def bag() -> Any:
    """Parse the DAG files anew."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(ROOT / "dags", collect_dags=True)


@pytest.fixture(scope="session")
def database() -> None:
    """The metadata database of this process."""
    from airflow.utils.db import initdb

    initdb()


class Steps:
    """Stands for the library: records what is called, and does what a test says."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.skipped: dict[str, str] = {}
        self.drift: dict[str | None, Exception] = {}
        self.live = True
        self.outcome = "promote"
        self.version: int | None = 4
        self.numbers = [0]
        self.report_problem = ""

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    def _note(self, *call: Any) -> None:
        self.calls.append(call)

    def ingest(self, source: str, mapping: str) -> dict[str, Any]:
        self._note("ingest", source, mapping)
        return {"ingest_id": "one", "report": "one.json"}

    def snapshot(self, as_of: str) -> str:
        self._note("snapshot", as_of)
        return f"snapshots/as_of={as_of}"

    def report_ingest(self, ingest_id: str) -> str:
        del ingest_id
        return self.report_problem

    def report_snapshot(self, as_of: str) -> str:
        del as_of
        return self.report_problem

    def plan(self, as_of: str, models: list[str]) -> list[dict[str, Any]]:
        self._note("plan", as_of, sorted(models))
        for name in {"playlists", "podcasts", "shortcuts"} - set(models):
            self.skipped[name] = "not chosen"
        return []

    def shards(self, as_of: str) -> list[int]:
        del as_of
        return self.numbers

    def snapshot_is_kept(self, as_of: str) -> bool:
        del as_of
        return True

    def check_drift(self, as_of: str, model: str | None) -> str:
        self._note("drift", as_of, model)
        if model in self.drift:
            raise self.drift[model]
        return "passed"

    def reason_to_skip(self, as_of: str, model: str) -> str:
        del as_of
        return self.skipped.get(model, "")

    def candidates(self, as_of: str, model: str, shard: int) -> int:
        self._note("candidates", as_of, model, shard)
        return shard

    def rank(self, as_of: str, model: str, shard: int) -> int:
        self._note("rank", as_of, model, shard)
        return shard

    def assemble(self, as_of: str) -> str:
        self._note("assemble", as_of)
        return f"nights/as_of={as_of}/bundle"

    def publish(self, bundle: str, force_older: bool, who: str) -> dict[str, Any]:
        self._note("publish", bundle, force_older, who.partition(" ")[0])
        return {
            "release_id": 7,
            "as_of": "2026-03-02",
            "status": "live" if self.live else "audited",
            "live": self.live,
            "note": None if self.live else "on hold",
            "degraded": False,
            "reasons": [],
        }

    def challenge(self, as_of: str, model: str) -> dict[str, Any]:
        self._note("challenge", as_of, model)
        return {"version": self.version, "skipped": "the catalog has no show", "folder": "x"}

    def judge(self, as_of: str, model: str) -> dict[str, Any]:
        self._note("judge", as_of, model)
        return {
            "model": model,
            "version": self.version,
            "outcome": self.outcome,
            "reason": "because",
            "verdict": "the table",
        }


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Put a recording stand-in where the DAGs call the library."""
    from homerec_airflow import steps

    made = Steps()
    for name in dir(made):
        replacement = getattr(made, name)
        if callable(replacement) and hasattr(steps, name) and not name.startswith("_"):
            monkeypatch.setattr(steps, name, replacement)
    return made


@pytest.fixture
def alerts_sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Record alerts in place of sending them."""
    from homerec_airflow import alerts

    sent: list[tuple[str, str]] = []

    def record(subject: str, body: str, context: Any) -> int:
        del context
        sent.append((subject, body))
        return 1

    monkeypatch.setattr(alerts, "send", record)
    return sent


Run = Callable[..., tuple[str, dict[str, str]]]


@pytest.fixture
def run(bag: Any, database: None) -> Run:
    """Run a DAG in this process; gives the run's state, and each task's."""

    def runner(dag_id: str, **conf: Any) -> tuple[str, dict[str, str]]:
        made = bag.dags[dag_id].test(run_conf=conf)
        states = {}
        for ti in made.get_task_instances():
            name = ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
            states[name] = str(ti.state)
        return str(made.state), states

    return runner
