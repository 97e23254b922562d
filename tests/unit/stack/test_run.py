"""The main job's order and words, and what `up` refuses, with Airflow and Postgres stood in for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from homerec.errors import StackError, TransientError
from homerec.lake import Lake, write_json
from homerec.models import model_names
from homerec.settings import Settings
from homerec.stack import run
from homerec.stack.config import COMPONENTS, StackConfig

AS_OF = date(2026, 3, 2)


@dataclass
class StandIn:
    """Airflow's API: every run ends at the second look, as told; each third call finds it away."""

    ends: Mapping[str, str] = field(default_factory=dict)
    triggered: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    looks: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    url: str = "http://127.0.0.1:8080"

    def trigger(self, dag: str, conf: Mapping[str, Any]) -> str:
        self.triggered.append((dag, conf))
        return f"manual__{dag}"

    def get(self, path: str) -> Any:
        self.calls += 1
        if self.calls % 3 == 0:
            raise TransientError("away for a moment")
        dag = path.split("/")[2]
        end = self.ends.get(dag, "success")
        if not path.endswith("/taskInstances"):
            self.looks[dag] = self.looks.get(dag, 0) + 1
            return {"state": end if self.looks[dag] > 1 else "running"}
        tasks = [
            {"task_id": "first", "state": "success", "end_date": "1", "duration": 1.25},
            {"task_id": "last", "state": end, "end_date": "2", "duration": None},
        ]
        return {"task_instances": tasks}


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> StandIn:
    stand_in = StandIn()
    monkeypatch.setattr(run, "_api", lambda settings, config: stand_in)
    monkeypatch.setattr(run, "wait_for_dag", lambda api, dag, seconds: None)
    monkeypatch.setattr(run, "_POLL_SECONDS", 0.0)
    monkeypatch.setattr(run, "live_release", lambda settings: None)
    (Lake(settings.home).partitions("events") / "date=2026-03-01").mkdir(parents=True)
    return stand_in


def test_the_main_job_ingests_then_retrains_every_model_then_runs_the_night(
    airflow: StandIn, settings: Settings, config: StackConfig
) -> None:
    said: list[str] = []
    assert run.main_job(settings, config, said.append) == AS_OF
    wanted = {"as_of": "2026-03-02"}
    assert airflow.triggered == [
        ("ingest", {}),
        *((f"retrain_{name}", wanted) for name in model_names()),
        ("nightly", {**wanted, "ingest": False}),
    ]
    assert said.count("nightly: first success in 1.2 s") == 1
    assert said[-1] == "nightly: success"


def test_a_failed_run_names_its_task_its_page_and_its_log(
    airflow: StandIn, settings: Settings, config: StackConfig
) -> None:
    airflow.ends = {"ingest": "failed"}
    with pytest.raises(StackError) as failed:
        run.main_job(settings, config, lambda line: None)
    lines = str(failed.value).splitlines()
    assert lines[0] == "Run manual__ingest of ingest failed at last."
    assert lines[1].endswith("http://127.0.0.1:8080/dags/ingest/runs/manual__ingest")
    log = config.task_logs / "dag_id=ingest" / "run_id=manual__ingest" / "task_id=last"
    assert lines[2] == f"The log: {log}"
    assert [dag for dag, _ in airflow.triggered] == ["ingest"]


def test_a_run_without_an_end_is_an_error(
    airflow: StandIn, settings: Settings, config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow.ends = {"ingest": "running"}
    monkeypatch.setattr(run, "_RUN_SECONDS", 0.05)
    with pytest.raises(StackError, match="ingest did not end in 0 s"):
        run.main_job(settings, config, lambda line: None)


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({}, False),
        ({"as_of": date(2026, 3, 1)}, True),
        ({"degraded": True}, True),
        ({"champion": None}, True),
        ({"inbox": "2026-03-01.parquet"}, False),
        ({"inbox": "2026-03-02.parquet"}, True),
    ],
)
def test_what_is_done_is_not_done_again(
    airflow: StandIn,
    settings: Settings,
    config: StackConfig,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    again: bool,
) -> None:
    release = SimpleNamespace(
        as_of=change.get("as_of", AS_OF), degraded=change.get("degraded", False)
    )
    registry = SimpleNamespace(champion=lambda name: change.get("champion", 1))
    monkeypatch.setattr(run, "live_release", lambda settings: release)
    monkeypatch.setattr(run, "open_registry", lambda settings: registry)
    events = Lake(settings.home).inbox / "events"
    events.mkdir(parents=True)
    if "inbox" in change:
        (events / change["inbox"]).touch()
    said: list[str] = []
    assert run.main_job(settings, config, said.append) == AS_OF
    assert bool(airflow.triggered) is again
    assert ("live already" in said[0]) is not again


def test_up_refuses_before_anything_is_made(settings: Settings) -> None:
    own = replace(settings, database_url="postgresql+psycopg2://app:x@127.0.0.1:1/homerec")
    with pytest.raises(StackError, match="name a database for Airflow"):
        run.up(own, lambda line: None)
    assert list(settings.home.iterdir()) == []


def test_up_refuses_another_port_than_the_running_stack_has(
    settings: Settings, config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEREC_UI_PORT", "8099")
    monkeypatch.setattr(run, "_running", lambda settings: config)
    with pytest.raises(StackError, match="runs on port 8080, HOMEREC_UI_PORT asks for 8099"):
        run.up(settings, lambda line: None)


def test_health_that_never_comes_is_an_error_with_what_was_seen(
    settings: Settings, config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"metadatabase": "healthy", "scheduler": "unhealthy"}
    monkeypatch.setattr(run, "_api", lambda settings, config: SimpleNamespace(health=lambda: state))
    monkeypatch.setattr(run, "check_alive", lambda config: None)
    monkeypatch.setattr(run, "_HEALTHY_SECONDS", -1.0)
    with pytest.raises(StackError, match=r"not healthy .*'scheduler': 'unhealthy'"):
        run._wait_healthy(settings, config, lambda line: None)


def test_half_a_stack_is_stopped_and_started_anew(settings: Settings, config: StackConfig) -> None:
    write_json(asdict(config), settings.home / "airflow" / "stack.json")
    for component in COMPONENTS:
        config.pid_file(component).parent.mkdir(exist_ok=True)
        config.pid_file(component).write_text("4194305 1\n", encoding="ascii")
    assert run._running(settings) is None
    assert not any(config.pid_file(c).exists() for c in COMPONENTS)


def test_down_without_anything_stops_nothing(settings: Settings) -> None:
    assert run.down(settings) == []
