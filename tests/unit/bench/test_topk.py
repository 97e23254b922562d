from homerec.bench.topk import Sizes, measure


def test_top_k_gives_the_same_items_as_implicit() -> None:
    found = measure(Sizes(listeners=300, items=400, factors=16, k=20, seen=15), 3, 1)

    assert found.equal_ratio >= 0.999
    assert found.ours > 0
    assert found.naive > 0
