"""Measuring a step in a process of its own: wall and CPU seconds, and peak memory."""

import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

_STATUS: Final = Path("/proc/self/status")


@dataclass(frozen=True)
class Measured(Generic[T]):
    """What a step gave, and what it took.

    Attributes
    ----------
    value : object
        What the function returned.
    seconds : float
        Wall time of the call, start of the process and imports apart.
    cpu_seconds : float
        CPU time of the call over all threads; unlike wall time, other work on the machine hardly
        changes it.
    peak_mib : float
        Largest resident memory of the process, MiB.
    """

    value: T
    seconds: float
    cpu_seconds: float
    peak_mib: float


@dataclass(frozen=True)
class Span:
    """A part of a step: from one line of progress to the next.

    Attributes
    ----------
    what : str
        The line that was said at its beginning.
    seconds, cpu_seconds : float
        Wall time, and CPU time over all threads.
    peak_mib : float
        Largest resident memory of the process up to its end, MiB.
    """

    what: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


class Stopwatch:
    """Takes the lines of progress of a step and measures what lies between them."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._open("start")

    def say(self, line: str) -> None:
        """End a span and begin the one that the line names."""
        self._close()
        self._open(line)

    def stop(self) -> list[Span]:
        """End the last span; all of them, in order."""
        self._close()
        return self._spans

    def _open(self, line: str) -> None:
        self._what, self._at, self._cpu = line, time.perf_counter(), time.process_time()

    def _close(self) -> None:
        seconds, cpu = time.perf_counter() - self._at, time.process_time() - self._cpu
        self._spans.append(Span(self._what, seconds, cpu, peak_mib()))


def apart(function: Callable[..., T], *arguments: Any) -> Measured[T]:
    """Call a function in a fresh process, so that its peak memory is its own.

    Parameters
    ----------
    function : callable
        Of a module; it, its arguments and what it returns cross to the other process.
    *arguments : object

    Returns
    -------
    Measured

    Raises
    ------
    Exception
        What the function raised, with the traceback of the other process.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, function, arguments).result()


def _measure(function: Callable[..., T], arguments: tuple[Any, ...]) -> Measured[T]:
    started, cpu_started = time.perf_counter(), time.process_time()
    value = function(*arguments)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Measured(value, seconds, cpu_seconds, peak_mib())


def peak_mib() -> float:
    """Largest resident memory of this process so far, MiB.

    Notes
    -----
    Linux carries ``ru_maxrss`` of a parent over to what it starts; ``VmHWM`` is the process's own.
    """
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def calm_threads() -> None:
    """Let BLAS use one thread and OpenMP's wait asleep, here and in what is started.

    The CLI does the same. It has an effect on libraries that are not loaded yet.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
