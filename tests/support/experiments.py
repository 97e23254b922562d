"""A small experiment over the world of weeks."""

from typing import Any

from homerec.registry.store import Registry
from homerec.settings import Settings
from homerec.training.experiments.keeping import Record
from homerec.training.experiments.planning import Experiment, plan_experiment
from homerec.training.experiments.reading import parse_experiment
from homerec.training.experiments.run import Options, run_experiment

#: Two configurations beside the model as it stands, on one window each for choice and judgement.
FILE = """\
name: trees
model: podcasts
metrics: [ndcg, recall, coverage]
seeds: [3]
as_of: {validation: [2026-03-08], test: 2026-03-15}
grid:
  ranker.max_iter: [5, 40]
"""


def plan(settings: Settings, text: str = FILE, registry: Registry | None = None) -> Experiment:
    return plan_experiment(settings, parse_experiment(text, "file.yaml"), registry)


def run(
    settings: Settings, text: str = FILE, registry: Registry | None = None, **options: Any
) -> Record:
    chosen = Options(**{"jobs": 1, "quiet": True, **options})
    return run_experiment(settings, plan(settings, text, registry), registry, chosen)
