"""RecTools' ALS as a peer, run by the Python of its own environment: it needs an older pandas.

This file is a script there; it imports nothing of homerec. Arrays cross as npz.
"""

import json
import sys
from pathlib import Path
from typing import Any


def main(problem: Path, work: Path) -> int:
    """Fit every configuration asked for and keep its scores' best items.

    Parameters
    ----------
    problem : Path
        npz with ``row``, ``column`` and ``users`` int64, and for each configuration the weights of
        the pairs, float32, under the name that its ``values`` gives.
    work : Path
        Holds ``configs.json``, a list of configurations with a ``file`` each that is written:
        npz with ``items`` int64 (len(users), k), -1 for none. Files that are there are kept.
    """
    import numpy as np
    import pandas as pd
    from implicit.als import AlternatingLeastSquares
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import ImplicitALSWrapperModel

    with np.load(problem) as arrays:
        frame = pd.DataFrame(
            {
                Columns.User: arrays["row"],
                Columns.Item: arrays["column"],
                Columns.Datetime: pd.Timestamp("2020-01-01"),
            }
        )
        values = {name: arrays[name] for name in arrays.files if name.startswith("values")}
        users = arrays["users"]
    for config in json.loads((work / "configs.json").read_text()):
        target = work / config["file"]
        if target.exists():
            continue
        dataset = Dataset.construct(frame.assign(**{Columns.Weight: values[config["values"]]}))
        model: Any = ImplicitALSWrapperModel(
            AlternatingLeastSquares(
                factors=config["factors"],
                regularization=config["regularization"],
                alpha=config["alpha"],
                iterations=config["iterations"],
                num_threads=1,
                random_state=config["seed"],
            )
        )
        model.fit(dataset)
        found = model.recommend(users, dataset, k=config["k"], filter_viewed=True)
        items = np.full((len(users), config["k"]), -1, dtype=np.int64)
        line = np.searchsorted(users, found[Columns.User].to_numpy())
        items[line, found[Columns.Rank].to_numpy() - 1] = found[Columns.Item].to_numpy()
        partial = target.with_suffix(".part.npz")
        np.savez(partial, items=items)
        partial.rename(target)
        sys.stdout.write(f"{config['file']}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
