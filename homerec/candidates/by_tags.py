"""Candidates by tags: items close to the listener's taste, which needs no history of the item."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from homerec.candidates.base import (
    NO_REASON,
    TAG,
    CandidateSource,
    Prepared,
    Query,
    Reasons,
    Top,
)
from homerec.candidates.topk import dot_pairs, top_k
from homerec.features.tables import Floats, Rows
from homerec.parameters import NotNegative, checked


class ByTagsSource(CandidateSource):
    """Cosine of taste and tags, lifted a little by the item's starts in the last 28 days.

    Parameters
    ----------
    max_age_days : float, optional
        Only items released in the last days; this is what brings items newer than a version to
        listeners.
    """

    name: ClassVar[str] = "by_tags"

    @checked
    def __init__(self, *, max_age_days: NotNegative | None = None) -> None:
        super().__init__(max_age_days=max_age_days)

    def prepare(self, query: Query) -> "PreparedByTags":
        """Pick the items that are young enough."""
        return PreparedByTags(query, self.parameters["max_age_days"])

    def explain(
        self, query: Query, listener: Rows, item: Rows, barred: npt.NDArray[np.bool_]
    ) -> Reasons:
        """Name the tag that adds most to the cosine of taste and item."""
        del barred
        shard, reasons = query.shard, Reasons.none(len(listener))
        for start in range(0, len(listener) if shard.catalog.tags else 0, 65_536):
            at = slice(start, start + 65_536)
            parts = shard.listener_tags[listener[at]] * shard.catalog.item_tags[item[at]]
            top = parts.argmax(axis=1)
            good = parts[np.arange(len(top)), top] > 0
            reasons.kind[at] = np.where(good, TAG, NO_REASON)
            reasons.tag[at] = np.where(good, top, -1)
        return reasons


class NewItemsSource(ByTagsSource):
    """By tags among the items of the last 28 days."""

    name: ClassVar[str] = "new_items"

    @checked
    def __init__(self, *, max_age_days: NotNegative = 28.0) -> None:
        super().__init__(max_age_days=max_age_days)


class PreparedByTags(Prepared):
    """Tags of the items, weighted by how much they are being started."""

    def __init__(self, query: Query, max_age_days: float | None) -> None:
        self._query = query
        catalog = query.shard.catalog
        lift = 1 + 0.1 * np.log1p(catalog.columns["n_starts_28d"])
        self._tags = (catalog.item_tags * lift[:, None]).astype(np.float32)
        age = catalog.columns["age_days"][query.items]
        young = age <= (np.inf if max_age_days is None else max_age_days)
        self._items = query.items[young]

    def top(self, k: int) -> Top:
        """Best k allowed items that share a tag with the listener's taste."""
        taste = self._query.shard.listener_tags
        transposed = np.ascontiguousarray(self._tags[self._items].T)

        def block(rows: Rows) -> Floats:
            scores = taste[rows] @ transposed
            return np.where(scores > 0, scores, np.float32(-np.inf))

        return top_k(self._query, self._items, k, block, self.score)

    def score(self, listener: Rows, item: Rows) -> Floats:
        """Cosine of taste and tags times the lift."""
        return dot_pairs(self._query.shard.listener_tags, self._tags, listener, item)
