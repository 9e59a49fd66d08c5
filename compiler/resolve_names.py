"""Names and axes of tensors where they stand: prefixes joined, lists written out, places and meshes checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

from ..dsl import syntax
from ..dsl.diagnostics import Label
from ..dsl.never import assert_never
from .kinds import infer, paths
from .limits import check_lists, check_spellings
from .problems import nearest, refuse, word
from .scope import Scope

Prefix = tuple[syntax.NamePart, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """Where a statement stands: bound names, prefixes of both sides, the loop over the staged range, every loop's range."""

    scope: Scope
    prefixes: tuple[Prefix, Prefix] = ((), ())
    staged: str | None = None
    ranges: Mapping[str, syntax.Expr] = field(default_factory=dict)


def names_of(
    name: syntax.Name, side: int, context: Context, deep: bool = False
) -> list[syntax.Name]:
    """A name with its prefix, once for every choice of its lists, the right list fastest."""
    check_lists(name)
    choices: list[tuple[syntax.NamePart, ...]] = []
    for part in name.parts:
        match part:
            case syntax.Several(items=items):
                choices.append(
                    tuple(syntax.Text(item, span=part.span) for item in items)
                )
            case syntax.Hole():
                _check_hole(part, side, context)
                choices.append((part,))
            case syntax.Deep() if not deep:
                refuse(
                    "M0267",
                    "`**` in the names before a block",
                    part.span,
                    help="it stands in the names of an equation without axes, or of a `drop`",
                )
            case syntax.Alternates(items=items):
                again = [item for item in items if items.count(item) > 1]
                if again:
                    refuse(
                        "M0269", f"the spelling `{again[0]}` stands twice", part.span
                    )
                choices.append((part,))
            case syntax.Text() | syntax.Deep():
                choices.append((part,))
            case _:
                assert_never(part)
    prefix = context.prefixes[side]
    joined = (*prefix, syntax.Text(".", span=name.span)) if prefix else ()
    check_spellings(syntax.Name((*joined, *name.parts), name.quoted, span=name.span))
    return [
        syntax.Name((*joined, *parts), name.quoted, span=name.span)
        for parts in product(*choices)
    ]


def place_of(
    at: syntax.At | None, side: int, name: syntax.Name, context: Context
) -> str | None:
    """`first`, `last` or `first,last` where the layout has stages and no staged loop decides."""
    stages = context.scope.layouts[side].stages
    if stages is None:
        if at is not None:
            refuse(
                "M0233",
                f"`at {at.mesh}` on a layout without stages",
                at.span,
                help="leave it out",
            )
        return None
    if context.staged is not None:
        if at is not None:
            refuse(
                "M0234",
                f"`at` inside the loop over `{context.staged}`, whose stage decides",
                at.span,
                help="leave it out",
            )
        return None
    if at is None:
        refuse(
            "M0235",
            f"expected the stage of `{stages.mesh}` that this tensor is on, found none",
            name.span,
            help=f"say `at {stages.mesh}=first`, `at {stages.mesh}=last` or `at {stages.mesh}=first,last`",
        )
    if at.mesh != stages.mesh:
        refuse(
            "M0236",
            f"expected `at {stages.mesh}`, whose stages own the tensors, found `at {at.mesh}`",
            word(at.mesh, at.span),
            help=f"`at {stages.mesh}={at.place}`",
        )
    return "first,last" if "," in at.place else at.place


def check_axes(term: syntax.Term, side: int, context: Context) -> None:
    """Mesh dimensions and padded sizes on the axes are known; no index has the name of a mesh dimension."""
    layout = context.scope.layouts[side]
    axes = () if term.axes is None else term.axes.items
    for node in (node for axis in axes for node in syntax.walk(axis)):
        match node:
            case syntax.Split(mesh=mesh) if mesh not in layout.dims:
                refuse(
                    "M0205",
                    f"`{mesh}` is no dimension of the mesh of `{layout.name}`",
                    word(mesh, node.span, last=True),
                    help=nearest(mesh, layout.dims),
                )
            case syntax.Split(mesh=mesh) if (
                layout.stages is not None and mesh == layout.stages.mesh
            ):
                refuse(
                    "M0240",
                    f"`{mesh}` has stages and splits layers, not axes",
                    word(mesh, node.span, last=True),
                    help=f"`{{i@{mesh}}}` in a name splits the layers",
                )
            case syntax.Padded(size=size) if size not in context.scope.names:
                refuse(
                    "M0212",
                    f"nothing is called `{size}`",
                    word(size, node.span, last=True),
                    help=nearest(size, context.scope.names),
                )
            case syntax.Index(name=name) if context.scope.names.get(name) in (
                "mesh dimension",
                "option",
            ):
                article = "an" if context.scope.names[name] == "option" else "a"
                refuse(
                    "M0241",
                    f"`{name}` is {article} {context.scope.names[name]}, not an index",
                    node.span,
                    labels=(Label(context.scope.places[name], "bound here"),),
                )


def _check_hole(hole: syntax.Hole, side: int, context: Context) -> None:
    context.scope.check(hole.value)
    for path in paths(hole.value):
        if context.scope.names[path.text] == "mesh dimension":
            refuse(
                "M0241",
                f"`{path.text}` is a mesh dimension, not an index",
                path.span,
                labels=(Label(context.scope.places[path.text], "bound here"),),
            )
    if hole.width is not None:
        refuse(
            "M0237",
            "a width in a tensor's name",
            hole.span,
            help="widths belong to `files`",
        )
    if hole.mesh is None:
        return
    layout = context.scope.layouts[side]
    if hole.mesh not in layout.dims:
        refuse(
            "M0205",
            f"`{hole.mesh}` is no dimension of the mesh of `{layout.name}`",
            word(hole.mesh, hole.span, last=True),
            help=nearest(hole.mesh, layout.dims),
        )
    if layout.stages is None or hole.mesh != layout.stages.mesh:
        _check_shared(hole, context)
    elif not isinstance(hole.value, syntax.Path) or hole.value.text != context.staged:
        refuse(
            "M0238",
            f"expected the index of the loop over the stages before `@{hole.mesh}`, found `{hole.value.span.text}`",
            hole.value.span,
            help=f"the stages of `{hole.mesh}` are over `{layout.stages.over.span.text}`",
        )


def _check_shared(hole: syntax.Hole, context: Context) -> None:
    """What is split over ranks in equal shares is an index that counts from 0."""
    if not isinstance(hole.value, syntax.Path):
        refuse(
            "M0320",
            f"`@{hole.mesh}` behind an expression",
            hole.span,
            help="an index alone is split over the ranks",
        )
    index = hole.value.text
    if infer(context.ranges.get(index, hole.value), context.scope.kinds) == "list":
        refuse(
            "M0321",
            f"`@{hole.mesh}` on the index `{index}` of a loop over a list",
            hole.span,
            help="only an index that runs from 0 is cut into equal shares",
        )
