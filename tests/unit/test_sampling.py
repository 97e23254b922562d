import numpy as np
import pytest

from homerec.sampling import uniform

KEYS = np.arange(20_000)


def test_numbers_are_uniform_in_the_unit_interval() -> None:
    numbers = uniform(1, KEYS)
    assert numbers.dtype == np.float64
    assert ((numbers >= 0) & (numbers < 1)).all()
    counts, _ = np.histogram(numbers, bins=20, range=(0, 1))
    # 1,000 expected in each, with a standard deviation of 31.
    assert np.abs(counts - 1_000).max() < 150
    assert len(np.unique(numbers)) == len(numbers)
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.03


def test_a_number_depends_on_its_own_keys_alone() -> None:
    items = KEYS[::-1].copy()
    together = uniform(3, KEYS, items)
    order = np.random.default_rng(0).permutation(len(KEYS))
    np.testing.assert_array_equal(uniform(3, KEYS[order], items[order]), together[order])
    assert uniform(3, KEYS[7:8], items[7:8])[0] == together[7]


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_the_width_of_a_key_does_not_matter(dtype: type) -> None:
    keys = np.array([-1, 0, 5], dtype=dtype)
    np.testing.assert_array_equal(uniform(2, keys), uniform(2, keys.astype(np.int64)))


def test_seeds_and_the_order_of_keys_give_other_numbers() -> None:
    a, b = KEYS[:1_000], KEYS[1_000:2_000]
    draws = [uniform(1, a, b), uniform(2, a, b), uniform(1, b, a), uniform(1, a)]
    for i, left in enumerate(draws):
        for right in draws[i + 1 :]:
            assert abs(np.corrcoef(left, right)[0, 1]) < 0.15


def test_no_keys_have_no_numbers() -> None:
    assert uniform(1, np.zeros(0, dtype=np.int64)).shape == (0,)
