"""What the sources that keep a weight per pair of items share: histories and files."""

from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from homerec.candidates.base import CandidateSource, Query, Reasons
from homerec.candidates.history import History
from homerec.features.tables import Keys, Rows

#: Pairs explained at once; bounds the memory to some tens of MB.
_EXPLAINED: Final = 65_536


class ItemItemSource(CandidateSource):
    """Scores that are the sum, over the listener's items, of a kept weight between two items.

    Attributes
    ----------
    from_keys_, to_keys_ : int32 (m,), int32 (n,)
        Keys of the items played and of the items shown.
    similarity_ : csr_matrix float32 (m, n)
        Weight of having played the one for playing the other; holds no listener.
    """

    from_keys_: Keys
    to_keys_: Keys
    similarity_: sparse.csr_matrix
    _types: tuple[str, ...]

    def _forget(self) -> None:
        self.from_keys_ = np.zeros(0, dtype=np.int32)
        self.to_keys_ = np.zeros(0, dtype=np.int32)
        self.similarity_ = sparse.csr_matrix((0, 0), dtype=np.float32)
        self._types = ()

    def _played(self, query: Query) -> sparse.csr_matrix:
        """Weigh what the listeners of a query have played, csr_matrix float32 (n, m)."""
        columns = query.shard.catalog.rows(self.from_keys_)
        return self._history(self._types).matrix(query.shard, columns, query.rows)

    def explain(
        self, query: Query, listener: Rows, item: Rows, barred: npt.NDArray[np.bool_]
    ) -> Reasons:
        """Name the item of the listener's history that adds most to the sum of weights."""
        catalog = query.shard.catalog
        columns = catalog.rows(self.from_keys_)
        rows, line = np.unique(listener, return_inverse=True)
        history = self._history(self._types).matrix(query.shard, columns, rows)
        to = np.full(len(catalog.items) + 1, -1, dtype=np.int64)
        to[catalog.rows(self.to_keys_)] = np.arange(len(self.to_keys_))
        to[-1] = -1
        asked = to[item]
        usable = ~np.append(barred, True)[columns]
        near = self.similarity_.T.tocsr()
        best = np.full(len(listener), -1, dtype=np.int64)
        for start in range(0, len(listener), _EXPLAINED):
            at = np.arange(start, min(start + _EXPLAINED, len(listener)))
            at = at[asked[at] >= 0]
            parts = history[line[at]].multiply(near[asked[at]]).tocsr()
            parts.sort_indices()
            parts.data[~usable[parts.indices]] = 0
            at, parts = at[np.diff(parts.indptr) > 0], parts[np.diff(parts.indptr) > 0]
            if len(at) == 0:
                continue
            most = np.maximum.reduceat(parts.data, parts.indptr[:-1])
            row = np.repeat(np.arange(len(at)), np.diff(parts.indptr))
            hits = np.flatnonzero((parts.data == most[row]) & (parts.data > 0))
            # The first of equal ones: indices ascend within a row.
            first, place = np.unique(row[hits], return_index=True)
            best[at[first]] = columns[parts.indices[hits[place]]]
        return Reasons.of_items(query.shard, listener, best)

    def save(self, folder: Path) -> None:
        """Write the weights."""
        np.savez(
            folder / f"{self.name}.npz",
            from_keys=self.from_keys_,
            to_keys=self.to_keys_,
            data=self.similarity_.data,
            indices=self.similarity_.indices,
            indptr=self.similarity_.indptr,
            types=np.array(self._types),
        )

    def load(self, folder: Path) -> Self:
        """Read the weights."""
        with np.load(folder / f"{self.name}.npz", allow_pickle=False) as arrays:
            self.from_keys_, self.to_keys_ = arrays["from_keys"], arrays["to_keys"]
            self.similarity_ = sparse.csr_matrix(
                (arrays["data"], arrays["indices"], arrays["indptr"]),
                shape=(len(self.from_keys_), len(self.to_keys_)),
            )
            self._types = tuple(str(t) for t in arrays["types"])
        return self

    def _history(self, item_types: tuple[str, ...]) -> History:
        types = dict.fromkeys([*item_types, *self.parameters["context_types"]])
        return History(tuple(types), self.parameters["column"], self.parameters.get("alpha", 1.0))
