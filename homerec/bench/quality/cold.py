"""New listeners of whom nothing, or next to nothing, was heard: the same ones, with plays hidden.

In a demo world nearly everybody plays within a day of signing up, so hardly anybody has no play or
few when a night comes. So a third of the new listeners, chosen by a hash, loses every event before
the judged day, and another third all but its first one. Both sign up, pick and listen on as
before; features, candidates and labels are computed from what is left, by the normal path. The
model was trained on the whole past.
"""

import os
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.bench.quality.contenders import as_read
from homerec.bench.report import say
from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import find
from homerec.lake import Lake, live_files
from homerec.models.fitted import FittedModel, baseline_pairs
from homerec.registry.loading import load_fitted, open_registry
from homerec.sampling import uniform
from homerec.settings import Settings
from homerec.training.challenge import contender, read_challenge
from homerec.training.evaluation import evaluate
from homerec.training.fitting import SnapshotView
from homerec.training.labels import read_labels

#: Plays that count for items, milliseconds.
_COUNTS_FROM: Final = 30_000

Arrays = dict[str, npt.NDArray[Any]]


def judge_cold(settings: Settings, name: str, as_of: date) -> Arrays:
    """Judge the challenger of as_of on new listeners, of whom two thirds have hardly any past.

    Parameters
    ----------
    settings : Settings
        The deployment; it is left as it is.
    name : str
        Name of a model with ``max_tenure_days``.
    as_of : date
        First judged day.

    Returns
    -------
    dict of str to (n,) array
        ``<contender>/ndcg`` float64 and ``plays`` str (0, 1-4, 5+: card plays so far).
    """
    challenge, _ = read_challenge(settings, name, as_of)
    version = open_registry(settings).version(name, challenge.version or 0)
    model = load_fitted(version.manifest())
    home = settings.home / "cold"
    hide_past(settings, home, as_of, int(model.spec.max_tenure_days or 0))
    return _judge(replace(settings, home=home), model, as_of)


def hide_past(settings: Settings, home: Path, as_of: date, tenure_days: int) -> None:
    """Copy the lake of a deployment without the past of two thirds of its new listeners.

    Parameters
    ----------
    settings : Settings
    home : Path
        Folder of the copy, made anew; files that do not change are hard links.
    as_of : date
        Events before it are hidden.
    tenure_days : int
        Listeners registered at most so long before are new.
    """
    lake, copy = Lake(settings.home), Lake(home)
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(lake.tables, copy.tables, copy_function=os.link)
    people = pq.read_table(lake.table("listeners"), columns=["listener", "registered_at"])
    since = np.datetime64(as_of - timedelta(days=tenure_days))
    registered = people["registered_at"].to_numpy(zero_copy_only=False)
    new = np.unique(people["listener"].to_numpy()[registered >= since]).astype(np.int32)
    luck = uniform(settings.seed, new)
    nothing, first_only = new[luck < 1 / 3], new[(luck >= 1 / 3) & (luck < 2 / 3)]
    say(f"hiding the past of {len(nothing)} new listeners, and all but one play of as many more")
    begun = np.zeros(0, dtype=np.int32)
    for day in lake.event_dates():
        if day < as_of - timedelta(days=tenure_days) or day >= as_of:
            continue
        for path in live_files(copy.partitions("events") / f"date={day}"):
            table = pq.read_table(path)
            kept, begun = _kept(table, nothing, first_only, begun)
            # A link leads to the deployment's own file, which must not change.
            path.unlink()
            pq.write_table(table.filter(pa.array(kept)), path)


def _kept(
    table: pa.Table,
    nothing: npt.NDArray[np.int32],
    first_only: npt.NDArray[np.int32],
    begun: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """Which events stay, and the listeners whose first play that counts has been."""
    who = table["listener"].to_numpy()
    counts = table["ms_played"].to_numpy() >= _COUNTS_FROM
    kept = (find(nothing, who) < 0) & (find(first_only, who) < 0)
    started = table["started_at"].to_numpy(zero_copy_only=False)
    waiting = np.flatnonzero((find(first_only, who) >= 0) & counts & ~np.isin(who, begun))
    waiting = waiting[np.lexsort((started[waiting], who[waiting]))]
    first, at = np.unique(who[waiting], return_index=True)
    kept[waiting[at]] = True
    return kept, np.concatenate([begun, first])


def _judge(settings: Settings, model: FittedModel, as_of: date) -> Arrays:
    spec = model.spec
    info = ensure_snapshot(settings, as_of, writer="training")
    view, labels = SnapshotView(settings, info), read_labels(settings, spec, info)
    read = as_read(settings, view.catalog, as_of)
    who = {
        "model": read(contender(model)),
        "baseline": read(lambda shard, rows: baseline_pairs(spec, shard, rows)),
    }
    results = evaluate(who, spec, info, view.catalog, labels, settings.shard_listeners)
    found: Arrays = {f"{r.name}/ndcg": r.metrics["ndcg"] for r in results}
    found["plays"] = results[0].segments["plays"].astype(np.str_)
    return found
