"""Config equations: which names are keys, which are defaults, and what kind of value each holds."""

from __future__ import annotations

from dataclasses import replace

from ..dsl import syntax
from ..dsl.diagnostics import Label
from . import hir
from .kinds import infer, paths
from .problems import refuse, word
from .scope import Scope


def resolve_entries(
    file: syntax.File, scope: Scope
) -> tuple[Scope, tuple[hir.Entry, ...]]:
    """The entries of all `config` blocks, and the scope with their binders."""
    written = [
        entry
        for item in file.items
        if isinstance(item, syntax.Config)
        for entry in item.entries
    ]
    for entry in written:
        if entry.binder is not None:
            kind = "int" if entry.binder in scope.sizes else "any"
            scope = scope.bind(entry.binder, "config binder", kind, entry.span)
    entries = [_entry(entry, scope) for entry in written]
    for _ in range(
        2
    ):  # a default may be another binder, of a kind that is known only now
        entries = [replace(entry, kind=_kind(entry, scope)) for entry in entries]
        scope = replace(
            scope,
            kinds={**scope.kinds, **{e.field: e.kind for e in entries if e.bound}},
        )
    entries = _unique(entries, scope)
    _check_keys(entries)
    for side in (0, 1):
        _check_defaults(
            {entry.field: entry for entry in entries if entry.bound}, side, scope
        )
    return scope, tuple(entries)


def _entry(entry: syntax.Entry, scope: Scope) -> hir.Entry:
    tables = [
        side.table
        for side in (entry.left, entry.right)
        if isinstance(side, syntax.Translated)
    ]
    if len(tables) > 1:
        refuse(
            "M0221",
            "both sides of the equation have a value table",
            entry.span,
            help="keep one of them",
        )
    left, right = (
        _side(side, entry.binder, scope) for side in (entry.left, entry.right)
    )
    if entry.binder is not None and isinstance(left or right, hir.Fixed):
        refuse(
            "M0222",
            f"`{entry.binder}` is bound to a constant",
            entry.span,
            help="use `let`",
        )
    sides = (left, right)
    if any(isinstance(side, hir.Fixed) for side in sides) and None not in sides:
        refuse(
            "M0227",
            "a constant on one side, and a key on the other whose value goes nowhere",
            entry.span,
            help="a constant stands alone: `<-> key = value`",
        )
    return hir.Entry(
        entry.binder or _field(left, right),
        entry.binder is not None,
        "any",
        left,
        right,
        tables[0] if tables else (),
        entry.span,
    )


def _field(left: hir.ConfigSide, right: hir.ConfigSide) -> str:
    """Where Config keeps a value that no name is bound to: under the last part of its key."""
    for side in (left, right):
        if isinstance(side, hir.Keys):
            return side.keys[0].split(".")[-1]
    return ""


def _side(
    side: syntax.ConfigValue | None, binder: str | None, scope: Scope
) -> hir.ConfigSide:
    match side:
        case None:
            return None
        case syntax.Constant(key=key, value=value):
            scope.check(value)
            return hir.Fixed(key, value)
        case syntax.Translated(keys=keys, default=default):
            found = _keys(keys, binder, scope)
            if not isinstance(found, hir.Keys) or found.default is not None:
                refuse(
                    "M0223",
                    f"expected a list of keys before a value table, found `{keys.span.text}`",
                    keys.span,
                    help="a default stands behind the table, `key { .. } ?? default`",
                )
            return hir.Keys(found.keys, default)
        case _:
            return _keys(side, binder, scope)


def _keys(
    value: syntax.Expr, binder: str | None, scope: Scope
) -> hir.Keys | hir.Formula:
    """A key list with an optional default, or an expression that is only read."""
    chain = _chain(value)
    keys: list[str] = []
    for position, item in enumerate(chain):
        bound = (
            isinstance(item, syntax.Path)
            and item.text in scope.names
            and item.text != binder
            and position > 0
        )
        if isinstance(item, syntax.Path) and not bound:
            keys.append(item.text)
            continue
        if not keys:
            break
        if position < len(chain) - 1:
            refuse(
                "M0224",
                "a default that is not the last of its list",
                item.span,
                help="`a ?? b ?? default`",
            )
        scope.check(item)
        return hir.Keys(tuple(keys), item)
    if keys:
        return hir.Keys(tuple(keys), None)
    return hir.Formula(
        value, tuple(path.text for path in paths(value) if path.text not in scope.names)
    )


def _chain(value: syntax.Expr) -> list[syntax.Expr]:
    if isinstance(value, syntax.Binary) and value.operator == "??":
        return [*_chain(value.left), value.right]
    return [value]


def _kind(entry: hir.Entry, scope: Scope) -> str:
    if entry.bound and entry.field in scope.sizes:
        return "int"
    if entry.table:
        return infer(entry.table[0][0], scope.kinds)
    kinds = [
        infer(side.default, scope.kinds)
        for side in (entry.left, entry.right)
        if isinstance(side, hir.Keys) and side.default is not None
    ]
    kinds += [
        infer(side.value, scope.kinds)
        for side in (entry.left, entry.right)
        if isinstance(side, hir.Formula)
    ]
    number = entry.bound and entry.field in scope.numbers
    other = "float" if number else "any"
    return next((kind for kind in kinds if kind != "any"), other)


def _unique(entries: list[hir.Entry], scope: Scope) -> list[hir.Entry]:
    """Fields without a binder keep out of the way of the bound names and of each other."""
    taken = set(scope.names)
    result = []
    for entry in entries:
        field = entry.field
        while field and not entry.bound and field in taken:
            field += "_"
        taken.add(field)
        result.append(replace(entry, field=field))
    return result


def _check_defaults(entries: dict[str, hir.Entry], side: int, scope: Scope) -> None:
    """A value is computed from others of the config, in the end from keys: not from a mesh, not from itself."""
    needs: dict[str, list[syntax.Path]] = {}
    for name, entry in entries.items():
        here = (entry.left, entry.right)[side]
        value = (
            here.default
            if isinstance(here, hir.Keys)
            else here.value if isinstance(here, hir.Formula) else None
        )
        needs[name] = list(paths(value)) if value is not None else []
        for path in needs[name]:
            if scope.names.get(path.text) == "mesh dimension":
                refuse(
                    "M0219",
                    f"a config value depends on the mesh (`{path.text}`)",
                    path.span,
                    help="use a `let`",
                )
    for name, direct in needs.items():
        reached, todo = set(), [path.text for path in direct]
        while todo:
            other = todo.pop()
            if other in needs and other not in reached:
                reached.add(other)
                todo += [path.text for path in needs[other]]
        if name in reached:
            refuse(
                "M0220",
                f"the value of `{name}` depends on itself",
                word(name, entries[name].span),
                help="a default is computed from keys, numbers and names that do not need it",
            )


def _check_keys(entries: list[hir.Entry]) -> None:
    """A key is written by one equation; the keys of an expression have an equation of their own."""
    for number in (0, 1):
        written: dict[str, hir.Entry] = {}
        for entry in entries:
            side = (entry.left, entry.right)[number]
            key = (
                side.keys[0]
                if isinstance(side, hir.Keys)
                else side.key if isinstance(side, hir.Fixed) else None
            )
            if key is not None and key in written:
                refuse(
                    "M0225",
                    f"the config key `{key}` is written by two equations",
                    entry.span,
                    labels=(Label(written[key].span, "first here"),),
                )
            if key is not None:
                written[key] = entry
        for entry in entries:
            side = (entry.left, entry.right)[number]
            if not isinstance(side, hir.Formula):
                continue
            for key in side.keys:
                if key not in written:
                    refuse(
                        "M0226",
                        f"nothing writes the config key `{key}` that this expression reads",
                        word(key, side.value.span),
                        help=f"give `{key}` a line of its own",
                    )
