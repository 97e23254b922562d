"""Features: the snapshot's SQL against pandas, and one more night against from scratch."""

import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.bench.measuring import apart
from homerec.bench.naive_features import naive_features
from homerec.bench.report import Line, Result, say
from homerec.bench.workbench import Workbench
from homerec.errors import BenchmarkError
from homerec.features.compute import TABLES
from homerec.features.listener_items import listener_items
from homerec.features.pair_base import FOLD_DAYS
from homerec.features.snapshot import SnapshotInfo, event_files
from homerec.features.tables import shard_ranges
from homerec.lake import checksum

#: Ours are sums of integers stored as float32; pandas sums float64 in any order.
_TOLERANCE = 1e-5
_SHARD = 5_000


def run(bench: Workbench) -> Result:
    """Measure a snapshot of all tables.

    Raises
    ------
    BenchmarkError
        A key or a value differs.
    """
    bench.need_lake()
    files = event_files(bench.settings, bench.as_of)
    for path in files:
        # Whoever came first would read from the disk, all others from memory.
        path.read_bytes()
    ours = bench.rebuild_snapshot()
    info = ours.value
    scratch = _digests(info)
    more = bench.one_more_night()
    differ = [name for name, digest in _digests(more.value).items() if digest != scratch[name]]
    if differ:
        raise BenchmarkError(
            f"{', '.join(differ)} of one more night differ from those from scratch; no bit may. "
            "Run `pytest tests/properties -k rollups` to find it."
        )
    fold = bench.night_that_folds()
    say("features, naive")
    target = bench.settings.home / "naive-features"
    target.mkdir()
    naive = apart(naive_features, bench.lake, files, bench.as_of, info.known_at, target)
    say("comparing every value")
    compared = 0
    for name in naive.value:
        compared += apart(
            compare, ours_as_parquet(info, name, target), target / f"{name}.parquet"
        ).value
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
            Line("night that folds / from scratch, wall", "s", fold.seconds, ours.seconds),
            Line("night that folds / from scratch, CPU", "s", fold.cpu_seconds, ours.cpu_seconds),
        ),
        (
            "The last five lines set a night (ours) against from scratch (naive), both of homerec; "
            "all tables are the same, bit for bit. One more night adds a day to the base that the "
            f"night before has written; every {FOLD_DAYS}th night folds: it adds {FOLD_DAYS} days, "
            "and writes a new base.",
            f"Ours and the naive way compute all {len(TABLES)} tables with all columns "
            f"({pairs:,} rows of listener_item) and write them. Of listener_item ours writes the "
            "sums that the features are made of when a shard is read.",
            f"Checked: the same keys, and {compared:,} values equal within {_TOLERANCE}.",
        ),
    )


def _digests(info: SnapshotInfo) -> dict[str, str]:
    """Checksums of a snapshot's tables, of ``listener_item`` by the values that are read."""
    found = {name: checksum(info.path(name)) for name in TABLES if name != "listener_item"}
    digest = sha256()
    for low, high in shard_ranges(info, _SHARD):
        for column in listener_items(info, low, high).columns:
            digest.update(column.to_numpy().tobytes())
    return found | {"listener_item": digest.hexdigest()}


def ours_as_parquet(info: SnapshotInfo, name: str, folder: Path) -> Path:
    """Return a table of a snapshot as a file; ``listener_item`` is written to a folder."""
    if name != "listener_item":
        return info.path(name)
    path = folder / "ours.parquet"
    writer: pq.ParquetWriter | None = None
    for low, high in shard_ranges(info, _SHARD):
        rows = listener_items(info, low, high)
        writer = writer or pq.ParquetWriter(path, rows.schema, compression="lz4")
        writer.write_table(rows)
    if writer is not None:
        writer.close()
    return path


def compare(ours: Path, naive: Path) -> int:
    """Compare two tables that are sorted by the same key, column by column.

    Returns
    -------
    int
        Values compared.

    Raises
    ------
    BenchmarkError
        The columns, the rows or a value differ.
    """
    left, right = pq.ParquetFile(ours), pq.ParquetFile(naive)
    names, n_rows = right.schema_arrow.names, right.metadata.num_rows
    if set(names) != set(left.schema_arrow.names) or left.metadata.num_rows != n_rows:
        raise BenchmarkError(
            f"{naive.stem} has {left.metadata.num_rows:,} rows of "
            f"{sorted(left.schema_arrow.names)}; the naive way gives {n_rows:,} of {sorted(names)}."
        )
    for name in names:
        a, b = (file.read(columns=[name])[name] for file in (left, right))
        wrong = _differing(a, b)
        if len(wrong):
            at = int(wrong[0])
            raise BenchmarkError(
                f"{naive.stem}.{name} differs in {len(wrong):,} of {n_rows:,} rows; first in row "
                f"{at}: {a[at].as_py()} against {b[at].as_py()} of the naive way."
            )
    return len(names) * int(n_rows)


def _differing(left: pa.ChunkedArray, right: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Rows whose values differ; missing ones are equal."""
    if pa.types.is_floating(left.type) or pa.types.is_floating(right.type):
        a, b = (column.to_numpy().astype(np.float64) for column in (left, right))
        same = np.isclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
    elif pa.types.is_integer(left.type):
        same = left.to_numpy() == right.to_numpy()
    else:
        a, b = (np.array(column.to_pylist(), dtype=object) for column in (left, right))
        same = a == b
    return np.flatnonzero(~same)
