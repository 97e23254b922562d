"""One demo world from seed to figures: made, ingested, trained on, judged on days nobody saw."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from homerec.bench.measuring import apart
from homerec.bench.quality.cold import judge_cold
from homerec.bench.quality.contenders import (
    Oracle,
    TextIds,
    as_read,
    by_pair_column,
    by_source,
    in_random_order,
)  # fmt: skip
from homerec.bench.report import say
from homerec.features.snapshot import ensure_snapshot
from homerec.ingest import ingest
from homerec.lake import (
    Lake,
    atomic_folder,
    checksum,
    checksum_text,
    read_json,
    write_json,
)  # fmt: skip
from homerec.models import get_model
from homerec.models.fitted import FittedModel, baseline_pairs
from homerec.models.spec import ModelSpec
from homerec.registry.loading import load_fitted, open_registry
from homerec.settings import PACKAGE, Settings, resource
from homerec.training.challenge import challenge_folder, contender, read_challenge
from homerec.training.evaluation import Contender, Result, evaluate
from homerec.training.fitting import SnapshotView
from homerec.training.labels import read_labels
from homerec.training.run import train
from homerec.world import generate
from homerec.world.foreseeing import Foresight, foresee

#: In the order in which they are printed.
MODELS: Final = ("podcasts", "shortcuts", "playlists")
#: Days that everything learns from, and days after them that only judge.
PAST_DAYS: Final = 60
TEST_DAYS: Final = 7
#: Cut-off of the candidates' recall, and one that no union reaches.
_RECALL_K: Final = 100
_ALL: Final = 10_000
_FIRST_DAY: Final = date(2026, 1, 1)
#: Folders of the package whose code makes the figures.
_CODE: Final = (
    "world", "ingest", "features", "candidates", "ranking", "models", "registry", "training",
    "home",
)  # fmt: skip
_OWN_CODE: Final = ("demo_seed.py", "contenders.py", "cold.py")


@dataclass(frozen=True)
class SeedFigures:
    """What one world gave.

    Attributes
    ----------
    about : dict
        Plain figures: ``seed``, ``listeners``, ``as_of``, and by model ``training`` (seconds,
        cpu_seconds, peak_mib, outcome), ``coverage`` and ``exposure_gini`` by contender, ``recall``
        by source, ``candidates`` (mean number a listener).
    arrays : dict of str to (n,) array
        ``<model>/<contender>/<metric>`` (float64), ``<model>/segments/<kind>`` (str),
        ``<model>/listener`` (int32), by listener; ``<model> cold/<key>`` what
        :func:`homerec.bench.quality.cold.judge_cold` found.
    """

    about: dict[str, Any]
    arrays: dict[str, npt.NDArray[Any]]


def seed_figures(settings: Settings, work: Path, seed: int, listeners: int) -> SeedFigures:
    """Figures of one world, kept under a checksum of code and parameters.

    Parameters
    ----------
    settings : Settings
        Threads, limits and models' parameters; its data is not used.
    work : Path
        Holds finished figures, and the unfinished deployment, which a later call goes on with.
    seed : int
    listeners : int
    """
    key = figures_key(settings, seed, listeners)
    done = work / f"demo-{seed}-{listeners}-{key}"
    if not (done / "figures.json").exists():
        home = work / f"{done.name}.deployment"
        found = _measure(settings, home, seed, listeners)
        with atomic_folder(done) as folder:
            np.savez_compressed(folder / "values.npz", **found.arrays)  # type: ignore[arg-type]
            write_json(found.about, folder / "figures.json")
        shutil.rmtree(home, ignore_errors=True)
    with np.load(done / "values.npz", allow_pickle=False) as arrays:
        return SeedFigures(read_json(done / "figures.json"), dict(arrays))


def figures_key(settings: Settings, seed: int, listeners: int) -> str:
    """Checksum of everything that the figures depend on, 12 characters."""
    parameters = [seed, listeners, PAST_DAYS, TEST_DAYS, settings.models, settings.seed]
    return checksum_text([*code_checksums(_CODE, _OWN_CODE), repr(parameters)])[:12]


def code_checksums(folders: Sequence[str], own: Sequence[str]) -> list[str]:
    """Name and checksum of the files that figures on demo worlds depend on.

    Parameters
    ----------
    folders : sequence of str
        Of the package, with all their code.
    own : sequence of str
        Files of this folder.
    """
    files = [path for name in folders for path in sorted((PACKAGE / name).glob("**/*.py"))]
    files += [Path(__file__).parent / name for name in own]
    files += sorted(resource("sql/features").glob("*.sql"))
    files += sorted(resource("sql/labels").glob("*.sql"))
    files.append(resource("config/world.toml"))
    return [f"{path.name}:{checksum(path)}" for path in files]


def deployment(settings: Settings, home: Path, seed: int, listeners: int) -> Settings:
    """Make a world and ingest it, unless the folder holds it already.

    Returns
    -------
    Settings
        Of a deployment of its own, whose registry is a file: it serves one process as well as a
        Postgres does, and nothing is left running.
    """
    home.mkdir(parents=True, exist_ok=True)
    registry = f"sqlite:///{home / 'mlflow.db'}"
    own = replace(
        settings, home=home, database_url=None, mlflow_tracking_uri=registry, history_days=None
    )
    say(f"seed {seed}: world of {listeners:,} listeners")
    inbox = Lake(home).inbox
    if not inbox.exists():
        apart(_make_world, inbox, seed, listeners, first_day(seed), settings.n_threads)
    say(f"seed {seed}: ingest")
    apart(_fill_lake, own, inbox)
    return own


def last_day(seed: int) -> date:
    """Where the days that everything learns from end, and those that only judge begin."""
    return first_day(seed) + timedelta(days=PAST_DAYS)


def foreseen(seed: int, listeners: int, threads: int) -> Foresight:
    """Simulate a world's past again, for the truth about the days that judge."""
    say(f"seed {seed}: simulating the past again, for the truth")
    return foresee(
        last_day(seed),
        listeners=listeners,
        days=PAST_DAYS + TEST_DAYS,
        start=first_day(seed),
        seed=seed,
        threads=threads,
    )


def first_day(seed: int) -> date:
    """First day of a seed's world: seeds begin on different weekdays, and are judged on them."""
    return _FIRST_DAY + timedelta(days=seed % 7)


def _measure(settings: Settings, home: Path, seed: int, listeners: int) -> SeedFigures:
    settings, as_of = deployment(settings, home, seed, listeners), last_day(seed)
    about: dict[str, Any] = {"seed": seed, "listeners": listeners, "as_of": as_of.isoformat()}
    arrays: dict[str, npt.NDArray[Any]] = {}
    trainings = {name: _train(settings, name, as_of, seed) for name in MODELS}
    foresight = foreseen(seed, listeners, settings.n_threads)
    for name in MODELS:
        say(f"seed {seed}: judging {name} on the days from {as_of} on")
        about[name] = {"training": trainings[name]}
        judged = judge_model(settings, name, as_of, foresight)
        about[name] |= judged.about
        arrays |= {f"{name}/{key}": values for key, values in judged.arrays.items()}
        if get_model(name, settings).max_tenure_days is not None:
            cold = judge_cold(settings, name, as_of)
            arrays |= {f"{name} cold/{key}": values for key, values in cold.items()}
    return SeedFigures(about, arrays)


def _make_world(inbox: Path, seed: int, listeners: int, start: date, threads: int) -> None:
    generate(
        inbox,
        listeners=listeners,
        days=PAST_DAYS + TEST_DAYS,
        start=start,
        seed=seed,
        threads=threads,
        progress=False,
    )


def _fill_lake(settings: Settings, inbox: Path) -> None:
    ingest(settings, source=inbox)


def _train(settings: Settings, name: str, as_of: date, seed: int) -> dict[str, Any]:
    """Train on the normal path, unless a stopped run has done so already."""
    kept = challenge_folder(settings, name, as_of) / "bench-training.json"
    if not kept.exists():
        say(f"seed {seed}: training {name}")
        took = apart(train, settings, name, as_of)
        write_json(
            {
                "seconds": round(took.seconds, 1),
                "cpu_seconds": round(took.cpu_seconds, 1),
                "peak_mib": round(took.peak_mib),
                "outcome": took.value.outcome,
            },
            kept,
        )
    found: dict[str, Any] = read_json(kept)
    return found


def judge_model(
    settings: Settings, name: str, as_of: date, foresight: Foresight | None
) -> SeedFigures:
    """Judge the challenger of as_of on the label window that begins there.

    Parameters
    ----------
    settings : Settings
        The deployment, whose lake reaches beyond the window.
    name : str
        Name of the model.
    as_of : date
        What everything learned from ends here.
    foresight : Foresight or None
        The truth; without it the oracle is left out.

    Returns
    -------
    SeedFigures
        ``about`` and ``arrays`` of one model, without its name in front.
    """
    spec = get_model(name, settings)
    challenge, _ = read_challenge(settings, name, as_of)
    version = open_registry(settings).version(name, challenge.version or 0)
    model = load_fitted(version.manifest())
    info = ensure_snapshot(settings, as_of, writer="training")
    view, labels = SnapshotView(settings, info), read_labels(settings, spec, info)
    size = settings.shard_listeners

    read = as_read(settings, view.catalog, as_of)

    def judged(who: dict[str, Contender], spec: ModelSpec, beyond: bool) -> list[Result]:
        who = {name: read(one) for name, one in who.items()}
        return evaluate(who, spec, info, view.catalog, labels, size, beyond=beyond)

    oracle = None if foresight is None else Oracle(foresight, spec, TextIds.read(settings))
    results = judged(dict(_contenders(model, spec, oracle, settings.seed)), spec, True)
    arrays: dict[str, npt.NDArray[Any]] = {"listener": results[0].listeners}
    for result in results:
        arrays |= {f"{result.name}/{metric}": v for metric, v in result.metrics.items()}
    for kind, texts in results[0].segments.items():
        arrays[f"segments/{kind}"] = texts.astype(np.str_)
    sources: dict[str, Contender] = {
        source.name: by_source(spec, source, _RECALL_K) for source in model.sources
    }
    at_k = judged(
        {**sources, "union, by the ranker": contender(model)},
        replace(spec, metric_k=_RECALL_K),
        False,
    )
    every = judged({"union, all of it": contender(model)}, replace(spec, metric_k=_ALL), False)
    about = {
        "coverage": {r.name: r.coverage for r in results},
        "exposure_gini": {r.name: r.exposure_gini for r in results},
        "recall": {r.name: r.mean("recall") for r in (*at_k, *every)},
        "candidates": _mean_candidates(model, view),
        "n_catalog": len(results[0].exposure),
        "gate": dict(version.metrics),
    }
    return SeedFigures(about, arrays)


def _contenders(
    model: FittedModel, spec: ModelSpec, oracle: Oracle | None, seed: int
) -> Iterator[tuple[str, Contender]]:
    yield "model", contender(model)
    yield "baseline", lambda shard, rows: baseline_pairs(spec, shard, rows)
    if spec.by_daypart:
        yield "most recent", by_pair_column(spec, "days_since_last", -1.0)
        yield "most frequent", by_pair_column(spec, "n_plays")
    yield "random order", in_random_order(model, seed)
    if oracle is not None:
        yield "oracle", oracle
        yield "true order of the candidates", oracle.reorder(model)


def _mean_candidates(model: FittedModel, view: SnapshotView) -> float:
    n_pairs = n_listeners = 0
    for shard in view.shards():
        rows = model.spec.eligible(shard)
        n_listeners += len(rows)
        n_pairs += len(model.candidates(shard, rows))
    per_list = n_pairs / max(n_listeners, 1)
    return per_list / 4 if model.spec.by_daypart else per_list
