"""The real stack: nights, drift, the gate, a killed task, and what `make down` leaves."""

import os
import signal
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from support.processes import begun, children, listening, title
from support.real_stack import AS_OF, MODELS, WEAK, Stack, until

STAGES = ("candidates", "rank")
#: Trees whose leaves must be larger than the training set cannot order anything.
HOPELESS = """
[models.podcasts]
ranker = "boosting"
[models.podcasts.ranker_parameters]
min_samples_leaf = 100000000
[models.podcasts.sources.als]
factors = 1
"""


def champion(stack: Stack, model: str) -> int:
    from homerec.registry.loading import open_registry

    found = open_registry(stack.settings).champion(model)
    assert found is not None
    return found.version


def retrain(stack: Stack, settings: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Retrain podcasts under other settings; gives the gate's answer and the state of each task."""
    stack.configure(settings)
    try:
        run = stack.trigger("retrain_podcasts", {"as_of": AS_OF.isoformat()})
        assert stack.wait("retrain_podcasts", run) == "success"
    finally:
        stack.configure()
    return stack.xcom("retrain_podcasts", run, "gate"), stack.states("retrain_podcasts", run)


def checks(answer: dict[str, Any]) -> dict[str, str]:
    """What each check of a verdict said, from the table as people read it."""
    lines = answer["verdict"].split("\n\n", 1)[1].splitlines()[1:]
    said = (line.partition("  ") for line in lines if line.strip())
    return {name: rest.split()[0] for name, _, rest in said}


def test_the_main_job_ends_in_a_successful_night_and_a_home_of_five_shelves(stack: Stack):
    from homerec.release import home
    from homerec.release.pointer import live_release
    from homerec.release.reading import example_listener

    assert next(iter(stack.runs("nightly").values())) == "success"
    release = live_release(stack.settings)
    assert release is not None
    assert (release.as_of, release.degraded) == (AS_OF, False)
    cards = home(stack.settings, example_listener(stack.settings))
    assert cards["shelf"].nunique() >= 5
    assert set(MODELS) <= {name for name, v in release.versions.items() if v["mode"] == "champion"}
    states = stack.states("nightly", next(iter(stack.runs("nightly"))))
    both = [f"{name}.{stage}[{n}]" for name in MODELS for stage in STAGES for n in (0, 1)]
    assert {states[task] for task in both} == {"success"}


def test_doing_the_main_job_again_starts_no_process_and_no_run(stack: Stack):
    from homerec.stack.config import COMPONENTS, read_config
    from homerec.stack.processes import pid_of

    config = read_config(stack.settings)
    assert config is not None
    dags = ("ingest", "nightly", *(f"retrain_{name}" for name in MODELS))
    runs = {dag: stack.runs(dag) for dag in dags}
    pids = {c: pid_of(config, c) for c in COMPONENTS}
    release = stack.release_id()
    stack.up()
    assert stack.main_job() == AS_OF
    assert {dag: stack.runs(dag) for dag in dags} == runs
    assert {c: pid_of(config, c) for c in COMPONENTS} == pids
    assert None not in pids.values()
    assert stack.release_id() == release


@pytest.fixture
def shows_without_an_age(stack: Stack) -> Iterator[None]:
    """Give every show the same late release date, as an import without its dates would."""
    from homerec.lake import Lake

    path = Lake(stack.settings.home).table("items")
    before = path.read_bytes()
    items = pq.read_table(path)
    late = pa.scalar(datetime(2026, 2, 14), items.schema.field("released_at").type)  # noqa: DTZ001
    column = items.column_names.index("released_at")
    spoiled = pc.if_else(pc.equal(items["type"], "show"), late, items["released_at"])
    pq.write_table(items.set_column(column, "released_at", spoiled), path)
    yield
    path.write_bytes(before)


def test_drift_in_one_feature_fails_the_run_alerts_and_publishes_nothing(
    stack: Stack, shows_without_an_age: None
):
    before = stack.release_id()
    run, state = stack.night()
    assert state == "failed"
    assert stack.api.get(f"/dags/nightly/dagRuns/{run}")["state"] == "failed"
    tasks = stack.tasks("nightly", run)
    states = {name: task["state"] for name, task in tasks.items()}
    assert states["snapshot"] == "success"
    assert states["drift_snapshot"] == "failed"
    assert tasks["drift_snapshot"]["try_number"] == 1
    behind = {name for name, found in states.items() if found == "upstream_failed"}
    assert {"podcasts.candidates", "shortcuts.rank", "assemble", "publish", "announce"} <= behind
    log = stack.log("nightly", run, "drift_snapshot")
    assert "DriftExceeded" in log
    assert "item_age_days drift" in log
    assert "docs/runbook.md#drift" in log
    assert stack.release_id() == before
    assert "homerec: nightly failed at drift_snapshot" in stack.alerts.subjects()


def test_the_gate_promotes_a_better_challenger(stack: Stack):
    weak = champion(stack, "podcasts")
    answer, states = retrain(stack, "")
    assert answer["outcome"] == "promote"
    assert states["promoted"] == "success"
    assert champion(stack, "podcasts") == answer["version"] != weak
    assert checks(answer)["champion"] == "pass"


@pytest.mark.parametrize(
    ("settings", "baseline"), [(WEAK, "pass"), (HOPELESS, "reject")], ids=["weak", "hopeless"]
)
def test_the_gate_keeps_the_champion_from_a_worse_challenger(
    stack: Stack, settings: str, baseline: str
):
    before = champion(stack, "podcasts")
    answer, states = retrain(stack, settings)
    assert answer["outcome"] == "reject"
    assert (states["challenger"], states["gate"], states["promoted"]) == (
        "success",
        "success",
        "skipped",
    )
    assert champion(stack, "podcasts") == before != answer["version"]
    said = checks(answer)
    assert said["champion"] == "reject"
    assert said["baseline"] == baseline
    rejected = f"homerec: the gate rejected podcasts v{answer['version']}"
    assert rejected in stack.alerts.subjects()


def test_a_killed_task_is_tried_again_and_the_night_succeeds(stack: Stack):
    before, task, mapped = stack.release_id(), "shortcuts.candidates", "shortcuts.candidates[0]"
    run = stack.trigger("nightly", {"as_of": AS_OF.isoformat(), "ingest": False})

    def running() -> int | None:
        found = stack.tasks("nightly", run).get(mapped)
        if found is None:
            return None
        ours = found["pid"] and title(found["pid"]).endswith(f"worker -- {found['id']}")
        return found["pid"] if ours and found["state"] == "running" else None

    os.kill(until(running, f"{mapped} to run", 300, pause=0.1), signal.SIGKILL)
    assert stack.wait("nightly", run) == "success"
    found = stack.tasks("nightly", run)
    assert (found[mapped]["state"], found[mapped]["try_number"]) == ("success", 2)
    tries = stack.api.get(f"/dags/nightly/dagRuns/{run}/taskInstances/{task}/0/tries")
    first, second = (t["state"] for t in tries["task_instances"])
    # Who notices first that the process is gone, its supervisor or the scheduler, names the end.
    assert first in {"failed", "up_for_retry"}
    assert second == "success"
    assert {t["try_number"] for name, t in found.items() if name != mapped} <= {0, 1}
    assert stack.release_id() > before


def test_down_leaves_no_process_and_no_port(stack: Stack):
    from homerec.database import embedded
    from homerec.stack.config import COMPONENTS, read_config
    from homerec.stack.processes import pid_of

    config = read_config(stack.settings)
    assert config is not None
    pids = [pid_of(config, c) for c in COMPONENTS] + [embedded.status(stack.settings).pid]
    leaders = {pid for pid in pids if pid is not None}
    assert len(leaders) == 5
    ours = {pid: begun(pid) for pid in children(leaders)}
    ports = listening(set(ours))
    assert config.port in {port for port, _ in ports}
    assert all(loopback for _, loopback in ports)
    stack.down()
    assert {pid for pid, start in ours.items() if start and begun(pid) == start} == set()
    assert port_answers(ports) == set()
    assert embedded.status(stack.settings).running is False


def port_answers(ports: set[tuple[int, bool]]) -> set[int]:
    """Ports of those that still take a connection."""
    import socket

    found = set()
    for port, _ in ports:
        with socket.socket() as probe:
            probe.settimeout(2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                found.add(port)
    return found
