"""Features: the snapshot's SQL against pandas, and one more night against from scratch."""

import shutil
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from homerec.bench.measuring import apart
from homerec.bench.naive_features import naive_features
from homerec.bench.report import Line, Result, say
from homerec.bench.workbench import Workbench
from homerec.errors import BenchmarkError
from homerec.features.compute import TABLES
from homerec.features.snapshot import event_files
from homerec.lake import Lake, checksum

#: Ours are sums of integers stored as float32; pandas sums float64 in any order.
_TOLERANCE = 1e-5


def run(bench: Workbench) -> Result:
    """Measure a snapshot of all tables; the naive way makes two of them.

    Raises
    ------
    BenchmarkError
        A key or a value differs.
    """
    ours = bench.rebuild_snapshot()
    info = ours.value
    scratch = {name: checksum(info.path(name)) for name in TABLES}
    more = bench.one_more_night()
    for name, expected in scratch.items():
        if checksum(more.value.path(name)) != expected:
            raise BenchmarkError(
                f"{name} of one more night is not, byte for byte, the one from scratch; no "
                "difference is allowed. Run `pytest tests/properties -k rollups` to find it."
            )
    say("features, naive")
    target = bench.settings.home / "naive-features"
    files = event_files(bench.settings, bench.as_of)
    naive = apart(_naive, bench.lake, files, bench.as_of, info.known_at, target)
    compared = sum(apart(compare, info.path(n), target / f"{n}.parquet").value for n in naive.value)
    shutil.rmtree(target)
    n_events = bench.ingested.value.tables["events"].written
    pairs = info.manifest["rows"]["listener_item"]
    return Result(
        "features",
        (
            Line("wall", "s", ours.seconds, naive.seconds, "3x"),
            Line("CPU", "s", ours.cpu_seconds, naive.cpu_seconds),
            Line("events", "events/s", n_events / ours.seconds, n_events / naive.seconds, "", True),
            Line("peak memory", "MiB", ours.peak_mib, naive.peak_mib, "under 4096"),
            Line("one more night / from scratch, wall", "s", more.seconds, ours.seconds, "5x"),
            Line("one more night / from scratch, CPU", "s", more.cpu_seconds, ours.cpu_seconds),
            Line("one more night / from scratch, peak", "MiB", more.peak_mib, ours.peak_mib),
        ),
        (
            "The last three lines set one more night (ours) against from scratch (naive), both of "
            "homerec; all tables are the same, byte for byte.",
            f"Ours computes all {len(TABLES)} tables, the naive way listener_item "
            f"({pairs:,} rows) and item_market only, with fewer columns; both write Parquet.",
            f"Checked: the same keys, and {compared:,} values equal within {_TOLERANCE}.",
        ),
    )


def _naive(
    lake: Lake, files: list[Path], as_of: date, known_at: datetime, target: Path
) -> list[str]:
    target.mkdir()
    frames = naive_features(lake, files, as_of, known_at)
    for name, frame in frames.items():
        frame.to_parquet(target / f"{name}.parquet", compression="zstd", index=False)
    return list(frames)


def compare(ours: Path, naive: Path) -> int:
    """Compare the columns that the naive way has, of two tables that are sorted by the same key.

    Returns
    -------
    int
        Values compared.

    Raises
    ------
    BenchmarkError
        The columns, the rows or a value differ.
    """
    left, right = pd.read_parquet(ours), pd.read_parquet(naive)
    if not set(right.columns) <= set(left.columns) or len(left) != len(right):
        raise BenchmarkError(
            f"{ours.stem} has {len(left):,} rows of {sorted(left.columns)}; the naive way gives "
            f"{len(right):,} of {sorted(right.columns)}."
        )
    for name in right.columns:
        a, b = left[name].to_numpy(), right[name].to_numpy()
        exact = left[name].dtype.kind != "f"
        same = a == b if exact else np.isclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE)
        if not same.all():
            at = int(np.flatnonzero(~same)[0])
            raise BenchmarkError(
                f"{ours.stem}.{name} differs in {int((~same).sum()):,} of {len(a):,} rows; first "
                f"in row {at}: {a[at]} against {b[at]} of the naive way."
            )
    return right.size
