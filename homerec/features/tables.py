"""A snapshot in memory: the catalog side once, the listener side shard by shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from scipy import sparse

from homerec.columns import ITEM_TYPES
from homerec.features.listener_items import listener_items
from homerec.features.snapshot import SnapshotInfo

Keys = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_NOT_NUMERIC: Final = {"listener", "item", "market", "language", "type"}


def find(keys: npt.NDArray[np.integer], wanted: npt.NDArray[np.integer]) -> Rows:
    """Positions of wanted keys in ascending unique keys.

    Parameters
    ----------
    keys : integer (n,), ascending, unique
    wanted : integer (m,)

    Returns
    -------
    int64 (m,)
        Position in ``keys``, -1 where absent.

    Examples
    --------
    >>> import numpy as np
    >>> find(np.array([3, 5, 9]), np.array([9, 4, 3]))
    array([ 2, -1,  0])
    """
    if len(keys) == 0:
        return np.full(len(wanted), -1, dtype=np.int64)
    at = np.searchsorted(keys, wanted)
    at = np.minimum(at, len(keys) - 1)
    return np.where(keys[at] == wanted, at, -1).astype(np.int64)


def _numeric_columns(table: pa.Table) -> dict[str, Floats]:
    """Columns as float32 (n,), nulls as NaN."""
    columns = {}
    for name in table.column_names:
        if name not in _NOT_NUMERIC:
            column = pc.cast(table[name], pa.float32())
            columns[name] = column.to_numpy(zero_copy_only=False).astype(np.float32)
    return columns


def _codes(column: pa.ChunkedArray, names: list[str]) -> npt.NDArray[np.int16]:
    """Position of each text in ``names`` as int16 (n,), -1 for null or unknown."""
    at = pc.fill_null(pc.index_in(column, value_set=pa.array(names, pa.string())), -1)
    codes: npt.NDArray[np.int16] = at.to_numpy(zero_copy_only=False).astype(np.int16)
    return codes


def _key_column(table: pa.Table, name: str) -> Keys:
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.int32)


@dataclass(frozen=True)
class Catalog:
    """The items of a snapshot, their numbers by market, their tags.

    Attributes
    ----------
    as_of : date
        The snapshot's date.
    items : int32 (n_items,)
        Item keys, ascending.
    types : int8 (n_items,)
        Position in :data:`homerec.columns.ITEM_TYPES`.
    languages : int16 (n_items,)
        Position in ``language_names``, -1 for none.
    columns : dict of str to float32 (n_items,)
        Numeric columns of ``item``.
    markets : list of str
        Market names; their position is the market code.
    tags : list of str
        Tag names; their position is the column of ``item_tags``.
    item_tags : float32 (n_items, n_tags)
        1 / sqrt(number of tags) where the item has the tag, else 0.
    """

    as_of: date
    items: Keys
    types: npt.NDArray[np.int8]
    languages: npt.NDArray[np.int16]
    language_names: list[str]
    columns: dict[str, Floats]
    markets: list[str]
    tags: list[str]
    item_tags: Floats
    _market_keys: npt.NDArray[np.int64]
    _market_columns: dict[str, Floats]
    _limited: dict[int, npt.NDArray[np.bool_]]

    def rows(self, items: npt.NDArray[np.integer]) -> Rows:
        """Positions of item keys, -1 where the snapshot has no such item."""
        return find(self.items, items)

    def of_type(self, item_type: str) -> Rows:
        """Positions of the items of a type, ascending."""
        return np.flatnonzero(self.types == ITEM_TYPES.index(item_type)).astype(np.int64)

    def market_column(self, name: str, item_rows: Rows, markets: npt.NDArray[np.integer]) -> Floats:
        """Value of an ``item_market`` column for (item row, market code) pairs.

        Returns
        -------
        float32 (n,)
            0 where nobody of the market has played the item.
        """
        wanted = item_rows * len(self.markets) + np.asarray(markets, dtype=np.int64)
        at = find(self._market_keys, wanted)
        values = self._market_columns[name]
        if len(values) == 0:
            return np.zeros(len(at), dtype=np.float32)
        return np.where(at >= 0, values[at], np.float32(0))

    @property
    def market_column_names(self) -> tuple[str, ...]:
        """Columns that :meth:`market_column` knows."""
        return tuple(self._market_columns)

    def available(self, item_rows: Rows, market: int) -> npt.NDArray[np.bool_]:
        """Whether items may be shown in a market, as bool (n,)."""
        allowed = np.ones(len(item_rows), dtype=np.bool_)
        if self._limited:
            limited = self._limited[-1][item_rows]
            here = self._limited.get(market)
            allowed = ~limited if here is None else ~limited | here[item_rows]
        return allowed


def load_catalog(snapshot: SnapshotInfo) -> Catalog:
    """Read the item side of a snapshot."""
    item = pq.read_table(snapshot.path("item"))
    stats = pq.read_table(snapshot.path("item_market"))
    item_tag = pq.read_table(snapshot.path("item_tag"))
    limits = pq.read_table(snapshot.path("item_availability"))
    listener_markets = pq.read_table(snapshot.path("listener"), columns=["market"])["market"]
    keys = _key_column(item, "item")
    named = {*pc.unique(listener_markets).to_pylist(), *pc.unique(stats["market"]).to_pylist()}
    markets = sorted(named)
    languages = sorted(filter(None, pc.unique(item["language"]).to_pylist()))
    tags = sorted(pc.unique(item_tag["tag"]).to_pylist())
    item_tags = np.zeros((len(keys), len(tags)), dtype=np.float32)
    item_tags[find(keys, _key_column(item_tag, "item")), _codes(item_tag["tag"], tags)] = 1
    norms = np.sqrt(np.maximum(item_tags.sum(axis=1, keepdims=True), 1))

    stat_rows = find(keys, _key_column(stats, "item"))
    # An item played before its release date has numbers but is not in the catalog yet.
    stats = stats.filter(pa.array(stat_rows >= 0))
    stat_rows = stat_rows[stat_rows >= 0]
    market_keys = stat_rows * len(markets) + _codes(stats["market"], markets)
    order = np.argsort(market_keys, kind="stable")

    limited: dict[int, npt.NDArray[np.bool_]] = {}
    if limits.num_rows:
        limit_rows = find(keys, _key_column(limits, "item"))
        codes = _codes(limits["market"], markets)
        limited[-1] = np.zeros(len(keys), dtype=np.bool_)
        limited[-1][limit_rows] = True
        for code in np.unique(codes[codes >= 0]):
            here = np.zeros(len(keys), dtype=np.bool_)
            here[limit_rows[codes == code]] = True
            limited[int(code)] = here
    return Catalog(
        as_of=snapshot.as_of,
        items=keys,
        types=_codes(item["type"], list(ITEM_TYPES)).astype(np.int8),
        languages=_codes(item["language"], languages),
        language_names=languages,
        columns=_numeric_columns(item),
        markets=markets,
        tags=tags,
        item_tags=item_tags / norms,
        _market_keys=market_keys[order],
        _market_columns={k: v[order] for k, v in _numeric_columns(stats).items()},
        _limited=limited,
    )


@dataclass(frozen=True)
class Shard:
    """The listener side of a snapshot, for a range of listener keys.

    Attributes
    ----------
    catalog : Catalog
        The item side of the same snapshot.
    listeners : int32 (n,)
        Listener keys, ascending.
    markets : int16 (n,)
        Market code of each listener.
    languages : int16 (n,)
        Code of the language played most, -1 for none.
    columns : dict of str to float32 (n,)
        Numeric columns of ``listener``.
    pair_listener : int64 (n_pairs,)
        Row of the listener, ascending; ``pair_item`` (int64) is the item's row in the catalog,
        ascending within a listener. Together they are every item a listener has played.
    pair_columns : dict of str to float32 (n_pairs,)
        Numeric columns of ``listener_item``.
    pick_listener, pick_item : int64 (n_picks,)
        Rows of the artists picked at sign-up.
    skip_listener, skip_item : int64 (n_skips,)
        Rows of what was put on and only ever left within 30 s, ordered as pairs are; none of them
        is among the pairs.
    skip_columns : dict of str to float32 (n_skips,)
        Numeric columns of ``skip``.
    """

    catalog: Catalog
    listeners: Keys
    markets: npt.NDArray[np.int16]
    languages: npt.NDArray[np.int16]
    columns: dict[str, Floats]
    pair_listener: Rows
    pair_item: Rows
    pair_columns: dict[str, Floats]
    pick_listener: Rows
    pick_item: Rows
    skip_listener: Rows
    skip_item: Rows
    skip_columns: dict[str, Floats]
    _tag_listener: Rows
    _tag_code: npt.NDArray[np.int16]
    _tag_weight: Floats

    @property
    def n_listeners(self) -> int:
        """Number of listeners."""
        return len(self.listeners)

    @cached_property
    def _pair_keys(self) -> npt.NDArray[np.int64]:
        return self.pair_listener * len(self.catalog.items) + self.pair_item

    def pair_rows(self, listener_rows: Rows, item_rows: Rows) -> Rows:
        """Positions in the pair columns, -1 where a pair was never played."""
        return find(self._pair_keys, listener_rows * len(self.catalog.items) + item_rows)

    @cached_property
    def _skip_keys(self) -> npt.NDArray[np.int64]:
        return self.skip_listener * len(self.catalog.items) + self.skip_item

    def skip_rows(self, listener_rows: Rows, item_rows: Rows) -> Rows:
        """Positions in the skip columns, -1 where a pair is not among them."""
        return find(self._skip_keys, listener_rows * len(self.catalog.items) + item_rows)

    @cached_property
    def listener_tags(self) -> Floats:
        """Taste over tags, float32 (n, n_tags), rows of unit length or all zero."""
        taste = np.zeros((self.n_listeners, len(self.catalog.tags)), dtype=np.float32)
        taste[self._tag_listener, self._tag_code] = np.sqrt(self._tag_weight)
        norms = np.sqrt((taste * taste).sum(axis=1, keepdims=True))
        unit: Floats = taste / np.maximum(norms, np.float32(1e-12))
        return unit

    def matrix(self, values: Floats, keep: npt.NDArray[np.bool_]) -> sparse.csr_matrix:
        """Played pairs as a sparse matrix.

        Parameters
        ----------
        values : float32 (n_pairs,)
        keep : bool (n_pairs,)

        Returns
        -------
        csr_matrix float32 (n, n_items)
        """
        shape = (self.n_listeners, len(self.catalog.items))
        coordinates = (self.pair_listener[keep], self.pair_item[keep])
        return sparse.csr_matrix((values[keep], coordinates), shape=shape, dtype=np.float32)


def load_listeners(snapshot: SnapshotInfo, catalog: Catalog) -> Shard:
    """Read every listener without plays, skips, tags and picks: enough to tell who is eligible.

    Parameters
    ----------
    snapshot : SnapshotInfo
    catalog : Catalog
        Its item side.
    """
    listener = pq.read_table(snapshot.path("listener"))
    no_rows = np.zeros(0, dtype=np.int64)
    return Shard(
        catalog=catalog,
        listeners=_key_column(listener, "listener"),
        markets=_codes(listener["market"], catalog.markets),
        languages=_codes(listener["language"], catalog.language_names),
        columns=_numeric_columns(listener),
        pair_listener=no_rows,
        pair_item=no_rows,
        pair_columns={},
        pick_listener=no_rows,
        pick_item=no_rows,
        skip_listener=no_rows,
        skip_item=no_rows,
        skip_columns={},
        _tag_listener=no_rows,
        _tag_code=np.zeros(0, dtype=np.int16),
        _tag_weight=np.zeros(0, dtype=np.float32),
    )


def load_shard(snapshot: SnapshotInfo, catalog: Catalog, low: int, high: int) -> Shard:
    """Read the listeners with ``low <= key < high``; row groups outside the range are skipped."""
    within = (pc.field("listener") >= low) & (pc.field("listener") < high)
    tables = {
        name: pq.read_table(snapshot.path(name), filters=within)
        for name in ("listener", "listener_tag", "pick", "skip")
    }
    listener = tables["listener"]
    keys = _key_column(listener, "listener")

    pair = listener_items(snapshot, low, high)
    pair_listener, pair_item = _pair_rows(pair, keys, catalog)
    known = (pair_listener >= 0) & (pair_item >= 0)
    tag = tables["listener_tag"]
    tag_listener = find(keys, _key_column(tag, "listener"))
    tag_code = _codes(tag["tag"], catalog.tags)
    tagged = (tag_listener >= 0) & (tag_code >= 0)
    pick_listener, pick_item = _pair_rows(tables["pick"], keys, catalog)
    picked = (pick_listener >= 0) & (pick_item >= 0)
    skip_listener, skip_item = _pair_rows(tables["skip"], keys, catalog)
    skipped = (skip_listener >= 0) & (skip_item >= 0)
    return Shard(
        catalog=catalog,
        listeners=keys,
        markets=_codes(listener["market"], catalog.markets),
        languages=_codes(listener["language"], catalog.language_names),
        columns=_numeric_columns(listener),
        pair_listener=pair_listener[known],
        pair_item=pair_item[known],
        pair_columns={k: v[known] for k, v in _numeric_columns(pair).items()},
        pick_listener=pick_listener[picked],
        pick_item=pick_item[picked],
        skip_listener=skip_listener[skipped],
        skip_item=skip_item[skipped],
        skip_columns={k: v[skipped] for k, v in _numeric_columns(tables["skip"]).items()},
        _tag_listener=tag_listener[tagged],
        _tag_code=tag_code[tagged],
        _tag_weight=tag["weight"].to_numpy(zero_copy_only=False).astype(np.float32)[tagged],
    )


def _pair_rows(table: pa.Table, keys: Keys, catalog: Catalog) -> tuple[Rows, Rows]:
    listener_rows = find(keys, _key_column(table, "listener"))
    return listener_rows, catalog.rows(_key_column(table, "item"))


def shard_ranges(snapshot: SnapshotInfo, size: int) -> list[tuple[int, int]]:
    """Ranges of listener keys that hold at most ``size`` listeners each.

    Returns
    -------
    list of (int, int)
        Half-open, ascending, covering every listener of the snapshot.
    """
    keys = _key_column(pq.read_table(snapshot.path("listener"), columns=["listener"]), "listener")
    starts = [int(keys[at]) for at in range(0, len(keys), size)]
    return list(zip(starts, [*starts[1:], int(keys[-1]) + 1], strict=True)) if starts else []


def ages(catalog: Catalog, items: Rows) -> npt.NDArray[np.float64]:
    """Days since items were released, float64; infinite where it is not known."""
    age = catalog.columns["age_days"][items].astype(np.float64)
    return np.where(np.isnan(age), np.inf, age)


def iter_shards(snapshot: SnapshotInfo, catalog: Catalog, size: int) -> Iterator[Shard]:
    """Yield the shards of a snapshot one after the other."""
    for low, high in shard_ranges(snapshot, size):
        yield load_shard(snapshot, catalog, low, high)
