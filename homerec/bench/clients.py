"""Clients that read Homes side by side. Imports little: each client is a process of its own."""

import random
import time
from multiprocessing import get_context
from typing import Any, Final

import psycopg2

from homerec.errors import BenchmarkError

PREPARE: Final = "PREPARE a_home (text) AS SELECT * FROM home($1)"
EXECUTE: Final = "EXECUTE a_home (%s)"
_START_TIMEOUT_S: Final = 120


def throughput(url: str, listeners: list[str], clients: int, seconds: float, seed: int) -> float:
    """Let clients read Homes of random listeners as fast as they can.

    Parameters
    ----------
    url : str
        For libpq, ``postgresql://...``.
    listeners : list of str
        Ids to choose from.
    clients : int
        Processes, each with a connection.
    seconds : float
        How long, from the moment that all are connected.
    seed : int

    Returns
    -------
    float
        Homes a second, over all clients.

    Raises
    ------
    BenchmarkError
        A client failed; its traceback is on standard error.
    """
    context = get_context("spawn")
    barrier, counts = context.Barrier(clients), context.SimpleQueue()
    processes = [
        context.Process(
            target=_client, args=(url, listeners, seconds, seed + n, barrier, counts), daemon=True
        )
        for n in range(clients)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    failed = [process.exitcode for process in processes if process.exitcode != 0]
    if failed:
        raise BenchmarkError(f"{len(failed)} of {clients} reading clients failed: {failed}.")
    n_read: int = sum(counts.get() for _ in processes)
    return n_read / seconds


def _client(
    url: str, listeners: list[str], seconds: float, seed: int, barrier: Any, counts: Any
) -> None:
    chance = random.Random(seed)  # noqa: S311 - a sample, no secret
    n = 0
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(PREPARE)
        barrier.wait(_START_TIMEOUT_S)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            cursor.execute(EXECUTE, (chance.choice(listeners),))
            cursor.fetchall()
            n += 1
    connection.close()
    counts.put(n)
