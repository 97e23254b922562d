"""The report of the demo worlds: figures of all seeds pooled, as Markdown tables."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from homerec.bench.quality.demo_seed import SeedFigures
from homerec.bench.report import table
from homerec.registry.bootstrap import Interval, paired_bootstrap
from homerec.training.beyond import BEYOND
from homerec.training.metrics import METRICS, Doubles

#: Segments with fewer listeners, over all seeds, are not judged.
MIN_SEGMENT: Final = 200
#: Share of the oracle's NDCG that a model should reach.
ORACLE_SHARE: Final = 0.8

_SEED: Final = 1
_HEADINGS: Final = {
    "ndcg": "NDCG@10",
    "recall": "recall@10",
    "hit_rate": "hit rate@10",
    "mrr": "MRR@10",
    "novelty": "novelty, bits",
    "diversity": "diversity",
    "calibration_js": "JS to taste",
    "calibration_kl": "KL to taste",
}
#: Peers that a model must beat too, where they were measured.
_PEERS: Final = ("baseline", "most recent", "most frequent")
#: Printed last, in this order.
_LAST: Final = ("random order", "true order of the candidates", "oracle")


@dataclass(frozen=True)
class Lift:
    """A model against a peer, among some listeners.

    Attributes
    ----------
    where : str
        ``all``, or ``<kind>=<name>`` of a segment.
    n : int
        Listeners of all seeds.
    model, peer, oracle : float
        Mean NDCG.
    interval : Interval
        Of the difference to the peer.
    to_oracle : Interval
        Of model - 0.8 oracle: the target is surely reached where its lower bound is above 0.
    """

    where: str
    n: int
    model: float
    peer: float
    oracle: float
    interval: Interval
    to_oracle: Interval


def contender_names(name: str, figures: Sequence[SeedFigures]) -> list[str]:
    """Names of a model's contenders in the order of the tables."""
    keys = [key.split("/") for key in figures[0].arrays]
    found = list(
        dict.fromkeys(k[1] for k in keys if k[0] == name and len(k) == 3 and k[1] != "segments")
    )
    return [n for n in found if n not in _LAST] + [n for n in _LAST if n in found]


def pooled(name: str, contender: str, metric: str, figures: Sequence[SeedFigures]) -> Doubles:
    """Values of one contender over the listeners of all seeds, float64 (n,)."""
    parts = [one.arrays[f"{name}/{contender}/{metric}"] for one in figures]
    return np.concatenate(parts).astype(np.float64)


def lifts(name: str, peer: str, figures: Sequence[SeedFigures]) -> Iterator[Lift]:
    """Compare a model with a peer: over all listeners, then in each segment of 200 or more."""
    model, other, oracle = (pooled(name, who, "ndcg", figures) for who in ("model", peer, "oracle"))
    everybody = np.ones(len(model), dtype=np.bool_)
    chosen: list[tuple[str, npt.NDArray[np.bool_]]] = [("all", everybody)]
    kinds = [k.split("/")[2] for k in figures[0].arrays if k.startswith(f"{name}/segments/")]
    for kind in kinds:
        texts = np.concatenate([one.arrays[f"{name}/segments/{kind}"] for one in figures])
        for text in np.unique(texts):
            where = texts == text
            if where.sum() >= MIN_SEGMENT:
                chosen.append((f"{kind}={text}", where))
    for label, where in chosen:
        yield Lift(
            label,
            int(where.sum()),
            float(model[where].mean()),
            float(other[where].mean()),
            float(oracle[where].mean()),
            paired_bootstrap(model[where], other[where], seed=_SEED),
            paired_bootstrap(model[where], ORACLE_SHARE * oracle[where], seed=_SEED),
        )


def model_report(name: str, figures: Sequence[SeedFigures]) -> str:
    """Write one model's tables: metrics, lifts, candidates, training."""
    parts = [f"## {name}", _metrics_table(name, figures)]
    for peer in [p for p in _PEERS if p in contender_names(name, figures)]:
        rows = list(lifts(name, peer, figures))
        parts.append(_lift_table(peer, rows if peer == "baseline" else rows[:1]))
    if f"{name} cold/plays" in figures[0].arrays:
        parts.append(_cold_table(name, figures))
    parts += [_recall_table(name, figures), _training_table(name, figures)]
    return "\n\n".join(parts)


def targets(by_model: dict[str, Sequence[SeedFigures]]) -> str:
    """Say which targets were reached and which were missed, each with its figure."""
    rows = []
    for name, figures in by_model.items():
        for peer in [p for p in _PEERS if p in contender_names(name, figures)]:
            for number, lift in enumerate(lifts(name, peer, figures)):
                if number and peer != "baseline":
                    break
                rows.append(
                    (
                        f"{name} above {peer}, {lift.where}",
                        _interval(lift.interval),
                        "reached" if lift.interval.low > 0 else "MISSED",
                    )
                )
                if not number and peer == "baseline":
                    rows.append(_oracle_target(name, lift))
    missed = [row for row in rows if row[2] != "reached"]
    head = f"Targets: {len(rows) - len(missed)} of {len(rows)} reached."
    if not missed:
        return head
    return f"{head} Not reached:\n\n{table(('target', 'figure', ''), missed)}"


def _oracle_target(name: str, lift: Lift) -> tuple[str, str, str]:
    share = lift.model / lift.oracle
    said = "reached" if lift.to_oracle.low > 0 else "MISSED"
    if lift.to_oracle.low <= 0 < lift.to_oracle.mean:
        said = "reached, but not surely"
    return f"{name} at {ORACLE_SHARE:.0%} of the oracle", f"{share:.1%}", said


def _metrics_table(name: str, figures: Sequence[SeedFigures]) -> str:
    header = ["contender", *(_HEADINGS[m] for m in (*METRICS, *BEYOND))]
    header += ["coverage", "Gini of exposure", "share of the oracle"]
    best = float(pooled(name, "oracle", "ndcg", figures).mean())
    rows = []
    for who in contender_names(name, figures):
        means = {m: pooled(name, who, m, figures) for m in (*METRICS, *BEYOND)}
        cells = [f"{np.nanmean(v):.4f}" for v in means.values()]
        for key in ("coverage", "exposure_gini"):
            cells.append(f"{np.mean([one.about[name][key][who] for one in figures]):.3f}")
        rows.append([who, *cells, f"{means['ndcg'].mean() / best:.1%}"])
    n = len(pooled(name, "model", "ndcg", figures))
    days = figures[0].about[name]["n_catalog"]
    return f"{n:,} listeners with a hit; {days:,} items in the first catalog.\n\n" + table(
        header, rows
    )


def _lift_table(peer: str, rows: Sequence[Lift]) -> str:
    header = ("listeners", "n", "model", peer, "oracle", "difference [95%]", "model/oracle")
    cells = [
        (
            lift.where,
            f"{lift.n:,}",
            f"{lift.model:.4f}",
            f"{lift.peer:.4f}",
            f"{lift.oracle:.4f}",
            _interval(lift.interval) + ("" if lift.interval.low > 0 else " MISSED"),
            f"{lift.model / lift.oracle:.1%}" if lift.oracle else "-",
        )
        for lift in rows
    ]
    return f"NDCG@10 against {peer}:\n\n{table(header, cells)}"


def cold_lifts(
    name: str, figures: Sequence[SeedFigures]
) -> Iterator[tuple[str, int, float, float, Interval]]:
    """Compare a model with its baseline by plays so far, where the past of many is hidden.

    Yields
    ------
    str, int, float, float, Interval
        Plays so far, listeners with a hit, mean NDCG of model and baseline, their difference.
    """
    cold = f"{name} cold"
    model, base = (
        np.concatenate([one.arrays[f"{cold}/{who}/ndcg"] for one in figures])
        for who in ("model", "baseline")
    )
    plays = np.concatenate([one.arrays[f"{cold}/plays"] for one in figures])
    for group in np.unique(plays):
        where = plays == group
        yield (
            str(group),
            int(where.sum()),
            float(model[where].mean()),
            float(base[where].mean()),
            paired_bootstrap(model[where], base[where], seed=_SEED),
        )


def _cold_table(name: str, figures: Sequence[SeedFigures]) -> str:
    rows = [
        (
            plays,
            f"{n:,}" + ("" if n >= MIN_SEGMENT else f" (fewer than {MIN_SEGMENT})"),
            f"{model:.4f}",
            f"{base:.4f}",
            _interval(found) + ("" if found.low > 0 else " not surely better"),
        )
        for plays, n, model, base, found in cold_lifts(name, figures)
    ]
    header = ("plays so far", "n", "model", "baseline", "difference [95%]")
    title = (
        "NDCG@10 of new listeners by card plays so far; a third of them had their whole past "
        "hidden, a third all but one play:"
    )
    return f"{title}\n\n{table(header, rows)}"


def _recall_table(name: str, figures: Sequence[SeedFigures]) -> str:
    seeds: list[dict[str, Any]] = [one.about[name] for one in figures]
    rows = [
        (source, f"{np.mean([about['recall'][source] for about in seeds]):.4f}")
        for source in seeds[0]["recall"]
    ]
    mean = np.mean([about["candidates"] for about in seeds])
    title = f"Recall of the candidates at 100 (mean over seeds; the union has {mean:.0f} a list):"
    return f"{title}\n\n{table(('source', 'recall@100'), rows)}"


def _training_table(name: str, figures: Sequence[SeedFigures]) -> str:
    header = ("seed", "training, s", "CPU s", "peak MiB", "gate", "NDCG at the gate", "after it")
    rows = []
    for one in figures:
        about, took = one.about[name], one.about[name]["training"]
        rows.append(
            (
                str(one.about["seed"]),
                f"{took['seconds']:.0f}",
                f"{took['cpu_seconds']:.0f}",
                f"{took['peak_mib']:.0f}",
                str(took["outcome"]),
                f"{about['gate'].get('ndcg', float('nan')):.4f}",
                f"{one.arrays[f'{name}/model/ndcg'].mean():.4f}",
            )
        )
    return f"Training, each in a process of its own:\n\n{table(header, rows)}"


def _interval(found: Interval) -> str:
    return f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}]"
