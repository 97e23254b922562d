import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from homerec import errors
from homerec_airflow.errors import translated

# A tuple, not a set: pytest-xdist wants the same order of tests in every worker.
SURROUNDINGS = (errors.TransientError, errors.DatabaseError)
ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.HomerecError)
]


@pytest.mark.parametrize("kind", [k for k in ALL if k not in SURROUNDINGS])
def test_bad_data_and_configuration_are_not_tried_again(kind: type[Exception]) -> None:
    with pytest.raises(AirflowFailException, match=f"{kind.__name__}: what broke"), translated():
        raise kind("what broke")


@pytest.mark.parametrize("kind", [*SURROUNDINGS, OSError, MemoryError, AirflowSkipException])
def test_everything_else_passes_unchanged(kind: type[BaseException]) -> None:
    with pytest.raises(kind) as caught, translated():
        raise kind("what broke")
    assert type(caught.value) is kind
