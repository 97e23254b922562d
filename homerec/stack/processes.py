"""Starting and stopping Airflow's four processes, each with its pid file."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from homerec.errors import StackError
from homerec.stack.config import COMPONENTS, StackConfig

Progress = Callable[[str], None]

#: Airflow's processes end 6 to 7 s after SIGTERM; what is left then gets SIGKILL.
_STOP_SECONDS: Final = 15.0
_TAIL_LINES: Final = 15
#: The log servers would listen on all interfaces; the API server reads the same folder.
_ARGUMENTS: Final = {
    "api-server": ["api-server"],
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}


def pid_of(config: StackConfig, component: str) -> int | None:
    """Pid of a running component; a pid file whose process is gone or another counts as none."""
    try:
        pid = int(config.pid_file(component).read_text(encoding="ascii"))
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (OSError, ValueError, IndexError):
        return None
    # Airflow retitles its processes ("airflow scheduler ..."), so only the word is sure; while a
    # program is being loaded its command line is empty.
    ours = b"airflow" in command or not command
    return pid if ours and state != "Z" else None


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
        pid_file.write_text(f"{process.pid}\n", encoding="ascii")


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
    """Stop every component and its children; returns the names of those that ran."""
    running = {c: pid for c in COMPONENTS if (pid := pid_of(config, c)) is not None}
    for pid in running.values():
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline and any(_group_lives(pid) for pid in running.values()):
        _reap()
        time.sleep(0.1)
    for pid in running.values():
        _signal(pid, signal.SIGKILL)
    for component in COMPONENTS:
        config.pid_file(component).unlink(missing_ok=True)
    return list(running)


def tail(path: Path, n_lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a file."""
    if not path.exists():
        return "(nothing was written)"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-n_lines:])


def _signal(pid: int, number: signal.Signals) -> None:
    # Each component leads its own group; its children are in it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _group_lives(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _reap() -> None:
    # When the same process started them, ended children would stay as zombies of their group.
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
