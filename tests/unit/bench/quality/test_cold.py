"""Hiding the past of new listeners leaves everybody else's, and the deployment's own files."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from homerec.bench.quality.cold import hide_past
from homerec.lake import Lake
from homerec.sampling import uniform
from homerec.settings import Settings
from support.lake import build_lake, event, item, listener

AS_OF = date(2026, 3, 10)
OLD = range(1, 6)
NEW = range(10, 70)


def events_of(settings: Settings) -> dict[int, list[tuple[str, int]]]:
    """Start and length of every event, by listener, in order."""
    lake, found = Lake(settings.home), {}
    for day in lake.event_dates():
        for path in lake.files("events", day):
            for row in pq.read_table(path).to_pylist():
                at = (row["started_at"].isoformat(), row["ms_played"])
                found.setdefault(row["listener"], []).append(at)
    return {who: sorted(rows) for who, rows in found.items()}


def lake(home: Path) -> Settings:
    days = ("2026-03-07T10:00", "2026-03-07T11:00", "2026-03-08T10:00", "2026-03-10T10:00")
    events = [event(k, at, show=100) for k in (*OLD, *NEW) for at in reversed(days)]
    # A skip comes before the first play that counts.
    events += [event(k, "2026-03-07T09:00", show=100, ms_played=5_000) for k in NEW]
    people = [listener(k) for k in OLD]
    people += [listener(k, registered_at="2026-03-06") for k in NEW]
    return build_lake(home, events=events, items=[item(100)], listeners=people)


def test_a_third_keeps_nothing_and_a_third_its_first_play(tmp_path: Path) -> None:
    settings = lake(tmp_path / "whole")
    before = events_of(settings)
    hide_past(settings, tmp_path / "cold", AS_OF, 30)
    assert events_of(settings) == before
    after = events_of(Settings(home=tmp_path / "cold"))
    luck = dict(zip(NEW, uniform(settings.seed, np.array(NEW, np.int32)).tolist(), strict=True))
    later = ("2026-03-10T10:00:00", 60_000)
    for who in OLD:
        assert after[who] == before[who]
    for who in NEW:
        if luck[who] < 1 / 3:
            assert after[who] == [later]
        elif luck[who] < 2 / 3:
            assert after[who] == [("2026-03-07T10:00:00", 60_000), later]
        else:
            assert after[who] == before[who]
    assert all(sum(low <= x < low + 1 / 3 for x in luck.values()) > 9 for low in (0, 1 / 3, 2 / 3))


def test_listeners_of_long_ago_are_not_new(tmp_path: Path) -> None:
    settings = lake(tmp_path / "whole")
    hide_past(settings, tmp_path / "cold", AS_OF, 2)
    assert events_of(Settings(home=tmp_path / "cold")) == events_of(settings)
