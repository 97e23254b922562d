"""What stage 1 reads of the past: one weighted matrix, for fitting and for folding in."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import sparse

from homerec.errors import SettingsError
from homerec.features.tables import Catalog, Rows, Shard

#: A sign-up pick counts as this many card plays of the artist.
PICK_PLAYS: Final = 3.0


@dataclass(frozen=True)
class History:
    """How plays become confidence.

    Attributes
    ----------
    types : tuple of str
        Item types whose plays count; more than the shelf shows, so that artists speak for shows.
    column : str
        Column of ``listener_item`` that measures the plays, such as ``decay_60d``.
    alpha : float
        Confidence of a pair is 1 + alpha * ln(1 + plays) (Hu, Koren and Volinsky 2008, section 6).
    """

    types: tuple[str, ...]
    column: str = "decay_60d"
    alpha: float = 1.0

    def columns(self, catalog: Catalog) -> Rows:
        """Catalog rows of the item types, ascending."""
        return np.sort(np.concatenate([catalog.of_type(t) for t in self.types]))

    def matrix(self, shard: Shard, items: Rows, rows: Rows | None = None) -> sparse.csr_matrix:
        """Confidence of listeners in items.

        Parameters
        ----------
        shard : Shard
        items : int64 (m,)
            Catalog row of each column; -1 is a column without an item in this catalog.
        rows : int64 (n,), optional
            Listener rows, by default all of the shard.

        Returns
        -------
        csr_matrix float32 (n, m)
            Column indices ascending within a row.

        Raises
        ------
        SettingsError
            ``listener_item`` has no such column.
        """
        if self.column not in shard.pair_columns:
            known = ", ".join(sorted(shard.pair_columns))
            raise SettingsError(f"Plays by {self.column}: listener_item has {known}.")
        column = np.full(len(shard.catalog.items) + 1, -1, dtype=np.int64)
        column[items] = np.arange(len(items))
        column[-1] = -1
        listener = np.concatenate([shard.pair_listener, shard.pick_listener])
        at = column[np.concatenate([shard.pair_item, shard.pick_item])]
        picks = np.full(len(shard.pick_item), PICK_PLAYS, dtype=np.float32)
        plays = np.concatenate([shard.pair_columns[self.column], picks])
        kept = at >= 0
        matrix = sparse.csr_matrix(
            (plays[kept], (listener[kept], at[kept])),
            shape=(shard.n_listeners, len(items)),
            dtype=np.float32,
        )
        matrix.sum_duplicates()
        matrix.data = (1 + self.alpha * np.log1p(matrix.data)).astype(np.float32)
        return matrix if rows is None else matrix[rows]
