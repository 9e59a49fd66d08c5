"""The body of a definition for one `use`: arguments in place of parameters, bound names renamed where they clash."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from ..dsl import syntax
from .hygiene import WORDS

# A parameter stands in names, and no name stands below these.
_NAMELESS = (
    *(syntax.Axes, syntax.Path, syntax.Number, syntax.String, syntax.Boolean),
    *(syntax.Nothing, syntax.ListOf, syntax.Call, syntax.Item, syntax.Unary),
    *(syntax.Binary, syntax.Conditional, syntax.Condition, syntax.At),
)


@dataclass(frozen=True, slots=True)
class Replacing:
    """What becomes of a body: the argument of each parameter, the new word of each bound name."""

    arguments: Mapping[str, syntax.Name]
    words: Mapping[str, str]

    def statement(self, statement: syntax.Statement) -> syntax.Statement:
        return cast("syntax.Statement", self._node(statement))

    def _node(self, node: syntax.Node) -> syntax.Node:
        match node:
            case syntax.Name():
                return self._name(node)
            case syntax.Def(parameters=parameters):
                arguments = {
                    word: name
                    for word, name in self.arguments.items()
                    if word not in parameters
                }
                inner = Replacing(arguments, self.words)
                return inner._fields(node)
            case _ if not self.words and isinstance(node, _NAMELESS):
                return node
            case _:
                return self._fields(node)

    def _fields(self, node: syntax.Node) -> syntax.Node:
        """The node with what is below it replaced; the same node where nothing is."""
        changed = changed_fields(node, self._value)
        word = WORDS.get(type(node))
        if word is not None and getattr(node, word) in self.words:
            changed[word] = self.words[getattr(node, word)]
        if isinstance(node, syntax.Require):
            changed["message"] = self._message(node.message)
        return replace(node, **changed) if changed else node

    def _message(self, message: str) -> str:
        """`{n}` in a message shows the value of a name."""
        return re.sub(r"\{(\w+)\}", self._shown, message)

    def _shown(self, found: re.Match[str]) -> str:
        return f"{{{self.words.get(found[1], found[1])}}}"

    def _value(self, value: object) -> object:
        if isinstance(value, syntax.Node):
            return self._node(value)
        if isinstance(value, tuple) and value and not isinstance(value[0], str):
            found = tuple(self._value(part) for part in value)
            if any(new is not old for new, old in zip(found, value)):
                return found
        return value

    def _name(self, name: syntax.Name) -> syntax.Name:
        """A parameter that is the first component of a name gives way to its argument."""
        parts = cast("tuple[syntax.NamePart, ...]", self._value(name.parts))
        word = first_component(name)
        if word is None or word not in self.arguments:
            return replace(name, parts=parts) if parts is not name.parts else name
        argument, first = self.arguments[word], parts[0]
        assert isinstance(first, syntax.Text), "a component is text"
        rest = first.text[len(word) :]
        if not argument.parts:
            rest = rest.removeprefix(".")
        tail = (syntax.Text(rest, span=first.span),) if rest else ()
        return replace(
            name,
            parts=merged((*argument.parts, *tail, *parts[1:])),
            component=argument.component or name.component,
        )


def first_component(name: syntax.Name) -> str | None:
    """The word before the first dot of a name, where it is one word and nothing else; not of a quoted name."""
    if name.quoted or not name.parts or not isinstance(name.parts[0], syntax.Text):
        return None
    word, dot, _ = name.parts[0].text.partition(".")
    return word if dot or len(name.parts) == 1 else None


def merged(parts: tuple[syntax.NamePart, ...]) -> tuple[syntax.NamePart, ...]:
    """The parts of a name, neighbouring pieces of text as one."""
    found: list[syntax.NamePart] = []
    for part in parts:
        before = found[-1] if found else None
        if isinstance(part, syntax.Text) and isinstance(before, syntax.Text):
            found[-1] = replace(before, text=before.text + part.text)
        else:
            found.append(part)
    return tuple(found)


def changed_fields(node: syntax.Node, replaced: Callable[[Any], Any]) -> dict[str, Any]:
    """The fields of a node that are others once they are replaced, by name; `replaced` gives back what stays."""
    values = {name: getattr(node, name) for name in node.__dataclass_fields__}
    found = {name: replaced(value) for name, value in values.items()}
    return {name: new for name, new in found.items() if new is not values[name]}
