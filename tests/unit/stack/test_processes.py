"""Starting and stopping: pid files that tell the truth, sessions that leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from homerec.errors import StackError
from homerec.stack import processes
from homerec.stack.config import COMPONENTS, StackConfig
from homerec.stack.processes import check_alive, pid_of, run_to_end, start_all, stop_all, tail

#: Stands for Airflow: a leader with a child, and a task in a process group of its own.
STAND_IN = """
import os, signal, subprocess, sys, time
import pathlib
name, folder = sys.argv[1], pathlib.Path(os.environ["AIRFLOW_HOME"])
if name == "version":
    print("spoken:", sys.argv[1:], os.environ["SECRET"] in " ".join(sys.argv))
    sys.exit(3)
if name == "triggerer" and (folder / "ends").exists():
    sys.exit("nothing to trigger")
if (folder / "stubborn").exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
child = subprocess.Popen(sleep)
task = subprocess.Popen(sleep, process_group=0)
(folder / f"{name}.children").write_text(f"{child.pid} {task.pid}")
def end(*_):
    task.kill()
    sys.exit()
if not (folder / "stubborn").exists():
    signal.signal(signal.SIGTERM, end)
print(name, "runs", flush=True)
time.sleep(60)
"""


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.fixture
def env(config: StackConfig, tmp_path: Path) -> dict[str, str]:
    package = tmp_path / "airflow"
    package.mkdir()
    # A regular package: a folder without this file would yield to the real Airflow.
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN, encoding="utf-8")
    return {
        "PYTHONPATH": str(tmp_path),
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": config.folder,
        "SECRET": "hidden",
    }


@pytest.fixture
def started(config: StackConfig, env: dict[str, str]) -> Iterator[StackConfig]:
    try:
        start_all(config, env)
        until(lambda: all("runs" in tail(config.log_file(c)) for c in COMPONENTS))
        yield config
    finally:
        stop_all(config)


def children(config: StackConfig) -> list[int]:
    files = [Path(config.folder) / f"{c}.children" for c in COMPONENTS]
    return [int(pid) for file in files for pid in file.read_text(encoding="ascii").split()]


def test_each_component_leads_a_session_of_its_own_with_stdin_closed(started: StackConfig) -> None:
    check_alive(started)
    for component in COMPONENTS:
        pid = pid_of(started, component)
        assert pid is not None
        assert os.getsid(pid) == pid
        assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")


def test_no_secret_is_in_an_argument_list(started: StackConfig, env: dict[str, str]) -> None:
    for component in COMPONENTS:
        arguments = Path(f"/proc/{pid_of(started, component)}/cmdline").read_bytes()
        assert component.encode() in arguments
        assert env["SECRET"].encode() not in arguments


def test_what_runs_is_not_started_again(started: StackConfig, env: dict[str, str]) -> None:
    before = [pid_of(started, c) for c in COMPONENTS]
    start_all(started, env)
    assert [pid_of(started, c) for c in COMPONENTS] == before


def test_stop_leaves_no_process_and_no_pid_file(started: StackConfig) -> None:
    every = [*children(started), *(pid for c in COMPONENTS if (pid := pid_of(started, c)))]
    assert all(map(alive, every))
    assert stop_all(started) == list(COMPONENTS)
    assert not any(map(alive, every))
    assert not any(started.pid_file(c).exists() for c in COMPONENTS)
    assert stop_all(started) == []


def test_what_ignores_sigterm_is_killed(
    config: StackConfig, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_STOP_SECONDS", 0.2)
    (Path(config.folder) / "stubborn").touch()
    start_all(config, env)
    try:
        until(lambda: all("runs" in tail(config.log_file(c)) for c in COMPONENTS))
        every = children(config)
    finally:
        stop_all(config)
    assert not any(map(alive, every))


def test_children_of_a_killed_leader_are_stopped_too(started: StackConfig) -> None:
    leader = pid_of(started, "scheduler")
    assert leader is not None
    os.kill(leader, signal.SIGKILL)
    until(lambda: not alive(leader))
    assert pid_of(started, "scheduler") is None
    orphans = children(started)
    with pytest.raises(StackError, match=r"Airflow's scheduler has ended\. The end of .*"):
        check_alive(started)
    assert "scheduler" in stop_all(started)
    assert not any(map(alive, orphans))


def test_a_pid_that_another_process_has_now_is_left_alone(config: StackConfig) -> None:
    stranger = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)  # airflow"], start_new_session=True
    )
    try:
        config.pid_file("scheduler").parent.mkdir()
        config.pid_file("scheduler").write_text(f"{stranger.pid} 1\n", encoding="ascii")
        assert pid_of(config, "scheduler") is None
        assert stop_all(config) == []
        assert stranger.poll() is None
        assert not config.pid_file("scheduler").exists()
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "soon", "4194305 1", "12 x y", "\xe9"])
def test_a_pid_file_of_nobody_counts_as_none(config: StackConfig, text: str) -> None:
    config.pid_file("triggerer").parent.mkdir()
    config.pid_file("triggerer").write_text(text, encoding="latin-1")
    assert pid_of(config, "triggerer") is None
    assert stop_all(config) == []


def test_a_component_that_ends_early_is_named_with_the_end_of_its_log(
    config: StackConfig, env: dict[str, str]
) -> None:
    (Path(config.folder) / "ends").touch()
    start_all(config, env)
    try:
        until(lambda: pid_of(config, "triggerer") is None)
        with pytest.raises(StackError, match=r"(?s)triggerer has ended.*nothing to trigger"):
            check_alive(config)
    finally:
        stop_all(config)


def test_a_command_that_fails_says_what_it_said(config: StackConfig, env: dict[str, str]) -> None:
    with pytest.raises(StackError, match=r"(?s)`airflow version` ended with 3.*spoken: .* False"):
        run_to_end(config, env, "migrate", ["version"])


def test_tail_of_what_was_never_written(tmp_path: Path) -> None:
    assert tail(tmp_path / "none.log") == "(nothing was written)"
    (tmp_path / "some.log").write_bytes(b"a\nb\n\xff\n")
    assert tail(tmp_path / "some.log", 2) == "b\n�"
