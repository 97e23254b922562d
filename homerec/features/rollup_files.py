"""Files of rollups: batches of event files, cutting daily rows by day, writing."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.lake import atomic_file

#: Events rolled up together: bounds the memory, and spares small files a query each.
BATCH_EVENTS: Final = 1_500_000
#: Rows are sorted by listener, so that a block of listeners skips most row groups.
_ROW_GROUP: Final = 65_536


def day_of(path: Path) -> date:
    """Return the date of an event file, from its folder."""
    return date.fromisoformat(path.parent.name.removeprefix("date="))


def batches_of(files: list[Path]) -> list[list[Path]]:
    """Cut files into batches of bounded size, each of different dates."""
    batches: list[list[Path]] = []
    sizes: list[int] = []
    days: list[set[date]] = []
    for path in sorted(files):
        n_rows = pq.read_metadata(path).num_rows
        fits = batches and sizes[-1] + n_rows <= BATCH_EVENTS and day_of(path) not in days[-1]
        if not fits:
            batches.append([])
            sizes.append(0)
            days.append(set())
        batches[-1].append(path)
        sizes[-1] += n_rows
        days[-1].add(day_of(path))
    return batches


def parts_of(rows: pa.Table) -> Iterator[tuple[date, bool, pa.Table]]:
    """Cut daily rows into one piece per day and lateness, each sorted by listener and item.

    Measured: half of what sorting all columns in DuckDB costs.
    """
    late = rows["late_at"].combine_chunks()
    for is_late, part in (
        (False, rows.filter(late.is_null())),
        (True, rows.filter(late.is_valid())),
    ):
        if not part.num_rows:
            continue
        part = part.combine_chunks()
        day = part["day"].cast(pa.int32()).to_numpy()
        pair = (part["listener"].to_numpy().astype(np.int64) << 32) + part["item"].to_numpy()
        if is_late:
            order = np.lexsort((part["late_at"].cast(pa.int64()).to_numpy(), pair, day))
        else:
            # A pair is there once a day: a sort by pair, then a stable one by day.
            order = np.argsort(pair)
            order = order[np.argsort((day[order] - day.min()).astype(np.uint16), kind="stable")]
        day = day[order]
        ordered = part.take(pa.array(order))
        cuts = np.flatnonzero(np.diff(day)) + 1
        for start, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(day)], strict=True):
            first = date(1970, 1, 1) + timedelta(days=int(day[start]))
            yield first, is_late, ordered.slice(start, end - start)


def days_of(rows: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    """Cut rows into one piece per day, each sorted by listener, item and lateness."""
    ordered = rows.sort_by([(name, "ascending") for name in ("day", "listener", "item", "late_at")])
    day = ordered["day"].to_numpy()
    cuts = [0, *(np.flatnonzero(day[1:] != day[:-1]) + 1).tolist(), len(day)]
    for start, end in pairwise(cuts if len(day) else []):
        yield ordered["day"][start].as_py(), ordered.slice(start, end - start)


def write_rows(rows: pa.Table, target: Path) -> None:
    """Write rows atomically, in small row groups, without dictionaries and quickly."""
    with atomic_file(target) as temporary:
        pq.write_table(
            rows, temporary, compression="lz4", use_dictionary=False, row_group_size=_ROW_GROUP,
        )  # fmt: skip
