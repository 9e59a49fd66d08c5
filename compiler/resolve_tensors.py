"""The statements of `tensors`: prefixes joined, lists written out, `with bias` derived, places checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ..dsl import syntax
from ..dsl.diagnostics import Label, MapError
from ..dsl.never import assert_never
from ..dsl.source import Span
from . import hir
from .arithmetic import dtype_of, flat, steps_of
from .derive import bias
from .implied import alone, indices
from .limits import check_sums
from .problems import refuse
from .resolve_make import default, made
from .resolve_names import Context, check_axes, names_of, place_of
from .resolve_whole import by_name, check_terms, is_whole
from .scope import Scope
from .taken import check_parameter


@dataclass(slots=True)
class _Numbers:
    """Counts the statements, and collects variants and problems, while the blocks are walked."""

    statements: int = 0
    variants: dict[str, hir.Variant] = field(default_factory=dict)
    problems: list[MapError] = field(default_factory=list)


def resolve_block(
    block: syntax.Block, scope: Scope
) -> tuple[tuple[hir.Item, ...], tuple[hir.Variant, ...]]:
    """The statements of a map. All statements are read before the first problem is told."""
    numbers = _Numbers()
    items = tuple(_block(block, Context(scope), numbers))
    if numbers.problems:
        raise MapError(
            *(problem for error in numbers.problems for problem in error.diagnostics)
        )
    return items, tuple(numbers.variants.values())


def _block(
    block: syntax.Block, context: Context, numbers: _Numbers
) -> Iterator[hir.Item]:
    for statement in block.statements:
        if isinstance(statement, (syntax.Let, syntax.Replica)):
            let = context.scope.let(statement)
            what = "replica" if let.replica else "let"
            context = replace(
                context, scope=context.scope.bind(let.name, what, let.kind, let.span)
            )
            yield let
            continue
        try:
            yield from tuple(_statement(statement, context, numbers))
        except MapError as error:
            numbers.problems.append(error)


def _statement(
    statement: syntax.Statement, context: Context, numbers: _Numbers
) -> Iterator[hir.Item]:
    match statement:
        case syntax.Equation():
            yield from _equation(statement, context, numbers)
        case syntax.For():
            yield _loop(statement, context, numbers)
        case syntax.If(test=test, body=body, otherwise=otherwise):
            context.scope.check(test)
            yield hir.Choice(
                test,
                tuple(_block(body, context, numbers)),
                _otherwise(otherwise, context, numbers),
            )
        case syntax.Variant():
            yield _variant(statement, context, numbers)
        case syntax.Drop(side=side, name=name, condition=condition):
            number = ("left", "right").index(side)
            names = names_of(name, number, context, deep=True)
            drops = tuple(hir.Drop(number, one, statement.span) for one in names)
            looped = _looped(alone(names), drops, statement.span, context)
            yield from _when(condition, looped, context)
        case syntax.Let() | syntax.Replica():
            raise AssertionError("bound by the block")
        case syntax.Include() | syntax.Def() | syntax.Use():
            raise AssertionError("written out before")
        case syntax.Make(condition=condition):
            makes = made(statement, context, numbers.statements + 1)
            numbers.statements += len(makes)
            holes = alone(make.tensor.names[0].name for make in makes)
            looped = _looped(holes, makes, statement.span, context)
            yield from _when(condition, looped, context)
        case syntax.Require(test=test, message=message):
            context.scope.check(test)
            yield hir.Require(test, message, statement.span, tuple(context.ranges))
        case _:
            assert_never(statement)


def _otherwise(
    node: syntax.Block | syntax.If | None, context: Context, numbers: _Numbers
) -> tuple[hir.Item, ...]:
    if node is None:
        return ()
    block = (
        syntax.Block((node,), span=node.span) if isinstance(node, syntax.If) else node
    )
    return tuple(_block(block, context, numbers))


def _loop(node: syntax.For, context: Context, numbers: _Numbers) -> hir.Loop:
    assert node.body is not None, "the names of a loop without a block are a statement"
    context.scope.check(node.range)
    staged = any(
        layout.stages is not None and layout.stages.over == node.range
        for layout in context.scope.layouts
    )
    scope = context.scope.bind(node.index, "loop index", "int", node.span)
    inner = replace(
        context,
        scope=scope,
        staged=node.index if staged else context.staged,
        ranges={**context.ranges, node.index: node.range},
    )
    prefixes = None
    if node.names is not None:
        sides = [names_of(name, side, inner) for side, name in enumerate(node.names)]
        assert all(len(found) == 1 for found in sides), "lists are written out"
        prefixes = (sides[0][0], sides[1][0])
        inner = replace(inner, prefixes=(prefixes[0].parts, prefixes[1].parts))
    body = tuple(_block(node.body, inner, numbers))
    otherwise = _otherwise(node.otherwise, inner, numbers)
    if node.filter is not None:
        scope.check(node.filter)
        body = (hir.Choice(node.filter, body, otherwise),)
    elif otherwise:
        refuse(
            "M0230",
            "`else` behind a loop without a filter",
            _else_of(node),
            help="`for i in L if ..`",
        )
    filtered = node.filter is not None
    return hir.Loop(node.index, node.range, filtered, staged, prefixes, body, node.span)


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _else_of(node: syntax.For) -> Span:
    """The word `else` behind a loop."""
    assert node.otherwise is not None, "asked for where there is one"
    source = node.span.source
    start = source.text.rindex("else", 0, node.otherwise.span.start)
    return Span(source, start, start + len("else"))


def _variant(node: syntax.Variant, context: Context, numbers: _Numbers) -> hir.Stored:
    choices = tuple(alternative.name for alternative in node.alternatives)
    check_parameter(node.name, "a variant", node.span)
    known = numbers.variants.get(node.name)
    if known is None:
        context.scope.bind(node.name, "variant", "str", node.span)  # or it is refused
        known = numbers.variants[node.name] = hir.Variant(node.name, choices, node.span)
    if len(choices) < 2 or len(set(choices)) < len(choices):
        refuse(
            "M0231",
            f"expected two alternatives or more that differ, found {_listed(choices)}",
            node.span,
            help="a variant is one layout that is stored in several ways",
        )
    if known.choices != choices:
        refuse(
            "M0341",
            f"expected the alternatives {_listed(known.choices)} of `{node.name}`, found {_listed(choices)}",
            node.span,
            labels=(Label(known.span, "first here"),),
            help="a variant is chosen once, so it has the same alternatives in the same order wherever it stands",
        )
    return hir.Stored(
        known, tuple(tuple(_block(a.body, context, numbers)) for a in node.alternatives)
    )


def _when(
    condition: syntax.Condition | None, items: tuple[hir.Item, ...], context: Context
) -> tuple[hir.Item, ...]:
    """The items, inside their condition if they have one."""
    if condition is None:
        return items
    context.scope.check(condition.test)
    return (
        (
            hir.Choice(condition.test, (), items)
            if condition.unless
            else hir.Choice(condition.test, items, ())
        ),
    )


def _equation(
    node: syntax.Equation, context: Context, numbers: _Numbers
) -> Iterator[hir.Item]:
    node = flat(node)
    check_terms(node)
    if node.input_axis is not None and not node.derived:
        refuse(
            "M0255",
            f"`in {node.input_axis}` marks the input axis for `with bias`, which is not there",
            node.span,
            help="in a condition behind an equation `x in y` stands in parentheses",
        )
    left, right = (
        tuple(tensor for term in terms for tensor in _tensors(term, side, context))
        for side, terms in enumerate((node.left, node.right))
    )
    for side in (left, right):
        check_sums(side, node.span)
    items: list[hir.Item] = []
    for sides in by_name(node, left, right, context.scope.names):
        numbers.statements += 1
        optional = node.left[0].optional
        statement = hir.Statement(numbers.statements, *sides, node.span, optional)
        found: list[hir.Item] = [statement]
        for derived in node.derived:
            numbers.statements += 1
            more = (bias(statement, node.input_axis, numbers.statements, derived.span),)
            found += _when(derived.condition, more, context)
        items += _looped(indices(sides), tuple(found), node.span, context)
    yield from _when(node.condition, tuple(items), context)


def _looped(
    found: dict[str, syntax.Path],
    items: tuple[hir.Item, ...],
    span: Span,
    context: Context,
) -> tuple[hir.Item, ...]:
    """The items inside a loop for every index in a name that no `for` binds: it takes the bound name's size."""
    for value in reversed(
        found.values()
    ):  # the first stands outermost and runs slowest
        if context.scope.names[value.text] not in ("loop index", "mesh dimension"):
            items = (hir.Loop(value.text, value, False, False, None, items, span),)
    return items


def _tensors(term: syntax.Term, side: int, context: Context) -> Iterator[hir.Tensor]:
    """The tensors of a term: one, or one for every name of its lists."""
    assert isinstance(term.tensor, syntax.Name), "others were refused before"
    check_axes(term, side, context)
    main = names_of(term.tensor, side, context, deep=True)
    ties = [(names_of(tie.name, side, context, deep=True), tie) for tie in term.ties]
    for names, tie in ties:
        if len(names) != len(main):
            refuse(
                "M0232",
                f"expected {len(main)} names, one for each that they are tied to, found {len(names)}",
                tie.name.span,
                labels=(Label(term.tensor.span, f"{len(main)} here"),),
            )
    for number, name in enumerate(main):
        placed = [hir.Placed(name, place_of(term.at, side, name, context), None)]
        for names, tie in ties:
            if tie.condition is not None:
                context.scope.check(tie.condition.test)
            placed.append(
                hir.Placed(
                    names[number],
                    place_of(tie.at, side, names[number], context),
                    _test(tie.condition),
                )
            )
        axes = () if term.axes is None else term.axes.items
        yield hir.Tensor(
            tuple(placed),
            axes,
            term.span,
            is_whole(term),
            steps_of(term, context.scope),
            dtype_of(term),
            default(term, context.scope),
        )


def _test(condition: syntax.Condition | None) -> syntax.Expr | None:
    if condition is None or not condition.unless:
        return condition.test if condition else None
    return syntax.Unary("not", condition.test, span=condition.span)
