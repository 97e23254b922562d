"""Results of both stages, kept by what made them, so that a stopped run goes on where it was."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np

from homerec.bench.quality.real_stages import Staged
from homerec.features.snapshot import sql_checksum
from homerec.lake import read_json, write_json
from homerec.models.spec import ModelSpec
from homerec.ranking.base import Ranker


def kept_stages(
    work: Path,
    name: str,
    spec: ModelSpec,
    rankers: dict[str, Ranker],
    compute: Callable[[], Staged],
) -> Staged:
    """Read what both stages made of a split, or compute and keep it.

    Parameters
    ----------
    work : Path
        Folder of the cache; removing it starts anew, which a change of homerec's code calls for.
    name : str
        Of the split.
    spec : ModelSpec
    rankers : dict of str to Ranker
        A change of the spec, of a ranker's parameters or of the feature SQL computes anew.
    compute : callable
    """
    parts = [spec.to_json(), {k: [r.name, r.parameters] for k, r in rankers.items()}]
    text = json.dumps([*parts, sql_checksum()], sort_keys=True)
    stem = work / "stages" / f"{name}-{sha256(text.encode()).hexdigest()[:12]}"
    about, arrays = stem.with_suffix(".json"), stem.with_suffix(".npz")
    if not about.exists():
        staged = compute()
        stem.parent.mkdir(parents=True, exist_ok=True)
        names = {f"list_{at}": lists for at, lists in enumerate(staged.lists.values())}
        np.savez(arrays, **names)  # type: ignore[arg-type]
        write_json(
            {
                "names": list(staged.lists),
                "recall": staged.recall,
                "n_hits": staged.n_hits,
            },
            about,
        )
    told = read_json(about)
    with np.load(arrays, allow_pickle=False) as found:
        lists = {label: found[f"list_{at}"] for at, label in enumerate(told["names"])}
    return Staged(lists, told["recall"], told["n_hits"])
