"""Resolve: bind every name of a map. Text is gone after this pass, but for spans.

Second pass (syntax -> hir). After it every name is bound, prefixes are joined, brace lists and `with bias` are
written out, conditions stand around their statements, and every tensor of a layout with stages has its place.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..dsl import syntax
from ..dsl.source import Span
from . import hir
from .kinds import infer, numbers, sizes
from .problems import nearest, refuse, word
from .resolve_config import resolve_entries
from .resolve_layouts import refuse_second, resolve_layouts
from .resolve_tensors import resolve_block
from .scope import Scope
from .taken import check_parameter


def resolve(file: syntax.File) -> hir.Map:
    """The bound map. Raises MapError for names that are unknown, bound twice or out of place."""
    header = _one(file, syntax.Map, "M0201", "map NAME: left <-> right")
    layouts = resolve_layouts(header, _all(file, syntax.Layout))
    scope = Scope({}, sizes(file), layouts, numbers=numbers(file))
    for layout in layouts:
        for dim in layout.dims:
            scope = scope.bind(dim, "mesh dimension", "int", _mesh_span(file, layout))
    options = []
    for option in _all(file, syntax.Option):
        scope, resolved = _option(option, scope, layouts)
        options.append(resolved)
    scope, entries = resolve_entries(file, scope)
    lets, scope = _lets(file, scope)
    requires = tuple(_require(node, scope) for node in _all(file, syntax.Require))
    _check_stages(layouts, scope)
    tensors = _one(file, syntax.Tensors, "M0340", "tensors { .. }")
    items, variants = resolve_block(tensors.block, scope)
    return hir.Map(
        header.span.source,
        header.name,
        title(file),
        *layouts,
        tuple(options),
        entries,
        lets,
        requires,
        variants,
        items,
        file.included,
        file.borrowed,
    )


def _all(file: syntax.File, kind: type[syntax.NodeT]) -> list[syntax.NodeT]:
    return [item for item in file.items if isinstance(item, kind)]


def _one(
    file: syntax.File, kind: type[syntax.NodeT], missing: str, what: str
) -> syntax.NodeT:
    found = _all(file, kind)
    if not found:
        refuse(
            missing,
            f"expected `{what}`, found none",
            file.span,
            help="a map has a header and a `tensors` block",
        )
    if len(found) > 1:
        refuse_second(f"expected one `{what}`, found {len(found)}", *found[:2])
    return found[0]


def _mesh_span(file: syntax.File, layout: hir.Layout) -> Span:
    """The rule that names a layout's mesh dimensions."""
    return next(
        rule.span
        for block in _all(file, syntax.Layout)
        for rule in block.rules
        if block.name == layout.name and isinstance(rule, syntax.Mesh)
    )


def _option(
    option: syntax.Option, scope: Scope, layouts: Iterable[hir.Layout]
) -> tuple[Scope, hir.Option]:
    if option.layout not in [layout.name for layout in layouts]:
        refuse(
            "M0203",
            f"no layout of this map is called `{option.layout}`",
            word(option.layout, option.span, last=True),
            help=nearest(option.layout, [layout.name for layout in layouts]),
        )
    check_parameter(option.name, "an option", option.span)
    if not isinstance(
        option.default, (syntax.Number, syntax.String, syntax.Boolean, syntax.Nothing)
    ):
        refuse(
            "M0218",
            f"expected a plain value as the default of `{option.name}`, found an expression",
            option.default.span,
            help="a number, a text, `true`, `false` or `none` stands there; compute with a `let`",
        )
    kind = "int" if option.name in scope.sizes else infer(option.default, scope.kinds)
    if kind == "int" and isinstance(option.default, (syntax.String, syntax.Boolean)):
        refuse(
            "M0228",
            f"expected a whole number as the default of `{option.name}`, found `{option.default.span.text}`",
            option.default.span,
            help=f"`{option.name}` is used as a size",
        )
    resolved = hir.Option(
        option.name, kind, option.default, option.layout, option.key, option.span
    )
    return scope.bind(option.name, "option", kind, option.span), resolved


def _lets(file: syntax.File, scope: Scope) -> tuple[tuple[hir.Let, ...], Scope]:
    lets: list[hir.Let] = []
    for item in file.items:
        if isinstance(item, (syntax.Let, syntax.Replica)):
            let = scope.let(item)
            lets.append(let)
            scope = scope.bind(
                let.name, "replica" if let.replica else "let", let.kind, let.span
            )
    return tuple(lets), scope


def _require(node: syntax.Require, scope: Scope) -> hir.Require:
    scope.check(node.test)
    return hir.Require(node.test, node.message, node.span)


def _check_stages(layouts: Iterable[hir.Layout], scope: Scope) -> None:
    for layout in layouts:
        if (stages := layout.stages) is not None:
            for value in (
                stages.over,
                stages.by,
                stages.first,
                stages.virtual,
                stages.last,
                stages.embedding,
                stages.loss,
            ):
                if value is not None:
                    scope.check(value)


def title(file: syntax.File) -> str:
    """What a map converts: its first line where that is a comment, else its header."""
    if file.comments and file.comments[0].own_line and file.comments[0].span.line == 1:
        return file.comments[0].text.lstrip("# ")
    header = next(item for item in file.items if isinstance(item, syntax.Map))
    return f"{header.name}: {header.left} <-> {header.right}"
