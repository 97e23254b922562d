"""Checks of the parameters that sources and rankers take: what their signatures say, at a call."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError, validate_call

F = TypeVar("F", bound=Callable[..., None])

#: A whole number of at least 1.
Count = Annotated[int, Field(ge=1, strict=True)]
#: A whole number of at least 0.
Number = Annotated[int, Field(ge=0, strict=True)]
#: Leaves of a tree.
Leaves = Annotated[int, Field(ge=2, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
#: Any whole number; a seed.
Whole = Annotated[int, Field(strict=True)]
Positive = Annotated[float, Field(gt=0, strict=True, allow_inf_nan=False)]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, strict=True, allow_inf_nan=False)]
#: In (0, 1).
Ratio = Annotated[float, Field(gt=0, lt=1, strict=True)]
#: In [0, 1].
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
ItemType = Literal["artist", "album", "playlist", "show"]


def checked(init: F) -> F:
    """Check the arguments of an ``__init__`` against its annotations.

    What does not fit is a pydantic ValidationError, which :func:`complaint` writes for people.
    """
    return validate_call(init)


def allowed(kind: type) -> dict[str, Any]:
    """Return the parameters that a class takes: their annotations by name."""
    found = inspect.signature(kind.__init__).parameters.values()  # type: ignore[misc]
    return {p.name: p.annotation for p in found if p.kind is p.KEYWORD_ONLY}


def complaint(error: ValidationError, kind: type) -> str:
    """Name each argument of a class that does not fit, what was given and what is allowed."""
    parts = []
    for one in error.errors(include_url=False):
        name = ".".join(str(part) for part in one["loc"])
        if one["type"] == "unexpected_keyword_argument":
            known = ", ".join(sorted(allowed(kind))) or "none"
            parts.append(f"there is no parameter {name}; known are {known}")
        else:
            parts.append(f"{name} is {one['input']!r}: {_lower(one['msg'])}")
    return "; ".join(parts)


def misfit(annotation: Any, value: Any) -> str | None:
    """Say why a value does not fit an annotation; ``None`` if it does."""
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where}: {_lower(first['msg'])}" if where else _lower(first["msg"])
    return None


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
