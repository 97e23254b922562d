"""The tables of a snapshot, to be compared and to be tampered with."""

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from homerec.features.compute import TABLES
from homerec.features.listener_items import listener_items
from homerec.features.snapshot import SnapshotInfo


def read_table(info: SnapshotInfo, name: str) -> pa.Table:
    """Any table of a snapshot; ``listener_item`` as models see it."""
    if name == "listener_item":
        return listener_items(info)
    return pq.read_table(info.path(name), partitioning=None)


def table_bytes(info: SnapshotInfo) -> dict[str, bytes]:
    """Every table as bytes: of its file, or of the values where they are made when read."""
    found = {name: info.path(name).read_bytes() for name in TABLES if name != "listener_item"}
    sink = pa.BufferOutputStream()
    pq.write_table(listener_items(info).combine_chunks(), sink, use_dictionary=False)
    return found | {"listener_item": sink.getvalue().to_pybytes()}


def rewrite_pairs(info: SnapshotInfo, name: str, table: pa.Table) -> None:
    """Replace a file of pairs; other snapshots keep theirs."""
    path = info.folder / name
    path.unlink()
    with ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def kept_pairs(info: SnapshotInfo, name: str) -> pa.Table:
    """Read a file of pairs as it is."""
    with pa.OSFile(str(info.folder / name)) as source:
        return ipc.open_file(source).read_all()
