"""Labels: what listeners did in the days from as_of on, judged after the fact."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from homerec.features.listener_items import played_keys
from homerec.features.pairs import split_keys
from homerec.features.queries import card_parameters, create_table, expose_lake, with_card
from homerec.features.snapshot import SnapshotInfo, default_known_at
from homerec.features.tables import Keys
from homerec.lake import Lake, connect, read_sql
from homerec.models.spec import ModelSpec
from homerec.sampling import uniform
from homerec.settings import Settings


@dataclass(frozen=True)
class Labels:
    """The hits of one label window.

    Attributes
    ----------
    listener, item : int32 (n,)
        Keys.
    daypart : int8 (n,)
        Local daypart of the hit, -1 where the model makes one list for all.
    start, end : date
        The window, half-open, UTC.
    """

    listener: Keys
    item: Keys
    daypart: npt.NDArray[np.int8]
    start: date
    end: date

    def __len__(self) -> int:
        return len(self.listener)

    def of(self, listeners: Keys) -> "Labels":
        """Return the hits of some listeners alone, int32 keys in any order."""
        mine = np.isin(self.listener, listeners)
        return replace(
            self, listener=self.listener[mine], item=self.item[mine], daypart=self.daypart[mine]
        )


def window_files(settings: Settings, start: date, end: date) -> list[str]:
    """Event files of the days in [start, end)."""
    lake = Lake(settings.home)
    days = [day for day in lake.event_dates() if start <= day < end]
    return [str(path) for day in days for path in lake.files("events", day)]


def read_labels(settings: Settings, spec: ModelSpec, snapshot: SnapshotInfo) -> Labels:
    """Labels of a model for the window that follows a snapshot.

    Parameters
    ----------
    settings : Settings
    spec : ModelSpec
        Its ``label`` names the SQL, its ``label_window_days`` the length of the window.
    snapshot : SnapshotInfo
        Says what was played before the window.

    Returns
    -------
    Labels
        Ordered by daypart, listener, item; empty when nothing was played in the window.
    """
    start = snapshot.as_of
    end = start + timedelta(days=spec.label_window_days)
    files = window_files(settings, start, end)
    if not files:
        empty = np.zeros(0, dtype=np.int32)
        return Labels(empty, empty, np.zeros(0, dtype=np.int8), start, end)
    lake = Lake(settings.home)
    known_at = default_known_at(settings, end)
    parameters = {
        **card_parameters(start, end, known_at, files),
        "types": list(spec.item_types),
    }
    with connect(settings) as connection:
        expose_lake(connection, lake, known_at)
        listener, item = split_keys(played_keys(snapshot))
        connection.register("history", pa.table({"listener": listener, "item": item}))
        create_table(
            connection, "label", with_card(read_sql(f"labels/{spec.label}.sql")), parameters
        )
        columns = connection.execute(
            "SELECT listener, item, daypart FROM label ORDER BY daypart, listener, item"
        ).fetchnumpy()
    return Labels(
        np.asarray(columns["listener"], dtype=np.int32),
        np.asarray(columns["item"], dtype=np.int32),
        np.asarray(columns["daypart"], dtype=np.int8),
        start,
        end,
    )


def lists_with_hits(labels: Labels, keys: Sequence[int] | Keys) -> int:
    """Count the (listener, daypart) lists of these listeners that have a hit."""
    mine = np.isin(labels.listener, np.asarray(keys))
    pairs = np.stack([labels.listener[mine], labels.daypart[mine]])
    return int(np.unique(pairs, axis=1).shape[1])


def sample_to_judge(labels: Labels, eligible: Keys, limit: int, seed: int) -> Labels:
    """Hits of about as many eligible listeners as a limit allows, the same for every contender.

    The error of a mean falls with the root of the listeners: beyond some ten thousand of them more
    cost time and tell nothing new. Who is chosen depends on seed, listener and window alone, so
    that each window is judged by others.

    Parameters
    ----------
    labels : Labels
        Of one window.
    eligible : int32 (n,)
        Keys of the listeners who get the shelf.
    limit : int
        Listeners with a hit to judge by; fewer are all taken.
    seed : int
    """
    having = np.unique(labels.listener[np.isin(labels.listener, eligible)])
    if len(having) <= limit:
        return labels
    window = np.full(len(having), labels.start.toordinal(), dtype=np.int64)
    return labels.of(having[uniform(seed, having, window) < limit / len(having)])
