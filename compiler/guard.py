"""Bounds on what a map computes while it is compiled.

The compiler runs a converter's core on small configs, and a map may multiply numbers, repeat lists and loop over
what it likes. Here its text is rewritten before it runs, so that each of these is counted and refused in time.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

BITS = 256  # of a whole number
LONG = 100  # items of joined lists, or characters of joined texts, that count as one


class TooMuch(ValueError):
    """The map computes more than the compiler does for it."""


@dataclass(slots=True)
class Budget:
    """What may still be done: values of loops and items of lists, all together."""

    left: int

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise TooMuch("expected less to compute, found loops or lists without end")

    def range(self, *bounds: int) -> range:
        values = range(*bounds)
        self.take(min(len(values), self.left + 1) if values else 0)
        return values

    def times(self, left: Any, right: Any) -> Any:
        """The product of two numbers, or a list that is repeated."""
        for one, other in ((left, right), (right, left)):
            if isinstance(one, Sequence) and isinstance(other, int):
                self.take(len(one) * max(other, 0))
        return _number(left * right)

    def plus(self, left: Any, right: Any) -> Any:
        """The sum of two numbers, or two lists one behind the other."""
        if isinstance(left, Sequence) and isinstance(right, Sequence):
            self.take((len(left) + len(right)) // LONG)
        return _number(left + right)

    def names(self) -> dict[str, Any]:
        """What counted code calls."""
        return {"range": self.range, "_times": self.times, "_plus": self.plus}


def counted(text: str, file: str, mode: str = "exec") -> CodeType:
    """The code of a module, or with the mode `eval` of an expression; `Budget.names` are to be among its names."""
    tree = ast.fix_missing_locations(_Counted().visit(ast.parse(text, file, mode)))
    code = compile(tree, file, mode)
    assert isinstance(code, CodeType), "of an `exec` or an `eval`"
    return code


def _number(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > BITS:
        raise TooMuch(f"expected a number of at most {BITS} bits, found a larger one")
    return value


class _Counted(ast.NodeTransformer):
    """Calls in place of `*` and `+`."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        called = {ast.Mult: "_times", ast.Add: "_plus"}.get(type(node.op))
        if called is None:
            return node
        function = ast.Name(called, ast.Load())
        return ast.copy_location(ast.Call(function, [node.left, node.right], []), node)
