from typing import Any

import pytest

from homerec.models.catalogue import read_catalogue
from homerec.settings import Settings

MODELS = [entry.name for entry in read_catalogue(Settings())]


def edges(dag: Any) -> set[tuple[str, str]]:
    return {(t.task_id, below) for t in dag.tasks for below in t.downstream_task_ids}


def test_the_night_reads_like_the_flow(bag: Any) -> None:
    expected = {
        ("as_of", "ingest"),
        ("ingest", "snapshot"),
        ("snapshot", "plan"),
        ("plan", "drift_snapshot"),
        ("drift_snapshot", "shards"),
        ("assemble", "publish"),
        ("publish", "announce"),
    }
    for name in MODELS:
        expected |= {
            ("shards", f"{name}.candidates"),
            (f"{name}.candidates", f"{name}.drift_features"),
            (f"{name}.candidates", f"{name}.rank"),
            (f"{name}.drift_features", f"{name}.rank"),
            (f"{name}.rank", "assemble"),
        }
    assert edges(bag.dags["nightly"]) == expected


def test_both_stages_are_mapped_over_shards_and_nothing_else_is(bag: Any) -> None:
    mapped = {t.task_id for t in bag.dags["nightly"].tasks if t.is_mapped}
    assert mapped == {f"{name}.{stage}" for name in MODELS for stage in ("candidates", "rank")}


def test_the_night_has_a_group_a_model(bag: Any) -> None:
    groups = bag.dags["nightly"].task_group.get_task_group_dict()
    assert set(groups) - {None} == set(MODELS)


def test_only_what_follows_a_skip_may_run_after_one(bag: Any) -> None:
    lenient = {t.task_id for t in bag.dags["nightly"].tasks if t.trigger_rule != "all_success"}
    assert lenient == {"snapshot", "assemble"}
    assert all(
        bag.dags["nightly"].get_task(task_id).trigger_rule == "none_failed" for task_id in lenient
    )


def test_the_night_has_one_leaf_so_that_a_failure_fails_the_run(bag: Any) -> None:
    assert [task.task_id for task in bag.dags["nightly"].leaves] == ["announce"]


@pytest.mark.parametrize("name", MODELS)
def test_a_retraining_ends_at_the_gate_or_after_it(bag: Any, name: str) -> None:
    assert edges(bag.dags[f"retrain_{name}"]) == {
        ("as_of", "challenger"),
        ("challenger", "gate"),
        ("gate", "promoted"),
    }


def test_only_the_last_task_tells_of_a_release(bag: Any) -> None:
    telling = {t.task_id: [a.name for a in t.outlets] for t in bag.dags["nightly"].tasks}
    assert {task: assets for task, assets in telling.items() if assets} == {
        "announce": ["homerec_release"]
    }


def test_the_form_of_the_night(bag: Any) -> None:
    params = bag.dags["nightly"].params
    assert params.dump() == {
        "as_of": None,
        "models": MODELS,
        "publish": True,
        "force_older": False,
        "ingest": True,
        "source": None,
        "mapping": "homerec",
    }
