"""Expand: write out what stands for other text.

Second pass (syntax -> syntax), right behind `parse`. After it there is no `include`, no `def` and no `use`, every
loop has a block, a loop's prefixes have no lists, and places stand at names only. Spans still point to where the text was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product

from ..dsl import syntax
from ..dsl.diagnostics import Label
from ..dsl.source import Span
from .definitions import DEEPEST, Defs, check_names, check_use, choices, definitions
from .hygiene import Names, names_of_file
from .include import included
from .library import Library
from .limits import PIECES, weight
from .prefixing import Before, further, with_axes
from .problems import nearest, refuse
from .replacing import Replacing, merged
from .wholeness import without_dims

LONGEST = 20_000_000  # characters of what the uses write
LOOPS = 8  # in one another


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a statement stands: what is defined and bound there, what is being used, how deep it is.

    `stages`: where the names of each side have their place, if the loop around them says so. `axes`: those of the loops'
    prefixes, which go before the axes of each side's tensors.
    """

    defs: Defs
    names: Names
    uses: tuple[syntax.Def, ...] = ()
    blocks: int = 0
    loops: int = 0
    stages: tuple[syntax.At | None, syntax.At | None] = (None, None)
    axes: Before = ((), ())


@dataclass(slots=True)
class _Writer:
    """Writes blocks out, and counts it, and the characters of what is used."""

    count: int = 0
    characters: int = 0
    uses: dict[tuple[Span, Span], None] = field(default_factory=dict)

    def block(self, block: syntax.Block, place: _Place) -> syntax.Block:
        if place.blocks >= DEEPEST:
            refuse(
                "M0128",
                f"expected at most {DEEPEST} blocks in one another, found more",
                block.span,
            )
        inner = replace(place, blocks=place.blocks + 1, names=Names(set(), place.names))
        return replace(block, statements=self.statements(block.statements, inner))

    def statements(
        self, statements: Iterable[syntax.Statement], place: _Place
    ) -> tuple[syntax.Statement, ...]:
        statements = tuple(statements)
        place = replace(place, defs=definitions(statements, place.defs))
        place.names.hold(statements)
        found: list[syntax.Statement] = []
        for statement in statements:
            place.names.bind(statement)
            self.counted(1 + _lists(statement), statement.span)
            found += self.statement(statement, place)
        return tuple(found)

    def counted(self, more: int, span: Span) -> None:
        self.count += more
        if self.count > PIECES:
            refuse(
                "M0127",
                f"expected at most {PIECES} names, axes and statements when all is written out, found more",
                span,
            )

    def statement(
        self, statement: syntax.Statement, place: _Place
    ) -> Iterable[syntax.Statement]:
        """What is written for a statement: itself, nothing, or several."""
        match statement:
            case syntax.Def():
                return ()
            case syntax.Use():
                return self.use(statement, place)
            case syntax.For():
                return self.loop(statement, place)
            case syntax.If():
                return (self.choice(statement, place),)
            case syntax.Variant(alternatives=ways):
                blocks = tuple(
                    replace(way, body=self.block(way.body, place)) for way in ways
                )
                return (replace(statement, alternatives=blocks),)
            case _:
                self.counted(weight(statement), statement.span)
                return (_placed(with_axes(statement, place.axes), place.stages),)

    def choice(self, choice: syntax.If, place: _Place) -> syntax.If:
        body = self.block(choice.body, place)
        return replace(
            choice, body=body, otherwise=self.otherwise(choice.otherwise, place)
        )

    def otherwise(
        self, node: syntax.Block | syntax.If | None, place: _Place
    ) -> syntax.Block | syntax.If | None:
        if isinstance(node, syntax.If):
            return self.choice(node, replace(place, blocks=place.blocks + 1))
        return None if node is None else self.block(node, place)

    def loop(self, loop: syntax.For, place: _Place) -> Iterable[syntax.For]:
        """A loop without a block states its names; one with lists is written once for each pair of prefixes."""
        if place.loops >= LOOPS:
            refuse(
                "M0128",
                f"expected at most {LOOPS} loops in one another, found more",
                loop.span,
            )
        inner = replace(
            place, loops=place.loops + 1, names=Names({loop.index}, place.names)
        )
        left, right = loop.places
        stages = (left or place.stages[0], right or place.stages[1])
        inner = replace(inner, stages=stages, axes=further(place.axes, loop.axes))
        if loop.body is None:
            return (_stated(loop, stages, inner.axes),)
        found: list[syntax.For] = []
        self.counted(max(map(choices, loop.names or ()), default=1) - 1, loop.span)
        for names in _pairs(loop):
            body = self.block(loop.body, inner)
            otherwise = self.otherwise(loop.otherwise, inner)
            found.append(
                replace(
                    loop,
                    names=names,
                    body=body,
                    otherwise=otherwise,
                    places=(None, None),
                    axes=(None, None),
                )
            )
        return found

    def use(self, use: syntax.Use, place: _Place) -> Iterable[syntax.Statement]:
        """The body of the definition, its parameters replaced."""
        definition = place.defs.get(use.name)
        if definition is None:
            refuse(
                "M0120",
                f"nothing is defined as `{use.name}`",
                use.span,
                help=nearest(use.name, place.defs.names()),
            )
        node = definition.node
        check_use(use, node, place.uses)
        self.uses[node.span, use.span] = None
        words = place.names.apart(node.body.statements)
        replacing = Replacing(dict(zip(node.parameters, use.arguments)), words)
        body = [replacing.statement(one) for one in node.body.statements]
        self.characters += len(node.body.span.text)
        self.characters += sum(check_names(statement, use) for statement in body)
        if self.characters > LONGEST:
            refuse(
                "M0127",
                f"expected at most {LONGEST} characters when all is written out, found more",
                use.span,
            )
        inner = replace(place, defs=definition.around, uses=(*place.uses, node))
        return self.statements(body, inner)


def expand(file: syntax.File, library: Library) -> syntax.File:
    """The same map, written out. Raises MapError with one diagnostic."""
    file = included(file, library)
    writer = _Writer()
    tops = [item for item in file.items if isinstance(item, syntax.Def)]
    place = _Place(definitions(tops, None), names_of_file(file.items))
    for item in file.items:
        if not isinstance(item, (syntax.Def, syntax.Tensors)):
            writer.counted(weight(item), item.span)
    items = tuple(
        (
            replace(item, block=writer.block(item.block, place))
            if isinstance(item, syntax.Tensors)
            else item
        )
        for item in file.items
        if not isinstance(item, syntax.Def)
    )
    file = replace(file, items=items, uses=tuple(writer.uses))
    return without_dims(file)


def _lists(statement: syntax.Statement) -> int:
    """How many more statements the lists in the names of one stand for."""
    match statement:
        case syntax.Equation(left=left, right=right):
            names = [name for term in (*left, *right) for name in _names(term)]
            return max(map(choices, names)) - 1
        case syntax.Drop(name=name) | syntax.Make(name=name):
            return choices(name) - 1
        case _:
            return 0


def _names(term: syntax.Term) -> Iterator[syntax.Name]:
    """The names of a term, those of its ties too."""
    if isinstance(term.tensor, syntax.Name):
        yield term.tensor
    else:
        nodes = syntax.walk(term.tensor)
        yield from (node for node in nodes if isinstance(node, syntax.Name))
    yield from (tie.name for tie in term.ties)


def _stated(
    loop: syntax.For, stages: tuple[syntax.At | None, syntax.At | None], axes: Before
) -> syntax.For:
    """`for j in P: A <-> B` with a block that states the two names."""
    assert loop.names is not None, "a loop without a block has names"
    left, right = ((syntax.Term(name, span=name.span),) for name in loop.names)
    span = replace(loop.names[0].span, end=loop.names[1].span.end)
    equation = with_axes(syntax.Equation(left, right, span=span), axes)
    body = syntax.Block((_placed(equation, stages),), span=span)
    return replace(loop, names=None, body=body, places=(None, None))


def _placed(
    statement: syntax.Statement, stages: tuple[syntax.At | None, syntax.At | None]
) -> syntax.Statement:
    """The statement with the places of the loop around it at the names that have none of their own."""
    if stages == (None, None):
        return statement
    match statement:
        case syntax.Equation(left=left, right=right):
            return replace(
                statement,
                left=tuple(_at(term, stages[0]) for term in left),
                right=tuple(_at(term, stages[1]) for term in right),
            )
        case syntax.Make(at=None, side=side):
            return replace(statement, at=stages[0 if side == "left" else 1])
        case _:
            return statement


def _at(term: syntax.Term, stage: syntax.At | None) -> syntax.Term:
    ties = tuple(replace(tie, at=tie.at or stage) for tie in term.ties)
    return replace(term, at=term.at or stage, ties=ties)


def _pairs(loop: syntax.For) -> list[tuple[syntax.Name, syntax.Name] | None]:
    """The prefixes of a loop without lists: one pair, or one for each item of the lists."""
    if loop.names is None:
        return [None]
    left, right = (_written(name) for name in loop.names)
    if len(left) != len(right):
        refuse(
            "M0129",
            f"the prefixes are {len(left)} on the left and {len(right)} on the right",
            loop.names[1].span,
            labels=(Label(loop.names[0].span, f"{len(left)} here"),),
            help="lists in a loop's prefixes have one prefix of the other side for each",
        )
    return list(zip(left, right, strict=True))


def _written(name: syntax.Name) -> list[syntax.Name]:
    """A name without lists, once for every choice, the right list fastest."""
    choices = [
        (
            tuple(syntax.Text(item, span=part.span) for item in part.items)
            if isinstance(part, syntax.Several)
            else (part,)
        )
        for part in name.parts
    ]
    return [replace(name, parts=merged(parts)) for parts in product(*choices)]
