"""When a snapshot is reused, when it is made again, and the proof that it is right."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homerec.errors import EmptyInput, SnapshotError
from homerec.features import snapshot as snapshots
from homerec.features.recompute import verify_snapshot
from homerec.features.snapshot import (
    TABLES,
    SnapshotInfo,
    ensure_snapshot,
    event_files,
    load_snapshot,
    sql_checksum,
)
from homerec.lake import Lake, write_json
from homerec.settings import Settings
from support.features import kept_pairs, read_table, rewrite_pairs, table_bytes
from support.lake import build_lake, event, item, listener, pick, write_events, write_table

AS_OF = date(2026, 3, 10)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return build_lake(
        tmp_path,
        events=[
            event(1, "2026-03-08T10:00", show=1),
            event(1, "2026-03-09T10:00", artist=2),
            event(2, "2026-03-09T11:00", show=1),
            event(2, "2026-03-10T11:00", show=1),
            event(2, "2026-03-09T12:00", artist=2, ms_played=2_000),
        ],
        items=[item(1, tags=["news"]), item(2, "artist", tags=["rock"])],
        listeners=[listener(1), listener(2, "US"), listener(3)],
        tables={"signup_picks": [pick(1, 2)]},
    )


def created(info: SnapshotInfo) -> int:
    return (info.folder / "manifest.json").stat().st_ino


def contents(info: SnapshotInfo) -> dict[str, bytes]:
    return table_bytes(info)


def more_events(settings: Settings, arrived_at: str) -> None:
    new = event(1, "2026-03-09T20:00", show=1, arrived_at=arrived_at)
    write_events(Lake(settings.home), [new], name="part-1")


def fail_drift(info: SnapshotInfo, passed: bool = False) -> None:
    write_json({"passed": passed}, info.folder / "drift.json")


def test_a_snapshot_holds_every_table_and_says_what_it_was_made_of(settings: Settings) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    assert {p.name for p in info.folder.iterdir()} == {
        "manifest.json",
        "pairs.arrow",
        *(f"{t}.parquet" for t in TABLES if t != "listener_item"),
    }
    assert info.known_at == datetime(2026, 3, 10, 3, tzinfo=UTC)
    assert info.manifest["writer"] == "night"
    assert (info.manifest["first_day"], info.manifest["last_day"]) == ("2026-03-08", "2026-03-09")
    assert info.manifest["volumes"] == {"plays": 2, "plays_DE": 1, "plays_US": 1}
    assert info.manifest["rows"]["listener"] == 3
    assert info.passed is None


def test_a_date_in_the_future_is_refused_before_any_work(settings: Settings) -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert ensure_snapshot(settings, tomorrow, writer="night").as_of == tomorrow
    as_of = tomorrow + timedelta(days=1)
    with pytest.raises(SnapshotError, match=r"in the future: the newest event is of 2026-03-10"):
        ensure_snapshot(settings, as_of, writer="night")
    assert not Lake(settings.home).snapshot(as_of).exists()


def test_tables_are_sorted_by_their_keys(settings: Settings) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    for name, key in TABLES.items():
        rows = read_table(info, name).select(list(key)).to_pylist()
        keys = [tuple(row.values()) for row in rows]
        assert keys == sorted(keys), name
        assert len(keys) == len(set(keys)), name


@pytest.mark.parametrize("writer", ["night", "training"])
def test_an_unchanged_snapshot_is_reused(settings: Settings, writer: str) -> None:
    first = ensure_snapshot(settings, AS_OF, writer="night")
    again = ensure_snapshot(settings, AS_OF, writer=writer)
    assert created(again) == created(first)
    assert again.manifest == load_snapshot(settings, AS_OF).manifest


def test_rebuild_makes_the_same_bytes_again(settings: Settings) -> None:
    first = ensure_snapshot(settings, AS_OF, writer="night")
    before, stamp = contents(first), created(first)
    again = ensure_snapshot(settings, AS_OF, writer="night", rebuild=True)
    assert created(again) != stamp
    assert contents(again) == before


def test_late_arrivals_change_nothing_in_the_nights_second_run(settings: Settings) -> None:
    first = ensure_snapshot(settings, AS_OF, writer="night")
    before, stamp = contents(first), created(first)
    more_events(settings, arrived_at="2026-03-10T03:00:01")
    again = ensure_snapshot(settings, AS_OF, writer="night")
    assert created(again) != stamp
    assert contents(again) == before


def test_events_that_had_arrived_in_time_enter_the_nights_second_run(settings: Settings) -> None:
    ensure_snapshot(settings, AS_OF, writer="night")
    more_events(settings, arrived_at="2026-03-10T02:59:59")
    again = ensure_snapshot(settings, AS_OF, writer="night")
    assert again.manifest["volumes"]["plays"] == 3


def test_training_keeps_what_the_night_logged(settings: Settings) -> None:
    first = ensure_snapshot(settings, AS_OF, writer="night")
    more_events(settings, arrived_at="2026-03-10T02:59:59")
    kept = ensure_snapshot(settings, AS_OF, writer="training")
    assert kept.manifest == first.manifest


def test_training_makes_its_own_snapshot_again_when_events_came_in(settings: Settings) -> None:
    ensure_snapshot(settings, AS_OF, writer="training")
    more_events(settings, arrived_at="2026-03-10T02:59:59")
    again = ensure_snapshot(settings, AS_OF, writer="training")
    assert again.manifest["volumes"]["plays"] == 3


@pytest.mark.parametrize("rebuild", [False, True])
def test_known_at_is_kept_when_a_snapshot_is_made_again(settings: Settings, rebuild: bool) -> None:
    first = ensure_snapshot(settings, AS_OF, writer="night")
    more_events(settings, arrived_at="2026-03-10T04:00")
    patient = Settings(home=settings.home, threads=1, arrival_grace_hours=12)
    again = ensure_snapshot(patient, AS_OF, writer="night", rebuild=rebuild)
    assert again.known_at == first.known_at
    assert again.manifest["volumes"] == first.manifest["volumes"]


@pytest.mark.parametrize("writer", ["night", "training"])
def test_a_snapshot_of_other_sql_is_made_again(
    settings: Settings, writer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = created(ensure_snapshot(settings, AS_OF, writer="night"))
    monkeypatch.setattr(snapshots, "sql_checksum", lambda: "other")
    again = ensure_snapshot(settings, AS_OF, writer=writer)
    assert created(again) != first
    assert again.manifest["sql_checksum"] == "other"


def test_the_checksum_covers_every_feature_file(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["card", "decay", "daily", "known", "skip_day", *TABLES]
    seen = {sql_checksum()}
    read = snapshots.read_sql
    for name in names:
        changed = f"features/{name}.sql"
        monkeypatch.setattr(
            snapshots, "read_sql", lambda n, c=changed: read(n) + (" " if n == c else "")
        )
        seen.add(sql_checksum())
    assert len(seen) == len(names) + 1


def test_training_refuses_a_snapshot_that_failed_its_drift_check(settings: Settings) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    fail_drift(info)
    assert info.passed is False
    with pytest.raises(SnapshotError, match=r"2026-03-10 failed its drift check.*--rebuild"):
        ensure_snapshot(settings, AS_OF, writer="training")
    assert ensure_snapshot(settings, AS_OF, writer="night").manifest == info.manifest


def test_training_takes_a_snapshot_that_passed(settings: Settings) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    fail_drift(info, passed=True)
    assert ensure_snapshot(settings, AS_OF, writer="training").passed is True


def test_a_rebuild_forgets_the_drift_verdict(settings: Settings) -> None:
    fail_drift(ensure_snapshot(settings, AS_OF, writer="night"))
    assert ensure_snapshot(settings, AS_OF, writer="night", rebuild=True).passed is None


def test_a_folder_without_a_manifest_is_an_error(settings: Settings) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    (info.folder / "manifest.json").unlink()
    with pytest.raises(SnapshotError, match=r"no manifest\.json"):
        ensure_snapshot(settings, AS_OF, writer="night")


def test_a_missing_snapshot_is_none(settings: Settings) -> None:
    assert load_snapshot(settings, AS_OF) is None


def test_no_event_before_as_of_is_an_error(settings: Settings) -> None:
    with pytest.raises(EmptyInput, match="no event before 2026-03-08"):
        ensure_snapshot(settings, date(2026, 3, 8), writer="night")


@pytest.mark.parametrize("missing", ["listeners", "items"])
def test_a_lake_without_listeners_or_items_is_an_error(settings: Settings, missing: str) -> None:
    Lake(settings.home).table(missing).unlink()
    with pytest.raises(EmptyInput, match=f"no {missing}"):
        ensure_snapshot(settings, AS_OF, writer="night")


def test_a_lake_without_picks_has_an_empty_pick_table(settings: Settings) -> None:
    Lake(settings.home).table("signup_picks").unlink()
    info = ensure_snapshot(settings, AS_OF, writer="night")
    assert pq.read_table(info.path("pick")).num_rows == 0


def test_a_failed_computation_leaves_the_kept_snapshot(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    before = contents(info)

    def broken(*_: object) -> dict[str, int]:
        raise SnapshotError("broken")

    monkeypatch.setattr(snapshots, "_volumes", broken)
    with pytest.raises(SnapshotError, match="broken"):
        ensure_snapshot(settings, AS_OF, writer="night", rebuild=True)
    assert contents(load_snapshot(settings, AS_OF)) == before
    left = {p.name for p in info.folder.parent.iterdir()}
    assert left == {info.folder.name, f".{info.folder.name}.lock"}


def test_event_files_lie_before_as_of_and_within_the_history(settings: Settings) -> None:
    def days(limited: Settings) -> list[str]:
        return [p.parent.name for p in event_files(limited, AS_OF)]

    assert days(settings) == ["date=2026-03-08", "date=2026-03-09"]
    one = Settings(home=settings.home, history_days=1)
    assert days(one) == ["date=2026-03-09"]


def test_a_true_snapshot_verifies_and_counts_its_rows(settings: Settings) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    # Listeners 1 and 2: three pairs, two listeners, two tags of 1 and one of 2, a pick, a skip.
    assert verify_snapshot(settings, info) == 3 + 2 + 3 + 1 + 1


def test_who_has_only_left_what_they_put_on_is_looked_at_too(tmp_path: Path) -> None:
    left = event(1, "2026-03-09T10:00", show=1, ms_played=2_000)
    settings = build_lake(tmp_path, events=[left], items=[item(1)], listeners=[listener(1)])
    info = ensure_snapshot(settings, AS_OF, writer="night")
    assert verify_snapshot(settings, info) == 1 + 1


def test_a_sample_takes_whole_listeners_until_there_are_enough_rows(settings: Settings) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    assert 0 < verify_snapshot(settings, info, n_rows=1) < verify_snapshot(settings, info)


TAMPERED = {
    "listener": "weekend_ratio",
    "listener_tag": "weight",
    "skip": "days_since_last",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_one_changed_bit_of_a_logged_row_fails_the_proof(settings: Settings, name: str) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    table = pq.read_table(info.path(name))
    column = table[TAMPERED[name]].to_numpy(zero_copy_only=False).copy()
    column[0] += abs(column[0]) * 1.2e-7 + 1e-30
    at = table.column_names.index(TAMPERED[name])
    changed = table.set_column(at, TAMPERED[name], pa.array(column, pa.float32()))
    assert changed != table
    pq.write_table(changed, info.path(name))
    with pytest.raises(SnapshotError, match=rf"2 rows of {name} as of 2026-03-10 differ"):
        verify_snapshot(settings, info)


@pytest.mark.parametrize("files", ["base only", "base and new"])
def test_a_changed_pair_fails_the_proof(settings: Settings, files: str) -> None:
    if files == "base and new":
        ensure_snapshot(settings, AS_OF - timedelta(days=1), writer="night")
    info = ensure_snapshot(settings, AS_OF, writer="night")
    name = "new_pairs.arrow" if files == "base and new" else "pairs.arrow"
    table = kept_pairs(info, name)
    heard = table["ms_played"].to_numpy().copy()
    heard[0] += 1_000
    at = table.column_names.index("ms_played")
    rewrite_pairs(info, name, table.set_column(at, table.schema.field(at), pa.array(heard)))
    with pytest.raises(SnapshotError, match=r"2 rows of listener_item as of 2026-03-10 differ"):
        verify_snapshot(settings, info)


def test_a_missing_pair_fails_the_proof(settings: Settings) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    rewrite_pairs(info, "pairs.arrow", kept_pairs(info, "pairs.arrow").slice(1))
    with pytest.raises(SnapshotError, match=r"1 rows of listener_item"):
        verify_snapshot(settings, info)


@pytest.mark.parametrize("name", ["listener", "listener_tag", "pick"])
@pytest.mark.parametrize("how", ["missing", "twice"])
def test_a_missing_or_doubled_logged_row_fails_the_proof(
    settings: Settings, name: str, how: str
) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    table = pq.read_table(info.path(name))
    other = table.slice(1) if how == "missing" else pa.concat_tables([table.slice(0, 1), table])
    pq.write_table(other, info.path(name))
    with pytest.raises(SnapshotError, match=rf"1 rows of {name}"):
        verify_snapshot(settings, info)


def test_a_lake_changed_under_the_snapshot_fails_the_proof(settings: Settings) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    lake = Lake(settings.home)
    write_table(lake, "listeners", [listener(1, "FR"), listener(2, "US"), listener(3)])
    with pytest.raises(SnapshotError, match=r"'FR'.*--rebuild"):
        verify_snapshot(settings, info)


def test_the_proof_uses_the_snapshots_own_known_at(settings: Settings) -> None:
    info = ensure_snapshot(settings, AS_OF, writer="night")
    more_events(settings, arrived_at="2026-03-10T04:00")
    patient = Settings(home=settings.home, threads=1, arrival_grace_hours=12)
    assert verify_snapshot(patient, info) > 0
