"""Cells in several processes at once, as many as the cores and the free memory carry."""

import contextlib
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from homerec.errors import ExperimentError
from homerec.settings import Settings
from homerec.training.experiments.cell import (
    Cell,
    failed,
    read_result,
    run_cell,
    write_result,
)
from homerec.training.experiments.sharing import Workshop
from homerec.training.labels import Labels

logger = logging.getLogger(__name__)

#: Share of the free memory that all processes together may take.
_SHARE: Final = 0.7
#: How much more than the first configuration another one may take.
_ROOM: Final = 1.25
#: Of prctl(2).
_PR_SET_PDEATHSIG: Final = 1
_WATCH_SECONDS: Final = 0.5
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Bench:
    """What every process works with.

    Attributes
    ----------
    settings : Settings
    labels : mapping of date to Labels
    cells : Path
        Where results are kept.
    cache : Path
        Where stage-1 fits are kept.
    max_bytes : int
        Memory of one process for what it remembers.
    share : bool
        See :class:`homerec.training.experiments.sharing.Workshop`.
    parent : int
        Process that all others end with.
    """

    settings: Settings
    labels: Mapping[date, Labels]
    cells: Path
    cache: Path
    max_bytes: int
    share: bool = True
    parent: int = field(default_factory=os.getpid)


#: What this process works with, once it has been set up.
_worker: list[tuple[Workshop, Path, Bench]] = []


def _start(bench: Bench) -> None:
    """Set one process up; a library's own threads must not fight with the other processes'."""
    import sklearn.ensemble  # noqa: F401 - its OpenMP must be loaded to be limited

    _die_with_parent(bench.parent)
    threadpool_limits(limits=bench.settings.n_threads, user_api="openmp")
    threadpool_limits(limits=1, user_api="blas")
    _worker[:] = [_made(bench)]


def _made(bench: Bench) -> tuple[Workshop, Path, Bench]:
    workshop = Workshop(
        bench.settings, bench.labels, bench.cache, bench.max_bytes, share=bench.share
    )
    return workshop, bench.cells, bench


def _die_with_parent(parent: int) -> None:
    """Let the kernel end this process when its parent is killed: nothing else would tell it."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl refused to bind a process to its parent")
    if os.getppid() != parent:
        raise ExperimentError("The process that runs the experiment is gone.")


def _run(cells: Sequence[Cell]) -> int:
    workshop, folder, _ = _worker[0]
    for cell in cells:
        run_cell(workshop, cell, folder)
    return len(cells)


def free_bytes() -> int:
    """Memory that can be had now without swapping, or what a limit on this process leaves."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    found = [int(line.split()[1]) for line in text.splitlines() if line.startswith("MemAvailable")]
    return 1024 * found[0]


def n_processes(cores: int, wanted: int | None, peak: float, free: float) -> int:
    """How many processes may run side by side.

    Parameters
    ----------
    cores : int
    wanted : int, optional
        What a person asks for; memory still bounds it.
    peak : float
        Bytes that one process took for one configuration.
    free : float
        Bytes that are free.

    Examples
    --------
    >>> n_processes(8, None, 1e9, 10e9), n_processes(2, None, 1e9, 10e9), n_processes(8, 3, 1, 9e9)
    (5, 2, 3)
    >>> n_processes(8, None, 1e9, 5e8)
    1
    """
    by_memory = int(free * _SHARE / (max(peak, 1) * _ROOM))
    return max(1, min(wanted or cores, by_memory))


class Crew:
    """The processes of one experiment; they live as long as it does, and remember what they made.

    Parameters
    ----------
    bench : Bench
    jobs : int, optional
        Processes at most, by default one a core; 1 works in this very process.
    quiet : bool
        No progress bar.

    Attributes
    ----------
    n : int
        Processes that work side by side, at most.
    """

    def __init__(self, bench: Bench, jobs: int | None, *, quiet: bool) -> None:
        cores = bench.settings.n_threads
        self._most = jobs or cores
        # Threads that wait for another process's cost more than they save.
        threads = max(1, cores // self._most)
        self._bench = replace(bench, settings=replace(bench.settings, threads=threads))
        self._jobs = jobs
        self._quiet = quiet
        self._pool: ProcessPoolExecutor | None = None
        self.n = 0

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def run(self, cells: Sequence[Cell]) -> None:
        """Run cells; each is kept the moment it is finished, so that nothing is lost by a stop.

        The first runs alone: what it takes says how many processes the memory carries.

        Parameters
        ----------
        cells : sequence of Cell
            Not finished yet.
        """
        # A configuration first: a baseline says nothing about memory.
        ordered = sorted(cells, key=lambda c: (c.kind != "configuration", _order(c)))
        if not ordered:
            return
        with _bar(self._bench, ordered, self._quiet) as bar:
            if self._jobs == 1:
                self.n = 1
                self._here(ordered, bar)
                return
            if self.n == 0:
                self._rounds([[ordered[0]]], bar, 1)
                peak = read_result(self._bench.cells, ordered[0].key).facts.get("peak_bytes", 1e9)
                carried = peak + self._bench.max_bytes
                self.n = n_processes(self._most, self._jobs, carried, free_bytes())
                ordered = ordered[1:]
            self._rounds(chunks(ordered, self.n), bar, self.n)

    def _here(self, cells: Sequence[Cell], bar: "_Bar") -> None:
        if not _worker or _worker[0][2] is not self._bench:
            _worker[:] = [_made(self._bench)]
        with (
            threadpool_limits(limits=self._bench.settings.n_threads, user_api="openmp"),
            threadpool_limits(limits=1, user_api="blas"),
        ):
            for cell in cells:
                _run([cell])
                bar.update()

    def _rounds(self, pieces: list[list[Cell]], bar: "_Bar", n: int) -> None:
        # A process was killed, most often for its memory: what it held is tried again one by one,
        # and the one that dies again is the culprit.
        for cell in self._attempt(pieces, bar, n):
            if self._attempt([[cell]], bar, 1):
                reason = "its process was killed; most often there is too little memory"
                write_result(cell, failed(cell, reason), self._bench.cells)
                bar.update()

    def _attempt(self, pieces: list[list[Cell]], bar: "_Bar", n: int) -> list[Cell]:
        """Run pieces; returns the cells that a killed process left."""
        waiting, pending = list(reversed(pieces)), set[Future[int]]()
        try:
            while waiting or pending:
                while waiting and len(pending) < n:
                    pending.add(self._open().submit(_run, waiting.pop()))
                done, pending = wait(pending, _WATCH_SECONDS, FIRST_COMPLETED)
                bar.update()
                for one in done:
                    one.result()
        except BrokenProcessPool:
            self._close()
            return [c for piece in pieces for c in piece if not bar.is_done(c)]
        except BaseException:
            # On Ctrl-C the processes got it too: nothing is waited for that was not begun.
            logger.warning("Stopping when the processes have ended the step that they are in.")
            self._close()
            raise
        return []

    def _open(self) -> ProcessPoolExecutor:
        if self._pool is None:
            with _few_threads(self._bench.settings.n_threads):
                self._pool = ProcessPoolExecutor(
                    self._most, mp_context=get_context("spawn"), initializer=_start,
                    initargs=(self._bench,),
                )  # fmt: skip
        return self._pool

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _order(cell: Cell) -> tuple[Any, ...]:
    """Neighbours have most in common."""
    spec = cell.spec
    sources = repr([(s.name, s.k, sorted(s.parameters.items())) for s in spec.sources])
    learned = (spec.ranker_windows, spec.negatives, spec.max_lists, spec.features)
    return (cell.kind, cell.as_of, cell.seed, sources, learned, cell.name)


def chunks(cells: Sequence[Cell], n: int) -> list[list[Cell]]:
    """Cut ordered cells into pieces for n processes: alike stay together, all have work.

    Returns
    -------
    list of list of Cell
        Longest first.
    """
    groups: dict[tuple[Any, ...], list[Cell]] = {}
    for cell in cells:
        groups.setdefault(_order(cell)[:4], []).append(cell)
    # A group that would keep one process busy while the others are done is cut.
    longest = max(1, -(-len(cells) // n))
    pieces = [g[i : i + longest] for g in groups.values() for i in range(0, len(g), longest)]
    return sorted(pieces, key=len, reverse=True)


@contextlib.contextmanager
def _few_threads(n: int) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update({name: str(n) if name == _THREADS[0] else "1" for name in _THREADS})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _Bar:
    """Counts the results that appear on disk."""

    def __init__(self, bench: Bench, cells: Sequence[Cell], bar: Any) -> None:
        self._folder = bench.cells
        self._open = {cell.key for cell in cells}
        self._bar = bar
        # An earlier failure lies where the new result will: only what is newer counts.
        self._before = {key: self._mark(key) for key in self._open}
        self.n_failed = 0

    def _mark(self, key: str) -> int | None:
        path = self._folder / key / "cell.json"
        return path.stat().st_mtime_ns if path.exists() else None

    def is_done(self, cell: Cell) -> bool:
        self.update()
        return cell.key not in self._open

    def update(self) -> None:
        for key in sorted(self._open):
            mark = self._mark(key)
            if mark is None or mark == self._before[key]:
                continue
            self._open.discard(key)
            self.n_failed += bool(read_result(self._folder, key).error)
            self._bar.set_postfix({"failed": self.n_failed} if self.n_failed else {})
            self._bar.update()


@contextlib.contextmanager
def _bar(bench: Bench, cells: Sequence[Cell], quiet: bool) -> Iterator[_Bar]:
    with tqdm(
        total=len(cells), unit="fit", desc="experiment", file=sys.stderr, disable=quiet,
        smoothing=0.1, dynamic_ncols=True,
    ) as bar:  # fmt: skip
        yield _Bar(bench, cells, bar)
