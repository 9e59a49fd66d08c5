"""`include`: the contents of another file in place of the statement.

First half of the pass `expand`. After it no `include` is left, and `tensors` is one block.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..dsl import syntax
from ..dsl.diagnostics import Diagnostic, Label, MapError
from ..dsl.parser import parse
from ..dsl.reading import MOST, source_of
from ..dsl.source import Source
from .library import Library, Place, read
from .problems import refuse

DEEPEST = 16  # files in one another


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file that is being read, and the `include` that asked for it (none for the map itself)."""

    place: Place | None
    name: str
    by: syntax.Include | None = None
    within: _Opened | None = None

    def chain(self) -> list[_Opened]:
        """The files around this one, from the map inwards, and this one."""
        outer = [] if self.within is None else self.within.chain()
        return [*outer, self]


@dataclass(slots=True)
class _Reader:
    """Reads what is included; each file is parsed once, and counted as often as it stands somewhere."""

    library: Library
    files: dict[str, syntax.File] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)
    characters: int = 0
    borrowed: bool = False

    def top_level(
        self, file: syntax.File, here: _Opened
    ) -> tuple[syntax.TopLevel, ...]:
        """The items of a file, with those of the files that it includes."""
        found: list[syntax.TopLevel] = []
        for item in file.items:
            match item:
                case syntax.Include():
                    inner, there = self._open(item, here)
                    for one in self.top_level(inner, there):
                        _check_part(one, item)
                        found += [] if isinstance(one, syntax.Language) else [one]
                case syntax.Tensors(block=block):
                    found.append(replace(item, block=self._block(block, here)))
                case syntax.Def(body=body):
                    found.append(replace(item, body=self._block(body, here)))
                case _:
                    found.append(item)
        return tuple(found)

    def _block(self, block: syntax.Block, here: _Opened) -> syntax.Block:
        statements: list[syntax.Statement] = []
        for statement in block.statements:
            if isinstance(statement, syntax.Include):
                statements += self._in_block(statement, here)
            else:
                statements.append(self._statement(statement, here))
        return replace(block, statements=tuple(statements))

    def _in_block(
        self, include: syntax.Include, here: _Opened
    ) -> list[syntax.Statement]:
        """What stands in a block for an `include`: definitions, lets, requirements, the statements of `tensors`."""
        file, there = self._open(include, here)
        found: list[syntax.Statement] = []
        for item in self.top_level(file, there):
            _check_part(item, include)
            match item:
                case syntax.Tensors(block=block):
                    found += block.statements
                case syntax.Def() | syntax.Let() | syntax.Replica() | syntax.Require():
                    found.append(item)
                case syntax.Language():
                    pass
                case _:
                    word = item.span.text.split(None, 1)[0]
                    refuse(
                        "M0136",
                        f"a file that is included in a block has a `{word}`",
                        item.span,
                        labels=(Label(include.span, "included here"),),
                        help="include it outside of `tensors`",
                    )
        return found

    def _statement(
        self, statement: syntax.Statement, here: _Opened
    ) -> syntax.Statement:
        match statement:
            case syntax.For(body=body, otherwise=otherwise):
                inner = None if body is None else self._block(body, here)
                return replace(
                    statement, body=inner, otherwise=self._else(otherwise, here)
                )
            case syntax.If(body=body, otherwise=otherwise):
                return replace(
                    statement,
                    body=self._block(body, here),
                    otherwise=self._else(otherwise, here),
                )
            case syntax.Variant(alternatives=ways):
                blocks = tuple(
                    replace(way, body=self._block(way.body, here)) for way in ways
                )
                return replace(statement, alternatives=blocks)
            case syntax.Def(body=body):
                return replace(statement, body=self._block(body, here))
            case _:
                return statement

    def _else(
        self, node: syntax.Block | syntax.If | None, here: _Opened
    ) -> syntax.Block | syntax.If | None:
        if isinstance(node, syntax.If):
            found = self._statement(node, here)
            assert isinstance(found, syntax.If), "a choice stays one"
            return found
        return None if node is None else self._block(node, here)

    def _open(
        self, include: syntax.Include, here: _Opened
    ) -> tuple[syntax.File, _Opened]:
        """The tree of the file that an `include` means."""
        place = self.library.find(include, here.place)
        there = _Opened(place, place.path.as_posix(), include, here)
        _check_cycle(there)
        self.borrowed |= place.folder in self.library.given
        key = place.known_as
        if key not in self.files:
            data = read(place, include, MOST - self.characters)
            self.files[key] = _parsed(place, data, include)
            self.sources.append(self.files[key].span.source)
        file = self.files[key]
        self.characters += len(file.span.source.text)
        if self.characters > MOST:
            refuse(
                "M0134",
                f"expected at most {MOST} characters of included text, found more",
                include.span,
            )
        return file, there


def included(file: syntax.File, library: Library) -> syntax.File:
    """The same map without `include`, all statements in one `tensors` block. Raises MapError."""
    reader = _Reader(library)
    main = _Opened(library.home, file.span.source.name)
    items = file.items
    if any(isinstance(node, syntax.Include) for node in syntax.walk(file)):
        items = reader.top_level(file, main)
    return replace(
        file,
        items=_joined(items),
        included=tuple(reader.sources),
        borrowed=reader.borrowed,
    )


def _joined(items: tuple[syntax.TopLevel, ...]) -> tuple[syntax.TopLevel, ...]:
    """The items with one `tensors` block, in place of the first, that has the statements of all."""
    blocks = [item for item in items if isinstance(item, syntax.Tensors)]
    if len(blocks) < 2:
        return items
    first = blocks[0]
    statements = tuple(
        statement for item in blocks for statement in item.block.statements
    )
    whole = replace(first, block=replace(first.block, statements=statements))
    return tuple(
        whole if item is first else item
        for item in items
        if item is first or not isinstance(item, syntax.Tensors)
    )


def _parsed(place: Place, data: bytes, include: syntax.Include) -> syntax.File:
    try:
        return parse(source_of(place.path.as_posix(), data))
    except MapError as error:
        label = Label(include.span, "included here")
        raise MapError(
            *(replace(one, labels=(*one.labels, label)) for one in error.diagnostics)
        ) from None


def _check_part(item: syntax.TopLevel, include: syntax.Include) -> None:
    if isinstance(item, (syntax.Map, syntax.Composed, syntax.Packed)):
        refuse(
            "M0137",
            "a whole map is included",
            item.span,
            labels=(Label(include.span, "included here"),),
            help="a part has `language 1` and no header",
        )


def _check_cycle(there: _Opened) -> None:
    """A file does not include itself, nor too many others in one another."""
    *outer, _ = chain = there.chain()
    assert there.by is not None and there.place is not None, "the map was not included"
    key = there.place.known_as
    places = [opened.place.known_as if opened.place else "" for opened in outer]
    if key in places:
        names = [opened.name for opened in chain[places.index(key) :]]
        raise MapError(
            Diagnostic(
                "M0133",
                f"a file includes itself: {' -> '.join(f'`{name}`' for name in names)}",
                there.by.span,
            )
        )
    if len(chain) > DEEPEST + 1:
        refuse(
            "M0134",
            f"expected at most {DEEPEST} files included in one another, found more",
            there.by.span,
        )
