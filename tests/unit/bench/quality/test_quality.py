"""The quality benchmark: its command, its report on figures made by hand, its cache."""

from pathlib import Path

import numpy as np
import pytest

from homerec.bench.quality import command, demo, demo_seed
from homerec.bench.quality.command import Options, main
from homerec.bench.quality.demo_report import cold_lifts, lifts, model_report, targets
from homerec.bench.quality.demo_seed import MODELS, SeedFigures, figures_key, first_day
from homerec.errors import HomerecError
from homerec.settings import Settings
from homerec.training.beyond import BEYOND
from homerec.training.metrics import METRICS

N = 300
#: Mean NDCG of each contender.
GOOD = {"model": 0.45, "baseline": 0.3, "random order": 0.05, "oracle": 0.5}


def figures(seed: int, ndcg: dict[str, float]) -> SeedFigures:
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    about: dict[str, object] = {"seed": seed, "listeners": 2000, "as_of": "2026-03-02"}
    for name in MODELS:
        who = dict(ndcg)
        if name == "shortcuts":
            who |= {"most recent": 0.2, "most frequent": 0.25}
        luck = rng.normal(0, 0.02, N)
        for contender, mean in who.items():
            for metric in (*METRICS, *BEYOND):
                arrays[f"{name}/{contender}/{metric}"] = mean + luck + rng.normal(0, 0.01, N)
        arrays[f"{name}/segments/market"] = np.where(np.arange(N) < 120, "DE", "US")
        arrays[f"{name}/listener"] = np.arange(N)
        about[name] = {
            "training": {"seconds": 9.0, "cpu_seconds": 8.0, "peak_mib": 400, "outcome": "promote"},
            "coverage": dict.fromkeys(who, 0.5),
            "exposure_gini": dict.fromkeys(who, 0.6),
            "recall": {"als": 0.8, "union, all of it": 0.9},
            "candidates": 130.0,
            "n_catalog": 250,
            "gate": {"ndcg": 0.44},
        }
    return SeedFigures(about, arrays)


def test_segments_are_pooled_over_seeds_before_they_are_judged() -> None:
    one, two = [figures(1, GOOD)], [figures(s, GOOD) for s in (1, 2)]
    assert [lift.where for lift in lifts("podcasts", "baseline", one)] == ["all"]
    found = list(lifts("podcasts", "baseline", two))
    assert [(lift.where, lift.n) for lift in found] == [
        ("all", 600), ("market=DE", 240), ("market=US", 360),
    ]  # fmt: skip
    for lift in found:
        assert lift.interval.low < 0.15 < lift.interval.high or lift.interval.mean == pytest.approx(
            0.15, abs=0.01
        )
        assert lift.model / lift.oracle == pytest.approx(0.9, abs=0.02)


def test_a_model_that_reaches_everything_is_said_to() -> None:
    both = [figures(s, GOOD) for s in (1, 2)]
    said = targets({name: both for name in MODELS})
    # Each model: three lifts and the oracle; shortcuts also beats two more peers.
    assert said == "Targets: 14 of 14 reached."


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"baseline": 0.45}, "podcasts above baseline, all"),
        ({"oracle": 0.7}, "podcasts at 80% of the oracle"),
    ],
)
def test_what_is_missed_is_named_with_its_figure(changed: dict, missed: str) -> None:
    both = [figures(s, GOOD | changed) for s in (1, 2)]
    said = targets({"podcasts": both})
    (line,) = [row for row in said.splitlines() if missed in row]
    assert "MISSED" in line
    assert any(character.isdigit() for character in line.replace(missed, ""))


def test_the_report_has_every_contender_and_figure() -> None:
    text = model_report("shortcuts", [figures(1, GOOD)])
    for wanted in ("model", "baseline", "most recent", "most frequent", "random order", "oracle",
                   "NDCG@10", "novelty, bits", "JS to taste", "Gini of exposure", "recall@100",
                   "| 9 ", "promote", "90."):  # fmt: skip
        assert wanted in text, wanted


def options(tmp_path: Path) -> Options:
    return Options(Settings(home=tmp_path), tmp_path / "work", seeds=(1, 2), listeners=2000)


def test_a_finished_seed_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def measure(settings: Settings, home: Path, seed: int, listeners: int) -> SeedFigures:
        home.mkdir(parents=True)
        measured.append((seed, listeners))
        return figures(seed, GOOD)

    monkeypatch.setattr(demo_seed, "_measure", measure)
    first = demo.run_demo(options(tmp_path))
    again = demo.run_demo(options(tmp_path))
    assert measured == [(1, 2000), (2, 2000)]
    assert first.partition("## podcasts")[2] == again.partition("## podcasts")[2]
    assert "seeds 1, 2" in first
    assert not list((tmp_path / "work").glob("*.deployment"))


def test_figures_are_kept_by_code_and_parameters() -> None:
    plain = Settings()
    key = figures_key(plain, 1, 2000)
    assert key == figures_key(Settings(threads=1), 1, 2000)
    changed = Settings(models={"podcasts": {"negatives": 3}})
    keys = {key, figures_key(plain, 2, 2000), figures_key(plain, 1, 2001)}
    assert len(keys | {figures_key(changed, 1, 2000)}) == 4


def test_seeds_are_judged_on_different_weekdays() -> None:
    assert len({first_day(seed).weekday() for seed in command.SEEDS}) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["speed"], "no part speed; known are demo"),
        (["--listeners", "10"], "--listeners 10, at least 500 are needed"),
        (["--source", "als"], "--source is for tuning"),
        (["--seeds", "7", "7"], "--seeds 7 7 has a seed twice"),
        (["tuning"], "tuning needs --experiment FILE.yaml"),
        (["demo", "--experiment", "x.yaml"], "and nothing else does"),
        (
            ["tuning", "--experiment", "x.yaml", "--seeds", "11", "103"],
            "seeds 103 are kept for the final figures",
        ),
    ],
)
def test_wrong_arguments_say_what_is_allowed(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_a_part_that_fails_does_not_stop_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(options: Options) -> str:
        raise HomerecError(f"no data in {options.work}")

    parts = {"first": broken, "second": lambda options: "figures"}
    monkeypatch.setattr(command, "PARTS", dict.fromkeys(parts, "module:function"))
    monkeypatch.setattr(command, "part", parts.__getitem__)
    assert main(["--work", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert "figures" in said.out
    assert f"first: FAILED, HomerecError: no data in {tmp_path}" in said.err


def test_new_listeners_are_told_apart_by_plays_so_far() -> None:
    one = figures(1, GOOD)
    rng = np.random.default_rng(5)
    one.arrays["playlists cold/plays"] = np.repeat(["0", "1-4", "5+"], [250, 220, 30])
    one.arrays["playlists cold/baseline/ndcg"] = rng.random(500)
    better = np.repeat([0.2, 0.0, 0.2], [250, 220, 30])
    noise = rng.normal(0, 0.1, 500)
    one.arrays["playlists cold/model/ndcg"] = (
        one.arrays["playlists cold/baseline/ndcg"] + better + noise - noise.mean()
    )
    found = {group: (n, interval) for group, n, _, _, interval in cold_lifts("playlists", [one])}
    assert {group: n for group, (n, _) in found.items()} == {"0": 250, "1-4": 220, "5+": 30}
    assert found["0"][1].low > 0.15
    assert found["1-4"][1].low < 0 < found["1-4"][1].high
    text = model_report("playlists", [one])
    assert text.count("not surely better") == 1
    assert "| 5+           | 30 (fewer than 200) |" in text
    assert "plays so far" not in model_report("podcasts", [one])
