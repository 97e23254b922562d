"""Reading Homes as a backend does: one client's latency, and several clients' throughput."""

import time
from typing import Any, Final

import numpy as np

from homerec.bench.clients import EXECUTE, PREPARE, throughput
from homerec.bench.report import Line, Result, say
from homerec.bench.workbench import Workbench
from homerec.database import urls
from homerec.errors import BenchmarkError
from homerec.release.session import execute, rows
from homerec.settings import Settings

_N_READS: Final = 3000
_SECONDS: Final = 4.0
_CLIENTS: Final = (4, 16)


def run(bench: Workbench) -> Result:
    """Measure milliseconds a Home, and Homes a second.

    Raises
    ------
    BenchmarkError
        A Home is empty.
    """
    _ = bench.night
    settings = bench.settings
    url = urls.reader_url(settings) or urls.app_url(settings)
    known = _known(settings)
    say("read")
    with urls.psycopg2_connection(url, autocommit=True) as connection:
        execute(connection, PREPARE)
        rng = np.random.default_rng(settings.seed)
        listeners = [known[i] for i in rng.integers(0, len(known), _N_READS)]
        latencies = _latencies(connection, listeners)
        unknown = _latencies(connection, [f"nobody-{i}" for i in range(_N_READS)])
    address = urls.render(urls.parse_url(url).set(drivername="postgresql"))
    lines = []
    for what, found in (("known listener", latencies), ("unknown listener", unknown)):
        p50, p99 = np.quantile(found, [0.5, 0.99])
        lines.append(Line(f"{what}, p50", "ms", float(p50), goal="under 1"))
        lines.append(Line(f"{what}, p99", "ms", float(p99), goal="under 5"))
    for clients in _CLIENTS:
        per_second = throughput(address, known, clients, _SECONDS, settings.seed)
        lines.append(Line(f"{clients} clients", "Homes/s", per_second, more_is_better=True))
    return Result(
        "read",
        tuple(lines),
        (
            f"{_N_READS:,} prepared reads each by one client over TCP, every row fetched; clients "
            "are processes on the same cores as the server. Every Home had cards.",
        ),
    )


def _known(settings: Settings) -> list[str]:
    with urls.psycopg2_connection(urls.app_url(settings)) as connection:
        found = rows(connection, "SELECT listener_id FROM homerec.listener ORDER BY listener")
    return [str(name) for (name,) in found]


def _latencies(connection: Any, asked: list[str]) -> list[float]:
    found = []
    with connection.cursor() as cursor:
        for number, name in enumerate(asked):
            started = time.perf_counter()
            cursor.execute(EXECUTE, (name,))
            cards = cursor.fetchall()
            if number >= len(asked) // 10:
                found.append((time.perf_counter() - started) * 1000)
            if not cards:
                raise BenchmarkError(f"The Home of {name} is empty.")
    return found
