"""Commands for models: train, models, drift."""

import argparse
from collections.abc import Mapping
from typing import Any

from homerec.cli.common import Progress, add_as_of, current_user, parse_date, resolve_as_of, table
from homerec.settings import Settings


def add_commands(commands: Any) -> None:
    """Add the commands of this module."""
    train = commands.add_parser("train", help="train challengers and let the gate decide")
    train.add_argument("models", nargs="*", metavar="MODEL", help="default: all")
    add_as_of(train)
    train.set_defaults(run=_train)

    models = commands.add_parser("models", help="list versions; show, promote or roll back one")
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    models.set_defaults(run=_list)
    actions.add_parser("list", help="every version of every model").set_defaults(run=_list)
    show = actions.add_parser(
        "show", help="a version's figures, overall and by segment, and its verdict"
    )
    _version_arguments(show)
    show.set_defaults(run=_show)
    promote = actions.add_parser("promote", help="make a version champion against the gate")
    _version_arguments(promote)
    _person_arguments(promote)
    promote.set_defaults(run=_promote)
    back = actions.add_parser("rollback", help="put a former champion back, and hold the model")
    _version_arguments(back)
    _person_arguments(back)
    back.set_defaults(run=_rollback)
    resume = actions.add_parser("resume", help="lift the hold of a rollback")
    resume.add_argument("model", metavar="MODEL")
    resume.set_defaults(run=_resume)

    drift = commands.add_parser("drift", help="check a date for drift; accept a real change")
    actions = drift.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="run the drift checks of a night, publish nothing")
    add_as_of(check)
    check.set_defaults(run=_check)
    accept = actions.add_parser("accept", help="let a feature's drift pass until a date")
    accept.add_argument("model", metavar="MODEL")
    accept.add_argument("feature", metavar="FEATURE", help="as the drift message names it")
    accept.add_argument("--until", type=parse_date, required=True, help="last as_of it holds for")
    _person_arguments(accept)
    accept.set_defaults(run=_accept)
    revoke = actions.add_parser("revoke", help="take an acceptance back")
    revoke.add_argument("model", metavar="MODEL")
    revoke.add_argument("feature", metavar="FEATURE")
    revoke.set_defaults(run=_revoke)
    actions.add_parser("list", help="what has been accepted").set_defaults(run=_accepted)


def _version_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("version", metavar="VERSION", type=int)


def _person_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reason", required=True, help="why; it is kept")
    parser.add_argument("--who", default=current_user(), help="default: the user who runs this")


def _train(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.models import get_model, model_names
    from homerec.training.run import train

    as_of = resolve_as_of(settings, arguments.as_of)
    # A misspelt name fails before an hour of training the others.
    names = [get_model(name, settings).name for name in arguments.models] or model_names()
    progress = Progress(arguments.quiet)
    for name in names:
        report = train(settings, name, as_of, progress=progress)
        print(report.render())
        print()
    return 0


def _list(settings: Settings, arguments: argparse.Namespace) -> int:
    del arguments
    from homerec.models import model_names
    from homerec.registry.loading import open_registry

    registry = open_registry(settings)
    rows = []
    for name in model_names():
        held = registry.held(name)
        if held is not None:
            print(f"{name} is on hold since {held.since:%Y-%m-%d}: {held.why} ({held.who})")
        for version in registry.versions(name):
            ndcg = version.metrics.get("ndcg", float("nan"))
            baseline = version.metrics.get("baseline_ndcg", float("nan"))
            which = (name, version.version, version.status, ",".join(version.aliases))
            rows.append((*which, version.as_of, f"{ndcg:.4f}", f"{baseline:.4f}"))
    header = ("model", "version", "status", "alias", "as_of", "ndcg", "baseline")
    print(table(header, rows) if rows else "No version yet. Train one: homerec train")
    return 0


def _show(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.registry.loading import open_registry

    version = open_registry(settings).version(arguments.model, arguments.version)
    print(f"{version.name}, {version.status}, as of {version.as_of}, files in {version.folder}")
    for part in _figures(version.metrics):
        print(part)
    if version.verdict is not None:
        print()
        print(version.verdict.render())
    return 0


def _figures(metrics: Mapping[str, float]) -> list[str]:
    """Tables of a version's figures beside its baseline's: overall, then by segment."""
    from homerec.training.figures import SEGMENT_PREFIX

    def cell(name: str) -> str:
        return f"{metrics[name]:.4f}" if name in metrics else "-"

    inside = {name for name in metrics if name.startswith(f"{SEGMENT_PREFIX}/")}
    names = sorted(n for n in metrics.keys() - inside if not n.startswith("baseline_"))
    parts = [
        table(
            ("metric", "model", "baseline"),
            [(name, cell(name), cell(f"baseline_{name}")) for name in names],
        )
    ]
    places = sorted({name.rpartition("/")[0] for name in inside})
    if places:
        rows = [
            (
                place.removeprefix(f"{SEGMENT_PREFIX}/").replace("/", "="),
                f"{metrics.get(f'{place}/n', float('nan')):.0f}",
                cell(f"{place}/ndcg"),
                cell(f"{place}/baseline_ndcg"),
            )
            for place in places
        ]
        parts.append("\n" + table(("segment", "listeners", "ndcg", "baseline"), rows))
    return parts


def _promote(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.registry.loading import open_registry

    version = open_registry(settings).promote(
        arguments.model, arguments.version, None, arguments.who, arguments.reason
    )
    print(f"{version.name} is the champion, by force ({arguments.who}: {arguments.reason}).")
    return 0


def _rollback(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.registry.loading import open_registry

    version = open_registry(settings).rollback(
        arguments.model, arguments.version, arguments.who, arguments.reason
    )
    print(
        f"{version.name} is the champion again, and {arguments.model} is on hold. The next night "
        f"uses it. Lift the hold with: homerec models resume {arguments.model}"
    )
    return 0


def _resume(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.registry.loading import open_registry

    was_held = open_registry(settings).resume(arguments.model)
    print(f"{arguments.model}: " + ("the hold is lifted." if was_held else "there was no hold."))
    return 0


def _check(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.features.tables import load_catalog
    from homerec.night.checks import check_features, check_snapshot
    from homerec.night.plan import make_plan
    from homerec.night.run import take_snapshot

    as_of = resolve_as_of(settings, arguments.as_of)
    progress = Progress(arguments.quiet)
    info = take_snapshot(settings, as_of, progress)
    catalog = load_catalog(info)
    plan = make_plan(settings, info, catalog)
    for report in check_snapshot(settings, info, catalog, plan.models, progress):
        print(report.render())
    for model in plan.models:
        found = check_features(settings, info, catalog, model, progress)
        if found is not None:
            print(found.render())
        else:
            print(f"{model.model}: nothing to check, {model.reason}")
    return 0


def _accept(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.drift.acceptance import accept, accepted_path
    from homerec.models import get_model

    get_model(arguments.model, settings)
    entry = accept(
        accepted_path(settings.home),
        arguments.model,
        arguments.feature,
        arguments.until,
        arguments.reason,
        arguments.who,
    )
    print(f"Drift of {entry.model} {entry.feature} passes until {entry.until}. Now run the night")
    print(f"again, and retrain when it has passed: homerec train {entry.model}")
    return 0


def _revoke(settings: Settings, arguments: argparse.Namespace) -> int:
    from homerec.drift.acceptance import accepted_path, revoke

    was_there = revoke(accepted_path(settings.home), arguments.model, arguments.feature)
    print("Taken back." if was_there else "There was no such acceptance.")
    return 0


def _accepted(settings: Settings, arguments: argparse.Namespace) -> int:
    del arguments
    from homerec.drift.acceptance import accepted_path, read_accepted

    entries = read_accepted(accepted_path(settings.home))
    rows = [(e.model, e.feature, e.until, e.who, e.reason) for e in entries]
    header = ("model", "feature", "until", "who", "reason")
    print(table(header, rows) if rows else "No drift has been accepted.")
    return 0
