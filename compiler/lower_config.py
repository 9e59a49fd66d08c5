"""Config as text: fields, how they are read from each layout's dict and written to it."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter

from ..dsl import syntax
from ..dsl.never import assert_never
from . import hir
from .emit import Env, attribute, expression, identifier, literal, quoted
from .kinds import paths
from .plan import ConfigView, Field, Property, Reading, Writing

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
        *(
            Field(
                attribute(v.name),
                "str",
                quoted(v.choices[0]),
                "stored as " + " or ".join(v.choices),
            )
            for v in map_.variants
        ),
    ]
    lets = [let for let in map_.lets if let.name not in dims]
    env = Env({name: f"self.{attribute(name)}" for name in _bound(map_)}, kinds(map_))
    return ConfigView(
        tuple(fields),
        tuple(_property(let, env) for let in lets),
        tuple(
            [
                f'check_kind({quoted(let.name)}, "int", self.{attribute(let.name)})'
                for let in lets
                if let.kind == "int"
            ]
            + [requirement(node, env) for node in map_.requires if not depends(node.test, dims)]
        ),
        tuple(_reading(map_, side) for side in (0, 1)),
        tuple(_writing(map_, side) for side in (0, 1)),
    )


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


def requirement(node: hir.Require, env: Env) -> str:
    """`require(test, message)`; `{n}` in the message shows a value."""
    return f"require({expression(node.test, env)}, {_message(node.message, env)})"


def _message(text: str, env: Env) -> str:
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        return quoted(text)
    if any(
        name is not None and (name not in env.names or form or conversion)
        for _, name, form, conversion in parts
    ):
        return quoted(text)
    shown = [(literal_text, name) for literal_text, name, _, _ in parts]
    inner = "".join(
        quoted(start)[1:-1].replace("{", "{{").replace("}", "}}")
        + (f"{{{env.names[name]}}}" if name else "")
        for start, name in shown
    )
    return f'f"{inner}"' if any(name for _, name in shown) else quoted(text)


def _bound(map_: hir.Map) -> list[str]:
    names = [entry.field for entry in map_.entries if entry.bound]
    return names + [option.name for option in map_.options] + [let.name for let in map_.lets]


def _field(entry: hir.Entry) -> Field:
    nullable = any(
        isinstance(side, hir.Keys) and isinstance(side.default, syntax.Nothing)
        for side in (entry.left, entry.right)
    )
    kind = "Any" if nullable or not entry.bound else _TYPES[entry.kind]
    comment = " <-> ".join(_spelled(side) for side in (entry.left, entry.right))
    return Field(attribute(entry.field), kind, None if entry.bound else "None", comment)


def _spelled(side: hir.ConfigSide) -> str:
    match side:
        case None:
            return "-"
        case hir.Keys(keys=keys):
            return keys[0]
        case hir.Formula(value=value):
            return " ".join(value.span.text.split())
        case hir.Fixed(key=key):
            return key
        case _:
            assert_never(side)


def _option(option: hir.Option) -> Field:
    nullable = isinstance(option.default, syntax.Nothing)
    kind = _TYPES[option.kind] + (" | None" if nullable and option.kind != "any" else "")
    return Field(
        attribute(option.name), kind, literal(option.default), f"{option.layout}: {option.key}"
    )


def _property(let: hir.Let, env: Env) -> Property:
    comment = " ".join(let.value.span.text.split())
    return Property(
        attribute(let.name), _TYPES[let.kind], expression(let.value, env), f"{let.name} = {comment}"
    )


def _reading(map_: hir.Map, side: int) -> Reading:
    entries = [entry for entry in map_.entries if entry.field]
    needed = {
        path.text
        for entry in entries
        for value in _expressions(entry, side)
        for path in paths(value)
    }
    env = Env(
        {entry.field: identifier(entry.field) for entry in entries if entry.bound}, kinds(map_)
    )
    values = {entry.field: _read(entry, side, env) for entry in entries}
    ordered = _ordered([entry for entry in entries if entry.field in needed], side)
    locals_ = tuple(f"{identifier(entry.field)} = {values[entry.field]}" for entry in ordered)
    fields = [
        (attribute(name), identifier(name) if name in needed else values[name])
        for name in [e.field for e in entries if e.bound]
        + [e.field for e in entries if not e.bound]
    ]
    for option in map_.options:
        key = f", {quoted(option.key)}" if option.layout == map_.layouts[side].name else ""
        kind, default = quoted(option.kind), literal(option.default)
        fields.append(
            (attribute(option.name), f"read.option({quoted(option.name)}, {kind}, {default}{key})")
        )
    for variant in map_.variants:
        choices = f"({', '.join(map(quoted, variant.choices))})"
        fields.append((attribute(variant.name), f"read.choice({quoted(variant.name)}, {choices})"))
    fixed = [
        s for entry in map_.entries if isinstance(s := (entry.left, entry.right)[side], hir.Fixed)
    ]
    checks = tuple(f"read.constant({quoted(s.key)}, {expression(s.value, env)})" for s in fixed)
    return Reading(map_.layouts[side].name, locals_, tuple(fields), checks)


def _expressions(entry: hir.Entry, side: int) -> list[syntax.Expr]:
    """What is computed when an entry is read from a side."""
    here, there = (entry.left, entry.right) if side == 0 else (entry.right, entry.left)
    match here:
        case hir.Keys(default=default):
            return [default] if default is not None else []
        case hir.Formula(value=value):
            return [value]
        case None if isinstance(there, hir.Keys) and there.default is not None:
            return [there.default]
    return []


def _ordered(entries: list[hir.Entry], side: int) -> list[hir.Entry]:
    """Entries after those that they are computed from."""
    names = {entry.field: entry for entry in entries}
    done: dict[str, hir.Entry] = {}

    def add(entry: hir.Entry) -> None:
        for value in _expressions(entry, side):
            for path in paths(value):
                if path.text in names and path.text not in done and path.text != entry.field:
                    add(names[path.text])
        done.setdefault(entry.field, entry)

    for entry in entries:
        add(entry)
    return list(done.values())


def _read(entry: hir.Entry, side: int, env: Env) -> str:
    here = (entry.left, entry.right)[side]
    match here:
        case hir.Keys(keys=keys, default=default):
            named = "".join(f", {quoted(key)}" for key in keys)
            if entry.table:
                table = ", ".join(
                    f"{literal(pair[side])}: {literal(pair[0])}" for pair in entry.table
                )
                return (
                    f"read.translate({{{table}}}{named}{_table_default(entry, side, default, env)})"
                )
            kind = quoted(entry.kind if entry.bound else "any")
            return f"read.get({kind}{named}{_default(entry, side, default, env)})"
        case hir.Formula(value=value, keys=keys):
            return expression(
                value, env.adding({key: f'read.get("any", {quoted(key)})' for key in keys})
            )
        case _:
            found = _expressions(entry, side)
            return expression(found[0], env) if found else "None"


def _default(entry: hir.Entry, side: int, default: syntax.Expr | None, env: Env) -> str:
    """What is taken where no key is there; a value that is only carried takes the other side's default."""
    other = (entry.right, entry.left)[side]
    if default is None and entry.bound:
        return f", name={quoted(entry.field)}"
    if (
        default is None
        and isinstance(other, hir.Keys)
        and other.default is not None
        and not any(paths(other.default))
    ):
        default = other.default
    text = expression(default, env) if default is not None else "None"
    return f", default=lambda: {text}" if "exactly(" in text else f", default={text}"


def _table_default(entry: hir.Entry, side: int, default: syntax.Expr | None, env: Env) -> str:
    """A default in this side's spelling is kept in the left one."""
    if default is None:
        return ""
    for pair in entry.table:
        if pair[side] == default:
            return f", default={literal(pair[0])}"
    return f", default={expression(default, env)}"


def _writing(map_: hir.Map, side: int) -> Writing:
    env = Env({name: f"self.{attribute(name)}" for name in _bound(map_)}, kinds(map_))
    values: list[tuple[str, str]] = []
    for entry in map_.entries:
        here = (entry.left, entry.right)[side]
        match here:
            case hir.Keys(keys=keys):
                value = f"self.{attribute(entry.field)}"
                if entry.table and side == 1:
                    table = ", ".join(
                        f"{literal(left)}: {literal(right)}" for left, right in entry.table
                    )
                    value = f"{{{table}}}.get({value})"
                values.append((quoted(keys[0]), value))
            case hir.Fixed(key=key, value=fixed):
                values.append((quoted(key), expression(fixed, env)))
            case None | hir.Formula():
                pass
            case _:
                assert_never(here)
    for option in map_.options:
        if option.layout == map_.layouts[side].name:
            values.append((quoted(option.key), f"self.{attribute(option.name)}"))
    return Writing(map_.layouts[side].name, tuple(values))


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
        **{let.name: f"_{let.name}(config, mesh)" for let in map_.lets if let.name in dims},
    }
    return Env(names, kinds(map_))
