"""Whole runs on a throwaway metadata database, with the library's steps replaced."""

from typing import Any

import pytest

from homerec.errors import DriftExceeded, EmptyInput, GateError

MODELS = ["playlists", "podcasts", "shortcuts"]
DAY = "2026-03-02"


def test_a_night_publishes_and_announces(run: Any, library: Any) -> None:
    state, tasks = run("nightly", as_of=DAY, source="real/files", mapping="lastfm-2k")
    assert state == "success"
    assert set(tasks.values()) == {"success"}
    assert library.calls[:3] == [
        ("ingest", "real/files", "lastfm-2k"),
        ("snapshot", DAY),
        ("plan", DAY, MODELS),
    ]
    assert ("drift", DAY, None) in library.calls
    for name in MODELS:
        own = [call for call in library.calls if call[1:3] == (DAY, name)]
        assert own == [("candidates", DAY, name, 0), ("drift", DAY, name), ("rank", DAY, name, 0)]
    assert library.calls[-2:] == [
        ("assemble", DAY),
        ("publish", f"nights/as_of={DAY}/bundle", False, "airflow"),
    ]


def test_every_shard_has_a_task_of_its_own_in_both_stages(run: Any, library: Any) -> None:
    library.numbers = [0, 1, 2]
    state, tasks = run("nightly", as_of=DAY)
    assert state == "success"
    for name in MODELS:
        own = [call for call in library.calls if call[1:3] == (DAY, name)]
        assert sorted(own[:3]) == [("candidates", DAY, name, n) for n in range(3)]
        assert own[3] == ("drift", DAY, name)
        assert sorted(own[4:]) == [("rank", DAY, name, n) for n in range(3)]
        assert {tasks[f"{name}.rank[{n}]"] for n in range(3)} == {"success"}


def test_a_night_without_a_listener_fails_at_the_page_and_not_silently(
    run: Any, library: Any, monkeypatch: Any
) -> None:
    from homerec_airflow import steps

    def refuse(as_of: str) -> str:
        raise EmptyInput(f"The snapshot of {as_of} has no listener.")

    monkeypatch.setattr(steps, "assemble", refuse)
    library.numbers = []
    state, tasks = run("nightly", as_of=DAY)
    assert state == "failed"
    assert tasks["assemble"] == "failed"
    assert "publish" not in library.names()


def test_drift_of_the_snapshot_fails_the_run_and_nothing_is_published(
    run: Any, library: Any, alerts_sent: list[tuple[str, str]]
) -> None:
    library.drift[None] = DriftExceeded("show_genre drift 0.217 > 0.150")
    state, tasks = run("nightly", as_of=DAY)
    assert state == "failed"
    assert tasks["drift_snapshot"] == "failed"
    assert tasks["publish"] == tasks["announce"] == "upstream_failed"
    assert not {"candidates", "assemble", "publish"} & set(library.names())
    assert len(alerts_sent) == 1
    subject, body = alerts_sent[0]
    assert subject == "homerec: nightly failed at drift_snapshot"
    assert "show_genre drift 0.217 > 0.150" in body
    assert "docs/runbook.md#drift" in body


def test_drift_of_one_models_features_fails_the_run_though_the_others_pass(
    run: Any, library: Any, alerts_sent: list[tuple[str, str]]
) -> None:
    library.drift["podcasts"] = DriftExceeded("source_als_score drift 0.4 > 0.2")
    state, tasks = run("nightly", as_of=DAY)
    assert state == "failed"
    assert tasks["podcasts.drift_features"] == "failed"
    assert tasks["shortcuts.rank[0]"] == "success"
    assert tasks["assemble"] == tasks["announce"] == "upstream_failed"
    assert "publish" not in library.names()
    assert [subject for subject, _ in alerts_sent] == [
        "homerec: nightly failed at podcasts.drift_features"
    ]


def test_a_model_that_is_left_out_does_not_stop_the_others(run: Any, library: Any) -> None:
    library.skipped["podcasts"] = "the catalog has no show"
    state, tasks = run("nightly", as_of=DAY)
    assert state == "success"
    skipped = {task for task, how in tasks.items() if how == "skipped"}
    assert skipped == {"podcasts.candidates[0]", "podcasts.drift_features", "podcasts.rank"}
    assert tasks["announce"] == "success"


def test_the_form_can_leave_out_ingest_models_and_publishing(run: Any, library: Any) -> None:
    state, tasks = run("nightly", as_of=DAY, models=["shortcuts"], ingest=False, publish=False)
    assert state == "success"
    assert tasks["ingest"] == tasks["publish"] == tasks["announce"] == "skipped"
    assert tasks["podcasts.rank"] == "skipped"
    assert tasks["shortcuts.rank[0]"] == tasks["assemble"] == "success"
    assert not {"ingest", "publish"} & set(library.names())


def test_a_release_that_did_not_go_live_is_not_announced(run: Any, library: Any) -> None:
    library.live = False
    state, tasks = run("nightly", as_of=DAY)
    assert state == "success"
    assert tasks["publish"] == "success"
    assert tasks["announce"] == "skipped"


def test_a_better_challenger_is_promoted(run: Any, library: Any) -> None:
    state, tasks = run("retrain_podcasts", as_of=DAY)
    assert state == "success"
    assert tasks["promoted"] == "success"
    assert library.calls == [("challenge", DAY, "podcasts"), ("judge", DAY, "podcasts")]


def test_a_held_challenger_ends_the_run_at_the_gate(
    run: Any, library: Any, alerts_sent: list[tuple[str, str]]
) -> None:
    library.outcome = "hold"
    state, tasks = run("retrain_podcasts", as_of=DAY)
    assert state == "success"
    assert tasks["gate"] == "success"
    assert tasks["promoted"] == "skipped"
    assert alerts_sent == []


def test_a_rejected_challenger_is_told(
    run: Any, library: Any, alerts_sent: list[tuple[str, str]]
) -> None:
    library.outcome = "reject"
    state, tasks = run("retrain_podcasts", as_of=DAY)
    assert state == "success"
    assert tasks["promoted"] == "skipped"
    assert alerts_sent == [("homerec: the gate rejected podcasts v4", "the table")]


def test_a_gate_that_cannot_judge_fails_the_run(
    run: Any, library: Any, alerts_sent: list[tuple[str, str]], monkeypatch: Any
) -> None:
    from homerec_airflow import steps

    def refuse(as_of: str, model: str) -> dict[str, Any]:
        raise GateError("ndcg_at_10 is NaN for 3 listeners")

    monkeypatch.setattr(steps, "judge", refuse)
    state, tasks = run("retrain_podcasts", as_of=DAY)
    assert state == "failed"
    assert tasks["gate"] == "failed"
    assert tasks["promoted"] == "upstream_failed"
    assert "docs/runbook.md#gate" in alerts_sent[0][1]


def test_a_model_with_nothing_to_learn_from_is_skipped(run: Any, library: Any) -> None:
    library.version = None
    state, tasks = run("retrain_podcasts", as_of=DAY)
    assert state == "success"
    assert tasks["challenger"] == tasks["gate"] == tasks["promoted"] == "skipped"


def test_ingest_alone(run: Any, library: Any) -> None:
    state, _ = run("ingest")
    assert state == "success"
    assert library.calls == [("ingest", "", "homerec")]


UNKNOWN = [
    ("nightly", "as_of", "as_of, force_older, ingest, mapping, models, publish, source"),
    ("retrain_podcasts", "as_of", "as_of"),
    ("ingest", "ingest", "mapping, source"),
    ("housekeeping", "form", "airflow_days, keep_days, keep_releases"),
]


@pytest.mark.parametrize(("dag", "task", "known"), UNKNOWN)
def test_a_misspelt_name_in_the_conf_stops_the_run_before_anything_is_done(
    run: Any, library: Any, alerts_sent: list[tuple[str, str]], dag: str, task: str, known: str
) -> None:
    state, tasks = run(dag, as_off=DAY, mapping_file="x")
    assert state == "failed"
    assert tasks[task] == "failed"
    assert {how for name, how in tasks.items() if name != task} <= {"upstream_failed"}
    assert library.calls == []
    assert [subject for subject, _ in alerts_sent] == [f"homerec: {dag} failed at {task}"]
    said = f"The conf of this run has as_off, mapping_file; {dag} knows {known}. Nothing was done."
    assert f"SettingsError: {said}" in alerts_sent[0][1]
