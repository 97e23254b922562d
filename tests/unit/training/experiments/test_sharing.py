"""What fits that experiments share are taken to weigh, so that a limit of memory holds."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from homerec.features.snapshot import ensure_snapshot
from homerec.features.tables import load_catalog, load_shard
from homerec.training.experiments.sharing import _bytes, _source_bytes
from support.taste import fit_data, make_source, taste_lake


@dataclass(frozen=True)
class Part:
    """Something with an array."""

    values: np.ndarray
    name: str = "part"


def test_arrays_are_counted_at_any_depth() -> None:
    assert _bytes({"a": np.zeros(3), "b": [Part(np.zeros(5)), "text", 7]}) == 64
    matrix = sparse.csr_matrix(np.eye(4))
    own = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    assert _bytes((matrix,)) == own


def test_a_fit_of_starts_weighs_about_what_its_file_does(tmp_path: Path) -> None:
    info = ensure_snapshot(taste_lake(tmp_path), date(2026, 3, 10), writer="night")
    catalog = load_catalog(info)
    source: Any = make_source("starts")
    before = _source_bytes(source)
    source.fit(fit_data(catalog, load_shard(info, catalog, 0, 1_000))).save(tmp_path)
    with np.load(tmp_path / "starts.npz") as arrays:
        numbers = sum(a.nbytes for a in arrays.values() if a.dtype.kind in "fi")
    assert numbers < _source_bytes(source) - before + 200 < 2 * numbers
