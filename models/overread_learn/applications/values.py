"""Read the values of an application's table, each of the type that its key needs.

Every function raises TypeError on a value of another type, and ValueError on a number that is infinite, or none (NaN):
the caller knows the key and the file.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

__all__ = ["number", "numbers", "optional", "pairs", "table", "text", "texts", "whole", "wholes"]

Value = TypeVar("Value")


def text(value: Any) -> str:
    """Read a string."""
    if not isinstance(value, str):
        raise TypeError(f"text only, got {value!r}")
    return value


def whole(value: Any) -> int:
    """Read a whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"whole numbers only, got {value!r}")
    return value


def number(value: Any) -> float:
    """Read a number; whole ones become floats, so that 36 and 36.0 are one application."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"numbers only, got {value!r}")
    # TOML knows inf and nan, and whole numbers of any length: one comparison finds them all.
    if not abs(value) <= sys.float_info.max:
        raise ValueError(f"finite numbers only, got {value!r}")
    return float(value)


def texts(value: Any) -> tuple[str, ...]:
    """Read a list of strings."""
    return _each(value, text)


def wholes(value: Any) -> tuple[int, ...]:
    """Read a list of whole numbers."""
    return _each(value, whole)


def numbers(value: Any) -> tuple[float, ...]:
    """Read a list of numbers."""
    return _each(value, number)


def pairs(value: Any) -> tuple[tuple[float, ...], ...]:
    """Read a list of lists of numbers; their lengths are left to the caller."""
    return _each(value, numbers)


def table(value: Any, readers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Read a table whose keys are all among ``readers``, each by its own; errors name the key."""
    if not isinstance(value, Mapping):
        raise TypeError(f"a table only, got {value!r}")
    found = {}
    for key, given in value.items():
        try:
            found[key] = readers[key](given)
        except TypeError as error:
            raise TypeError(f"{key}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
    return found


def optional(read: Callable[[Any], Value]) -> Callable[[Any], Value | None]:
    """Return a reader that leaves None (JSON's null) as it is."""
    return lambda value: None if value is None else read(value)


def _each(value: Any, read: Callable[[Any], Value]) -> tuple[Value, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"a list only, got {value!r}")
    return tuple(read(one) for one in value)
