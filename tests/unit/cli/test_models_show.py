"""What `homerec models show` prints of a version's figures."""

from homerec.cli.models import _figures

METRICS = {
    "ndcg": 0.25,
    "baseline_ndcg": 0.125,
    "novelty": 3.5,
    "n_listeners": 400.0,
    "segments/market/DE/n": 90.0,
    "segments/market/DE/ndcg": 0.3,
    "segments/market/DE/baseline_ndcg": 0.2,
}


def test_figures_stand_beside_the_baselines_and_by_segment() -> None:
    overall, segments = _figures(METRICS)
    lines = {line.split()[0]: line.split()[1:] for line in overall.splitlines()}
    assert lines["ndcg"] == ["0.2500", "0.1250"]
    # A figure that the baseline has not is marked, not left out.
    assert lines["novelty"] == ["3.5000", "-"]
    assert "segments" not in overall
    (row,) = [line for line in segments.splitlines() if line.startswith("market=DE")]
    assert row.split() == ["market=DE", "90", "0.3000", "0.2000"]


def test_a_version_from_before_segments_has_one_table() -> None:
    assert len(_figures({"ndcg": 0.25, "baseline_ndcg": 0.1})) == 1
