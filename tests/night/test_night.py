"""Whole nights: from an ingested world to what a backend reads."""

import itertools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from homerec.database.urls import app_url, psycopg2_connection, reader_url
from homerec.drift.acceptance import accept, accepted_path
from homerec.errors import DriftExceeded, EmptyInput, MalformedFile, SnapshotError
from homerec.features.snapshot import ensure_snapshot, load_snapshot
from homerec.features.tables import load_catalog
from homerec.home.sources import proposers_of
from homerec.ingest import ingest
from homerec.lake import Lake, checksum, checksum_text, read_json
from homerec.models import get_model
from homerec.night import run_night
from homerec.night.homes import bundle_folder
from homerec.night.models import make_candidates, rank_candidates
from homerec.night.plan import make_plan, model_folder
from homerec.release import home
from homerec.release.pointer import live_release, releases
from homerec.settings import Settings
from homerec.training.run import TrainReport, train
from support.features import read_table
from tests.night.conftest import AS_OF, DAYS, START

ONE_DAY = timedelta(days=1)
TOMORROW = datetime.now(UTC).date() + ONE_DAY
MODELS = ("playlists", "podcasts", "shortcuts")


def live_id(settings: Settings) -> int:
    release = live_release(settings)
    assert release is not None
    return release.release_id


def shelves(settings: Settings) -> str:
    """Checksum of every shelf's rows; how they lie in row groups does not count."""
    table = pq.read_table(bundle_folder(settings, AS_OF) / "shelves.parquet")
    return checksum_text([str(table.num_rows), *table.to_pandas().to_csv().splitlines()])


def test_a_night_without_a_champion_is_live_on_baselines_and_degraded(deployment, first_night):
    release = next(r for r in releases(deployment) if r.release_id == first_night)
    assert release.degraded
    assert sorted(reason.split(":")[0] for reason in release.reasons) == [
        "playlists",
        "podcasts",
        "shortcuts",
    ]
    assert {v["mode"] for v in release.versions.values()} == {"baseline"}


def test_every_model_passes_the_gate_with_its_own_thresholds(trained: dict[str, TrainReport]):
    assert {name: report.outcome for name, report in trained.items()} == {
        "playlists": "promote",
        "podcasts": "promote",
        "shortcuts": "promote",
    }
    for report in trained.values():
        assert report.verdict is not None
        lift = next(check for check in report.verdict.checks if check.name == "baseline")
        assert lift.measured > 0


def test_every_listener_has_a_home_from_models_rules_and_editors(live: Settings):
    with psycopg2_connection(reader_url(live)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT listener_id FROM homerec.listener ORDER BY listener_id")
        everyone = [row[0] for row in cursor.fetchall()]
        registered = pq.read_table(
            load_snapshot(live, AS_OF).path("listener"), columns=["listener"]
        ).num_rows
        kinds, n_shelves, twice, known = [], [], 0, 0
        for listener in everyone:
            cursor.execute("SELECT kind, shelf_position, item_id FROM home(%s)", (listener,))
            rows = cursor.fetchall()
            items = [row[2] for row in rows]
            twice += len(items) - len(set(items))
            kinds.append({row[0] for row in rows})
            n_shelves.append(max(row[1] for row in rows))
            known += 1
    assert known >= registered > 1000
    assert all(found == {"model", "rule", "editorial"} for found in kinds)
    assert twice == 0
    assert np.mean(np.array(n_shelves) >= 5) > 0.9


def test_predicted_cards_say_why(live: Settings):
    """Every reason that names something is the listener's own: replayed from the bundle."""
    bundle = bundle_folder(live, AS_OF)
    labels = {s["source"]: s for s in read_json(bundle / "release.json")["sources"]}
    info = load_snapshot(live, AS_OF)
    assert info is not None
    own = {}
    for kind, table in (("listened", "listener_item"), ("picked", "pick")):
        rows = read_table(info, table).select(["listener", "item"])
        own[kind] = set(zip(*(c.to_pylist() for c in rows.columns), strict=True))
    counts: Counter[str] = Counter()
    for row in pq.read_table(bundle / "shelves.parquet").to_pylist():
        for source, reason in zip(row["sources"], row["reason_items"], strict=True):
            label = labels[source]["label"] or ""
            kind = next((k for k in own if k in label and "{item}" in label), "")
            assert bool(kind) == (reason > 0)
            if kind:
                assert (row["listener"], reason) in own[kind]
            counts[kind or ("tag" if source >= 1000 else "other")] += 1
    assert min(counts[kind] for kind in ("listened", "picked", "tag")) > 100
    told = home(live, "listener-0000007")
    models = told[told["kind"] == "model"]
    assert models["reason"].notna().all()
    assert not models["reason"].str.contains("[{}]").any()
    named = models[models["reason"].str.startswith("Because you listened to ")]
    assert len(named)
    assert set(named["source"]) <= {"als", "co_listening", "starts"}


def proposed(live: Settings, model: str) -> dict[tuple[int, int], list[str]]:
    """Sources of each candidate by (listener, item), sorted by rank here, by hand."""
    order = [source.name for source in get_model(model, live).sources]
    said = {}
    for path in (model_folder(live, AS_OF, model) / "candidates").iterdir():
        for row in pq.read_table(path).to_pylist():
            ranked = [(row[f"{s}_rank"], n, s) for n, s in enumerate(order)]
            said[row["listener"], row["item"]] = [
                s for rank, _, s in sorted(r for r in ranked if not np.isnan(r[0]))
            ]
    return said


def test_a_card_names_all_its_sources_from_candidates_to_postgres(live: Settings):
    """What each source said of a candidate, against the bundle and against what a backend reads."""
    bundle = bundle_folder(live, AS_OF)
    name_of = {s["shelf"]: s["name"] for s in read_json(bundle / "release.json")["shelves"]}
    said = {name: proposed(live, name) for name in ("podcasts", "playlists")}
    lengths: Counter[int] = Counter()
    for row in pq.read_table(bundle / "shelves.parquet").to_pylist():
        own = said.get(name_of[row["shelf"]])
        if own is None or row["listener"] < 0:
            continue
        for item, packed in zip(row["items"], row["proposers"], strict=True):
            assert proposers_of(packed) == own[row["listener"], item]
            lengths[len(own[row["listener"], item])] += 1
    assert lengths.total() - lengths[1] > 1000
    read = 0
    with psycopg2_connection(reader_url(live)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT listener_id, listener FROM homerec.listener ORDER BY 1 LIMIT 40")
        for listener_id, key in cursor.fetchall():
            cursor.execute(
                "SELECT h.shelf, i.item, h.source, h.sources FROM home(%s) h "
                "JOIN homerec.item i USING (item_id) WHERE kind <> 'editorial'",
                (listener_id,),
            )
            for shelf, item, source, sources in cursor.fetchall():
                assert sources[0] == source
                assert sources == said.get(shelf, {}).get((key, item), [source])
                read += shelf in said
    assert read > 200


def test_two_listeners_have_different_shelves_and_the_shortcuts_follow_the_daypart(live: Settings):
    one, other = home(live, "listener-0000001"), home(live, "listener-0000002")
    assert set(one["item_id"]) != set(other["item_id"])
    day = datetime(2026, 2, 15, tzinfo=UTC)
    lists = {
        tuple(cards[cards["shelf"] == "shortcuts"]["item_id"])
        for cards in (
            home(live, "listener-0000001", day + timedelta(hours=h)) for h in (2, 8, 14, 20)
        )
    }
    assert len(lists) > 1


def test_an_unknown_listener_reads_the_default_home_of_the_market(live: Settings):
    cards = home(live, "nobody", market="DE")
    assert {"podcasts", "playlists", "popular"} <= set(cards["shelf"])
    assert "Popular in DE" in set(cards["shelf_title"])
    assert not home(live, "nobody").empty


def test_the_same_night_twice_gives_identical_shelves(live: Settings):
    before = shelves(live)
    run_night(live, AS_OF)
    assert shelves(live) == before


def test_each_shard_can_be_worked_on_alone_in_any_order_and_again(live: Settings):
    cut = replace(live, shard_listeners=400)
    info = load_snapshot(live, AS_OF)
    assert info is not None
    catalog = load_catalog(info)
    plan = make_plan(cut, info, catalog)
    assert len(plan.shards) == 4
    one = plan.of("podcasts")
    with pytest.raises(SnapshotError, match="podcasts has no candidates of shard 3"):
        rank_candidates(cut, info, catalog, one, plan.some([3]))
    make_candidates(cut, info, catalog, one, plan.shards)
    whole = rank_candidates(cut, info, catalog, one, plan.shards)
    before = {path.name: checksum(path) for path in whole.iterdir()}
    assert sorted(before) == [shard.file for shard in plan.shards]
    for number in (2, 0, 3, 1, 2):
        (whole / plan.shards[number].file).unlink()
        make_candidates(cut, info, catalog, one, plan.some([number]))
        rank_candidates(cut, info, catalog, one, plan.some([number]))
    assert {path.name: checksum(path) for path in whole.iterdir()} == before
    with pytest.raises(SnapshotError, match=r"has 4 shards.* there is no 4\. .*clear the task"):
        plan.some([0, 4])


def test_neither_shards_nor_threads_change_a_shelf(live: Settings):
    before = shelves(live)
    run_night(replace(live, shard_listeners=333, threads=1), AS_OF, publish_release=False)
    assert shelves(live) == before


def test_events_after_as_of_change_nothing(variant: Callable[[], Settings], live: Settings):
    spoiled = variant()
    removed = Lake(spoiled.home).partitions("events") / f"date={AS_OF}"
    assert removed.is_dir()
    for path in removed.iterdir():
        path.unlink()
    removed.rmdir()
    run_night(spoiled, AS_OF, publish_release=False)
    assert shelves(spoiled) == shelves(live)


def test_a_malformed_inbox_file_stops_the_ingest_and_nothing_else(live: Settings, tmp_path: Path):
    before, rows = live_id(live), checksum(Lake(live.home).table("items"))
    (tmp_path / "events").mkdir()
    (tmp_path / "events" / "2026-02-15.parquet").write_bytes(b"PAR1 this is not Parquet")
    with pytest.raises(MalformedFile, match=r"2026-02-15\.parquet"):
        ingest(live, source=tmp_path)
    assert checksum(Lake(live.home).table("items")) == rows
    assert live_id(live) == before


def test_an_unknown_item_and_an_event_from_the_future_are_set_aside_and_the_night_goes_on(
    variant: Callable[[], Settings], tmp_path: Path
):
    spoiled = replace(variant(), quarantine_limit_ratio=1.0)
    inbox = tmp_path / "inbox"
    (inbox / "events").mkdir(parents=True)
    header = "event_id,listener_id,content_id,context_id,started_at,ms_played,arrived_at,surface\n"
    good = "listener-0000001,,show-00001,2026-02-14T10:00:00Z,60000,2026-02-14T10:01:00Z,home\n"
    unknown = "listener-0000001,,show-99999,2026-02-14T10:00:00Z,60000,2026-02-14T10:01:00Z,home\n"
    future = "listener-0000001,,show-00001,2030-01-01T10:00:00Z,60000,2030-01-01T10:01:00Z,home\n"
    text = header + f"a1,{good}a2,{unknown}a3,{future}"
    (inbox / "events" / "late.csv").write_text(text, encoding="utf-8")
    report = ingest(spoiled, source=inbox)
    table = report.tables["events"]
    assert (table.read, table.written, sum(table.quarantined.values())) == (3, 1, 2)
    assert {"unknown_item"} <= set(table.quarantined)
    release = run_night(spoiled, AS_OF, publish_release=False)
    assert release.plan.degraded == []


def test_a_night_with_no_events_fails_and_leaves_the_live_release(live: Settings):
    before = live_id(live)
    later = START + timedelta(days=DAYS + 3)
    with pytest.raises(EmptyInput, match=r"last event before .* needs one of"):
        run_night(live, later)
    assert live_id(live) == before


def shifted(settings: Settings) -> None:
    """Make every play of the last two weeks five times as many, as a double-counting job would."""
    events = Lake(settings.home).partitions("events")
    for days in range(1, 15):
        for path in (events / f"date={AS_OF - days * ONE_DAY}").iterdir():
            table = pq.read_table(path, partitioning=None)
            copies = [
                table.set_column(
                    table.column_names.index("event_hash"),
                    "event_hash",
                    pc.add(
                        pc.bit_wise_and(table["event_hash"], pa.scalar(2**62 - 1, pa.uint64())),
                        pa.scalar(n, pa.uint64()),
                    ),
                )
                for n in range(5)
            ]
            pq.write_table(pa.concat_tables(copies), path)


def test_drift_fails_the_night_keeps_the_live_release_and_bars_the_snapshot_from_training(
    variant: Callable[[], Settings], live: Settings
):
    before = live_id(live)
    spoiled = variant()
    shifted(spoiled)
    with pytest.raises(DriftExceeded, match=r"(?s)drift .* > .*docs/runbook\.md#drift"):
        run_night(spoiled, AS_OF)
    assert live_id(live) == before
    snapshot = load_snapshot(spoiled, AS_OF)
    assert snapshot is not None
    assert snapshot.passed is False
    with pytest.raises(SnapshotError, match="failed its drift check"):
        ensure_snapshot(spoiled, AS_OF, writer="training")


def test_accepted_drift_lets_the_night_pass(variant: Callable[[], Settings]):
    spoiled = replace(variant(), volume_limit_ratio=1000)
    shifted(spoiled)
    for _ in range(4):  # the snapshot's places fail together, then the features of each model
        try:
            run_night(spoiled, AS_OF, publish_release=False)
        except DriftExceeded as error:
            features = re.findall(r"^(?:\w+: )?(\w+) drift ", str(error), flags=re.MULTILINE)
            for model, feature in itertools.product(MODELS, features):
                accept(accepted_path(spoiled.home), model, feature, TOMORROW, "a campaign", "me")
        else:
            break
    snapshot = load_snapshot(spoiled, AS_OF)
    assert snapshot is not None
    assert snapshot.passed is True


def test_a_backfill_of_an_older_date_never_moves_the_pointer_by_itself(live: Settings):
    before = live_id(live)
    report = run_night(live, AS_OF - 2 * ONE_DAY)
    assert report.release is not None
    assert not report.release.live
    assert live_id(live) == before


def test_a_model_trained_on_shuffled_labels_is_not_promoted(
    live: Settings, monkeypatch: pytest.MonkeyPatch
):
    from homerec.training import fitting

    honest = fitting.training_set

    def shuffled(*arguments, **named):
        made = honest(*arguments, **named)
        order = np.random.default_rng(0).permutation(len(made.labels))
        return replace(made, labels=made.labels[order])

    monkeypatch.setattr(fitting, "training_set", shuffled)
    report = train(live, "podcasts", AS_OF)
    assert report.outcome in ("hold", "reject")
    with psycopg2_connection(app_url(live)):
        assert train_champion(live) != report.version


def train_champion(settings: Settings) -> int:
    from homerec.registry.loading import open_registry

    champion = open_registry(settings).champion("podcasts")
    assert champion is not None
    return champion.version
