"""The demo worlds: how near the models come to the truth, and how far above their baselines."""

import sys
from typing import Final

import numpy as np

from homerec.bench.quality.command import Options
from homerec.bench.quality.demo_report import model_report, targets
from homerec.bench.quality.demo_seed import MODELS, PAST_DAYS, TEST_DAYS, seed_figures
from homerec.bench.report import conditions, say

_METHOD: Final = (
    "Every world is generated, ingested and trained on by the normal path; sources, ranker and",
    f"gate see its first {PAST_DAYS} days. The models are judged on the label window that begins",
    f"after them, of at most {TEST_DAYS} days. Intervals are 95% paired bootstraps over listeners,",
    "pooled over the seeds. The oracle ranks everything that may be shown by the generator's own",
    "probability of a play.",
)


def run_demo(options: Options) -> str:
    """Measure the models on one demo world a seed.

    Parameters
    ----------
    options : Options
        Its ``seeds`` and ``listeners`` make the worlds; finished ones are kept in ``work`` under a
        checksum of code and parameters, so that a run that was stopped goes on.

    Returns
    -------
    str
        Conditions, tables by model, and which targets were reached.
    """
    figures = []
    for number, seed in enumerate(options.seeds, start=1):
        say(f"demo world {number} of {len(options.seeds)}, seed {seed}")
        figures.append(seed_figures(options.settings, options.work, seed, options.listeners))
    sizes = (
        f"{options.listeners:,} listeners a world, seeds {', '.join(map(str, options.seeds))}, "
        f"as of {', '.join(one.about['as_of'] for one in figures)}"
    )
    parts = [conditions(sizes), "\n".join(_METHOD)]
    parts += [model_report(name, figures) for name in MODELS]
    parts.append(targets({name: figures for name in MODELS}))
    if np.mean([one.about["listeners"] for one in figures]) < 2000:
        print("Fewer than 2,000 listeners a world decide little.", file=sys.stderr)
    return "\n\n".join(parts)
