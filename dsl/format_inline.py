"""The text of what stands within a line: expressions, names, axes and terms, as the formatter writes them."""

from __future__ import annotations

import re

from . import syntax
from .never import assert_never

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NAME_ESCAPES = {**_ESCAPES, "{": "\\{", "}": "\\}"}
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
# A key of this spelling would go on with the line above, or begin another expression.
_KEYWORDS = frozenset(
    (
        "and",
        "as",
        "decode",
        "else",
        "false",
        "if",
        "in",
        "lossy",
        "none",
        "not",
        "or",
        "true",
    )
    + ("unless", "where", "with")
)
_LEVELS = {"??": 1, "or": 2, "and": 3, "in": 5, "+": 7, "-": 7, "*": 8, "/": 8, "%": 8}
_NOT, _MEMBER, _COMPARE, _ADDED, _MINUS, _POSTFIX = 4, 5, 6, 7, 9, 10


def expression(value: syntax.Expr, least: int = 0, bare: bool = False) -> str:
    """An expression where the grammar asks for one that binds at least as tightly as `least`.

    `bare`: where `a if c else b` and `x in y` stand in parentheses, since the line may go on with
    such a word.
    """
    level = _level(value)
    if level < least or (bare and (level in (0, _MEMBER))):
        return f"({expression(value)})"
    match value:
        case syntax.Path() | syntax.Number():
            return value.text
        case syntax.String():
            return string(value.value)
        case syntax.Boolean():
            return "true" if value.value else "false"
        case syntax.Nothing():
            return "none"
        case syntax.ListOf():
            return f"[{expressions(value.items)}]"
        case syntax.Call():
            return f"{value.function}({expressions(value.arguments)})"
        case syntax.Item():
            return f"{expression(value.value, _POSTFIX)}[{expression(value.index)}]"
        case syntax.Unary():
            space = "" if value.operator == "-" else " "
            return f"{value.operator}{space}{expression(value.operand, level, bare)}"
        case syntax.Binary():
            return _binary(value, level, bare)
        case syntax.Conditional():
            then, test = expression(value.then, 1), expression(value.test, 1)
            return f"{then} if {test} else {expression(value.other)}"
    assert_never(value)


def expressions(values: tuple[syntax.Expr, ...]) -> str:
    return ", ".join(expression(value) for value in values)


def condition(value: syntax.Condition) -> str:
    word = "unless" if value.unless else "if"
    return f"{word} {expression(value.test, bare=True)}"


def string(value: str) -> str:
    return '"' + "".join(_ESCAPES.get(char, char) for char in value) + '"'


def key(text: str) -> str:
    """A config key, between quotes where it would not be read as one."""
    return text if _PATH.fullmatch(text) and text not in _KEYWORDS else string(text)


def _level(value: syntax.Expr) -> int:
    match value:
        case syntax.Conditional():
            return 0
        case syntax.Binary():
            return _LEVELS.get(value.operator, _COMPARE)
        case syntax.Unary():
            return _MINUS if value.operator == "-" else _NOT
        case _:
            return _POSTFIX


def _binary(value: syntax.Binary, level: int, bare: bool) -> str:
    """The left side of a chain may have its level; `in` and comparisons make no chains."""
    chains = level not in (_MEMBER, _COMPARE)
    below = _ADDED if not chains else level
    left = expression(value.left, below, bare)
    right = expression(value.right, below + chains, bare)
    return f"{left} {value.operator} {right}"


# ---- names ----------------------------------------------------------------------------------------


def name(value: syntax.Name) -> str:
    text = "".join(_name_part(part, value.quoted) for part in value.parts)
    text = f'"{text}"' if value.quoted else text
    return text if value.component is None else f"{value.component}:{text}"


def _name_part(part: syntax.NamePart, quoted: bool) -> str:
    match part:
        case syntax.Text():
            escapes = _NAME_ESCAPES if quoted else {}
            return "".join(escapes.get(char, char) for char in part.text)
        case syntax.Hole():
            mesh = "" if part.mesh is None else f"@{part.mesh}"
            width = "" if part.width is None else f":{part.width}"
            return f"{{{expression(part.value)}{mesh}{width}}}"
        case syntax.Several():
            return f"{{{','.join(_items(part.items))}}}"
        case syntax.Alternates():
            return f"{{{' | '.join(_items(part.items))}}}"
        case syntax.Deep():
            return "**"
    assert_never(part)


def _items(items: tuple[str, ...]) -> list[str]:
    """Bare where they may be; a word that begins an expression may not be the first."""
    bare = [bool(_PATH.fullmatch(item) or _NUMBER.fullmatch(item)) for item in items]
    bare[0] = bare[0] and items[0] not in ("false", "none", "not", "true")
    return [
        item if plain else string(item) for item, plain in zip(items, bare, strict=True)
    ]


# ---- axes and terms -------------------------------------------------------------------------------


def axes(value: syntax.Axes) -> str:
    inner = ".." if value.any else " ".join(axis(item) for item in value.items)
    return f"[{inner}]"


def axis(value: syntax.Axis) -> str:
    """An axis where it stands among others; products and sums bring their parentheses."""
    match value:
        case syntax.Index():
            return value.name
        case syntax.One():
            return "1"
        case syntax.Product():
            return f"({_factors(value)})"
        case syntax.Sum():
            return f"({' + '.join(_part(part) for part in value.parts)})"
        case syntax.Padded():
            inner = axis(value.value)
            wrap = isinstance(value.value, (syntax.Padded, syntax.Split))
            return f"({inner})^{value.size}" if wrap else f"{inner}^{value.size}"
        case syntax.Split():
            inner = axis(value.value)
            inner = f"({inner})" if isinstance(value.value, syntax.Split) else inner
            return f"{inner}@{value.mesh}{'?' if value.ceil else ''}"
    assert_never(value)


def _factors(value: syntax.Product) -> str:
    return " ".join(axis(factor) for factor in value.factors)


def _part(part: syntax.Part) -> str:
    text = (
        _factors(part.value)
        if isinstance(part.value, syntax.Product)
        else axis(part.value)
    )
    return text if part.label is None else f"{part.label}:{text}"


def term(value: syntax.Term) -> str:
    """A term without its ties, which may stand on lines of their own."""
    words = [tensor(value)]
    if value.dtype is not None:
        words.append(f"as {value.dtype}")
    words += [
        f"{step.operator} {expression(step.operand, _POSTFIX)}"
        for step in value.arithmetic
    ]
    if value.at is not None:
        words.append(at(value.at))
    return " ".join(words)


def tensor(value: syntax.Term) -> str:
    """A tensor with its axes, and what there is in its absence."""
    text = (
        name(value.tensor)
        if isinstance(value.tensor, syntax.Name)
        else _apply(value.tensor)
    )
    text += "" if value.axes is None else axes(value.axes)
    if value.optional:
        return f"{text}?"
    if value.default is None:
        return text
    arguments = expressions(value.default.arguments)
    return f"{text} ?? {value.default.function}" + (
        f"({arguments})" if arguments else ""
    )


def tie(value: syntax.Tie) -> str:
    words = ["=", name(value.name)]
    if value.at is not None:
        words.append(at(value.at))
    if value.condition is not None:
        words.append(condition(value.condition))
    return " ".join(words)


def at(value: syntax.At) -> str:
    return f"at {value.mesh}={value.place}"


def setting(value: syntax.Setting) -> str:
    return f"{value.key}={expression(value.value)}"


def _apply(value: syntax.Apply) -> str:
    arguments = (
        setting(argument) if isinstance(argument, syntax.Setting) else tensor(argument)
        for argument in value.arguments
    )
    return f"{value.function}({', '.join(arguments)})"
