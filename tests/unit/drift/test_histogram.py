import json

import numpy as np
import pytest

from homerec.drift.histogram import FeatureHistogram, Histograms, count, freeze, merge
from homerec.errors import ArtifactError, EmptyInput

RNG = np.random.default_rng(3)


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def test_a_feature_with_few_values_is_counted_by_value() -> None:
    frozen = freeze(column(0, 0, 2, 2, 2, np.nan), ["clicks"])
    assert frozen.features["clicks"].bins() == {"0.0": 2, "2.0": 3, "other": 0, "missing": 1}
    now = count(frozen, column(0, 1, 2, np.nan, np.nan, np.inf), ["clicks"])
    assert now.features["clicks"].bins() == {"0.0": 1, "2.0": 1, "other": 2, "missing": 2}


def test_a_numeric_feature_is_cut_at_its_quantiles() -> None:
    values = RNG.normal(size=(10_000, 1)).astype(np.float32)
    feature = freeze(values, ["score"], bins=20).features["score"]
    assert feature.kind == "numeric"
    assert len(feature.edges) == 21
    assert feature.edges[0] == values.min()
    assert feature.edges[-1] == values.max()
    assert feature.counts[0] == feature.counts[-2] == feature.counts[-1] == 0
    assert all(480 <= c <= 520 for c in feature.counts[1:-2])


def test_what_lies_outside_the_frozen_edges_is_underflow_and_overflow() -> None:
    values = np.arange(100, dtype=np.float32)[:, None]
    frozen = freeze(values, ["score"], bins=2)
    assert frozen.features["score"].labels() == (
        "< 0.0",
        "[0.0, 50.0)",
        "[50.0, 99.0]",
        "> 99.0",
        "missing",
    )
    now = count(frozen, column(-1, -np.inf, 0, 49.9, 50, 99, 99.1, np.inf, np.nan), ["score"])
    assert now.features["score"].counts == (2, 2, 2, 2, 1)


def test_a_heavy_value_makes_one_edge_and_no_empty_range() -> None:
    values = np.concatenate([np.zeros(900), RNG.random(100) + 0.1]).astype(np.float32)
    feature = freeze(values[:, None], ["plays"], bins=10).features["plays"]
    assert feature.kind == "numeric"
    assert feature.edges[0] == 0
    assert feature.counts[1] >= 900
    assert sum(feature.counts) == 1_000


def test_nearly_as_many_values_as_rows_is_no_category() -> None:
    assert freeze(np.arange(20.0)[:, None], ["x"]).features["x"].kind == "numeric"
    assert freeze(np.repeat(np.arange(10.0), 2)[:, None], ["x"]).features["x"].kind == "discrete"
    assert freeze(np.repeat(np.arange(32.0), 9)[:, None], ["x"]).features["x"].kind == "discrete"
    assert freeze(np.repeat(np.arange(33.0), 9)[:, None], ["x"]).features["x"].kind == "numeric"


def test_a_constant_and_an_empty_feature_have_their_bins() -> None:
    frozen = freeze(np.array([[7, np.nan]] * 3), ["constant", "absent"])
    assert frozen.features["constant"].bins() == {"7.0": 3, "other": 0, "missing": 0}
    assert frozen.features["absent"].bins() == {"other": 0, "missing": 3}
    now = count(frozen, np.array([[8, 1], [7, np.nan]]), ["constant", "absent"])
    assert now.features["constant"].bins() == {"7.0": 1, "other": 1, "missing": 0}
    assert now.features["absent"].bins() == {"other": 1, "missing": 1}


def test_the_rows_that_were_frozen_count_to_the_same_numbers() -> None:
    values = RNG.choice([0.1, 0.2, np.nan], size=(300, 4)) * RNG.integers(1, 40, size=(300, 4))
    names = list("abcd")
    frozen = freeze(values, names)
    assert count(frozen, values, names) == frozen


def test_columns_are_found_by_name() -> None:
    values = RNG.random((500, 2))
    frozen = freeze(values, ["a", "b"])
    now = count(
        frozen, np.column_stack([values[:, 1], values[:, 0], values[:, 0]]), ["b", "a", "c"]
    )
    assert now.features == frozen.features
    assert now.extra == ("c",)
    part = count(frozen, values[:, 1:], ["b"])
    assert list(part.features) == ["b"]


def test_shards_add_up_to_the_whole() -> None:
    values = RNG.random((900, 3))
    frozen = freeze(values, list("abc"), label="training")
    parts = [count(frozen, values[i::4], list("abc"), label="tonight") for i in range(4)]
    assert merge(parts) == count(frozen, values, list("abc"), label="tonight")


def test_histograms_on_other_edges_do_not_add_up() -> None:
    one, other = freeze(RNG.random((90, 1)), ["a"]), freeze(RNG.random((90, 1)), ["a"])
    with pytest.raises(ArtifactError, match="different features or edges"):
        merge([one, other])
    with pytest.raises(EmptyInput, match="no shard was counted"):
        merge([])


def test_json_keeps_every_bit() -> None:
    frozen = freeze(RNG.normal(size=(400, 2)), ["a", "b"], label="2026-03-08 (champion v7)")
    assert Histograms.from_json(frozen.to_json()) == frozen


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', "null"])
def test_a_damaged_file_is_refused(text: str) -> None:
    with pytest.raises(ArtifactError, match=r"cannot be read|format 2, 1 can be read"):
        Histograms.from_json(text)


def test_counts_that_do_not_fit_their_edges_are_refused() -> None:
    stored = json.loads(freeze(RNG.random((90, 1)), ["a"]).to_json())
    stored["features"]["a"]["counts"].pop()
    with pytest.raises(ArtifactError, match="21 edges has 22 counts, 23 are needed"):
        Histograms.from_json(json.dumps(stored))
    with pytest.raises(ArtifactError, match="negative count"):
        FeatureHistogram("discrete", (1.0,), (-1, 0, 0))
    with pytest.raises(ArtifactError, match="two edges"):
        FeatureHistogram("numeric", (1.0,), (1, 0, 0))


def test_no_rows_are_an_error() -> None:
    with pytest.raises(EmptyInput, match=r"\(0, 1\)"):
        freeze(np.zeros((0, 1)), ["a"])
    with pytest.raises(EmptyInput, match="tonight"):
        count(freeze(column(1, 1), ["a"]), np.zeros((0, 1)), ["a"], label="tonight")


def test_names_must_fit_the_columns() -> None:
    with pytest.raises(ArtifactError, match="f distinct names"):
        freeze(column(1, 2), ["a", "b"])
    with pytest.raises(ArtifactError, match="f distinct names"):
        freeze(np.zeros((2, 2)), ["a", "a"])
    with pytest.raises(ArtifactError, match="at least 2 bins"):
        freeze(column(1, 2), ["a"], bins=1)


def test_labels_are_distinct_for_neighbouring_floats() -> None:
    low = np.float32(1)
    edges = [low]
    for _ in range(5):
        edges.append(np.nextafter(edges[-1], np.float32(2)))
    feature = FeatureHistogram("numeric", tuple(float(e) for e in edges), (1,) * 8)
    assert len(feature.bins()) == 8
