"""Segments of listeners: how an evaluation is cut."""

from typing import Final

import numpy as np
import numpy.typing as npt

from homerec.columns import ITEM_TYPES
from homerec.features.tables import Rows, Shard
from homerec.models.spec import ModelSpec

Texts = npt.NDArray[np.str_]

#: Items of the shelf's types played before as_of that make a listener hot.
HOT_ITEMS: Final = 5
#: Card plays before as_of, over all types, that make a new listener a known one.
FEW_PLAYS: Final = 5


def segmentations(spec: ModelSpec | None = None) -> tuple[str, ...]:
    """Names of the segmentations that :func:`segment` makes, in its order."""
    names = ("market", "tenure", "activity")
    if spec is None:
        return names
    return (*names, "history", *(("plays",) if spec.max_tenure_days is not None else ()))


def segment(shard: Shard, rows: Rows, spec: ModelSpec | None = None) -> dict[str, Texts]:
    """Segments of listeners by what was known of them before the label window.

    Parameters
    ----------
    shard : Shard
    rows : int64 (n,)
        Rows of the listeners.
    spec : ModelSpec, optional
        Adds the segmentations that depend on the model.

    Returns
    -------
    dict of str to str (n,)
        ``market``. ``tenure``: new (30 days or less), settled (90 or less), old. ``activity``:
        light (fewer than 50 card plays in 28 days), medium, heavy (300 or more). With a model,
        ``history``: items of the shelf's types played so far, cold (none), warm (1 to 4), hot (5 or
        more); and for a shelf of new listeners ``plays``: card plays so far, of any type: 0, 1-4,
        5+.
    """
    tenure = shard.columns["tenure_days"][rows]
    plays = shard.columns["n_plays_28d"][rows]
    found = {
        "market": np.array(shard.catalog.markets)[shard.markets[rows]],
        "tenure": np.select([tenure <= 30, tenure <= 90], ["new", "settled"], "old"),
        "activity": np.select([plays < 50, plays < 300], ["light", "medium"], "heavy"),
    }
    if spec is None:
        return found
    items = _items_of_types(shard, spec.item_types)[rows]
    found["history"] = np.select([items == 0, items < HOT_ITEMS], ["cold", "warm"], "hot")
    if spec.max_tenure_days is not None:
        ever = shard.columns["n_plays"][rows]
        found["plays"] = np.select([ever == 0, ever < FEW_PLAYS], ["0", "1-4"], "5+")
    return found


def _items_of_types(shard: Shard, item_types: tuple[str, ...]) -> npt.NDArray[np.int64]:
    wanted = np.isin(shard.catalog.types, [ITEM_TYPES.index(name) for name in item_types])
    own = shard.pair_listener[wanted[shard.pair_item]]
    return np.bincount(own, minlength=shard.n_listeners)
