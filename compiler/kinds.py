"""What kind of value a name holds: found from its uses and defaults, before anything is emitted.

A kind is `int` (a size), `float`, `bool`, `str`, `list` or `any` (a JSON value that is only carried).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..dsl import syntax
from ..dsl.never import assert_never
from ..dsl.syntax import Expr

ORDERED = ("<", "<=", ">", ">=")  # what is compared so is a number


def sizes(file: syntax.File) -> frozenset[str]:
    """The names that must hold sizes: those on axes, in ranges and names, and all that these are computed from."""
    lists = set(_listed(file))
    found = {name for name in _used(file) if name not in lists}
    sources = _sources(file)
    todo = list(found)
    while todo:
        for name in sources.get(todo.pop(), ()):
            if name not in found and name not in lists:
                found.add(name)
                todo.append(name)
    return frozenset(found)


def numbers(file: syntax.File) -> frozenset[str]:
    """The names that arithmetic on tensors, what is made and defaults are computed from."""
    values: list[Expr] = []
    for node in syntax.walk(file):
        match node:
            case syntax.Arithmetic(operand=operand):
                values.append(operand)
            case syntax.Default(arguments=arguments):
                values += arguments
            case syntax.Make(value=value):
                values.append(value)
    todo = [name for value in values for name in _operands(value)]
    sources, found = _sources(file), set[str]()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += sources.get(name, ())
    return frozenset(found)


def infer(value: Expr, kinds: Mapping[str, str]) -> str:
    """The kind of an expression, given the kinds of its names."""
    match value:
        case syntax.Path(text=text):
            return kinds.get(text, "any")
        case syntax.Number(text=text):
            return "int" if text.isdigit() else "float"
        case syntax.String():
            return "str"
        case syntax.Boolean():
            return "bool"
        case syntax.Nothing() | syntax.Item():
            return "any"
        case syntax.ListOf():
            return "list"
        case syntax.Call(function=function, arguments=arguments):
            return {"sqrt": "float"}.get(function) or _call(function, arguments, kinds)
        case syntax.Unary(operator=operator, operand=operand):
            return "bool" if operator == "not" else infer(operand, kinds)
        case syntax.Binary(operator=operator, left=left, right=right):
            return _binary(operator, infer(left, kinds), infer(right, kinds))
        case syntax.Conditional(then=then, other=other):
            return _either(infer(then, kinds), infer(other, kinds))
        case _:
            assert_never(value)


def _call(function: str, arguments: tuple[Expr, ...], kinds: Mapping[str, str]) -> str:
    if function in ("min", "max"):
        return (
            "int" if all(infer(item, kinds) == "int" for item in arguments) else "any"
        )
    return "int"


def _binary(operator: str, left: str, right: str) -> str:
    if operator in ("==", "!=", "<", "<=", ">", ">=", "and", "or", "in"):
        return "bool"
    if operator in "+*" and "list" in (left, right):
        return "list"
    return _either(left, right)


def _either(one: str, other: str) -> str:
    if one == other or other == "any":
        return one
    return (
        other
        if one == "any"
        else "float" if {one, other} == {"int", "float"} else "any"
    )


def paths(value: Expr) -> Iterator[syntax.Path]:
    """Every name of an expression."""
    return (node for node in syntax.walk(value) if isinstance(node, syntax.Path))


def _used(file: syntax.File) -> Iterator[str]:
    for node in syntax.walk(file):
        match node:
            case syntax.Index(name=name) | syntax.Replica(name=name):
                yield name
            case syntax.Padded(size=size):
                yield size
            case syntax.For(range=value):
                yield from _operands(value)
            case syntax.Binary(operator=operator, left=left, right=right) if (
                operator in ORDERED
                or operator in ("==", "!=")
                and (_whole(left) or _whole(right))
            ):
                if not any(_fraction(value) for value in (left, right)):
                    yield from (*_operands(left), *_operands(right))
            case syntax.Hole(value=value):
                yield from _operands(value)
            case syntax.Stages():
                for bound in (node.over, node.first, node.last, node.virtual):
                    yield from _operands(bound) if bound else ()


def _whole(value: Expr) -> bool:
    return isinstance(value, syntax.Number) and value.text.isdigit()


def _fraction(value: Expr) -> bool:
    return isinstance(value, syntax.Number) and not value.text.isdigit()


def _sources(file: syntax.File) -> dict[str, tuple[str, ...]]:
    """For every name that is computed, the names whose numbers it is computed from."""
    found: dict[str, tuple[str, ...]] = {}
    for node in syntax.walk(file):
        match node:
            case syntax.Let(name=name, value=value) | syntax.Replica(
                name=name, value=value
            ):
                found[name] = tuple(_operands(value))
            case syntax.Entry(binder=str() as binder):
                sides = [side for side in (node.left, node.right) if side is not None]
                found[binder] = tuple(
                    name for side in sides for name in _defaults(side)
                )
    return found


def _defaults(side: syntax.ConfigValue) -> Iterator[str]:
    match side:
        case syntax.Constant() | syntax.Translated():
            return
        case syntax.Binary(operator="??", left=left, right=right):
            yield from _defaults(left)
            yield from _operands(right)
        case syntax.Path():
            return
        case _:
            yield from _operands(side)


def _operands(value: Expr) -> Iterator[str]:
    """The names whose numbers flow into a value: no conditions, no lists."""
    match value:
        case syntax.Path(text=text):
            yield text
        case syntax.Unary(operator="-", operand=operand):
            yield from _operands(operand)
        case syntax.Binary(operator=operator, left=left, right=right) if (
            operator in "+-*/%??"
        ):
            yield from _operands(left)
            yield from _operands(right)
        case syntax.Conditional(then=then, other=other):
            yield from _operands(then)
            yield from _operands(other)
        case syntax.Call(function=function, arguments=arguments) if function not in (
            "len",
            "count",
        ):
            for argument in arguments:
                yield from _operands(argument)


def _listed(file: syntax.File) -> Iterator[str]:
    """The names that must hold lists (or text), from their uses."""
    for node in syntax.walk(file):
        match node:
            case syntax.Item(value=syntax.Path(text=text)):
                yield text
            case syntax.Binary(operator="in", right=syntax.Path(text=text)):
                yield text
            case syntax.Call(
                function="len" | "count", arguments=(syntax.Path(text=text), *_)
            ):
                yield text
            case syntax.Stages(by=syntax.Path(text=text)):
                yield text
            case syntax.Let(name=name, value=value) if infer(value, {}) == "list":
                yield name
            case syntax.Entry(binder=str() as name, left=left, right=right):
                defaults = [_default(side) for side in (left, right)]
                if any(value and infer(value, {}) == "list" for value in defaults):
                    yield name


def _default(side: syntax.ConfigValue | None) -> Expr | None:
    """The last of a key list: its default, if it has one."""
    match side:
        case syntax.Binary(operator="??", right=right):
            return right
        case syntax.Translated(default=default):
            return default
    return None
