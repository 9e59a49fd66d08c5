"""Check: prove every statement, and say of what kind it is.

Third pass (hir -> proof). After it the leaves of both sides of every statement are matched one to one and have the
same indices; every index has a size or is measured; no name is written by two statements that can both hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..dsl import syntax
from ..dsl.diagnostics import Diagnostic, Label, MapError
from ..dsl.never import assert_never
from . import hir
from .arithmetic import computes, named
from .doubled import doubled
from .facts import Fact, facts
from .kinds import infer, paths
from .layout import Leaf, leaves, matched, place_dims, splits
from .limits import check_parts
from .pointing import axis_of, index_spans
from .problems import refuse, word
from .proof import Proof, Proven, name_indices, name_splits


@dataclass(frozen=True, slots=True)
class _Context:
    """Where a statement stands. `decided` are the names that conditions and ranges around it mention, `lets` the
    names behind each block's own."""

    layouts: tuple[hir.Layout, hir.Layout]
    loops: tuple[hir.Loop, ...]
    tests: tuple[str, ...]
    known: frozenset[str]
    replicas: frozenset[str]
    kinds: Mapping[str, str]
    decided: frozenset[str] = frozenset()
    facts: tuple[Fact, ...] = ()
    lets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    local: frozenset[str] = frozenset()


def check(map_: hir.Map) -> Proven:
    """The proven map; MapError with every statement that cannot be."""
    check_parts(map_.items)
    known = {e.field for e in map_.entries if e.bound} | {let.name for let in map_.lets}
    replicas = frozenset(let.name for let in map_.lets if let.replica)
    kinds = {e.field: e.kind for e in map_.entries} | {
        let.name: let.kind for let in map_.lets
    }
    context = _Context(map_.layouts, (), (), frozenset(known), replicas, kinds)
    problems: list[Diagnostic] = []
    every = tuple(_items(map_.items, context, problems))
    if not problems:
        problems += doubled(every)
    if problems:
        raise MapError(*problems)
    proofs = tuple(proof for proof in every if proof.make is None)
    return Proven(map_, proofs, tuple(proof for proof in every if proof.make))


def _items(
    items: tuple[hir.Item, ...], context: _Context, problems: list[Diagnostic]
) -> list[Proof]:
    found: list[Proof] = []
    for item in items:
        match item:
            case hir.Statement() | hir.Make():
                try:
                    if isinstance(item, hir.Make):
                        found.append(_made(item, context))
                    else:
                        found.append(_prove(item, context))
                except MapError as error:
                    problems += error.diagnostics
            case hir.Loop() | hir.Choice() | hir.Stored():
                for body, inner in _blocks(item, context):
                    found += _items(body, inner, problems)
            case hir.Let():
                context = _knowing(item, context)
            case hir.Drop() | hir.Require():
                pass
            case _:
                assert_never(item)
    return found


def _blocks(
    item: hir.Loop | hir.Choice | hir.Stored, context: _Context
) -> Iterator[tuple[tuple[hir.Item, ...], _Context]]:
    """The blocks of an item, and where each stands."""
    tests, known = context.tests, context.facts
    match item:
        case hir.Loop(body=body, range=range_):
            loops = (*context.loops, item)
            decided = context.decided | (_mentioned(range_) - {item.index})
            yield body, replace(context, loops=loops, decided=decided)
        case hir.Choice(test=test, then=then, otherwise=otherwise):
            text, decided = test.span.text, context.decided | _mentioned(test)
            for holds, branch in ((True, then), (False, otherwise)):
                yield branch, replace(
                    context,
                    decided=decided,
                    tests=(*tests, text if holds else f"not ({text})"),
                    facts=(*known, *facts(test, holds)),
                )
        case hir.Stored(variant=variant, bodies=bodies):
            for choice, body in zip(variant.choices, bodies):
                yield body, replace(
                    context,
                    tests=(*tests, f"{variant.name}={choice}"),
                    facts=(*known, (f"variant {variant.name}", choice)),
                )
        case _:
            assert_never(item)


def _knowing(let: hir.Let, context: _Context) -> _Context:
    """Behind a `let` of a block."""
    return replace(
        context,
        known=context.known | {let.name},
        local=context.local | {let.name},
        replicas=context.replicas | ({let.name} if let.replica else frozenset()),
        kinds={**context.kinds, let.name: let.kind},
        lets={**context.lets, let.name: _mentioned(let.value)},
    )


def _mentioned(value: syntax.Expr) -> frozenset[str]:
    return frozenset(path.text for path in paths(value))


def _prove(statement: hir.Statement, context: _Context) -> Proof:
    left, right = (
        leaves(tuple(tensor.axes for tensor in side)) for side in statement.sides
    )
    pairs = matched(left, right)
    if pairs is None:
        raise MapError(_different(statement, left, right))
    used = {name for leaf in left + right for name in leaf.indices}
    bundled = tuple(
        loop for loop in context.loops if loop.index in used | context.replicas
    )
    for loop in bundled:
        _check_bundled(loop, statement, context)
    for side in (0, 1):
        _check_splits(statement.sides[side], (left, right)[side], context.layouts[side])
    for one, other in pairs:
        _check_pair(statement, one, other, context)
    measured = tuple(
        name
        for name in dict.fromkeys(name for one, _ in pairs for name in one.indices)
        if name not in context.known and name not in {loop.index for loop in bundled}
    )
    return Proof(
        statement,
        pairs,
        context.loops,
        context.tests,
        context.facts,
        bundled,
        measured,
        context.local,
        _kinds(statement, used, context),
    )


def _made(make: hir.Make, context: _Context) -> Proof:
    """The proof of a tensor that is made: nothing but its own shape is measured on anything."""
    names = frozenset(one for one, other in make.again if other in context.known)
    inner = replace(context, known=context.known | names)
    proof = _prove(make.statement, inner)
    if proof.measured:
        refuse(
            "M0284",
            f"nothing gives the size of `{proof.measured[0]}` on a tensor that is made",
            axis_of(proof.measured[0], make.statement),
            help=f"bind `{proof.measured[0]}` in `config` or by a `let`",
        )
    more = tuple(kind for kind in proof.kinds[1:] if kind != "defaulted")
    kinds = ("made", *more, *(["lossy"] if make.lossy else []))
    return replace(proof, make=make, kinds=kinds)


def _different(
    statement: hir.Statement, left: tuple[Leaf, ...], right: tuple[Leaf, ...]
) -> Diagnostic:
    labels = tuple(Label(tensor.span, "") for tensor in statement.left)
    notes = [_parts(leaves_) for leaves_ in (left, right)]
    return Diagnostic(
        "M0301",
        "the two sides have different parts",
        statement.right[0].span,
        f"{notes[1]}",
        (Label(labels[0].span, notes[0]),),
        (
            "every part of one side stands once on the other; labelled parts have the same labels",
        ),
    )


def _parts(found: tuple[Leaf, ...]) -> str:
    spelled = " | ".join(
        " ".join((*(f"{label}:" for label in leaf.labels), *leaf.indices)) or "1"
        for leaf in found
    )
    return f"{len(found)} part{'s' if len(found) > 1 else ''} here: {spelled}"


def _check_bundled(loop: hir.Loop, statement: hir.Statement, context: _Context) -> None:
    """An index on an axis takes all values from 0 to its size, and nothing around the statement asks for one."""
    what = "filtered loop" if loop.filtered else "loop over a list"
    if loop.filtered or infer(loop.range, context.kinds) == "list":
        refuse(
            "M0303",
            f"the index `{loop.index}` of a {what} stands on an axis",
            axis_of(loop.index, statement),
            labels=(Label(word(loop.index, loop.span), f"the {what}"),),
            help="on an axis an index takes all its values from 0 on; let this one stand in names only",
        )
    if loop.index in _deciding(statement, context):
        refuse(
            "M0310",
            f"the index `{loop.index}` stands on an axis, and in a condition, a range or a `let` around the statement"
            + (" or in its arithmetic" if computes(statement) else ""),
            axis_of(loop.index, statement),
            labels=(Label(word(loop.index, loop.span), "its loop"),),
            help="on an axis an index takes all its values at once",
        )
    if loop.staged:
        _check_staged(loop, statement, context)


def _check_staged(loop: hir.Loop, statement: hir.Statement, context: _Context) -> None:
    """A stage holds whole tensors, so on its side the index stands in every name and on no axis."""
    for side, layout in enumerate(context.layouts):
        for tensor in statement.sides[side] if layout.stages else ():
            if loop.index not in name_indices(tensor.names[0].name):
                refuse(
                    "M0322",
                    f"the staged index `{loop.index}` stands on an axis, and in no name of `{layout.name}`",
                    tensor.span,
                    labels=(Label(axis_of(loop.index, statement), "on an axis here"),),
                    help="a stage holds tensors and not pieces of them: here the index stands in the name",
                )


def _deciding(statement: hir.Statement, context: _Context) -> set[str]:
    """The names that conditions and ranges around a statement mention, and the values behind its sizes."""
    tensors = statement.left + statement.right
    nodes = [
        node for tensor in tensors for axis in tensor.axes for node in syntax.walk(axis)
    ]
    todo = {
        node.name for node in nodes if isinstance(node, syntax.Index)
    } | context.decided
    todo |= {node.size for node in nodes if isinstance(node, syntax.Padded)}
    computed = {path.text for tensor in tensors for path in named(tensor)}
    todo |= computed
    found = computed | context.decided
    while todo:
        more = context.lets.get(todo.pop(), frozenset()) - found
        found |= more
        todo |= more
    return found


def _check_splits(
    tensors: tuple[hir.Tensor, ...], found: tuple[Leaf, ...], layout: hir.Layout
) -> None:
    """Every element is on some rank: no part is split twice over a dimension, no tensor over two countings."""
    named = [_named_dims(tensor, layout) for tensor in tensors]
    for leaf in found:
        dims = [dim for place in leaf.axes for dim in place_dims(place)]
        dims += named[leaf.term]
        if twice := sorted({dim for dim in dims if dims.count(dim) > 1}):
            refuse(
                "M0308",
                f"one part is split over `{twice[0]}` twice",
                word(twice[0], tensors[leaf.term].span, last=True),
                help="a rank would hold only the elements for which both splits agree",
            )
    staged = {layout.stages.mesh} if layout.stages else set()
    for number, tensor in enumerate(tensors):
        dims = [split.mesh for axis in tensor.axes for split in splits(axis)]
        dims += named[number]
        if not any(
            set(dims) <= {*counting, *staged}
            for counting in (*layout.countings, dims[:1])
        ):
            refuse(
                "M0309",
                f"one tensor is split over {' and '.join(f'`{dim}`' for dim in dict.fromkeys(dims))}, "
                "which count the same ranks twice",
                word(dims[-1], tensor.span, last=True),
                help="split it over the dimensions of one counting",
            )


def _named_dims(tensor: hir.Tensor, layout: hir.Layout) -> list[str]:
    """The dimensions that the indices in a tensor's names are split over, as often as the worst name says."""
    every = [
        [dim for _, dim in name_splits(placed.name, layout)] for placed in tensor.names
    ]
    return max(every, key=len)


def _check_pair(
    statement: hir.Statement, left: Leaf, right: Leaf, context: _Context
) -> None:
    """A pair of leaves has the same indices, each once; loops around it give both their names."""
    sides = [
        _own(statement.sides[side][leaf.term], leaf, context)
        for side, leaf in enumerate((left, right))
    ]
    for side, leaf in enumerate((left, right)):
        tensor = statement.sides[side][leaf.term]
        _check_twice(leaf, tensor, context)
        other = statement.sides[1 - side][(right, left)[side].term]
        own, others = sides[side], sides[1 - side]
        for name in sorted(own - others - context.replicas):
            refuse(
                "M0302",
                f"the index `{name}` stands on one side only",
                index_spans(name, tensor)[0],
                note=f"here: {' '.join(sorted(own))}",
                labels=(
                    Label(other.span, f"here: {' '.join(sorted(others)) or 'none'}"),
                ),
                help=f"only an index declared `replica {name} = ..` may stand on one side",
            )
    for loop in context.loops:
        if loop.index not in sides[0] | sides[1]:
            refuse(
                "M0305",
                f"the index `{loop.index}` of the loop stands in no name and on no axis",
                statement.span,
                labels=(Label(word(loop.index, loop.span), "the loop"),),
                help="the statement would write the same tensor again for each of its values",
            )


def _check_twice(leaf: Leaf, tensor: hir.Tensor, context: _Context) -> None:
    """No index stands twice in a leaf, on its axes or in the name of its tensor."""
    standing = (*leaf.indices, *sorted(_own(tensor, None, context)))
    twice = sorted({name for name in leaf.indices if standing.count(name) > 1})
    if twice:
        refuse(
            "M0304",
            f"the index `{twice[0]}` stands twice in one part",
            index_spans(twice[0], tensor)[-1],
            note=f"this part is {' '.join(standing)}",
            labels=(Label(index_spans(twice[0], tensor)[0], "first here"),),
            help="an element has one number for each index; two indices of one size have two names",
        )


def _own(tensor: hir.Tensor, leaf: Leaf | None, context: _Context) -> set[str]:
    """The indices of a leaf, if there is one: those on its axes and those in its tensor's name."""
    loops = {loop.index for loop in context.loops} | context.replicas
    return set(leaf.indices if leaf else ()) | {
        name for name in name_indices(tensor.names[0].name) if name in loops
    }


def _kinds(
    statement: hir.Statement, used: set[str], context: _Context
) -> tuple[str, ...]:
    tensors = statement.left + statement.right
    padded = any(
        isinstance(node, syntax.Padded)
        for t in tensors
        for axis in t.axes
        for node in syntax.walk(axis)
    )
    one_sided = context.replicas & (
        used | {n for t in tensors for n in name_indices(t.names[0].name)}
    )
    return (
        "rounded" if computes(statement) else "tail" if statement.tail else "bijective",
        *(["optional"] if statement.optional else []),
        *(["defaulted"] if any(tensor.default for tensor in tensors) else []),
        *(["padded"] if padded else []),
        *(["tied"] if any(len(tensor.names) > 1 for tensor in tensors) else []),
        *(["replicating"] if one_sided else []),
    )
