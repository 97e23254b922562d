"""Running experiments: sharing changes nothing, nothing is computed twice, failures stay alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from homerec.errors import ExperimentError
from homerec.features.snapshot import ensure_snapshot
from homerec.lake import read_json, write_json
from homerec.models import get_model, model_names
from homerec.registry.bootstrap import paired_bootstrap
from homerec.registry.store import Registry
from homerec.settings import Settings
from homerec.training.challenge import contender
from homerec.training.evaluation import evaluate
from homerec.training.experiments import keys, pool
from homerec.training.experiments.cell import read_result
from homerec.training.experiments.keeping import Folders, Record, read_record, records
from homerec.training.experiments.planning import cells
from homerec.training.experiments.rendering import render
from homerec.training.fitting import Plan, SnapshotView, fit_model
from homerec.training.labels import read_labels
from homerec.training.segments import segment, segmentations
from support.experiments import FILE, plan, run
from support.lake import event, write_events

OWN = "support.own_metrics"


def test_segments_have_one_list_of_names(world: Settings, record: Record) -> None:
    view = SnapshotView(
        world, ensure_snapshot(world, plan(world).snapshots()[0], writer="training")
    )
    shard = next(view.shards())
    for spec in (None, *(get_model(name, world) for name in model_names())):
        assert tuple(segment(shard, np.arange(3), spec)) == segmentations(spec)


def test_a_configuration_is_fitted_and_judged_as_training_does(
    world: Settings, record: Record
) -> None:
    """The same figures come from the functions of `homerec train`, without this package."""
    experiment = plan(world)
    seeded = replace(world, seed=3)
    for one in experiment.configurations:
        windows = Plan.of(one.spec, experiment.validation[0])
        model, _ = fit_model(seeded, one.spec, windows)
        info = ensure_snapshot(seeded, windows.gate_date, writer="training")
        view, labels = SnapshotView(seeded, info), read_labels(seeded, one.spec, info)
        (expected,) = evaluate(
            {"x": contender(model)}, one.spec, info, view.catalog, labels, 20_000
        )
        (row,) = [r for r in record.rows if r.name == one.name]
        assert row.means["ndcg"] == expected.mean("ndcg")
        assert row.means["recall"] == expected.mean("recall")
        assert row.means["coverage"] == expected.coverage
        assert row.n_listeners == len(expected.listeners) > 50


def test_sharing_changes_no_figure(world: Settings, record: Record, copy: Settings) -> None:
    text = FILE.replace(
        "ranker.max_iter: [5, 40]",
        "als.factors: [4]\n  ranker.max_iter: [5, 40]\n  features.remove: [[], [tag_affinity]]",
    )
    with_it = run(copy, text, again=True)
    without = run(copy, text, again=True, share=False, jobs=2)
    assert [(r.name, r.means, r.against) for r in with_it.rows] == [
        (r.name, r.means, r.against) for r in without.rows
    ]
    assert len({r.means["ndcg"] for r in with_it.rows}) > 3
    # ALS, co-listening and starts, fitted anew for two ranker windows and the gate's: four dates of
    # two windows, of which each has three. With 4 factors only where that was tried.
    fits = [p for p in Folders.of(copy).stage1.iterdir() if p.is_dir()]
    assert len(fits) == 3 * 4 + 3 + (with_it.winner != "current")


def test_intervals_are_those_of_the_paired_bootstrap(world: Settings, record: Record) -> None:
    experiment = plan(world)
    found = cells(world, experiment, experiment.configurations, experiment.validation)
    folder = Folders.of(world).cells
    ours = read_result(folder, found["c002"][0].key)
    theirs = read_result(folder, found["baseline"][0].key)
    expected = paired_bootstrap(ours.metrics["ndcg"], theirs.metrics["ndcg"], seed=world.seed)
    (row,) = [r for r in record.rows if r.name == "c002"]
    assert row.against["baseline"] == expected
    assert "champion" not in row.against


def test_choice_and_judgement_lie_apart(record: Record) -> None:
    assert record.validation == [("2026-03-01", "2026-03-08")]
    assert record.test == ("2026-03-08", "2026-03-15")
    means = {r.name: r.means["ndcg"] for r in record.rows if r.name != "baseline"}
    assert record.winner == max(means, key=lambda name: means[name])
    assert {r.name for r in record.test_rows} == {"baseline", "current", record.winner}
    assert set(record.test_intervals) == {"baseline", "current", record.winner} - {record.winner}
    text = render(record)
    assert "3 configurations tried" in text
    assert "Chosen by ndcg on 2026-03-01 to before 2026-03-08 (validation" in text
    assert "judged once on 2026-03-08 to before 2026-03-15 (test" in text


def test_what_is_finished_is_never_computed_again(
    copy: Settings, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "run_cell", None)
    again = run(copy)
    assert (again.n_computed, again.n_kept) == (0, record.n_computed)
    assert again.rows == record.rows
    assert again.test_intervals == record.test_intervals


def test_only_what_is_new_is_computed(copy: Settings) -> None:
    more = run(copy, FILE.replace("[5, 40]", "[5, 40, 41]"))
    assert more.n_computed == 1 + (more.winner == "c003")
    assert more.n_configurations == 4


@pytest.mark.parametrize("what", ["code", "data", "seed"])
def test_a_result_is_of_its_code_data_and_seed(
    copy: Settings, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def every(settings: Settings, text: str = FILE) -> dict[str, str]:
        experiment = plan(settings, text)
        for day in experiment.snapshots():
            ensure_snapshot(settings, day, writer="training")
        found = cells(settings, experiment, experiment.configurations, experiment.validation)
        return {name: several[0].key for name, several in found.items()}

    before = every(copy)
    assert before == every(copy)
    text = FILE
    if what == "code":
        monkeypatch.setattr("homerec.training.experiments.planning.code_checksum", lambda: "other")
    elif what == "data":
        from homerec.lake import Lake

        late = [event(1, "2026-03-02T10:00", show=101)]
        write_events(Lake(copy.home), late, name="late")
    else:
        text = FILE.replace("seeds: [3]", "seeds: [4]")
    after = every(copy, text)
    same = {name for name in before if before[name] == after[name]}
    # A baseline has no seed.
    assert same == ({"baseline"} if what == "seed" else set())


def test_the_checksum_of_code_sees_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(keys.PACKAGE, tmp_path / "homerec", ignore=shutil.ignore_patterns("*.pyc"))
    monkeypatch.setattr(keys, "PACKAGE", tmp_path / "homerec")
    monkeypatch.setattr(
        keys, "__file__", str(tmp_path / "homerec" / "training" / "experiments" / "keys.py")
    )

    def now() -> str:
        keys.code_checksum.cache_clear()
        return keys.code_checksum()

    before = now()
    for name, counts in (
        ("ranking/boosting.py", True),
        ("candidates/als.py", True),
        ("training/experiments/cell.py", True),
        ("training/experiments/page.py", False),
        ("home/page.py", False),
    ):
        path = tmp_path / "homerec" / name
        text = path.read_text(encoding="utf-8")
        path.write_text(text + "\n# changed\n", encoding="utf-8")
        assert (now() != before) is counts, name
        path.write_text(text, encoding="utf-8")
    assert now() == before
    keys.code_checksum.cache_clear()


def test_a_failure_stays_alone_and_says_why(copy: Settings) -> None:
    text = FILE.replace("ranker.max_iter: [5, 40]", "als.min_listeners: [1000000, 2]")
    made = run(copy, text)
    assert made.status == "done"
    assert made.n_failed == 1
    (bad,) = [r for r in made.rows if r.error]
    assert (bad.name, bad.values) == ("c001", {"als.min_listeners": 1_000_000})
    assert "ALS needs 2 items" in bad.error
    assert made.rows[-1] is bad
    assert made.winner in ("c002", "current")
    # It is tried again next time, and nothing else is.
    assert run(copy, text).n_computed == 1


def test_when_all_fail_there_is_no_winner(copy: Settings) -> None:
    text = FILE.replace("ranker.max_iter: [5, 40]", "als.min_listeners: [999999, 1000000]")
    text = text.replace("seeds", "include_current: false\nseeds")
    with pytest.raises(ExperimentError, match=r"All 2 configurations of trees failed.*ALS needs"):
        run(copy, text)
    assert read_record(copy, "trees").status == "failed"


def test_a_damaged_record_is_named_and_hides_no_other(
    copy: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    run(copy, FILE)
    broken = Folders.of(copy).record("broken")
    broken.mkdir(parents=True)
    (broken / "experiment.json").write_text("{")
    assert "trees" in [one.name for one in records(copy, readable=True)]
    assert "broken/experiment.json cannot be read" in caplog.text
    with pytest.raises(ExperimentError, match=r"broken/experiment\.json cannot be read"):
        read_record(copy, "broken")


def test_a_damaged_result_is_named(copy: Settings) -> None:
    made = run(copy, FILE)
    folder = Folders.of(copy).cells / made.cell_keys[0]
    (folder / "values.npz").write_bytes(b"PK no zip")
    with pytest.raises(ExperimentError, match=rf"{made.cell_keys[0]} is damaged .*Remove that"):
        run(copy, FILE)
    shutil.rmtree(folder)
    assert run(copy, FILE).n_computed == 1


def test_weights_by_item_type_can_be_tried(copy: Settings) -> None:
    tried = FILE.replace("ranker.max_iter: [5, 40]", "starts.weights: [{artist: 0.5}, {song: 1}]")
    said = r"starts\.weights is .*song.*should be 'artist'"
    with pytest.raises(ExperimentError, match=said):
        plan(copy, tried)
    configurations = plan(copy, tried.replace("song: 1", "show: 1")).configurations
    assert [c.values.get("starts.weights") for c in configurations if c.values] == [
        {"artist": 0.5},
        {"show": 1},
    ]


def test_a_killed_process_is_its_configurations_failure(
    copy: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A metric that kills its process stands for the kernel that does so for memory."""
    module = tmp_path / "deadly.py"
    module.write_text(
        "import os, signal, numpy as np\n"
        "def kill(lists, k):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    text = FILE.replace("coverage]", "'deadly:kill']")
    with pytest.raises(ExperimentError, match="its process was killed"):
        run(copy, text, jobs=2)


def test_metrics_of_ones_own(copy: Settings) -> None:
    text = FILE.replace("coverage]", f"mrr, '{OWN}:first_hit', '{OWN}:reciprocal']")
    made = run(copy, text)
    for row in made.rows:
        assert row.means[f"{OWN}:reciprocal"] == pytest.approx(row.means["mrr"], abs=1e-12)
        assert 0 < row.means[f"{OWN}:first_hit"] < row.means["mrr"]
    # Such a metric may decide.
    first = FILE.replace("[ndcg, recall, coverage]", f"['{OWN}:first_hit', ndcg]")
    best = run(copy, first)
    means = {r.name: r.means[f"{OWN}:first_hit"] for r in best.rows if r.name != "baseline"}
    assert best.winner is not None
    assert means[best.winner] == max(means.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("breaks", "failed: ZeroDivisionError: nothing to divide by"),
        ("too_short", r"returned an array \(\d+,\) with 0 values that are no numbers; float64"),
        ("no_number", r"with \d+ values that are no numbers"),
    ],
)
def test_a_bad_metric_of_ones_own_is_named(copy: Settings, name: str, message: str) -> None:
    with pytest.raises(ExperimentError, match=message):
        run(copy, FILE.replace("coverage]", f"'{OWN}:{name}']"))


def test_seeds_are_averaged_and_windows_pooled(copy: Settings) -> None:
    text = FILE.replace("seeds: [3]", "seeds: [3, 4]").replace(
        "[2026-03-08]", "[2026-03-01, 2026-03-08]"
    )
    made = run(copy, text, jobs=2)
    experiment = plan(copy, text)
    found = cells(copy, experiment, experiment.configurations, experiment.validation)["c001"]
    assert [(str(c.as_of), c.seed) for c in found] == [
        ("2026-03-01", 3), ("2026-03-01", 4), ("2026-03-08", 3), ("2026-03-08", 4),
    ]  # fmt: skip
    each = [read_result(Folders.of(copy).cells, c.key).metrics["ndcg"] for c in found]
    pooled = np.concatenate([(each[0] + each[1]) / 2, (each[2] + each[3]) / 2])
    (row,) = [r for r in made.rows if r.name == "c001"]
    assert row.means["ndcg"] == pytest.approx(pooled.mean(), abs=1e-12)
    assert row.n_listeners < len(pooled)
    # A listener's windows are one unit of the bootstrap.
    assert row.against["baseline"].n == row.n_listeners


def test_looks_at_a_test_window_are_counted(copy: Settings) -> None:
    assert run(copy).earlier_looks == 0
    other = run(copy, FILE.replace("trees", "other").replace("[5, 40]", "[60, 80]"))
    same = other.winner == "current" and read_record(copy, "trees").winner == "current"
    assert other.earlier_looks == (0 if same else 1)
    folder = Folders.of(copy)
    seen = read_json(folder.looks)
    write_json([{**seen[0], "keys": ["another"]}, *seen], folder.looks)
    assert "looked at" in render(run(copy))


def test_runs_are_in_mlflow_once(copy: Settings, registry: Registry, record: Record) -> None:
    client = registry.client
    where = client.get_experiment_by_name("homerec-experiment-trees")
    runs = client.search_runs([where.experiment_id])
    parents = [r for r in runs if "mlflow.parentRunId" not in r.data.tags]
    (parent,) = parents
    assert parent.data.params["n_configurations"] == "3"
    assert parent.data.params["winner"] == record.winner
    names = {r.info.run_name: r for r in runs if r is not parent}
    assert set(names) == {"baseline", "current", "c001", "c002"}
    logged = names["c001"]
    assert logged.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert logged.data.params["ranker.max_iter"] == "5"
    (row,) = [r for r in record.rows if r.name == "c001"]
    assert logged.data.metrics["ndcg"] == row.means["ndcg"]
    assert logged.data.metrics["lift baseline low"] == row.against["baseline"].low
    files = {f.path for f in client.list_artifacts(parent.info.run_id)}
    assert files == {"report.html", "experiment.yaml"}
    run(copy, registry=registry)
    assert len(client.search_runs([where.experiment_id])) == len(runs)


def test_processes_are_bounded_by_memory_and_cores() -> None:
    assert pool.n_processes(cores=16, wanted=None, peak=1e9, free=8e9) == 4
    assert pool.n_processes(cores=2, wanted=None, peak=1e9, free=8e9) == 2
    assert pool.n_processes(cores=2, wanted=8, peak=1e9, free=80e9) == 8
    assert pool.n_processes(cores=16, wanted=8, peak=1e9, free=1e8) == 1
    assert pool.free_bytes() > 0


def test_alike_cells_stay_together_and_all_have_work(world: Settings, record: Record) -> None:
    text = FILE.replace(
        "ranker.max_iter: [5, 40]", "als.factors: [4, 5]\n  ranker.max_iter: [5, 6, 7, 8]"
    )
    experiment = plan(world, text)
    found = cells(world, experiment, experiment.configurations[1:], experiment.validation)
    every = sorted((c for n, s in found.items() for c in s if n != "baseline"), key=pool._order)
    two = pool.chunks(every, 2)
    factors = [{c.spec.sources[0].parameters["factors"] for c in piece} for piece in two]
    assert sorted(map(sorted, factors)) == [[4], [5]]
    # Four processes: none idles, none has two kinds.
    four = pool.chunks(every, 4)
    assert [len(piece) for piece in four] == [2, 2, 2, 2]
    assert sorted(c.key for piece in four for c in piece) == sorted(c.key for c in every)


def test_a_stopped_run_goes_on_and_leaves_no_process(copy: Settings) -> None:
    """A run in a process of its own is killed after its first fits; the next one does the rest."""
    text = FILE.replace("[5, 40]", "[100, 101, 102, 103, 104, 105, 106, 107]").replace(
        "trees", "killed"
    )
    code = (
        "import sys\nfrom pathlib import Path\nfrom homerec.settings import Settings\n"
        "from support.experiments import run\nfrom support.weeks import OVERRIDES\n"
        "if __name__ == '__main__':\n"
        "    run(Settings(home=Path(sys.argv[1]), models=OVERRIDES, threads=2,\n"
        "        memory_limit=sys.argv[3]), sys.argv[2], jobs=2)\n"
    )
    script = copy.home / "run.py"
    script.write_text(code, encoding="utf-8")
    paths = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    started = subprocess.Popen(
        [sys.executable, str(script), str(copy.home), text, copy.memory_limit],
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.PIPE,
    )
    folder = Folders.of(copy).cells
    before = len(list(folder.glob("*/cell.json")))
    deadline = time.monotonic() + 120
    while len(list(folder.glob("*/cell.json"))) < before + 2:
        assert started.poll() is None, started.stderr.read().decode()  # type: ignore[union-attr]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = _descendants(started.pid)
    assert read_record(copy, "killed").status == "running"
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert read_record(copy, "killed").status == "stopped"
    deadline = time.monotonic() + 20
    while any(_alive(pid) for pid in children):
        assert time.monotonic() < deadline, "processes are left behind"
        time.sleep(0.1)
    done = len(list(folder.glob("*/cell.json"))) - before
    made = run(copy, text)
    # The baseline and the model as it stands were finished by the fixture's run.
    assert 0 < made.n_computed <= 8 - done + 3
    assert made.n_computed + made.n_kept == 10 + len({"baseline", "current", made.winner})
    assert made.status == "done"


def _descendants(pid: int) -> list[int]:
    found = [int(p) for t in Path(f"/proc/{pid}/task").iterdir()
             for p in (t / "children").read_text().split()]  # fmt: skip
    return found + [inner for one in found for inner in _descendants(one)]


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_nothing_of_a_listener_is_in_what_people_read(copy: Settings, record: Record) -> None:
    folder = Folders.of(copy).record("trees")
    for name in ("experiment.json", "report.html"):
        text = (folder / name).read_text(encoding="utf-8")
        assert "listener-" not in text
    assert [r.name for r in records(copy)] == ["trees"]
