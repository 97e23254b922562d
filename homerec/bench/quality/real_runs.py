"""Both stages on real data against tuned peers: ``lastfm`` (at random) and ``amazon`` (by time)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from homerec.bench.quality.peer_search import RECTOOLS, Search
from homerec.bench.quality.peers import Config
from homerec.bench.quality.protocol import Split
from homerec.bench.quality.real_compare import METRICS, Scoreboard
from homerec.bench.quality.real_data import (
    AMAZON,
    LASTFM,
    RandomSplit,
    random_split,
    read_amazon,
    read_lastfm,
    timed_split,
)
from homerec.bench.quality.real_kept import kept_stages
from homerec.bench.quality.real_lake import FIRST_DAY, PART_DAYS, RealLake, amazon_lake, lastfm_lake
from homerec.bench.quality.real_specs import amazon_spec, lastfm_spec
from homerec.bench.quality.real_stages import Staged, run_stages
from homerec.models.spec import ModelSpec
from homerec.ranking.base import Ranker
from homerec.ranking.boosting import BoostingRanker
from homerec.ranking.logistic import LogisticRanker
from homerec.settings import Settings

Progress = Callable[[str], None]

SEEDS: Final = (0, 1, 2, 3, 4)
ORIGINS: Final = tuple(date(year, 1, 1) for year in range(2013, 2018))
_MAIN_ORIGIN: Final = date(2016, 1, 1)
#: Everything is tuned on what was taken up in the year before the main origin.
_TUNED_AT: Final = date(2015, 1, 1)
OURS: Final = "homerec, both stages"
_LASTFM_PEERS: Final = ("item-kNN", "EASE", "implicit ALS", RECTOOLS)
_AMAZON_PEERS: Final = ("recent popularity", *_LASTFM_PEERS)
#: Settings of the reference figures, untuned: validation on one year may have chosen worse ones.
_REFERENCE: Final[dict[str, Config]] = {
    "recent popularity": {"mean_life_days": 180.0},
    "EASE": {"l2": 200.0},
    "implicit ALS": {
        "weights": "ones", "factors": 64, "regularization": 1.0, "alpha": 10.0, "iterations": 20
    },
}  # fmt: skip


@dataclass
class RealReport:
    """What was measured on one data set.

    Attributes
    ----------
    title : str
    board : Scoreboard
        Every contender on every split.
    peers : list of str
        Tuned peers.
    splits : list of str
        Name of each split of the board.
    configs : dict of str to dict
        Configuration of each peer.
    recall : list of dict of str to float
        recall@100 of stage 1 on each split, by source.
    main_split : int or None
        A split that is also judged on its own.
    """

    title: str
    peers: list[str]
    main_split: int | None = None
    board: Scoreboard = field(default_factory=Scoreboard.empty)
    splits: list[str] = field(default_factory=list)
    configs: dict[str, Config] = field(default_factory=dict)
    recall: list[dict[str, float]] = field(default_factory=list)

    def render(self) -> str:
        """Write for people."""
        best = {metric: self.board.best(self.peers, metric) for metric in METRICS}
        lines = [self.title, "", self.board.table(), "", "peers, as tuned on validation"]
        lines += [f"  {name}: {config}" for name, config in self.configs.items()]
        lines += ["", f"{OURS} against the best peer, 95% interval, whole listeners drawn"]
        rankers = [name for name in self.board.values if name.startswith("homerec")]
        for metric in METRICS:
            for name in rankers:
                found = self.board.gap(name, best[metric], metric)
                lines.append(f"  {metric}@20, {name} against {best[metric]}: {found}")
        for other in (name for name in rankers if name != OURS):
            lines.append(
                f"  ndcg@20, {OURS} against {other}: {self.board.gap(OURS, other, 'ndcg')}"
            )
        lines += ["", "ndcg@20 on each split"]
        for at, name in enumerate(self.splits):
            found = self.board.gap(OURS, best["ndcg"], "ndcg", at)
            mark = " (main)" if at == self.main_split else ""
            lines.append(f"  {name}{mark}: {found}")
        lines += ["", "stage 1, recall@100, mean of the splits"]
        for name in self.recall[0]:
            lines.append(f"  {name:<16}{np.mean([one[name] for one in self.recall]):.4f}")
        return "\n".join(lines)


def run_lastfm(
    settings: Settings, data: Path, work: Path, progress: Progress, seeds: tuple[int, ...] = SEEDS
) -> RealReport:
    """Measure on lastfm-2k: a fifth of the pairs held out at random, once for each seed.

    Parameters
    ----------
    settings : Settings
        Threads and memory of the deployment.
    data : Path
        Folder that holds ``lastfm-2k``.
    work : Path
        Folder of what is kept between runs.
    progress : callable
        Receives one line per step.
    seeds : tuple of int
        One split each; peers are tuned on the validation pairs of the first.

    Raises
    ------
    EmptyInput
        The data are not there.
    PeerError
        RecTools cannot be run.
    """
    source = data / LASTFM
    pairs = read_lastfm(source)
    search = Search(work / "peers", progress)
    validation = random_split(
        pairs,
        RandomSplit.draw(len(pairs), seeds[0]),
        f"{LASTFM}-{seeds[0]}-validation",
        validation=True,
    )
    title = f"{LASTFM}: {len(pairs):,} pairs, a fifth held out at random, seeds {list(seeds)}"
    report = RealReport(title, list(_LASTFM_PEERS))
    report.configs = {name: search.best(name, validation) for name in _LASTFM_PEERS}
    spec = lastfm_spec(settings)
    origin = FIRST_DAY + timedelta(days=2 * PART_DAYS)
    for seed in seeds:
        drawn = RandomSplit.draw(len(pairs), seed)
        split = random_split(pairs, drawn, f"{LASTFM}-{seed}")

        def lake(drawn: RandomSplit = drawn, seed: int = seed) -> RealLake:
            return lastfm_lake(settings, source, pairs, drawn, work / f"lake-{LASTFM}-{seed}")

        staged = _ours(work, spec, origin, split, lake, progress)
        _judge(report, split, search, staged)
    return report


def run_amazon(
    settings: Settings,
    data: Path,
    work: Path,
    progress: Progress,
    origins: tuple[date, ...] = ORIGINS,
) -> RealReport:
    """Measure on amazon-digital-music: known before an origin, to be found after it.

    Parameters
    ----------
    settings : Settings
        Threads and memory of the deployment.
    data : Path
        Folder that holds ``amazon-digital-music``.
    work : Path
        Folder of what is kept between runs.
    progress : callable
        Receives one line per step.
    origins : tuple of date
        One split each; all are pooled.

    Raises
    ------
    EmptyInput
        The data are not there.
    PeerError
        RecTools cannot be run.
    """
    source = data / AMAZON
    pairs = read_amazon(source)
    search = Search(work / "peers", progress)
    validation = timed_split(pairs, _TUNED_AT, _MAIN_ORIGIN)
    title = f"{AMAZON}: {len(pairs):,} pairs, origins {', '.join(map(str, origins))}"
    main = origins.index(_MAIN_ORIGIN) if _MAIN_ORIGIN in origins else None
    report = RealReport(title, list(_AMAZON_PEERS), main)
    report.configs = {name: search.best(name, validation) for name in _AMAZON_PEERS}
    spec = amazon_spec(settings)
    for origin in origins:
        split = timed_split(pairs, origin)

        def lake() -> RealLake:
            return amazon_lake(settings, source, pairs, work / f"lake-{AMAZON}")

        staged = _ours(work, spec, origin, split, lake, progress)
        _judge(report, split, search, staged, _REFERENCE)
    report.peers += [f"{name}, reference" for name in _REFERENCE]
    return report


def _ours(
    work: Path,
    spec: ModelSpec,
    origin: date,
    split: Split,
    lake: Callable[[], RealLake],
    progress: Progress,
) -> Staged:
    rankers: dict[str, Ranker] = {
        "default boosting": BoostingRanker(seed=0),
        "linear": LogisticRanker(c=0.1),
    }
    if spec.ranker == LogisticRanker.name:
        del rankers["linear"]

    def compute() -> Staged:
        progress(f"{OURS} on {split.name}")
        built = lake()
        # Threads of OpenMP that wait for a core cost more than they give.
        with threadpool_limits(limits=built.settings.n_threads):
            return run_stages(built, spec, origin, split, rankers, progress)

    return kept_stages(work, split.name, spec, rankers, compute)


def _judge(
    report: RealReport,
    split: Split,
    search: Search,
    staged: Staged,
    reference: dict[str, Config] | None = None,
) -> None:
    lists = {OURS if at == 0 else f"homerec, {name} ranker": top
             for at, (name, top) in enumerate(staged.lists.items())}  # fmt: skip
    for name, config in {"popularity": {}, **report.configs}.items():
        lists[name] = search.tops(name, split, [config])[0]
    for name, config in (reference or {}).items():
        lists[f"{name}, reference"] = search.tops(name, split, [config])[0]
    report.board.add(split.eligible, {name: split.judge(top) for name, top in lists.items()})
    report.splits.append(split.name)
    report.recall.append(staged.recall)


def bench_settings(settings: Settings) -> Settings:
    """Return settings with one thread, without the deployment's own models and database."""
    return replace(
        settings, threads=1, models={}, database_url=None, mlflow_tracking_uri=None,
        history_days=None,
    )  # fmt: skip
