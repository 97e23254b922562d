"""The world of weeks, and a podcasts model fitted on it, once for all."""

from dataclasses import dataclass

import pytest

from homerec.features.snapshot import ensure_snapshot
from homerec.models.fitted import FittedModel
from homerec.models.spec import ModelSpec
from homerec.settings import Settings
from homerec.training.fitting import Plan, SnapshotView, TrainingSet, fit_model
from homerec.training.labels import Labels, read_labels
from support.weeks import END, spec_of, week_lake


@dataclass(frozen=True)
class Trained:
    settings: Settings
    spec: ModelSpec
    plan: Plan
    model: FittedModel
    learned: TrainingSet
    gate: SnapshotView
    labels: Labels


@pytest.fixture(scope="session")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return week_lake(tmp_path_factory.mktemp("weeks"), n_listeners=140)


@pytest.fixture(scope="session")
def trained(weeks: Settings) -> Trained:
    spec = spec_of("podcasts", weeks)
    plan = Plan.of(spec, END)
    model, learned = fit_model(weeks, spec, plan)
    info = ensure_snapshot(weeks, plan.gate_date, writer="training")
    labels = read_labels(weeks, spec, info)
    return Trained(weeks, spec, plan, model, learned, SnapshotView(weeks, info), labels)
