"""The names that are bound where a statement stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..dsl import syntax
from ..dsl.diagnostics import Label
from ..dsl.source import Span
from . import hir
from .kinds import infer
from .problems import nearest, refuse, word

LITERALS = ("true", "false", "none")
ARITHMETIC = ("+", "-", "*", "/", "%")
FUNCTIONS = {
    "roundup": (2, 2),
    "ceil": (1, 1),
    "floor": (1, 1),
    "min": (1, 99),
    "max": (1, 99),
}
FUNCTIONS |= {"sqrt": (1, 1), "len": (1, 1), "count": (2, 2)}


@dataclass(frozen=True, slots=True)
class Scope:
    """What each name is bound to, in words; which are sizes; the layouts; kinds; which are computed with."""

    names: Mapping[str, str]
    sizes: frozenset[str]
    layouts: tuple[hir.Layout, hir.Layout]
    kinds: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Span] = field(default_factory=dict)
    numbers: frozenset[str] = frozenset()

    def bind(self, name: str, what: str, kind: str, span: Span) -> Scope:
        if name in self.names:
            refuse(
                "M0211",
                f"`{name}` is bound already, as a{'n' * (self.names[name] == 'option')} {self.names[name]}",
                word(name, span),
                labels=(Label(self.places[name], "first here"),),
                help="choose another name",
            )
        return replace(
            self,
            names={**self.names, name: what},
            kinds={**self.kinds, name: kind},
            places={**self.places, name: word(name, span)},
        )

    def let(self, node: syntax.Let | syntax.Replica) -> hir.Let:
        self.check(node.value)
        kind = "int" if node.name in self.sizes else infer(node.value, self.kinds)
        return hir.Let(
            node.name, node.value, kind, isinstance(node, syntax.Replica), node.span
        )

    def check(self, value: syntax.Expr) -> None:
        """Every name and function of an expression is known."""
        for node in syntax.walk(value):
            if isinstance(node, syntax.Path) and node.text not in self.names:
                refuse(
                    "M0212",
                    f"nothing is called `{node.text}`",
                    node.span,
                    help=nearest(
                        node.text,
                        LITERALS if node.text.lower() in LITERALS else self.names,
                    ),
                )
            if isinstance(node, syntax.Call):
                self._check_call(node)
            if isinstance(node, syntax.Unary) and node.operator == "-":
                self._check_number(node.operator, node.operand)
            if isinstance(node, syntax.Binary) and node.operator in ARITHMETIC:
                self._check_number(node.operator, node.left)
                self._check_number(node.operator, node.right)

    def _check_number(self, operator: str, operand: syntax.Expr) -> None:
        if infer(operand, self.kinds) == "str":
            refuse(
                "M0343",
                f"expected a number beside `{operator}`, found a text",
                operand.span,
                help="a text can be compared, and stand in a list",
            )

    def _check_call(self, node: syntax.Call) -> None:
        if node.function not in FUNCTIONS:
            refuse(
                "M0213",
                f"there is no function `{node.function}`",
                node.span,
                help=nearest(node.function, FUNCTIONS),
            )
        low, high = FUNCTIONS[node.function]
        if not low <= len(node.arguments) <= high:
            refuse(
                "M0214",
                f"`{node.function}` takes {low}{' or more' * (high > low)} value{'s' * (high > 1)}, "
                f"found {len(node.arguments)}",
                node.span,
            )
