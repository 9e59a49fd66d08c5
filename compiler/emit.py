"""Expressions and names of a map as Python text.

All that comes from a map reaches Python as a literal or as a checked identifier; nothing else is pasted.
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..dsl import syntax
from ..dsl.never import assert_never
from ..dsl.syntax import Expr
from .kinds import infer
from .splice import defined

# What generated code calls its own things, besides the runtime's names; a name of the map that is one of these gets
# an underscore. In a function:
_TAKEN = (
    "config mesh where recipe recipes shapes left right counts layers stage number first last one rank read cls self "
    "options math range min max len tuple Config Mesh Rank Any Iterator"
)
TAKEN = frozenset(keyword.kwlist) | {"", *_TAKEN.split()}
OWN = re.compile(r"own(_\d+)?|each_\w+|\w+_(of|in)_\w+")
# And in the class Config:
_FIELDS = "extra field property classmethod dataclass Any Mapping int float bool str list dict"
FIELDS = frozenset(keyword.kwlist) | {*_FIELDS.split()}

_COMPARED = 5
_LEVELS = {
    "??": 1,
    "or": 2,
    "and": 3,
    "in": 5,
    "not in": 5,
    "+": 6,
    "-": 6,
    "*": 7,
    "%": 7,
    "/": 7,
}
_CALLS = {
    "ceil": "math.ceil",
    "floor": "math.floor",
    "sqrt": "math.sqrt",
    "min": "min",
    "max": "max",
    "len": "len",
}


@dataclass(frozen=True, slots=True)
class Env:
    """How each name is written where the text will stand, and what kind of value it holds."""

    names: Mapping[str, str]
    kinds: Mapping[str, str]

    def adding(
        self, names: Mapping[str, str], kinds: Mapping[str, str] | None = None
    ) -> Env:
        return Env({**self.names, **names}, {**self.kinds, **(kinds or {})})


def identifier(name: str) -> str:
    """The name as a Python identifier that hides nothing of the generated code."""
    base = name.rstrip("_")  # `mesh_` goes out of the way of `mesh`
    taken = (
        base in TAKEN
        or base in defined()
        or OWN.fullmatch(base)
        or name.startswith("__")
    )
    return f"{name}_" if taken else name


def attribute(name: str) -> str:
    """The name as a field of Config."""
    taken = name.rstrip("_") in FIELDS or name.startswith(("__", "from_", "to_"))
    return f"{name}_" if taken else name


def function_name(name: str) -> str:
    """The name of the function that computes a value of the map."""
    return (
        f"_{name}_"
        if f"_{name.rstrip('_')}" in defined() | {"_statements"}
        else f"_{name}"
    )


def literal(value: Expr) -> str:
    """A literal of the map as a literal of Python."""
    return expression(value, Env({}, {}))


def quoted(text: str) -> str:
    """A string literal in double quotes, ASCII only."""
    return '"' + escaped(text) + '"'


def escaped(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii").replace('"', '\\"')


def expression(value: Expr, env: Env) -> str:
    return _expr(value, env)[0]


def _expr(value: Expr, env: Env) -> tuple[str, int]:
    """The text and how tightly it binds (10: an atom)."""
    match value:
        case syntax.Path(text=text):
            return env.names[text], 10
        case syntax.Number(text=text):
            finite = math.isfinite(value.value)
            return repr(value.value) if finite else f'float("{text}")', 10
        case syntax.String(value=string):
            return quoted(string), 10
        case syntax.Boolean(value=flag):
            return str(flag), 10
        case syntax.Nothing():
            return "None", 10
        case syntax.ListOf(items=items):
            return f"[{', '.join(expression(item, env) for item in items)}]", 10
        case syntax.Item(value=base, index=index):
            values = f"{expression(base, env)}, {expression(index, env)}"
            return f"item({values}, {quoted(value.span.words)})", 10
        case syntax.Call():
            return _call(value, env), 10
        case syntax.Unary(
            operator="not",
            operand=syntax.Binary(operator="==" | "!=" | "in" as operator) as operand,
        ):
            opposite = {"==": "!=", "!=": "==", "in": "not in"}[operator]
            return _binary(replace(operand, operator=opposite), env)
        case syntax.Unary(operator="not", operand=operand):
            return f"not {_at(operand, env, 4)}", 4
        case syntax.Unary(operator=operator, operand=operand):
            return f"{operator}{_at(operand, env, 8)}", 8
        case syntax.Binary():
            return _binary(value, env)
        case syntax.Conditional(then=then, test=test, other=other):
            first, last = _at(then, env, 1), _at(other, env, 0)
            return f"{first} if {_at(test, env, 1)} else {last}", 0
        case _:
            assert_never(value)


def _at(value: Expr, env: Env, level: int) -> str:
    """The text, in parentheses where it binds less tightly than its place asks for."""
    text, binds = _expr(value, env)
    return text if binds >= level else f"({text})"


def _call(value: syntax.Call, env: Env) -> str:
    arguments = [expression(argument, env) for argument in value.arguments]
    if value.function == "count":
        return f"{_at(value.arguments[0], env, 10)}.count({arguments[1]})"
    if value.function == "len" and infer(value.arguments[0], env.kinds) == "any":
        return f"length({arguments[0]}, {quoted(value.arguments[0].span.words)})"
    return f"{_CALLS.get(value.function, value.function)}({', '.join(arguments)})"


def _binary(value: syntax.Binary, env: Env) -> tuple[str, int]:
    left, right, operator = value.left, value.right, value.operator
    if operator == "??":
        text = _at(left, env, 10)
        return f"({text} if {text} is not None else {_at(right, env, 1)})", 10
    kinds = {infer(left, env.kinds), infer(right, env.kinds)}
    if operator == "/" and kinds <= {"int", "any"}:
        function = "exactly" if kinds == {"int"} else "divided"
        return _checked(function, left, right, env), 10
    if operator == "%" and not _positive(right):
        return _checked("remainder", left, right, env), 10
    if operator == "*" and kinds & {"list", "str"}:
        values = f"{expression(left, env)}, {expression(right, env)}"
        return f"repeated({values}, {quoted(value.span.words)})", 10
    if operator in ("==", "!=") and isinstance(right, syntax.Nothing):
        return f"{_at(left, env, 6)} is {'not ' if operator == '!=' else ''}None", 5
    level = _LEVELS.get(operator, _COMPARED)
    # Python reads a comparison of comparisons as a chain
    first = _at(left, env, level + (level == _COMPARED))
    return f"{first} {operator} {_at(right, env, level + 1)}", level


def _checked(function: str, left: Expr, right: Expr, env: Env) -> str:
    """A call that refuses what the operator cannot do, and then says how the map writes both operands."""
    values = f"{expression(left, env)}, {expression(right, env)}"
    return (
        f"{function}({values}, {quoted(left.span.words)}, {quoted(right.span.words)})"
    )


def _positive(value: Expr) -> bool:
    return isinstance(value, syntax.Number) and value.value > 0


def fstring(name: syntax.Name, env: Env, prefix: tuple[str, int] | None = None) -> str:
    """A tensor's name as a Python string; `prefix` is a variable and how many parts it stands for."""
    parts = name.parts[prefix[1] :] if prefix else name.parts
    strings = [f"{{{prefix[0]}}}" if prefix else ""]
    for part in parts:
        match part:
            case syntax.Text(text=text):
                strings[-1] += escaped(text).replace("{", "{{").replace("}", "}}")
            case syntax.Deep():
                strings[-1] += "**"
            case syntax.Hole(value=value, mesh=mesh, width=width):
                text = expression(value, env)
                if mesh is not None:  # the number on the rank that holds it
                    text = env.names[f"{value.span.text}@{mesh}"]
                if set(text) & set(
                    "\"'\\"
                ):  # before Python 3.12 these do not stand in an f-string
                    strings += [f"str({text})", ""]
                else:
                    strings[-1] += f"{{{text}{':' + width if width else ''}}}"
            case _:
                raise AssertionError(f"lists are written out: {part}")
    texts = [
        text if odd % 2 else _string(text) for odd, text in enumerate(strings) if text
    ]
    return " + ".join(texts) or '""'


def _string(text: str) -> str:
    """An f-string, or a plain one where nothing is filled in."""
    if "{" in text.replace("{{", ""):
        return f'f"{text}"'
    return '"' + text.replace("{{", "{").replace("}}", "}") + '"'
