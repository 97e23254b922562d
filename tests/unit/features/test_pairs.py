"""Pairs: summed, merged, written and read; and which of them a snapshot shares with others."""

import math
from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from homerec.errors import SnapshotError
from homerec.features import pair_base, pair_files, snapshot_pairs
from homerec.features.listener_items import listener_items, played_keys, played_pairs
from homerec.features.pair_files import cuts, n_pairs, pair_writer, read_keys, read_pairs
from homerec.features.pairs import (
    COUNTS,
    DAILY,
    SUMS,
    PlayedPairs,
    from_arrow,
    group_rows,
    merge,
    split_keys,
)
from homerec.features.queries import EVERYONE
from homerec.features.recompute import verify_snapshot
from homerec.features.snapshot import ensure_snapshot
from homerec.lake import Lake
from homerec.settings import Settings
from support.features import table_bytes
from support.lake import build_lake, event, item, listener, write_events, write_table

AS_OF = date(2026, 3, 10)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the lake's form
Sums = dict[tuple[int, int], Any]


def daily(seed: int, n: int = 400) -> pa.Table:
    """Daily rows in no order, with pairs and days that come several times."""
    rng = np.random.default_rng(seed)
    days = rng.integers(20_000, 20_020, n)
    first = days * 86_400_000_000 + rng.integers(0, 40_000_000_000, n)
    columns: dict[str, Any] = {
        "listener": pa.array(rng.integers(1, 12, n), pa.int32()),
        "item": pa.array(rng.integers(1, 9, n), pa.int32()),
        "day": pa.array(days, pa.int32()).cast(pa.date32()),
        "n_plays": pa.array(rng.integers(1, 5, n), pa.int32()),
        **{name: pa.array(rng.integers(0, 3, n), pa.int32()) for name in COUNTS},
        **{name: pa.array(rng.integers(0, 1 << 40, n), pa.int64()) for name in SUMS},
        "first_at": pa.array(first).cast(pa.timestamp("us")),
        "last_at": pa.array(first + rng.integers(0, 1000, n)).cast(pa.timestamp("us")),
    }
    return pa.table(columns).select(DAILY)


def by_hand(rows: pa.Table) -> Sums:
    found: Sums = defaultdict(lambda: [defaultdict(int), defaultdict(int), None, None])
    for row in rows.to_pylist():
        days, sums, first, last = mine = found[row["listener"], row["item"]]
        days[row["day"]] += row["n_plays"]
        for name in (*COUNTS, *SUMS):
            sums[name] += row[name]
        mine[2] = min(first or row["first_at"], row["first_at"])
        mine[3] = max(last or row["last_at"], row["last_at"])
    return {
        key: (sorted(days.items()), dict(sums), first, last)
        for key, (days, sums, first, last) in found.items()
    }


def as_sums(pairs: PlayedPairs) -> Sums:
    assert (np.diff(pairs.pair) > 0).all()
    found = {}
    for row in pairs.to_arrow().to_pylist():
        days = list(zip(row["days"], row["plays"], strict=True))
        sums = {name: row[name] for name in (*COUNTS, *SUMS)}
        found[row["listener"], row["item"]] = (days, sums, row["first_at"], row["last_at"])
    return found


def test_rows_are_summed_by_pair_and_day() -> None:
    assert as_sums(group_rows(daily(1))) == by_hand(daily(1))


def test_merged_pairs_are_those_of_all_rows() -> None:
    one, other = daily(2, 150), daily(3)
    merged = merge(group_rows(one), group_rows(other))
    assert as_sums(merged) == by_hand(pa.concat_tables([one, other]))
    assert as_sums(merge(group_rows(one), group_rows(one.slice(0, 0)))) == by_hand(one)


def test_arrow_and_back_is_the_same() -> None:
    pairs = group_rows(daily(4))
    table = pairs.to_arrow()
    assert as_sums(from_arrow(table)) == as_sums(pairs)
    part = from_arrow(pa.concat_tables([table.slice(5, 9), table.slice(14, 3)]))
    assert list(as_sums(part).items()) == list(as_sums(pairs).items())[5:17]


@pytest.mark.parametrize("batch_rows", [1, 7, 1000])
def test_a_range_of_listeners_is_read_whatever_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    monkeypatch.setattr(pair_files, "_BATCH_ROWS", batch_rows)
    pairs = group_rows(daily(5))
    path = tmp_path / "pairs.arrow"
    with pair_writer(path) as writer:
        writer.write(pairs)
    assert n_pairs(path) == len(pairs)
    assert (read_keys(path) == pairs.pair).all()
    everything = as_sums(pairs)
    assert as_sums(read_pairs(path, *EVERYONE)) == everything
    for low in range(13):
        for high in range(low, 14):
            mine = {key: value for key, value in everything.items() if low <= key[0] < high}
            assert as_sums(read_pairs(path, low, high)) == mine
    parts = cuts(path, 2, 11, 7)
    assert (parts[0][0], parts[-1][1]) == (2, 11)
    assert all(a[1] == b[0] for a, b in pairwise(parts))


def test_an_empty_file_holds_nobody(tmp_path: Path) -> None:
    path = tmp_path / "pairs.arrow"
    with pair_writer(path):
        pass
    assert n_pairs(path) == len(read_keys(path)) == len(read_pairs(path, 1, 5)) == 0
    assert cuts(path, 1, 5, 10) == [(1, 5)]


def three_days(home: Path, **settings: Any) -> Settings:
    """Listener 1 plays every day, 2 on the first of three, 3 on the last."""
    plays = [(1, 7), (2, 7), (1, 8), (1, 9), (3, 9)]
    return build_lake(
        home,
        items=[item(1), item(2)],
        listeners=[listener(k) for k in (1, 2, 3)],
        events=[event(who, f"2026-03-0{day}T10:00", show=1) for who, day in plays],
        **settings,
    )


def number(settings: Settings, days_ago: int = 0) -> int:
    """Which file on disk the base of a snapshot is."""
    info = ensure_snapshot(settings, AS_OF - timedelta(days=days_ago), writer="night")
    assert verify_snapshot(settings, info) > 0
    return (info.folder / "pairs.arrow").stat().st_ino


def new_pairs(settings: Settings) -> list[tuple[int, int]]:
    """What the snapshot of AS_OF added to its base."""
    path = Lake(settings.home).snapshot(AS_OF) / "new_pairs.arrow"
    listeners, items = split_keys(read_keys(path))
    return list(zip(listeners.tolist(), items.tolist(), strict=True))


def scratch(settings: Settings) -> dict[str, bytes]:
    return table_bytes(ensure_snapshot(settings, AS_OF, writer="night", rebuild=True))


def test_the_next_night_shares_the_base_and_keeps_only_what_is_new(tmp_path: Path) -> None:
    settings = three_days(tmp_path)
    assert number(settings, 1) == number(settings)
    assert new_pairs(settings) == [(1, 1), (3, 1)]
    row = listener_items(ensure_snapshot(settings, AS_OF, writer="night")).to_pylist()[0]
    assert (row["n_plays"], row["n_days"], row["streak_days"]) == (3, 3, 3)
    assert row["decay_1d"] == pytest.approx(1 / 2 + 1 / 4 + 1 / 8)
    assert row["activation"] == pytest.approx(math.log(sum(a**-0.5 for a in (0.5, 1.5, 2.5))))


def test_a_late_file_of_an_old_day_is_added_to_the_base(tmp_path: Path) -> None:
    settings = three_days(tmp_path)
    base = number(settings, 1)
    late = event(2, "2026-03-08T10:00", show=2, arrived_at="2026-03-10T02:00")
    write_events(Lake(tmp_path), [late], name="late")
    assert number(settings) == base
    assert (2, 2) in new_pairs(settings)


def test_an_arrival_between_two_nights_is_added_to_the_base(tmp_path: Path) -> None:
    settings = three_days(tmp_path)
    late = event(2, "2026-03-08T10:00", show=2, arrived_at="2026-03-09T12:00")
    write_events(Lake(tmp_path), [late], name="late")
    base = number(settings, 1)
    assert number(settings) == base
    assert (2, 2) in new_pairs(settings)


def test_a_rollup_that_was_made_anew_ends_the_base(tmp_path: Path) -> None:
    settings = three_days(tmp_path)
    base = number(settings, 1)
    moved = [listener(1, time_zone="Asia/Tokyo"), listener(2), listener(3)]
    write_table(Lake(tmp_path), "listeners", moved)
    assert number(settings) != base
    found = table_bytes(ensure_snapshot(settings, AS_OF, writer="night"))
    assert found == scratch(settings)


def test_a_backfill_of_an_older_date_leaves_the_base_of_the_newest(tmp_path: Path) -> None:
    settings = three_days(tmp_path)
    newest = number(settings)
    assert number(settings, 2) != newest
    (Lake(tmp_path).snapshot(AS_OF) / "manifest.json").unlink()
    pairs, _ = pair_base.base_files(Lake(tmp_path))
    assert pairs.stat().st_ino == newest


def test_a_base_that_is_due_is_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair_base, "FOLD_DAYS", 1)
    settings = three_days(tmp_path)
    base = number(settings, 1)
    folded = number(settings)
    assert folded != base
    assert not (Lake(tmp_path).snapshot(AS_OF) / "new_pairs.arrow").exists()
    assert pair_base.base_files(Lake(tmp_path))[0].stat().st_ino == folded
    assert table_bytes(ensure_snapshot(settings, AS_OF, writer="night")) == scratch(settings)


def test_a_bounded_history_shares_the_base_and_forgets_the_oldest_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (pair_base, snapshot_pairs):
        monkeypatch.setattr(module, "FOLD_DAYS", 1)
    settings = three_days(tmp_path, history_days=2)
    monkeypatch.setattr(pair_base, "FOLD_DAYS", 7)
    base = number(settings, 1)
    assert number(settings) == base
    info = ensure_snapshot(settings, AS_OF, writer="night")
    assert [(r["listener"], r["n_days"]) for r in listener_items(info).to_pylist()] == [
        (1, 2), (3, 1),
    ]  # fmt: skip
    assert info.manifest["first_day"] == "2026-03-08"
    assert table_bytes(info) == scratch(settings)


def test_a_snapshot_without_pairs_says_how_to_make_them(tmp_path: Path) -> None:
    settings = three_days(tmp_path)
    info = ensure_snapshot(settings, AS_OF, writer="night")
    (info.folder / "pairs.arrow").unlink()
    for read in (played_keys, listener_items, lambda i: played_pairs(i, 1, 2)):
        with pytest.raises(SnapshotError, match=r"--as-of 2026-03-10 --rebuild"):
            read(info)


def test_threads_do_not_matter(tmp_path: Path) -> None:
    settings = three_days(tmp_path)
    one = table_bytes(ensure_snapshot(settings, AS_OF, writer="night"))
    assert scratch(replace(settings, threads=2)) == one
