"""What a map computes from its config: operators that refuse what Python would round, wrap around or let pass."""

from __future__ import annotations

from typing import Any

from .errors import ConversionError

MOST_ITEMS = 2**16  # of a list that is written out: more than there are layers


def item(values: Any, index: Any, what: str) -> Any:
    """An item of a list, or a letter of a text; `what` is how the map writes it."""
    if not isinstance(values, (list, str)):
        raise ConversionError(f"{what}: expected a list or a text, found {values!r}")
    if type(index) is not int or not 0 <= index < len(values):
        raise ConversionError(
            f"{what}: expected an index below {len(values)}, found {index!r}"
        )
    return values[index]


def length(values: Any, what: str) -> int:
    """The items of a list, or the letters of a text; `what` is how the map writes it."""
    if not isinstance(values, (list, str)):
        raise ConversionError(f"{what}: expected a list or a text, found {values!r}")
    return len(values)


def repeated(one: Any, other: Any, what: str) -> Any:
    """A list or a text, so many times over; `what` is how the map writes it."""
    values, count = (one, other) if isinstance(one, (list, str)) else (other, one)
    if isinstance(count, int) and len(values) * count > MOST_ITEMS:
        raise ConversionError(
            f"{what}: expected at most {MOST_ITEMS} items, found {len(values) * count}"
        )
    return values * count


def remainder(above: Any, below: Any, above_name: str, below_name: str) -> Any:
    """above % below, which must not be 0."""
    if below == 0:
        raise ConversionError(
            f"{above_name} % {below_name}: expected another number than 0 on the right, found 0"
        )
    return above % below


def exactly(above: int, below: int, above_name: str, below_name: str) -> int:
    """above / below, which must divide."""
    if below == 0 or above % below:
        raise ConversionError(
            f"{above_name}={above} is not a multiple of {below_name}={below}"
        )
    return above // below


def divided(above: Any, below: Any, above_name: str, below_name: str) -> Any:
    """above / below, which must divide if both are whole numbers."""
    if isinstance(above, int) and isinstance(below, int):
        return exactly(above, below, above_name, below_name)
    return above / below


def require(holds: bool, message: str) -> None:
    """Refuse a config that breaks a condition of the map."""
    if not holds:
        raise ConversionError(message)


def roundup(value: int, multiple: int) -> int:
    """The smallest multiple that is not below the value."""
    if multiple < 1:
        raise ConversionError(
            f"roundup to a multiple of {multiple}: expected 1 or more"
        )
    return -(-value // multiple) * multiple


def solve(index: str, total: int, times: int, plus: int) -> int:
    """The size of an index where total = times * size + plus."""
    if times == 0 or total < plus or (total - plus) % times:
        raise ConversionError(
            f"index {index}: {total} = {times} * {index} + {plus} has no whole solution"
        )
    return (total - plus) // times
