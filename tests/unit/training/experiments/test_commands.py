"""The command: what it prints, its exit codes, what it keeps and removes."""

import json
from pathlib import Path

import numpy as np
import pytest

from homerec.cli import main
from homerec.cli.experiments import SOME_FAILED
from homerec.forget.parquet import purge_npz
from homerec.forget.targets import Targets
from homerec.registry.loading import open_registry
from homerec.settings import Settings
from homerec.training.challenge import make_challenger
from homerec.training.experiments import page
from homerec.training.experiments.cell import read_result
from homerec.training.experiments.keeping import Folders, Record, read_record
from support.experiments import FILE, run
from support.weeks import END, OVERRIDES


@pytest.fixture
def command(copy: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run the command over the copy, with the same models."""
    for name in ("HOMEREC_HOME", "HOMEREC_DATABASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    lines = [f"memory_limit = {json.dumps(copy.memory_limit)}", "threads = 2"]
    for name, over in OVERRIDES.items():
        lines += [f"[models.{name}.ranker_parameters]"]
        lines += [f"{k} = {v}" for k, v in over["ranker_parameters"].items()]
        for source, values in over.get("sources", {}).items():
            lines += [
                f"[models.{name}.sources.{source}]",
                *(f"{k} = {v}" for k, v in values.items()),
            ]
    config = tmp_path / "homerec.toml"
    config.write_text("\n".join(lines), encoding="utf-8")

    def call(*arguments: object) -> int:
        base = ["-q", "--config", str(config), "--home", str(copy.home), "experiment"]
        return main([*base, *map(str, arguments)])

    return call


def write(tmp_path: Path, text: str = FILE) -> Path:
    path = tmp_path / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_dry_run_shows_the_configurations_and_computes_nothing(
    command, copy: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Folders.of(copy).root.rglob("*"))
    file = write(tmp_path, FILE.replace("[5, 40]", "[7, 8, 9]").replace("trees", "dry"))
    assert command(file, "--dry-run") == 0
    out = capsys.readouterr().out
    assert "Experiment dry of podcasts: 4 configurations, 4 fits to compare them" in out
    assert "validation: 2026-03-01 to before 2026-03-08; seeds 3; ndcg decides" in out
    assert "test: 2026-03-08 to before 2026-03-15" in out
    assert "ranker.max_iter=9" in out
    assert sorted(Folders.of(copy).root.rglob("*")) == before


def test_what_was_run_is_listed_shown_and_removed(
    command, copy: Settings, record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--no-mlflow", "--jobs", "1", "--html", tmp_path / "r.html")
    assert command(write(tmp_path), *more) == 0
    printed = capsys.readouterr().out
    assert "0 fits made" in printed
    assert command("--list") == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("trees")]
    assert line.split()[1:6] == ["podcasts", "done", "3", "0", str(record.winner)]
    assert command("--show", "trees", "--html", tmp_path / "again.html") == 0
    assert "judged once on" in capsys.readouterr().out
    for name in ("r.html", "again.html"):
        html = (tmp_path / name).read_text(encoding="utf-8")
        assert "<svg" in html
        assert "ranker.max_iter" in html
        assert "http" not in html.replace("http://www.w3.org", "")
    assert command("--remove", "trees") == 0
    # The baseline and three configurations on validation; on test the baseline, what stands, and
    # the winner if it is another one.
    n = 4 + len({"baseline", "current", record.winner})
    assert f"with {n} results" in capsys.readouterr().out
    assert list(Folders.of(copy).cells.glob("*/cell.json")) == []
    assert command("--list") == 0
    assert "No experiment is kept" in capsys.readouterr().out
    assert command("--show", "trees") == 1
    assert "There is no experiment trees; kept are none" in capsys.readouterr().err


def test_results_that_another_one_uses_stay(copy: Settings) -> None:
    run(copy, FILE.replace("trees", "twin"))
    before = sorted(Folders.of(copy).cells.glob("*/cell.json"))
    from homerec.training.experiments.keeping import remove_record

    assert remove_record(copy, "twin") == 0
    assert sorted(Folders.of(copy).cells.glob("*/cell.json")) == before


def test_the_exit_code_says_that_some_failed(
    command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(
        tmp_path, FILE.replace("ranker.max_iter: [5, 40]", "als.min_listeners: [2, 1000000]")
    )
    assert command(file, "--no-mlflow", "--jobs", "1") == SOME_FAILED == 3
    assert "1 failed" in capsys.readouterr().out
    file = write(tmp_path, FILE.replace("[5, 40]", "[5, -1]"))
    assert command(file, "--no-mlflow") == 1
    assert "file.yaml:7: ranker.max_iter is -1: input should be" in capsys.readouterr().err
    file = write(tmp_path, FILE.replace("ranker", "rankr"))
    assert command(file, "--no-mlflow") == 1
    assert "file.yaml:7: rankr.max_iter is no parameter" in capsys.readouterr().err


def test_the_champion_is_judged_as_it_is_or_fitted_anew(copy: Settings, tmp_path: Path) -> None:
    """It was trained on labels until the test window: there it stands as it is."""
    from dataclasses import replace

    settings = replace(copy, mlflow_tracking_uri=f"sqlite:///{tmp_path}/mlflow.db", seed=3)
    made = make_challenger(settings, "podcasts", END)
    registry = open_registry(settings)
    assert made.version is not None
    registry.promote("podcasts", made.version, None, "me", "a test")
    record = run(settings, registry=registry)
    assert (
        "fitted anew before each window that its own labels (until 2026-03-08)" in record.champion
    )
    rows = {r.name: r for r in record.rows}
    # The same configuration, data and seed: the same result, under both names.
    assert rows["champion"].means == rows["current"].means
    assert rows["current"].against["champion"].mean == 0
    tested = {r.name: r for r in record.test_rows}
    assert tested["champion"].means["ndcg"] == made.metrics["ndcg"]
    assert tested["baseline"].means["ndcg"] == made.metrics["baseline_ndcg"]
    assert "champion" in record.test_intervals


def test_a_forgotten_listener_leaves_every_result(copy: Settings, record: Record) -> None:
    folder = Folders.of(copy).cells
    keys = read_record(copy, "trees").cell_keys
    judged = {key: read_result(folder, key) for key in keys}
    gone = int(judged[keys[0]].listener[0])
    for key in keys:
        purge_npz(folder / key / "values.npz", Targets(frozenset(), frozenset({gone})), apply=True)
        after = read_result(folder, key)
        n = len(judged[key].listener) - (gone in judged[key].listener)
        assert gone not in after.listener
        assert {len(v) for v in (*after.metrics.values(), *after.segments.values())} == {n}
        kept = judged[key].listener != gone
        np.testing.assert_array_equal(after.metrics["ndcg"], judged[key].metrics["ndcg"][kept])


def test_the_page_names_choice_and_judgement(record: Record) -> None:
    html = page.experiment_page(record).render()
    assert "which chose nothing" in html
    assert html.count("<svg") >= 2
    assert "3 configurations tried" in html
