"""Config equations: plain dicts of a config.json, read and written by one table.

A row says, for a field of Config: its key in the left and in the right layout, the default, and a dict of spellings,
left to right, where they differ. Keys are dotted; of several the first that is there is read, the first is written;
a function is read only; None is no key. A default of `...` says that the key must be there; a function of the reader
computes it; a dict holds one a layout. What kind of value a field holds, its type says.

A config comes back as it was: keys that no row reads are kept for its layout, and what a row would write under a key
that was not there is noted, so that it is left out again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from .errors import ConversionError

_KINDS: dict[str, Any] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "list": (list,),
}


def check_kind(what: str, kind: str, value: Any) -> Any:
    """The value, if it is of the kind; a size is an int that is not negative."""
    if kind not in _KINDS or value is None:
        return value
    if not isinstance(value, _KINDS[kind]) or (
        isinstance(value, bool) and kind != "bool"
    ):
        raise ConversionError(f"{what}: expected {kind}, found {value!r}")
    if kind == "int" and not 0 <= value < 2**63:
        found = value if abs(value) < 2**64 else f"one of {value.bit_length()} bits"
        expected = ", 0 or more" if value < 0 else " below 2**63"
        raise ConversionError(f"{what}: expected a size{expected}, found {found}")
    return value


class ConfigTable:
    """The config equations of a map."""

    def __init__(
        self,
        config: Any,
        layouts: tuple[str, str],
        keys: Mapping[str, tuple[Any, ...]],
        options: Mapping[str, tuple[Any, ...]],
        variants: Mapping[str, tuple[str, ...]],
        constants: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self.types = {
            name: str(field.type) for name, field in config.__dataclass_fields__.items()
        }
        self.layouts = layouts
        self.keys = keys
        self.options = options
        self.variants = variants
        self.constants = constants

    def kind(self, name: str) -> str:
        """The kind of a field: `int | None` and `list[Any]` are an int and a list."""
        return self.types[name].split(" ")[0].split("[")[0].lower()

    def blocks(self) -> tuple[str, ...]:
        """What a `mapc` block holds, but for the mesh."""
        return (*self.layouts, *map(_absent, self.layouts))

    def check(self, config: Any, **lets: str) -> None:
        """ConversionError for a field of the wrong kind, ValueError for an alternative that does not exist.

        `lets` are the kinds of values that are computed from the fields. A side that is only read must say what the
        field holds, or that layout's config could not say it.
        """
        for name in (*self.keys, *self.options):
            value, kind = getattr(config, name), self.kind(name)
            if value is None and kind != "any" and "None" not in self.types[name]:
                raise ConversionError(f"{name}: expected {kind}, found None")
            check_kind(name, kind, value)
        for name, choices in self.variants.items():
            if getattr(config, name) not in (None, *choices):
                raise ValueError(
                    f"{name}: expected one of {', '.join(choices)}, not {getattr(config, name)!r}"
                )
        self._check_formulas(config)
        for name, kind in lets.items():
            check_kind(name, kind, worked_out(name, getattr, config, name))

    def saying(self, layout: str, fields: Mapping[str, Any]) -> Saying:
        """What a layout's config would say of these fields."""
        said = self._said(layout, fields)
        return Saying(fields, {key: value for keys, value in said for key in keys})

    def _check_formulas(self, config: Any) -> None:
        for side, layout in enumerate(self.layouts):
            view = self.saying(layout, vars(config))
            for name, row in self.keys.items():
                value = getattr(config, name)
                if not callable(row[side]) or value is None:
                    continue
                expected = worked_out(name, row[side], view)
                if expected != value:
                    raise ConversionError(
                        f"{name}: expected {expected!r}, as the other values of a {layout} config say, "
                        f"found {value!r}"
                    )

    def read(
        self, layout: str, config: Mapping[str, Any], options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The fields of Config. ConversionError for what does not fit, TypeError for an unknown option."""
        unknown = sorted(set(options) - set(self.options) - set(self.variants))
        if unknown:
            raise TypeError(f"no option is called {unknown[0]!r}")
        reader = ConfigReader(self, layout, config, options)
        fields = {name: reader[name] for name in (*self.keys, *self.options)}
        absent = {
            first: value
            for (first, *_), value in self._said(layout, fields)
            if _get(config, first) is None
        }
        extra = reader.extra()
        if absent or layout not in extra and self._told(layout, fields, reader.stored):
            extra[_absent(layout)] = absent
        fields |= {name: options.get(name) for name in self.variants}
        return {**fields, "extra": extra}

    def _told(
        self, layout: str, fields: Mapping[str, Any], stored: Mapping[str, Any]
    ) -> bool:
        """Whether no config of the other layout said its options: where they are read, they are the caller's word."""
        side = self.layouts.index(layout)
        return self.layouts[1 - side] not in stored and any(
            row[side] is None and fields[name] is not None
            for name, row in self.options.items()
        )

    def write(self, layout: str, config: Any) -> dict[str, Any]:
        """A layout's dict: what it had of its own, the fields, its constants, and the others' own in `mapc`."""
        written: dict[str, Any] = deepcopy(dict(config.extra.get(layout, {})))
        absent = config.extra.get(_absent(layout), {})
        for (first, *others), value in self._said(layout, vars(config)):
            if first not in absent or absent[first] != value:
                _put(written, first, value)
            for key in others:
                if _get(written, key) is not None:
                    _put(written, key, value)
        block = {
            name: deepcopy(rest)
            for name, rest in config.extra.items()
            if name not in (layout, _absent(layout))
        }
        return {**written, **({"mapc": block} if block else {})}

    def _said(
        self, layout: str, fields: Mapping[str, Any]
    ) -> Iterator[tuple[tuple[str, ...], Any]]:
        """Lists of a layout's keys, and the value that each is written with."""
        side = self.layouts.index(layout)
        for name, row in (*self.keys.items(), *self.options.items()):
            key, value = row[side], fields[name]
            if key is None or callable(key) or value is None:
                continue
            if len(row) > 3 and side == 1:
                value = row[3][value]
            yield (key,) if isinstance(key, str) else key, value
        for key, value in self.constants.get(layout, {}).items():
            yield (key,), value


def _absent(layout: str) -> str:
    """Where it is noted what a layout's config did not say; no layout is called so."""
    return f"absent from {layout}"


class Saying:
    """What a layout's config would say, to compute with: the fields by name and the keys."""

    def __init__(self, fields: Mapping[str, Any], keys: Mapping[str, Any]) -> None:
        self.fields = fields
        self.keys = keys

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def key(self, key: str) -> Any:
        """The value under a key, None where there is none."""
        return self.keys.get(key)


class ConfigReader:
    """Reads one layout's dict; `reader[field]` is a field, read once."""

    def __init__(
        self,
        table: ConfigTable,
        layout: str,
        config: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> None:
        self.table = table
        self.layout = layout
        self.config = config
        self.options = options
        self._fields: dict[str, Any] = {}
        self._missing = ""  # the last key that was asked for and is not there
        self._rest = deepcopy(dict(config))
        self._check_objects()
        block = self._rest.pop("mapc", None) or {}
        self.stored = {name: kept for name, kept in block.items() if kept is not None}
        for key, expected in table.constants.get(layout, {}).items():
            value = self.key(key)
            if value is not None and value != expected:
                raise ConversionError(
                    f"{layout} config: {key}: expected {expected!r}, found {value!r}"
                )

    def _check_objects(self) -> None:
        """What holds other keys is an object, in the config and in its `mapc` block."""
        expected = {
            ("mapc",),
            *(("mapc", name) for name in (*self.table.blocks(), "mesh")),
        }
        side = self.table.layouts.index(self.layout)
        for row in (*self.table.keys.values(), *self.table.options.values()):
            keys = row[side]
            if keys is None or callable(keys):
                continue
            for key in (keys,) if isinstance(keys, str) else keys:
                path = key.split(".")
                expected.update(tuple(path[:end]) for end in range(1, len(path)))
        for path in sorted(expected):
            value = _get(self.config, ".".join(path))
            if value is not None and not isinstance(value, Mapping):
                raise ConversionError(
                    f"{self.layout} config: {'.'.join(path)}: expected an object, found {value!r}"
                )

    def __getitem__(self, name: str) -> Any:
        if name not in self._fields:
            if name in self.table.options:
                self._fields[name] = self._option(name, self.table.options[name])
            else:
                row = self.table.keys[name]
                value = self._read(name, row)
                self._fields[name] = (
                    self._default(name, row) if value is None else value
                )
        return self._fields[name]

    def key(self, key: str) -> Any:
        """The value of a dotted key, None where it is absent; it no longer counts as extra."""
        value = _get(self.config, key)
        if value is not None:
            _remove(self._rest, key.split("."))
        self._missing = key if value is None else self._missing
        return value

    def extra(self) -> dict[str, Any]:
        """What no equation reads, by layout."""
        stored = {
            layout: rest
            for layout, rest in self.stored.items()
            if layout in self.table.blocks()
        }
        return {**stored, **({self.layout: self._rest} if self._rest else {})}

    def _read(self, name: str, row: tuple[Any, ...]) -> Any:
        """A field's value in this layout, in the left layout's spelling; None where no key is there."""
        keys = row[self.table.layouts.index(self.layout)]
        if keys is None or callable(keys):
            return self._formula(name, keys) if keys else None
        first, *others = (keys,) if isinstance(keys, str) else keys
        every = {
            first: self.key(first),
            **{key: _get(self.config, key) for key in others},
        }
        found = {key: value for key, value in every.items() if value is not None}
        for key, value in found.items():
            first = next(iter(found))
            if value != found[first]:
                raise ConversionError(
                    f"{self.layout} config: {first}={found[first]!r} and {key}={value!r} differ; keep one of them"
                )
        for key, value in found.items():
            return self._checked(f"{self.layout} config: {key}", name, row, value)
        return None

    def _formula(self, name: str, compute: Callable[..., Any]) -> Any:
        """A value that this layout's config computes."""
        what, self._missing = f"{self.layout} config: {name}", ""
        try:
            value = worked_out(what, compute, self)
        except ConversionError as error:
            if error.__cause__ is None or not self._missing:
                raise
            raise ConversionError(
                f"{self.layout} config: expected {self._missing} ({name}), found none"
            ) from None
        return check_kind(what, self.table.kind(name), value)

    def _checked(self, what: str, name: str, row: tuple[Any, ...], value: Any) -> Any:
        if len(row) < 4:
            return check_kind(what, self.table.kind(name), value)
        side = self.table.layouts.index(self.layout)
        for spellings in row[3].items():
            if spellings[side] == value:
                return spellings[0]
        known = ", ".join(str(spellings[side]) for spellings in row[3].items())
        raise ConversionError(f"{what}: expected one of {known}, found {value!r}")

    def _option(self, name: str, row: tuple[Any, ...]) -> Any:
        """An option: as its layout's config says, else as the caller does, else as kept from that layout."""
        kind = self.table.kind(name)
        given = check_kind(f"option {name}", kind, self.options.get(name))
        layout = self.table.layouts[0 if row[0] is not None else 1]
        key = row[self.table.layouts.index(layout)]
        if layout != self.layout:
            kept = _get(self.stored.get(layout, {}), key)
            value = (
                given
                if given is not None
                else check_kind(f"mapc.{layout}: {key}", kind, kept)
            )
            return self._default(name, row) if value is None else value
        # A config that was not made here is to come back whole, so what it says of options is kept as well.
        own = (layout, _absent(layout))
        made_here = any(
            block in self.stored for block in self.table.blocks() if block not in own
        )
        said = self.key(key) if made_here else _get(self.config, key)
        value = check_kind(f"{layout} config: {key}", kind, said)
        if value is not None and given is not None and value != given:
            raise ConversionError(
                f"{layout} config says {key}={value!r}, but {name}={given!r} is asked for"
            )
        value = given if value is None else value
        return self._default(name, row) if value is None else value

    def _default(self, name: str, row: tuple[Any, ...]) -> Any:
        default = row[2][self.layout] if isinstance(row[2], Mapping) else row[2]
        if default is ...:
            keys = row[self.table.layouts.index(self.layout)]
            spelled = " or ".join((keys,) if isinstance(keys, str) else keys or ())
            expected = (
                f"expected {spelled} ({name}), found none"
                if keys
                else f"no key holds {name}"
            )
            raise ConversionError(f"{self.layout} config: {expected}")
        if callable(default):
            value = worked_out(f"{self.layout} config: {name}", default, self)
        else:
            value = deepcopy(default)
        return check_kind(name, self.table.kind(name), value)


def _get(config: Any, key: str) -> Any:
    """The value of a dotted key, None where it is absent."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config


def _remove(config: dict[str, Any], path: list[str]) -> None:
    inner = config.get(path[0])
    if len(path) > 1 and isinstance(inner, dict):
        _remove(inner, path[1:])
    if len(path) == 1 or inner == {}:
        config.pop(path[0], None)


def _put(config: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        if config.get(part) is None:
            config[part] = {}
        config = config[part]
    config[last] = deepcopy(value)


def worked_out(what: str, compute: Callable[..., Any], *given: Any) -> Any:
    """What the map computes; ConversionError where the values it is given do not allow it."""
    try:
        return compute(*given)
    except ConversionError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        MemoryError,
        TypeError,
        ValueError,
    ) as error:
        raise ConversionError(f"{what}: cannot be computed, {error}") from error
