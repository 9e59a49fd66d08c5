"""Names that a definition binds, kept apart from those at its `use`: renamed where they would meet.

A body is spliced into the block of the `use`. Its own lets, replicas and loop indices must not be taken for names
of that block, nor the other way round; a name that could be gets a number behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from ..dsl import syntax


@dataclass(slots=True)
class Names:
    """The names that are bound in a block so far, and those that its statements mention; `outer` is around it."""

    bound: set[str]
    outer: Names | None = None
    _unread: list[tuple[syntax.Statement, ...]] = field(default_factory=list)
    _mentioned: set[str] = field(default_factory=set)
    _last: dict[str, int] = field(default_factory=dict)  # the number behind a name

    def bind(self, statement: syntax.Statement) -> None:
        """A `let` or `replica` binds its name for the rest of the block."""
        if isinstance(statement, (syntax.Let, syntax.Replica)):
            self.bound.add(statement.name)

    def hold(self, statements: tuple[syntax.Statement, ...]) -> None:
        """The block has these statements. They are read once a question asks for it."""
        self._unread.append(statements)

    def knows(self, name: str) -> bool:
        here: Names | None = self
        while here is not None:
            if name in here.bound:
                return True
            here = here.outer
        return False

    def mentions(self, name: str) -> bool:
        """Whether a statement of the block says the name, for what it binds or for something around."""
        for statements in self._unread:
            for statement in statements:
                if not isinstance(statement, syntax.Def):
                    self._mentioned.update(words(statement))
        self._unread.clear()
        return name in self._mentioned

    def apart(self, body: tuple[syntax.Statement, ...]) -> dict[str, str]:
        """The new words of the names that a body binds, where they would meet those at the `use`."""
        own = {name: False for name in _bound(body)}
        own |= {
            statement.name: True
            for statement in body
            if isinstance(statement, (syntax.Let, syntax.Replica))
        }
        clashing = [
            name
            for name, spliced in own.items()
            if self.knows(name) or (spliced and self.mentions(name))
        ]
        if not clashing:
            return {}
        taken = {word for statement in body for word in words(statement)}
        found: dict[str, str] = {}
        for name in clashing:
            found[name] = self._free(name, taken, own[name])
            taken.add(found[name])
        return found

    def _free(self, name: str, taken: set[str], spliced: bool) -> str:
        """The name with a number; one that is bound in the block itself has a higher one each time."""
        for number in count(self._number(name) + 1 if spliced else 2):
            word = f"{name}_{number}"
            if not (
                word in taken or self.knows(word) or (spliced and self.mentions(word))
            ):
                if spliced:
                    self._last[name] = number
                return word
        raise AssertionError("there is no last number")

    def _number(self, name: str) -> int:
        """The highest number that stands behind a name so far."""
        here, found = self, self._last.get(name, 1)
        while here.outer is not None:
            here = here.outer
            found = max(found, here._last.get(name, 1))
        return found


def names_of_file(items: Iterable[syntax.TopLevel]) -> Names:
    """The names that are bound outside of `tensors`."""
    found: set[str] = set()
    for item in items:
        match item:
            case syntax.Let() | syntax.Replica() | syntax.Option():
                found.add(item.name)
            case syntax.Config(entries=entries):
                found |= {entry.binder for entry in entries if entry.binder}
            case syntax.Layout(rules=rules):
                for rule in rules:
                    if isinstance(rule, syntax.Mesh):
                        found |= {dim for dims in rule.countings for dim in dims}
    return Names(found)


def words(node: syntax.Node) -> Iterator[str]:
    """The names of sizes and indices that a statement says."""
    for one in syntax.walk(node):
        word = WORDS.get(type(one))
        if word is not None and (text := getattr(one, word)) is not None:
            yield text


def _bound(body: tuple[syntax.Statement, ...]) -> Iterator[str]:
    """The names that a body binds, in its blocks too."""
    for statement in body:
        for node in syntax.walk(statement):
            match node:
                case syntax.Let(name=name) | syntax.Replica(name=name):
                    yield name
                case syntax.For(index=index):
                    yield index


# Where such a name is spelled, by the type of the node.
WORDS: dict[type[syntax.Node], str] = {
    syntax.Path: "text",
    syntax.Index: "name",
    syntax.Padded: "size",
    syntax.Let: "name",
    syntax.Replica: "name",
    syntax.For: "index",
    syntax.Equation: "input_axis",
}
