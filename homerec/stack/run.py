"""`make up` and `make down`: the stack, and the main job through it."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any, Final

from homerec.database import embedded
from homerec.database.migrations import migrate
from homerec.database.urls import app_url
from homerec.errors import StackError, TransientError
from homerec.lake import Lake, locked
from homerec.models import model_names
from homerec.registry.loading import open_registry
from homerec.release.pointer import live_release
from homerec.settings import Settings
from homerec.stack.api import Api, wait_for_dag
from homerec.stack.config import (
    StackConfig,
    admin_password,
    airflow_database,
    asked_port,
    check_machine,
    environment,
    make_config,
    named_airflow_database,
    read_config,
    write_passwords,
)
from homerec.stack.ports import FIRST_PORT
from homerec.stack.processes import check_alive, run_to_end, start_all, stop_all
from homerec.world import generate

Progress = Callable[[str], None]

_HEALTHY_SECONDS: Final = 120.0
_DAG_SECONDS: Final = 90.0
_RUN_SECONDS: Final = 3600.0
_POLL_SECONDS: Final = 0.5
_ENDED: Final = ("success", "failed")
_PARTS: Final = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def up(settings: Settings, progress: Progress, *, world: bool = True) -> StackConfig:
    """Start Postgres and Airflow, unless they run.

    Parameters
    ----------
    settings : Settings
    progress : callable
        Receives one line per step.
    world : bool
        Make the demo world if the inbox is empty.

    Raises
    ------
    StackError
        The machine cannot carry it, or a part does not start; what it said is in the message.
    """
    check_machine(settings)
    named_airflow_database(settings)
    # Two at once would start everything twice.
    with locked(settings.home / "airflow" / "stack.json"):
        return _up(settings, progress, world=world)


def _up(settings: Settings, progress: Progress, *, world: bool) -> StackConfig:
    config = _running(settings)
    asked = asked_port()
    if config is not None and asked not in (None, config.port):
        raise StackError(
            f"Airflow runs on port {config.port}, HOMEREC_UI_PORT asks for {asked}. Stop it "
            "first: make down"
        )
    fresh = config is None
    if config is None:
        config = make_config(settings)
        if asked is None and config.port != FIRST_PORT:
            progress(f"airflow: its web UI takes port {config.port}")
    _database(settings, progress)
    if fresh:
        database = airflow_database(settings)
        env = environment(settings, config, database)
        write_passwords(settings, config)
        # The world compiles and writes while Airflow lays its tables: one core each.
        with ThreadPoolExecutor(1) as pool:
            laid = pool.submit(run_to_end, config, env, "migrate", ["db", "migrate"])
            progress("airflow: laying its tables")
            if world:
                _world(settings, progress)
            laid.result()
        progress("airflow: starting api-server, scheduler, dag-processor, triggerer")
        start_all(config, env)
    elif world:
        _world(settings, progress)
    _wait_healthy(settings, config, progress)
    return config


def main_job(settings: Settings, config: StackConfig, progress: Progress) -> date:
    """Ingest, retrain every model, run the night, all through Airflow; returns the as_of.

    What is done already is not done again.

    Raises
    ------
    StackError
        A run failed; the task and where to look are in the message.
    """
    api = _api(settings, config)
    done = _done(settings)
    if done is not None:
        progress(f"the release of {done} is live already, with a champion of every model")
        return done
    for dag in ("ingest", *(f"retrain_{name}" for name in model_names()), "nightly"):
        wait_for_dag(api, dag, _DAG_SECONDS)
    _run_all(api, config, {"ingest": {}}, progress)
    as_of = Lake(settings.home).event_dates()[-1] + timedelta(days=1)
    wanted = {"as_of": as_of.isoformat()}
    _run_all(api, config, {f"retrain_{name}": wanted for name in model_names()}, progress)
    _run_all(api, config, {"nightly": {**wanted, "ingest": False}}, progress)
    return as_of


def down(settings: Settings) -> list[str]:
    """Stop Airflow and the embedded Postgres; returns what ran."""
    config = read_config(settings)
    stopped = stop_all(config) if config else []
    if not settings.database_url and embedded.status(settings).running:
        embedded.stop(settings)
        stopped.append("postgres")
    return stopped


def _running(settings: Settings) -> StackConfig | None:
    """Return the configuration of a stack whose four processes all run; stop half of one."""
    config = read_config(settings)
    if config is None:
        return None
    try:
        check_alive(config)
    except StackError:
        stop_all(config)
        return None
    return config


def _database(settings: Settings, progress: Progress) -> None:
    if settings.database_url:
        migrate(app_url(settings))
        return
    found = embedded.start(settings)
    progress(f"postgres: runs on 127.0.0.1:{found.port}")


def _world(settings: Settings, progress: Progress) -> None:
    inbox = Lake(settings.home).inbox
    if not inbox.is_dir() or not any(inbox.iterdir()):
        progress(f"world: {generate(inbox, progress=False).render()}")


def _api(settings: Settings, config: StackConfig) -> Api:
    return Api(config.url, "admin", admin_password(settings))


def _wait_healthy(settings: Settings, config: StackConfig, progress: Progress) -> None:
    api, started = _api(settings, config), time.monotonic()
    while True:
        state = api.health()
        if all(state.get(part) == "healthy" for part in _PARTS):
            break
        check_alive(config)
        if time.monotonic() - started > _HEALTHY_SECONDS:
            raise StackError(
                f"Airflow is not healthy after {_HEALTHY_SECONDS:.0f} s: {state or 'no answer'}. "
                "See: homerec logs"
            )
        time.sleep(_POLL_SECONDS)
    progress(f"airflow: healthy after {time.monotonic() - started:.0f} s, {config.url}")


def _done(settings: Settings) -> date | None:
    """Return the as_of of the live release if it is the newest one the inbox allows."""
    dates = Lake(settings.home).event_dates()
    release = live_release(settings)
    if release is None or not dates or release.as_of != dates[-1] + timedelta(days=1):
        return None
    if any(Lake(settings.home).inbox.glob("events/*")) and _newer_inbox(settings, dates[-1]):
        return None
    registry = open_registry(settings)
    ready = all(registry.champion(name) is not None for name in model_names())
    return release.as_of if ready and not release.degraded else None


def _newer_inbox(settings: Settings, newest: date) -> bool:
    names = (p.name[:10] for p in (Lake(settings.home).inbox / "events").iterdir())
    return any(name > newest.isoformat() for name in names if name[:2].isdigit())


def _run_all(
    api: Api,
    config: StackConfig,
    runs: Mapping[str, Mapping[str, Any]],
    progress: Progress,
) -> None:
    """Trigger DAGs side by side and wait for all of them."""
    waiting = {dag: api.trigger(dag, conf) for dag, conf in runs.items()}
    for dag in waiting:
        progress(f"{dag}: triggered")
    said: set[tuple[str, str, str]] = set()
    deadline = time.monotonic() + _RUN_SECONDS
    while waiting:
        time.sleep(_POLL_SECONDS)
        for dag, run in list(waiting.items()):
            try:
                state = api.get(f"/dags/{dag}/dagRuns/{run}")["state"]
                tasks = api.get(f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
            except TransientError:
                continue
            _tell(dag, tasks, said, progress)
            if state in _ENDED:
                del waiting[dag]
                progress(f"{dag}: {state}")
            if state == "failed":
                raise StackError(_failure(api, config, dag, run, tasks))
        if waiting and time.monotonic() > deadline:
            raise StackError(
                f"{', '.join(waiting)} did not end in {_RUN_SECONDS:.0f} s. See {api.url}"
            )


def _tell(
    dag: str,
    tasks: list[dict[str, Any]],
    said: set[tuple[str, str, str]],
    progress: Progress,
) -> None:
    for task in sorted(tasks, key=lambda t: str(t["end_date"])):
        state = str(task["state"])
        key = (dag, str(task["task_id"]), state)
        if key in said or state not in ("success", "failed", "skipped", "up_for_retry"):
            continue
        said.add(key)
        seconds = f" in {task['duration']:.1f} s" if task["duration"] else ""
        progress(f"{dag}: {task['task_id']} {state}{seconds}")


def _failure(api: Api, config: StackConfig, dag: str, run: str, tasks: list[dict[str, Any]]) -> str:
    failed = [str(task["task_id"]) for task in tasks if task["state"] == "failed"]
    lines = [
        f"Run {run} of {dag} failed at {', '.join(failed) or 'no task of its own'}.",
        f"In the web UI: {api.url}/dags/{dag}/runs/{run}",
    ]
    logs = config.task_logs / f"dag_id={dag}" / f"run_id={run}"
    lines += [f"The log: {logs / f'task_id={task}'}" for task in failed] or [f"The logs: {logs}"]
    return "\n".join([*lines, "What to do: docs/runbook.md"])
