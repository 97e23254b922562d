"""Contenders are judged by what a Home shows when it is read."""

from datetime import date
from pathlib import Path

import numpy as np

from homerec.bench.quality.contenders import as_read
from homerec.columns import ANY_DAYPART
from homerec.features.assembly import Pairs
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import Floats, Rows, Shard, load_catalog, load_shard
from support.lake import build_lake, event, item, listener

AS_OF = date(2026, 3, 10)


def blocked(key: int, market: str | None, at: str) -> dict:
    return {"item": key, "market": market, "reason": "rights", "blocked_at": at}


def test_what_was_taken_down_since_leaves_the_lists_and_the_next_move_up(tmp_path: Path) -> None:
    settings = build_lake(
        tmp_path,
        events=[event(1, "2026-03-09T10:00", show=k) for k in (1, 2, 3, 4)],
        items=[item(k) for k in (1, 2, 3, 4)],
        listeners=[listener(1), listener(2, "US")],
        tables={
            "blocked": [
                blocked(1, None, "2026-03-10T23:59"),
                blocked(2, "US", "2026-03-10T00:00"),
                blocked(3, None, "2026-03-11T00:00"),
            ]
        },
    )
    info = ensure_snapshot(settings, AS_OF, writer="night")
    catalog = load_catalog(info)
    shard = load_shard(info, catalog, 0, 9)

    def everything(shard: Shard, rows: Rows) -> tuple[Pairs, Floats]:
        items = catalog.rows(np.array([1, 2, 3, 4], np.int32))
        n = len(rows) * len(items)
        pairs = Pairs(
            np.repeat(rows, 4), np.tile(items, len(rows)), np.full(n, ANY_DAYPART, np.int8)
        )
        return pairs, np.arange(n, dtype=np.float32)

    pairs, scores = as_read(settings, catalog, AS_OF)(everything)(shard, np.array([0, 1]))
    found = list(
        zip(
            shard.listeners[pairs.listener].tolist(),
            catalog.items[pairs.item].tolist(),
            scores.tolist(),
            strict=True,
        )
    )
    assert found == [(1, 2, 1.0), (1, 3, 2.0), (1, 4, 3.0), (2, 3, 6.0), (2, 4, 7.0)]
