import numpy as np
import pytest

from homerec.bench.measuring import apart, peak_mib


def test_peak_memory_is_of_the_process_itself() -> None:
    # What this process holds must not count for the one it starts.
    held = np.ones(40_000_000)
    measured = apart(len, [1, 2])

    assert measured.value == 2
    assert 1 < measured.peak_mib < 300 < held.nbytes / 2**20 + 1
    assert peak_mib() > 300


def test_what_a_step_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        apart(int, "no number")
