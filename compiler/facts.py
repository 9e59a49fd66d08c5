"""What a condition says when it holds or does not, in small facts that can contradict each other.

Two statements may have one name only where their conditions cannot both hold, and this is how that is seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ..dsl import syntax

Fact: TypeAlias = "tuple[str, str]"  # what, and which value it has


def facts(test: syntax.Expr, holds: bool) -> tuple[Fact, ...]:
    """The facts that follow from a condition that holds, or does not."""
    match test:
        case syntax.Unary(operator="not", operand=operand):
            return facts(operand, not holds)
        case syntax.Binary(operator="and" | "or" as operator, left=left, right=right):
            whole = (
                test.span.words,
                str(holds),
            )  # what an `else` says of it as a whole
            if (operator == "and") == holds:
                return (whole, *facts(left, holds), *facts(right, holds))
        case syntax.Binary(operator="!=", left=left, right=right):
            return _equal(left, right, not holds)
        case syntax.Binary(operator="==", left=left, right=right):
            return _equal(left, right, holds)
        case syntax.Binary(operator=">=" | ">" as operator, left=left, right=right):
            opposite = {">=": "<", ">": "<="}[operator]
            return (
                (f"{left.span.words} {opposite} {right.span.words}", str(not holds)),
            )
        case _:
            pass
    return ((test.span.words, str(holds)),)


def exclusive(one: Iterable[Fact], other: Iterable[Fact]) -> bool:
    """Whether the facts contradict each other."""
    known: dict[str, set[str]] = {}
    for what, value in one:
        known.setdefault(what, set()).add(value)
    return any(known.get(what, {value}) != {value} for what, value in other)


def _equal(left: syntax.Expr, right: syntax.Expr, holds: bool) -> tuple[Fact, ...]:
    found = (f"{left.span.words} == {right.span.words}", str(holds))
    literal = isinstance(
        right, (syntax.Number, syntax.String, syntax.Boolean, syntax.Nothing)
    )
    return (
        (found, (f"the value of {left.span.words}", right.span.words))
        if literal and holds
        else (found,)
    )
