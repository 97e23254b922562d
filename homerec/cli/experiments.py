"""The command for experiments: run one, list them, show or remove one."""

import argparse
from pathlib import Path
from typing import Any

from homerec.cli.common import Progress, table
from homerec.settings import Settings

_EXPERIMENT = """\
Compare many configurations of a model. FILE says which: docs/experiments.md describes it, and
experiments/ has one for each model. All are fitted on the past of the validation windows and
compared there; the best is then judged once on a later test window. What is finished is kept and
never computed again: a run that was stopped goes on where it was.

The exit code is 0 when all went well, 3 when some configurations failed (their reasons are in the
table), and 1 when there is no result at all."""
#: Some configurations failed, the others have results.
SOME_FAILED = 3
_SHOWN = 20


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    experiment = commands.add_parser(
        "experiment",
        help="compare configurations of a model, and judge the best on a later window",
        description=_EXPERIMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = experiment.add_mutually_exclusive_group(required=True)
    what.add_argument("file", nargs="?", type=Path, metavar="FILE", help="an experiment, as YAML")
    what.add_argument("--list", action="store_true", help="list the experiments that are kept")
    what.add_argument("--show", metavar="NAME", help="show what one found")
    what.add_argument("--remove", metavar="NAME", help="remove one, and results only it used")
    experiment.add_argument(
        "--dry-run", action="store_true", help="check the file and show its configurations"
    )
    experiment.add_argument(
        "--jobs", type=_positive, metavar="N", help="processes at most (default: one a core)"
    )
    experiment.add_argument("--again", action="store_true", help="compute finished ones too")
    experiment.add_argument("--html", type=Path, metavar="FILE", help="write the report here too")
    experiment.add_argument("--all", action="store_true", help="print every configuration")
    experiment.add_argument(
        "--no-mlflow", action="store_true", help="log nothing, compare with no champion"
    )
    experiment.add_argument(
        "--no-sharing", action="store_true", help="fit everything anew, to measure what it saves"
    )
    experiment.set_defaults(run=_experiment)


def _positive(text: str) -> int:
    value = int(text) if text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; at least 1 is")
    return value


def _experiment(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.list:
        return _list(settings)
    if arguments.show:
        return _show(settings, arguments)
    if arguments.remove:
        return _remove(settings, arguments.remove)
    return _run(settings, arguments)


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.registry.loading import open_registry
    from homerec.training.experiments.planning import plan_experiment
    from homerec.training.experiments.reading import read_experiment
    from homerec.training.experiments.rendering import render
    from homerec.training.experiments.run import Options, run_experiment

    file = read_experiment(arguments.file)
    if arguments.dry_run:
        experiment = plan_experiment(settings, file)
        print(_planned(experiment))
        return 0
    registry = None if arguments.no_mlflow else open_registry(settings)
    experiment = plan_experiment(settings, file, registry)
    options = Options(
        jobs=arguments.jobs,
        again=arguments.again,
        share=not arguments.no_sharing,
        quiet=arguments.quiet,
        html=arguments.html,
    )
    progress = Progress(arguments.quiet)
    record = run_experiment(settings, experiment, registry, options, progress)
    print(render(record, None if arguments.all else _SHOWN))
    report = arguments.html or settings.home / "experiments" / "named" / record.name / "report.html"
    print(f"\nThe report with drawings: {report}")
    return SOME_FAILED if record.n_failed else 0


def _planned(experiment: Any) -> str:
    from homerec.training.experiments.rendering import windows_text

    windows = [experiment.window(day) for day in experiment.validation]
    days = [(a.isoformat(), b.isoformat()) for a, b in windows]
    first, end = experiment.window(experiment.test)
    n = len(experiment.configurations)
    fits = n * len(experiment.seeds) * len(experiment.validation)
    rows = [
        (one.name, ", ".join(f"{k}={v}" for k, v in one.values.items()) or "as it stands")
        for one in experiment.configurations
    ]
    return "\n".join(
        [
            f"Experiment {experiment.file.name} of {experiment.spec.name}: {n} configurations, "
            f"{fits} fits to compare them. Nothing was computed.",
            f"validation: {windows_text(days)}; seeds {', '.join(map(str, experiment.seeds))}; "
            f"{experiment.metric} decides",
            f"test: {windows_text([(first.isoformat(), end.isoformat())])}",
            "",
            table(("", "what"), rows),
        ]
    )


def _list(settings: Settings) -> int:
    from homerec.training.experiments.keeping import records

    rows = []
    for record in records(settings, readable=True):
        best = next((r for r in record.rows if r.name == record.winner), None)
        mean = f"{best.means[record.metrics[0]]:.4f}" if best else "-"
        rows.append(
            (
                record.name, record.model, record.status, record.n_configurations, record.n_failed,
                record.winner or "-", record.metrics[0], mean, record.created_at,
            )
        )  # fmt: skip
    header = ("name", "model", "status", "tried", "failed", "winner", "metric", "best", "run at")
    print(
        table(header, rows) if rows else "No experiment is kept. Run one: homerec experiment FILE"
    )
    return 0


def _show(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.training.experiments.keeping import read_record
    from homerec.training.experiments.page import experiment_page
    from homerec.training.experiments.rendering import render

    record = read_record(settings, arguments.show)
    print(render(record, None if arguments.all else _SHOWN))
    if arguments.html is not None:
        experiment_page(record).write(arguments.html)
        print(f"\nThe report with drawings: {arguments.html}")
    return 0


def _remove(settings: Settings, name: str) -> int:
    from homerec.training.experiments.keeping import remove_record

    n = remove_record(settings, name)
    print(f"{name} is removed, with {n} results that only it used. Its runs in MLflow stay.")
    return 0
