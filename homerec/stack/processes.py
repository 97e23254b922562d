"""Starting and stopping Airflow's four processes, each with its pid file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from homerec.errors import StackError
from homerec.stack.config import COMPONENTS, StackConfig

Progress = Callable[[str], None]

#: Airflow's processes end 6 to 7 s after SIGTERM; what is left then gets SIGKILL.
_STOP_SECONDS: Final = 15.0
_KILL_SECONDS: Final = 5.0
_TAIL_LINES: Final = 15
#: The log servers would listen on all interfaces; the API server reads the same folder.
_ARGUMENTS: Final = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


@dataclass(frozen=True)
class _Process:
    pid: int
    state: str
    session: int
    started: str


def pid_of(config: StackConfig, component: str) -> int | None:
    """Pid of a running component; a pid file whose process is gone or another counts as none."""
    noted = _noted(config, component)
    if noted is None:
        return None
    found = _process(noted[0])
    return found.pid if found and found.state != "Z" and found.started == noted[1] else None


def start_all(config: StackConfig, env: dict[str, str]) -> None:
    """Start the components that do not run, each in a session of its own."""
    for component in COMPONENTS:
        if pid_of(config, component) is not None:
            continue
        log = config.log_file(component)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *_ARGUMENTS[component]],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=config.folder,
                start_new_session=True,
            )
        pid_file = config.pid_file(component)
        pid_file.parent.mkdir(parents=True, exist_ok=True)
        begun = _process(process.pid)
        pid_file.write_text(f"{process.pid} {begun.started if begun else ''}\n", encoding="ascii")


def run_to_end(config: StackConfig, env: dict[str, str], name: str, arguments: list[str]) -> None:
    """Run one Airflow command and keep its output in a log.

    Raises
    ------
    StackError
        It failed; the end of its output is in the message.
    """
    log = config.log_file(name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=config.folder,
            check=False,
        )
    if done.returncode:
        raise StackError(
            f"`airflow {' '.join(arguments)}` ended with {done.returncode}. The end of {log}:\n"
            f"{tail(log)}"
        )


def check_alive(config: StackConfig) -> None:
    """See that every component runs.

    Raises
    ------
    StackError
        One has ended; the end of its log is in the message.
    """
    for component in COMPONENTS:
        if pid_of(config, component) is None:
            log = config.log_file(component)
            raise StackError(
                f"Airflow's {component} has ended. The end of {log}:\n{tail(log)}\n"
                "Mend what it says, then: make down; make up"
            )


def stop_all(config: StackConfig) -> list[str]:
    """Stop every component and all that it started; returns the names of those that ran.

    Raises
    ------
    StackError
        A process does not end, or belongs to another user.
    """
    running = [c for c in COMPONENTS if _members(config, c)]
    for component in running:
        leader = pid_of(config, component)
        if leader is not None:
            # Its group: a task has a group of its own, and its supervisor ends it.
            _signal(os.killpg, leader, signal.SIGTERM)
            continue
        for process in _members(config, component):
            _signal(os.kill, process.pid, signal.SIGTERM)
    if _wait_gone(config, running, _STOP_SECONDS):
        for process in [p for c in running for p in _members(config, c)]:
            _signal(os.kill, process.pid, signal.SIGKILL)
    left = _wait_gone(config, running, _KILL_SECONDS)
    if left:
        raise StackError(
            f"Processes {', '.join(map(str, left))} of Airflow do not end {_KILL_SECONDS:.0f} s "
            "after SIGKILL. See what they wait for: ps -o pid,stat,wchan,args -p PID"
        )
    for component in COMPONENTS:
        config.pid_file(component).unlink(missing_ok=True)
    return running


def tail(path: Path, n_lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a file."""
    if not path.exists():
        return "(nothing was written)"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-n_lines:])


def _noted(config: StackConfig, component: str) -> tuple[int, str] | None:
    """Read the pid file: the pid, and when it was started, since pids are used again."""
    try:
        pid, started = config.pid_file(component).read_text(encoding="ascii").split()
        return int(pid), started
    except (OSError, ValueError):
        return None


def _process(pid: int) -> _Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name before the last parenthesis may hold anything, spaces too.
    fields = stat.rsplit(")", 1)[1].split()
    return _Process(pid, fields[0], int(fields[3]), fields[19])


def _members(config: StackConfig, component: str) -> list[_Process]:
    """List the processes of a component's session, also when the one that led it was killed."""
    noted = _noted(config, component)
    if noted is None:
        return []
    leader = _process(noted[0])
    if leader is not None and leader.started != noted[1]:
        return []
    everyone = (_process(int(path.name)) for path in Path("/proc").glob("[0-9]*"))
    found = [p for p in everyone if p and p.session == noted[0] and p.state != "Z"]
    # Without its leader the number alone does not prove that the session is ours.
    return found if leader is not None else [p for p in found if _is_airflow(p.pid, config)]


def _is_airflow(pid: int, config: StackConfig) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    # Airflow's new process titles overwrite where the environment lay; its children keep theirs.
    return b"airflow" in command or f"AIRFLOW_HOME={config.folder}".encode() in environ.split(b"\0")


def _wait_gone(config: StackConfig, components: list[str], seconds: float) -> list[int]:
    """Wait until no process is left; returns the pids of those that are."""
    deadline = time.monotonic() + seconds
    while True:
        left = [p.pid for c in components for p in _members(config, c)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def _signal(send: Callable[[int, int], None], target: int, number: signal.Signals) -> None:
    try:
        send(target, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise StackError(
            f"Process {target} of Airflow belongs to another user; that user, or root, can stop "
            "it: make down"
        ) from error
