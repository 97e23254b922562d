"""A deployment of its own for each split: the data through its shipped mapping into a lake."""

import gzip
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
import yaml

from homerec.bench.quality.real_data import (
    AMAZON,
    LASTFM,
    Codes,
    Interactions,
    RandomSplit,
    seconds,
)
from homerec.features.tables import Keys, find
from homerec.ingest import ingest
from homerec.lake import Lake
from homerec.settings import Settings, resource

#: Days between the parts of a random split: pairs known, the ranker's labels, held out.
PART_DAYS: Final = 10
#: First day of the known pairs; the split's other parts follow it.
FIRST_DAY: Final = date(2011, 1, 1)


@dataclass(frozen=True)
class RealLake:
    """A lake that holds a data set, and how its keys map to the codes of the data.

    Attributes
    ----------
    settings : Settings
        Its ``home`` is the deployment.
    listener_code, item_code : int64 (n,), int64 (m,)
        Code of each key in ``listener_keys`` and ``item_keys`` (int32, ascending).
    """

    settings: Settings
    listener_keys: Keys
    listener_code: Codes
    item_keys: Keys
    item_code: Codes

    def listeners(self, keys: Keys) -> Codes:
        """Codes of listener keys."""
        return self.listener_code[find(self.listener_keys, keys)]

    def items(self, keys: Keys) -> Codes:
        """Codes of item keys."""
        return self.item_code[find(self.item_keys, keys)]


def lastfm_lake(
    settings: Settings, source: Path, data: Interactions, split: RandomSplit, home: Path
) -> RealLake:
    """Ingest lastfm-2k with times that say which part of a random split a pair is in.

    Known pairs were played on :data:`FIRST_DAY`, the ranker's labels :data:`PART_DAYS` later, what
    is held out again :data:`PART_DAYS` later: the product's own windows are then the split. Pairs
    of part 3 are left out. All else is the shipped mapping.
    """
    own = replace(settings, home=home)
    inbox = home / "source"
    if not (home / "ingested").exists():
        shutil.rmtree(home, ignore_errors=True)
        inbox.mkdir(parents=True)
        shutil.copy(source / "artists.tsv", inbox / "artists.tsv")
        started = seconds(FIRST_DAY) + 43_200 + split.part.astype(np.int64) * PART_DAYS * 86_400
        with gzip.open(inbox / "user_artists.dat.gz", "wt", encoding="utf-8") as out:
            for at in np.flatnonzero(split.part <= 2):
                user, artist = data.listener[at], data.item[at]
                out.write(
                    f"{data.listener_ids[user]}\t{data.item_ids[artist]}\t"
                    f"{int(data.plays[at])}\t{started[at]}\n"
                )
        mapping = home / "mapping.yaml"
        mapping.write_text(yaml.safe_dump(_timed_mapping()), encoding="utf-8")
        ingest(own, source=inbox, mapping=mapping)
        (home / "ingested").touch()
    return _opened(own, data, "user-", "artist-")


def _timed_mapping() -> Mapping[str, Any]:
    node: dict[str, Any] = yaml.safe_load(
        resource(f"config/mappings/{LASTFM}.yaml").read_text(encoding="utf-8")
    )
    events = node["tables"]["events"]
    events["csv"]["names"] = [*events["csv"]["names"], "started"]
    events["columns"]["started_at"] = {"column": "started", "unit": "unix_seconds"}
    return node


def amazon_lake(settings: Settings, source: Path, data: Interactions, home: Path) -> RealLake:
    """Ingest amazon-digital-music as it is, by the shipped mapping."""
    own = replace(settings, home=home)
    if not (home / "ingested").exists():
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        ingest(own, source=source, mapping=AMAZON)
        (home / "ingested").touch()
    return _opened(own, data, "", "")


def _opened(settings: Settings, data: Interactions, listener: str, item: str) -> RealLake:
    lake = Lake(settings.home)
    listener_keys, listener_code = _codes(
        lake.table("listeners"), "listener", data.listener_ids, listener
    )
    item_keys, item_code = _codes(lake.table("items"), "item", data.item_ids, item)
    return RealLake(settings, listener_keys, listener_code, item_keys, item_code)


def _codes(path: Path, name: str, ids: list[str], prefix: str) -> tuple[Keys, Codes]:
    table = pq.read_table(path, columns=[name, f"{name}_id"])
    keys = np.asarray(table[name].to_numpy(), dtype=np.int32)
    keys, first = np.unique(keys, return_index=True)
    texts = table[f"{name}_id"].to_pylist()
    position = {f"{prefix}{text}": at for at, text in enumerate(ids)}
    return keys, np.array([position[texts[at]] for at in first], dtype=np.int64)


def window_end(origin: date, width_days: int) -> date:
    """Return the as_of whose plan has its gate at the origin."""
    return origin + timedelta(days=width_days)
