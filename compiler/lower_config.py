"""Config as text: fields, how they are read from each layout's dict and written to it."""

from __future__ import annotations

from collections.abc import Mapping

from ..dsl import syntax
from ..dsl.never import assert_never
from . import hir
from .emit import Env, attribute, expression, function_name, literal, quoted
from .kinds import paths
from .lower_functions import plain
from .lower_require import requirement
from .plan import ConfigView, Field, Property

_TYPES = {
    "int": "int",
    "float": "float",
    "bool": "bool",
    "str": "str",
    "list": "list[Any]",
    "any": "Any",
}


def lower_config(map_: hir.Map, dims: frozenset[str]) -> ConfigView:
    """The view of Config; `dims` are the names that a mesh must be known for."""
    fields = [
        *(_field(entry) for entry in map_.entries if entry.field and entry.bound),
        *(_field(entry) for entry in map_.entries if entry.field and not entry.bound),
        *(_option(option) for option in map_.options),
        *(Field(attribute(v.name), "str | None", "None") for v in map_.variants),
    ]
    lets = [let for let in map_.lets if let.name not in dims]
    env = Env({name: f"self.{attribute(name)}" for name in _bound(map_)}, kinds(map_))
    return ConfigView(
        tuple(fields),
        tuple(_property(let, env) for let in lets),
        "".join(f', {attribute(name)}="int"' for name in _counts(map_, lets)),
        tuple(
            requirement(node, env)
            for node in map_.requires
            if not depends(node.test, dims)
        ),
        tuple(
            (attribute(entry.field), _row(map_, entry))
            for entry in map_.entries
            if entry.field
        ),
        tuple(
            (attribute(option.name), _option_row(map_, option))
            for option in map_.options
        ),
        tuple(
            (attribute(v.name), f"({', '.join(map(quoted, v.choices))})")
            for v in map_.variants
        ),
        _constants(map_),
    )


def _counts(map_: hir.Map, lets: list[hir.Let]) -> list[str]:
    """What is a size and not said to be one: sizes that are computed, and fields that may be none as well."""
    entries = [entry for entry in map_.entries if entry.bound and entry.kind == "int"]
    return [
        *(entry.field for entry in entries if _field(entry).type == "Any"),
        *(let.name for let in lets if let.kind == "int"),
    ]


def kinds(map_: hir.Map) -> dict[str, str]:
    """The kind of every name that is bound for the whole map."""
    return {
        **{dim: "int" for layout in map_.layouts for dim in layout.dims},
        **{entry.field: entry.kind for entry in map_.entries if entry.bound},
        **{option.name: option.kind for option in map_.options},
        **{let.name: let.kind for let in map_.lets},
    }


def depends(value: syntax.Expr, names: frozenset[str]) -> bool:
    return any(path.text in names for path in paths(value))


def _bound(map_: hir.Map) -> list[str]:
    names = [entry.field for entry in map_.entries if entry.bound]
    return (
        names
        + [option.name for option in map_.options]
        + [let.name for let in map_.lets]
    )


def _field(entry: hir.Entry) -> Field:
    nullable = any(
        isinstance(side, hir.Keys)
        and side.default is not None
        and _may_be_none(side.default)
        or isinstance(side, hir.Formula)
        and _may_be_none(side.value)
        for side in (entry.left, entry.right)
    )
    kind = "Any" if nullable or not entry.bound else _TYPES[entry.kind]
    return Field(attribute(entry.field), kind, None if entry.bound else "None")


def _may_be_none(value: syntax.Expr) -> bool:
    """Whether `none` is written as what an expression comes to."""
    match value:
        case syntax.Nothing():
            return True
        case syntax.Conditional(then=then, other=other):
            return _may_be_none(then) or _may_be_none(other)
        case syntax.Binary(operator="??", right=right):
            return _may_be_none(right)
        case _:
            return False


def _option(option: hir.Option) -> Field:
    nullable = isinstance(option.default, syntax.Nothing)
    kind = _TYPES[option.kind] + (
        " | None" if nullable and option.kind != "any" else ""
    )
    return Field(attribute(option.name), kind, literal(option.default))


def _property(let: hir.Let, env: Env) -> Property:
    comment = plain(let.value.span.text)
    return Property(
        attribute(let.name),
        _TYPES[let.kind],
        expression(let.value, env),
        f"{let.name} = {comment}",
    )


def _row(map_: hir.Map, entry: hir.Entry) -> str:
    """A config equation: left key, right key, the default of both or of each, a value table."""
    env = Env({name: f"c[{quoted(name)}]" for name in _bound(map_)}, kinds(map_))
    keys = [_key(side, env) for side in (entry.left, entry.right)]
    defaults = [_default(entry, number, env) for number in (0, 1)]
    one = defaults[0]
    if defaults[0] != defaults[1]:
        names = [quoted(layout.name) for layout in map_.layouts]
        one = f"{{{names[0]}: {defaults[0]}, {names[1]}: {defaults[1]}}}"
    table = ", ".join(
        f"{literal(left)}: {literal(right)}" for left, right in entry.table
    )
    return f"({', '.join([*keys, one, *([f'{{{table}}}'] if table else [])])})"


def _key(side: hir.ConfigSide, env: Env) -> str:
    match side:
        case hir.Keys(keys=(key,)):
            return quoted(key)
        case hir.Keys(keys=keys):
            return f"({', '.join(map(quoted, keys))})"
        case hir.Formula(value=value, keys=keys):
            read = {key: f"c.key({quoted(key)})" for key in keys}
            return f"lambda c: {expression(value, env.adding(read))}"
        case hir.Fixed() | None:
            return "None"
        case _:
            assert_never(side)


def _default(entry: hir.Entry, number: int, env: Env) -> str:
    """What is taken where no key is there; `...` where one must be.

    A value without a key on this side, or that is only carried, takes the other side's default.
    """
    here, there = (
        (entry.left, entry.right) if number == 0 else (entry.right, entry.left)
    )
    default = here.default if isinstance(here, hir.Keys) else None
    if default is None and isinstance(here, hir.Keys) and entry.bound:
        return "..."
    if default is None and isinstance(there, hir.Keys):
        default = there.default
    if default is None:
        return "..." if entry.bound and here is None else "None"
    for pair in entry.table:
        if pair[number] == default:  # a default is spelled as its side spells
            return literal(pair[0])
    text = expression(default, env)
    return f"lambda c: {text}" if any(paths(default)) else text


def _option_row(map_: hir.Map, option: hir.Option) -> str:
    keys = [
        quoted(option.key) if layout.name == option.layout else "None"
        for layout in map_.layouts
    ]
    return f"({', '.join(keys)}, {literal(option.default)})"


def _constants(map_: hir.Map) -> tuple[tuple[str, str], ...]:
    """The keys that always have one value, by layout."""
    found = []
    for number, layout in enumerate(map_.layouts):
        fixed = [
            s
            for e in map_.entries
            if isinstance(s := (e.left, e.right)[number], hir.Fixed)
        ]
        values = ", ".join(
            f"{quoted(side.key)}: {literal(side.value)}" for side in fixed
        )
        found += [(layout.name, f"{{{values}}}")] if fixed else []
    return tuple(found)


def mesh_dependent(map_: hir.Map) -> frozenset[str]:
    """The mesh dimensions, and the lets that need them."""
    found = {dim for layout in map_.layouts for dim in layout.dims}
    for let in map_.lets:
        if depends(let.value, frozenset(found)):
            found.add(let.name)
    return frozenset(found)


def config_env(map_: hir.Map, dims: frozenset[str]) -> Env:
    """How the bound names are written in the functions of the mapping part, given `config` and `mesh`."""
    names: Mapping[str, str] = {
        **{dim: f"mesh.{dim}" for layout in map_.layouts for dim in layout.dims},
        **{name: f"config.{attribute(name)}" for name in _bound(map_)},
        **{
            let.name: f"{function_name(let.name)}(config, mesh)"
            for let in map_.lets
            if let.name in dims
        },
    }
    return Env(names, kinds(map_))
