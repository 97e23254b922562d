import pytest

from homerec.drift.distance import chebyshev
from homerec.errors import EmptyInput


# After the cases of TensorFlow Data Validation's L-infinity comparator, with the sides flipped too.
@pytest.mark.parametrize(
    ("p", "q", "value", "moved"),
    [
        ({"a": 1, "b": 2, "c": 7}, {"a": 2, "b": 4, "c": 14}, 0.0, "a"),
        ({"a": 8, "b": 92}, {"a": 30, "b": 70}, 0.22, "a"),
        ({"a": 1}, {"b": 1}, 1.0, "a"),
        ({"a": 3, "b": 1}, {"a": 1, "b": 1, "c": 2}, 0.5, "a"),
        ({"a": 1, "b": 1}, {"a": 1, "b": 1, "c": 6}, 0.75, "c"),
        ({"a": 0, "b": 5}, {"b": 5}, 0.0, "a"),
    ],
)
def test_the_largest_difference_of_one_share(
    p: dict[str, int], q: dict[str, int], value: float, moved: str
) -> None:
    found = chebyshev(p, q)
    assert found.value == pytest.approx(value)
    assert found.bin == moved
    assert chebyshev(q, p).value == pytest.approx(value)
    total_p, total_q = sum(p.values()), sum(q.values())
    assert found.reference_share == pytest.approx(p.get(moved, 0) / total_p)
    assert found.current_share == pytest.approx(q.get(moved, 0) / total_q)


@pytest.mark.parametrize(
    ("p", "q", "side"),
    [({}, {"a": 1}, "reference"), ({"a": 1}, {}, "current"), ({"a": 0}, {"a": 1}, "reference")],
)
def test_an_empty_window_is_an_error(p: dict[str, int], q: dict[str, int], side: str) -> None:
    with pytest.raises(EmptyInput, match=f"The {side} window counts 0"):
        chebyshev(p, q)
