"""A bundle: the folder a night leaves for publishing, read and checked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homerec.columns import SHELF_KINDS
from homerec.errors import EmptyInput, ReleaseError
from homerec.lake import read_json
from homerec.release.encoding import ShelfRows

SCHEMA: Mapping[str, pa.DataType] = {
    "listener": pa.int32(),
    "shelf": pa.int16(),
    "daypart": pa.int16(),
    "items": pa.list_(pa.int32()),
    "sources": pa.list_(pa.int16()),
    "reason_items": pa.list_(pa.int32()),
    "proposers": pa.list_(pa.int32()),
}
#: Rows encoded at a time: some 30 MB, and a listener's rows stay near each other in the table.
BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Bundle:
    """What ``release.json`` says, and where the shelves are.

    Attributes
    ----------
    folder : Path
    as_of : date
    degraded : bool
    reasons : list of str
    versions : mapping of str to Any
    shelves : list of mapping
        ``shelf`` (its position), ``name``, ``title``, ``kind``, ``size``.
    sources : list of mapping
        ``source`` (its number), ``name``, ``label`` (reason shown, may be null).
    market_defaults : mapping of str to int
        Market (``*`` = not known) to the negative listener key of its default Home.
    eligible : int
        Listeners that must have a Home.
    """

    folder: Path
    as_of: date
    degraded: bool
    reasons: list[str]
    versions: Mapping[str, Any]
    shelves: list[Mapping[str, Any]]
    sources: list[Mapping[str, Any]]
    market_defaults: Mapping[str, int]
    eligible: int

    @property
    def parquet(self) -> Path:
        """The file of shelves."""
        return self.folder / "shelves.parquet"

    def batches(self) -> Iterator[ShelfRows]:
        """Yield the shelves, some rows at a time, in the file's order.

        Raises
        ------
        ReleaseError
            A value is missing, or the arrays of a row differ in length.
        """
        with pq.ParquetFile(self.parquet) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(SCHEMA)):
                if batch.num_rows:
                    yield _rows(batch, self.parquet)


def read_bundle(folder: Path) -> Bundle:
    """Read and check a bundle's ``release.json`` and the schema of its ``shelves.parquet``.

    Raises
    ------
    ReleaseError
        A file or a key is missing, or has another form than agreed.
    EmptyInput
        There are no shelves, or nobody is eligible.
    """
    about, parquet = folder / "release.json", folder / "shelves.parquet"
    for path in (about, parquet):
        if not path.is_file():
            raise ReleaseError(
                f"The bundle {folder} has no {path.name}; the night that makes it has not ended."
            )
    try:
        raw = read_json(about)
        bundle = Bundle(
            folder=folder,
            as_of=date.fromisoformat(raw["as_of"]),
            degraded=bool(raw["degraded"]),
            reasons=[str(reason) for reason in raw["reasons"]],
            versions=dict(raw["versions"]),
            shelves=[_shelf(shelf) for shelf in raw["shelves"]],
            sources=[
                {"source": int(s["source"]), "name": str(s["name"]), "label": s.get("label")}
                for s in raw["sources"]
            ],
            market_defaults={str(m): int(key) for m, key in raw["market_defaults"].items()},
            eligible=int(raw["eligible"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReleaseError(f"{about} is not as agreed: {type(error).__name__} {error}.") from error
    _check(bundle)
    return bundle


def _shelf(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    if raw["kind"] not in SHELF_KINDS:
        raise ValueError(
            f"shelf {raw['name']!r} has kind {raw['kind']!r}, known are {', '.join(SHELF_KINDS)}"
        )
    if int(raw["size"]) < 1:
        raise ValueError(f"shelf {raw['name']!r} has size {raw['size']}, at least 1 is needed")
    return {
        "shelf": int(raw["shelf"]),
        "name": str(raw["name"]),
        "title": str(raw["title"]),
        "kind": str(raw["kind"]),
        "size": int(raw["size"]),
    }


def _check(bundle: Bundle) -> None:
    wrong = {market: key for market, key in bundle.market_defaults.items() if key >= 0}
    if wrong:
        raise ReleaseError(
            f"market_defaults of {bundle.folder} has keys that are not negative: {wrong}."
        )
    for what, values in (
        ("shelf numbers", [s["shelf"] for s in bundle.shelves]),
        ("shelf names", [s["name"] for s in bundle.shelves]),
        ("source numbers", [s["source"] for s in bundle.sources]),
    ):
        if len(set(values)) != len(values):
            raise ReleaseError(f"release.json of {bundle.folder} names {what} twice: {values}.")
    with pq.ParquetFile(bundle.parquet) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
    for name, kind in SCHEMA.items():
        found = schema.field(name).type if name in schema.names else None
        same = found is not None and _kind(found) == _kind(kind)
        if not same:
            raise ReleaseError(f"{bundle.parquet}: column {name!r} is {found}, {kind} is needed.")
    if n_rows == 0 or bundle.eligible < 1:
        raise EmptyInput(
            f"The bundle {bundle.folder} has {n_rows} rows for {bundle.eligible} eligible "
            "listeners; an empty "
            "release is never published."
        )


def _kind(kind: pa.DataType) -> str:
    return f"list<{kind.value_type}>" if pa.types.is_list(kind) else str(kind)


def _rows(batch: pa.RecordBatch, path: Path) -> ShelfRows:
    columns: dict[str, Any] = {name: batch.column(name) for name in SCHEMA}
    offsets: dict[str, np.ndarray[Any, np.dtype[np.int64]]] = {}
    for name, column in columns.items():
        if column.null_count:
            raise ReleaseError(f"{path}: {column.null_count} rows have no {name}.")
        if pa.types.is_list(column.type):
            values = column.flatten()
            if values.null_count:
                raise ReleaseError(f"{path}: {values.null_count} elements of {name} are null.")
            raw = column.offsets.to_numpy().astype(np.int64)
            offsets[name], columns[name] = raw - raw[0], values
    for name in ("sources", "reason_items", "proposers"):
        differing = np.flatnonzero(np.diff(offsets[name]) != np.diff(offsets["items"]))
        if differing.size:
            listener = columns["listener"][int(differing[0])].as_py()
            raise ReleaseError(
                f"{path}: in {differing.size} rows {name} and items differ in length, first for "
                f"listener {listener}."
            )
    arrays = {name: column.to_numpy(zero_copy_only=False) for name, column in columns.items()}
    return ShelfRows(offsets=offsets["items"], **arrays)
