import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import CronTriggerTimetable
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import TimeRestriction

from homerec.models.catalogue import ModelEntry, read_catalogue
from homerec.settings import Settings
from homerec_airflow.common import FIRST_RUN_GRACE

ROOT = Path(__file__).resolve().parents[2]
MODELS = [entry.name for entry in read_catalogue(Settings())]
HEAVY = ("numpy", "pandas", "duckdb", "pyarrow", "sklearn", "implicit", "mlflow", "psycopg2")


def test_every_file_is_imported_and_every_dag_is_there(bag: Any) -> None:
    assert bag.import_errors == {}
    fixed = {"ingest", "nightly", "housekeeping"}
    assert set(bag.dags) == fixed | {f"retrain_{name}" for name in MODELS}


def test_parsing_imports_nothing_heavy_and_takes_little_time(
    airflow_environment: dict[str, str],
) -> None:
    code = (
        "import sys, time\n"
        "from airflow.dag_processing.dagbag import DagBag\n"
        "start = time.monotonic()\n"
        f"bag = DagBag({str(ROOT / 'dags')!r})\n"
        "print('SECONDS', time.monotonic() - start)\n"
        "print('ERRORS', len(bag.import_errors))\n"
        f"print('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=airflow_environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line[:1].isupper())
    assert said["ERRORS"] == "0"
    assert said["HEAVY"] == "[]"
    assert float(said["SECONDS"]) < 10


def test_parsing_again_is_quick(bag: Any) -> None:
    start = time.monotonic()
    bag.collect_dags(ROOT / "dags", only_if_updated=False)
    assert time.monotonic() - start < 5


def test_dags_keep_their_rules(bag: Any) -> None:
    for dag in bag.dags.values():
        assert dag.catchup is False
        assert dag.max_active_runs == 1
        assert "homerec" in dag.tags
        assert "docs/runbook.md#" in dag.doc_md
        assert dag.has_on_failure_callback
        for task in dag.tasks:
            assert task.retries == 2
            assert task.on_failure_callback


def test_the_runbook_has_every_section_that_a_dag_names(bag: Any) -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    headings = {line[3:].split()[0].lower() for line in text.splitlines() if line[:3] == "## "}
    named = {dag.doc_md.split("docs/runbook.md#")[1].rstrip(".") for dag in bag.dags.values()}
    assert named | {"drift", "audit", "rollback", "backfill", "alerts"} <= headings


def test_schedules_are_cron_triggers_in_utc(bag: Any) -> None:
    assert not bag.dags["ingest"].timetable.can_be_scheduled
    expected = {f"retrain_{e.name}": e.cadence for e in read_catalogue(Settings())}
    for dag_id, cadence in {**expected, "nightly": "30 3 * * *"}.items():
        timetable = bag.dags[dag_id].timetable
        assert type(timetable).__name__ == CronTriggerTimetable.__name__
        assert timetable.expression == cadence


def test_a_new_deployment_runs_nothing_in_arrears(bag: Any) -> None:
    now = datetime.now(UTC)
    for dag in bag.dags.values():
        assert dag.start_date is None
        if dag.timetable.can_be_scheduled:
            scheduled = DagSerialization.from_dict(DagSerialization.to_dict(dag)).timetable
            first = scheduled.next_dagrun_info(
                last_automated_data_interval=None,
                restriction=TimeRestriction(earliest=None, latest=None, catchup=False),
            )
            assert first.logical_date > now - FIRST_RUN_GRACE


def test_a_new_model_file_is_a_dag_and_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    known = read_catalogue(Settings())
    extra = ModelEntry("audiobooks", "Books for you", "0 5 * * 2", True, "A new shelf.")
    monkeypatch.setattr("homerec.models.catalogue.read_catalogue", lambda settings: [*known, extra])
    bag = DagBag(ROOT / "dags")
    assert bag.dags["retrain_audiobooks"].timetable.expression == "0 5 * * 2"
    assert "audiobooks.rank" in bag.dags["nightly"].task_ids
    assert "audiobooks" in bag.dags["nightly"].params.get_param("models").schema["examples"]


def test_a_model_that_is_switched_off_is_not_scheduled(monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    off = ModelEntry("podcasts", "Shows you might like", "0 4 * * 1", False, "")
    monkeypatch.setattr("homerec.models.catalogue.read_catalogue", lambda settings: [off])
    bag = DagBag(ROOT / "dags")
    assert not bag.dags["retrain_podcasts"].timetable.can_be_scheduled
