"""The planted-taste world as a snapshot, made once."""

from dataclasses import dataclass
from datetime import date

import pytest

from homerec.features.snapshot import SnapshotInfo, ensure_snapshot
from homerec.features.tables import Catalog, Shard, load_catalog, load_shard
from support.taste import taste_lake


@dataclass(frozen=True)
class World:
    info: SnapshotInfo
    catalog: Catalog
    shard: Shard

    def alone(self, key: int) -> Shard:
        return load_shard(self.info, self.catalog, key, key + 1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    settings = taste_lake(tmp_path_factory.mktemp("taste"))
    info = ensure_snapshot(settings, date(2026, 3, 10), writer="night")
    catalog = load_catalog(info)
    return World(info, catalog, load_shard(info, catalog, 0, 1_000))
