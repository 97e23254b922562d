# ruff: noqa: S608 - names and values are quoted by homerec.ingest.quoting
"""Listeners who were forgotten: kept as a keyed hash alone, so that no late file brings them back.

The key of the hash is a secret of the deployment: without it nobody can try ids against the file.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from homerec.database.secrets import ensure_secrets
from homerec.ingest.mapping import ColumnMap
from homerec.ingest.quoting import texts
from homerec.ingest.rules import map_column, mapped_sql
from homerec.ingest.sources import FORGOTTEN, Opened, Reject, scan_of
from homerec.ingest.state import Run
from homerec.lake import Lake, write_parquet
from homerec.settings import Settings

#: Name of the hash's key in the deployment's secrets.
SECRET: Final = "forgotten_listeners"  # noqa: S105 - a name, not a secret
_SCHEMA: Final = pa.schema(
    {
        "digest": pa.string(),
        "key": pa.int32(),
        "forgotten_at": pa.timestamp("us"),
        "reason": pa.string(),
        "complete": pa.bool_(),
    }
)
_LISTENER: Final = "listener_id"


@dataclass(frozen=True)
class Tombstone:
    """What is kept of a forgotten listener.

    Attributes
    ----------
    digest : str
        HMAC-SHA256 of the id, hexadecimal.
    key : int or None
        The dense key that is never used again; ``None`` when the id never had one.
    forgotten_at : datetime
        Aware, UTC.
    reason : str
        Why, in words; it must not name the listener.
    complete : bool
        Whether everything was removed; ``False`` while a removal is under way or was cut short.
    """

    digest: str
    key: int | None
    forgotten_at: datetime
    reason: str
    complete: bool


class Hasher:
    """Turns ids into digests with the deployment's secret, which is made when it is first needed.

    Parameters
    ----------
    settings : Settings
        Where the secrets are.
    """

    def __init__(self, settings: Settings) -> None:
        self._secret = ensure_secrets(settings, SECRET)[SECRET].encode()

    def digest(self, listener_id: str) -> str:
        """HMAC-SHA256 of an id, hexadecimal."""
        return hmac.new(self._secret, listener_id.encode("utf-8"), hashlib.sha256).hexdigest()


def read_tombstones(settings: Settings) -> dict[str, Tombstone]:
    """Forgotten listeners by digest."""
    path = Lake(settings.home).forgotten
    if not path.exists():
        return {}
    rows = pq.read_table(path).to_pylist()
    return {
        row["digest"]: Tombstone(**{**row, "forgotten_at": row["forgotten_at"].replace(tzinfo=UTC)})
        for row in rows
    }


def write_tombstones(settings: Settings, tombstones: Mapping[str, Tombstone]) -> None:
    """Keep the forgotten listeners, by digest; nothing happens when the file says so already."""
    if dict(tombstones) == read_tombstones(settings):
        return
    rows = [
        {**vars(stone), "forgotten_at": stone.forgotten_at.astimezone(UTC).replace(tzinfo=None)}
        for _, stone in sorted(tombstones.items())
    ]
    write_parquet(pa.Table.from_pylist(rows, schema=_SCHEMA), Lake(settings.home).forgotten)


def leave_out(run: Run) -> None:
    """Mark the opened files with the forgotten listeners they name, and count those rows as read.

    The rows are left out of every later scan: they reach neither the lake nor the quarantine.
    """
    stones = read_tombstones(run.settings)
    if not stones:
        return
    hasher = Hasher(run.settings)
    for name in run.opened:
        contract, mapping = run.parts(name)
        if _LISTENER not in contract.names:
            continue
        how = mapping.columns.get(_LISTENER)
        found = tuple(sorted(i for i in _unknown_ids(run, name, how) if hasher.digest(i) in stones))
        report = run.report.tables[name]
        marked = []
        for opened in run.opened[name]:
            rejects = tuple(_masked(r, opened, how, hasher, stones) for r in opened.rejects)
            marked.append(replace(opened, drop=found, rejects=rejects))
            report.forgotten += sum(r.reason == FORGOTTEN for r in rejects)
        if found:
            report.forgotten += sum(_count(run, name, b, found) for b in run.batches(name))
        run.opened[name] = marked
        report.read += report.forgotten


def _unknown_ids(run: Run, name: str, how: ColumnMap | None) -> set[str]:
    """Ids of a table's files that the dictionary does not know; a forgotten one is among them."""
    contract, _ = run.parts(name)
    ids: set[str] = set()

    def collect(files: list[Opened]) -> None:
        value = map_column(contract.column(_LISTENER), how, files[0].columns).value
        rows = run.sql(
            f"SELECT DISTINCT v FROM (SELECT {value} AS v FROM {scan_of(files)}) WHERE v IS NOT "
            "NULL AND v NOT IN (SELECT id FROM keys_listeners WHERE id IS NOT NULL)"
        )
        ids.update(str(row[0]) for row in rows)

    run.each_batch(name, collect)
    return ids


def _count(run: Run, name: str, files: list[Opened], found: tuple[str, ...]) -> int:
    contract, mapping = run.parts(name)
    mapped = mapped_sql(contract, mapping, files, run.now, run.limit)
    return run.number(f"SELECT count(*) FROM ({mapped}) WHERE v_listener_id IN {_tuple(found)}")


def _tuple(values: Iterable[str]) -> str:
    return f"({texts(values)[1:-1]})"


def _masked(
    reject: Reject,
    opened: Opened,
    how: ColumnMap | None,
    hasher: Hasher,
    stones: Mapping[str, Tombstone],
) -> Reject:
    """Take the content out of a line that is no row, if any of its parts is a forgotten id.

    The reject itself stays, for the numbers of the lines after it are counted with it.
    """
    prefix = how.prefix if how else ""
    cells = re.split(re.escape(opened.csv.delimiter or ",") + r"|\t", reject.content)
    parts = {cell.strip().strip(opened.csv.quote or '"').strip() for cell in cells}
    parts |= set(re.findall(r"[\w.@:+-]+", reject.content))
    known = any(hasher.digest(p + part) in stones for part in parts if part for p in {"", prefix})
    return Reject(reject.line, FORGOTTEN, "") if known else reject
