"""The table ``listener_item`` of a snapshot: kept as pairs, and made into features when it is read.

A night changes every age, and with it every row; the pairs behind them it hardly changes. So
snapshots share the file of a base, and each has a small one of what came since. Measured, a
shard takes about twice as long to read as a table of all columns; a night saves more than that.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa

from homerec.errors import SnapshotError
from homerec.features.compute import expose_pairs
from homerec.features.pair_files import cuts, read_keys, read_pairs
from homerec.features.pairs import Longs, PlayedPairs, merge
from homerec.features.queries import EVERYONE
from homerec.features.snapshot import SnapshotInfo
from homerec.features.snapshot_pairs import NEW_PAIRS, PAIRS

_PART_ROWS: Final = 500_000
#: Ranges of keys that a part of all pairs is taken from.
_SPREAD: Final = 4


def pair_files(snapshot: SnapshotInfo) -> list[Path]:
    """Return the files that hold a snapshot's pairs: the base, and what is new if it is apart.

    Raises
    ------
    SnapshotError
        They are missing.
    """
    base, new = snapshot.folder / PAIRS, snapshot.folder / NEW_PAIRS
    if not base.exists():
        raise SnapshotError(
            f"{snapshot.folder} has no {PAIRS}: a version of homerec before pairs were kept wrote "
            f"it. Compute it anew: `homerec features --as-of {snapshot.as_of} --rebuild`."
        )
    return [base, new] if new.exists() else [base]


def played_pairs(snapshot: SnapshotInfo, low: int, high: int) -> PlayedPairs:
    """Read the pairs of the listeners with ``low <= key < high``."""
    found = [read_pairs(path, low, high) for path in pair_files(snapshot)]
    return found[0] if len(found) == 1 else merge(*found)


def played_keys(snapshot: SnapshotInfo) -> Longs:
    """Read which pairs were played: ``listener << 32 | item``, int64 (n,), ascending."""
    found = [read_keys(path) for path in pair_files(snapshot)]
    return found[0] if len(found) == 1 else np.union1d(*found)


def listener_items(
    snapshot: SnapshotInfo, low: int = EVERYONE[0], high: int = EVERYONE[1]
) -> pa.Table:
    """Compute rows of ``listener_item``, sorted by listener and item.

    Parameters
    ----------
    snapshot : SnapshotInfo
    low, high : int
        Only listeners with ``low <= key < high``.

    Returns
    -------
    pa.Table
        Columns of ``sql/features/listener_item.sql``.
    """
    # Part by part: measured, memory that is used again costs a third of new memory.
    return _of_parts(snapshot, cuts(pair_files(snapshot)[0], low, high, _PART_ROWS))


def some_listener_items(snapshot: SnapshotInfo, n_rows: int) -> pa.Table:
    """Compute rows of listeners from evenly spaced ranges of keys, about ``n_rows``, or all."""
    parts = cuts(pair_files(snapshot)[0], *EVERYONE, max(n_rows // _SPREAD, 1))
    return _of_parts(snapshot, parts[:: max(len(parts) // _SPREAD, 1)])


def _of_parts(snapshot: SnapshotInfo, parts: Sequence[tuple[int, int]]) -> pa.Table:
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = []
        for part in parts:
            expose_pairs(connection, played_pairs(snapshot, *part), snapshot.as_of)
            found.append(connection.sql("FROM listener_item").to_arrow_table())
    return pa.concat_tables(found)
