import time

import numpy as np
import pytest

from homerec.bench.measuring import Stopwatch, apart, peak_mib


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


def test_a_stopwatch_gives_each_line_the_time_up_to_the_next() -> None:
    watch = Stopwatch()
    watch.say("sleeping")
    time.sleep(0.2)
    watch.say("working")
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    spans = watch.stop()
    assert [span.what for span in spans] == ["start", "sleeping", "working"]
    assert spans[0].seconds < 0.1
    assert spans[1].seconds >= 0.2 > 0.1 > spans[1].cpu_seconds
    assert spans[2].cpu_seconds >= 0.2
    assert all(span.peak_mib > 10 for span in spans)
