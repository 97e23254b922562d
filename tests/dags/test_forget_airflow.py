"""Forgetting in Airflow's own tables: a real run's records, found by what Airflow calls them."""

import os
from typing import Any

import pytest
import sqlalchemy as sa

from homerec.errors import TransientError
from homerec.forget.airflow import purge_airflow, refuse_while_running
from homerec.forget.targets import Targets

CANARY = "canary-91b2-zeisig"
DAY = "2026-03-02"
URL = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]


def mentions(text: str) -> set[str]:
    """Columns of Airflow's metadata that hold a text; every column of every table is asked."""
    engine = sa.create_engine(URL)
    found = set()
    with engine.connect() as connection:
        for table in sa.inspect(engine).get_table_names():
            for column in sa.inspect(engine).get_columns(table):
                name = f'"{table}"."{column["name"]}"'
                query = sa.text(
                    f'SELECT count(*) FROM "{table}" WHERE instr(CAST({name} AS TEXT), :t) > 0 '
                    f"OR instr(hex({name}), hex(:t)) > 0"
                )
                if connection.execute(query, {"t": text}).scalar_one():
                    found.add(f"{table}.{column['name']}")
    engine.dispose()
    return found


def test_what_a_run_recorded_of_a_listener_is_overwritten(
    run: Any, library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homerec_airflow import steps

    monkeypatch.setattr(
        steps, "ingest", lambda source, mapping: {"ingest_id": "one", "report": f"/data/{source}"}
    )
    state, _ = run("ingest", source=f"/inbox/{CANARY}", mapping="homerec")
    assert state == "success"
    before = mentions(CANARY)
    assert before >= {"dag_run.conf", "xcom.value"}
    targets = Targets(frozenset({CANARY}), frozenset({4}))
    told = {f.where for f in purge_airflow(URL, None, targets, apply=False)}
    assert mentions(CANARY) == before
    done = purge_airflow(URL, None, targets, apply=True)
    assert {f.where for f in done} == told >= {"dag_run", "xcom"}
    assert {f.what for f in done} == {"mentions"}
    assert mentions(CANARY) == set()
    assert purge_airflow(URL, None, targets, apply=True) == []
    # Airflow still reads its records, and runs.
    assert run("ingest", source="again")[0] == "success"
    assert "dag_run.conf" in mentions("again")


def test_a_night_that_runs_is_told_by_airflow(run: Any, library: Any) -> None:
    run("nightly", as_of=DAY)
    refuse_while_running(URL)
    engine = sa.create_engine(URL)
    newest = "id = (SELECT max(id) FROM dag_run WHERE dag_id = 'nightly')"
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE dag_run SET state = 'running' WHERE {newest}"))
    try:
        with pytest.raises(
            TransientError, match=r"Airflow runs nightly .* now; nothing was changed"
        ):
            refuse_while_running(URL)
    finally:
        with engine.begin() as connection:
            connection.execute(sa.text(f"UPDATE dag_run SET state = 'success' WHERE {newest}"))
        engine.dispose()


def test_a_night_goes_on_without_a_data_report_and_says_so(
    run: Any, library: Any, alerts_sent: list[tuple[str, str]]
) -> None:
    library.report_problem = "The data report of x could not be written"
    state, tasks = run("nightly", as_of=DAY)
    assert state == "success"
    assert set(tasks.values()) == {"success"}
    subject = "homerec: nightly goes on, but without a data report"
    assert alerts_sent == [(subject, library.report_problem)] * 2


def test_housekeeping_hands_its_form_to_the_library(
    bag: Any, database: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homerec_airflow import steps

    seen: list[tuple[int, int]] = []

    def retain(keep_releases: int, keep_days: int) -> dict[str, int]:
        seen.append((keep_releases, keep_days))
        return {"releases": 0}

    monkeypatch.setattr(steps, "retain", retain)
    dag = bag.dags["housekeeping"]
    made = dag.test(run_conf={"keep_releases": 3, "keep_days": 30})
    assert {t.task_id: str(t.state) for t in made.get_task_instances()}["retain"] == "success"
    assert seen == [(3, 30)]
    assert {t.task_id for t in dag.tasks} == {"form", "retain", "clean_airflow"}
    assert {k: dag.params[k] for k in ("keep_releases", "keep_days")} == {
        "keep_releases": 7, "keep_days": 60,
    }  # fmt: skip
