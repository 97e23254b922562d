"""What the benchmark of training tells, and which features are made before it."""

from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from homerec.bench.command import BENCHMARKS
from homerec.bench.measuring import Measured, Span
from homerec.bench.training import run
from homerec.bench.workbench import Trained, training_dates
from homerec.errors import BenchmarkError
from homerec.models import get_model, model_names
from homerec.settings import Settings
from homerec.training.fitting import Plan
from homerec.training.run import TrainReport

AS_OF = date(2026, 3, 2)
SPANS = [Span(f"train podcasts: part {n}", n / 2, float(n), 100.0 * n) for n in (1, 6, 2, 5, 3, 4)]


def bench(outcome: str = "hold") -> Any:
    report: Any = TrainReport("podcasts", outcome, 1, None, "Too few listeners.", {})  # type: ignore[arg-type]
    ingested = SimpleNamespace(tables={"events": SimpleNamespace(written=5_000)})
    return SimpleNamespace(
        listeners=1_000,
        days=60,
        past={AS_OF: Measured(None, 2.0, 3.0, 400.0), date(2026, 3, 1): Measured(None, 4, 5, 300)},
        ingested=Measured(ingested, 1.0, 1.0, 1.0),
        trained={"podcasts": Measured(Trained(report, SPANS), 20.0, 21.0, 650.0)},
    )


def test_each_training_has_its_seconds_its_memory_and_what_the_gate_said() -> None:
    result = run(bench())
    assert [(line.what, line.ours) for line in result.lines] == [
        ("features of 2 past dates", 6.0),
        ("the same, CPU", 8.0),
        ("the same, peak memory", 400.0),
        ("podcasts", 20.0),
        ("podcasts, CPU", 21.0),
        ("podcasts, peak memory", 650.0),
    ]
    assert "1,000 listeners, 5,000 events in 60 days" in result.notes[0]
    assert result.notes[1] == "podcasts: hold. Too few listeners."
    # The parts that took most CPU time come first, the smallest are left out.
    assert [note.strip().split(":")[1] for note in result.notes[2:]] == [
        f" part {n}" for n in (6, 5, 4, 3, 2)
    ]


def test_a_model_that_was_not_trained_is_no_measurement() -> None:
    with pytest.raises(BenchmarkError, match="Model podcasts was skipped, Too few listeners"):
        run(bench("skipped"))


def test_every_date_that_a_training_reads_is_made_before_and_no_other() -> None:
    settings = Settings()
    wanted = set()
    for name in model_names():
        plan = Plan.of(get_model(name, settings), AS_OF)
        wanted |= {plan.gate_date, plan.sources_date, *plan.ranker_dates}
    found = training_dates(settings, AS_OF)
    assert set(found) == wanted
    assert found == sorted(found)
    assert AS_OF not in found


def test_it_is_among_the_benchmarks() -> None:
    assert BENCHMARKS["training"] is run
