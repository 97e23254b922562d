import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from sqlalchemy.exc import OperationalError

from homerec.errors import HomerecError, RegistryError, TransientError
from homerec.registry.mlflow_client import make_client, translated, without_password


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MlflowException("busy", TEMPORARILY_UNAVAILABLE), TransientError),
        (MlflowException("no such thing", INVALID_PARAMETER_VALUE), RegistryError),
        (OperationalError("SELECT 1", {}, Exception("server closed")), TransientError),
    ],
)
def test_errors_say_whether_to_try_again(error: Exception, kind: type[HomerecError]) -> None:
    said = "while asking: (busy|no such thing|server closed)"
    with pytest.raises(kind, match=said) as caught, translated("asking"):
        raise error
    assert caught.value.__cause__ is error


def test_a_password_in_an_error_is_not_repeated() -> None:
    error = MlflowException("cannot use postgresql://ada:se:cret@host/db", INVALID_PARAMETER_VALUE)
    said = r"postgresql://ada:\*\*\*@host/db"
    with pytest.raises(RegistryError, match=said) as caught, translated("asking"):
        raise error
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_server_that_does_not_answer_fails_at_once() -> None:
    # Port 9 is the discard port, on which nothing listens here.
    with pytest.raises(TransientError, match=r"opening the registry at .*ada:\*\*\*@127"):
        make_client("postgresql+psycopg2://ada:secret@127.0.0.1:9/db?connect_timeout=2")


def test_an_address_is_shown_without_its_password() -> None:
    assert without_password("postgresql://ada:secret@host/db") == "postgresql://ada:***@host/db"
    assert without_password("http://host:5000") == "http://host:5000"
    assert without_password("mlruns") == "mlruns"
