"""Reading and writing the plain dicts of a config.json."""

from __future__ import annotations

from collections.abc import Mapping
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
_REQUIRED = object()


def check_kind(what: str, kind: str, value: Any) -> Any:
    """The value, if it is of the kind; a size is an int that is not negative."""
    if kind == "any" or value is None:
        return value
    if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise ConversionError(f"{what}: expected {kind}, found {value!r}")
    if kind == "int" and value < 0:
        raise ConversionError(f"{what}: expected a size, 0 or more, found {value}")
    return value


class ConfigReader:
    """Reads a config dict by dotted keys and keeps what no key asked for."""

    def __init__(self, layout: str, config: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self.layout = layout
        self.config = config
        self.options = dict(options)
        self._rest = deepcopy(dict(config))
        self._stored = self._rest.pop("mapc", None) or {}

    def get(self, kind: str, *keys: str, default: Any = _REQUIRED, name: str = "") -> Any:
        """The value of the first key that is there and not null; keys that differ are refused.

        A callable default is called. Without a default an absent value is an error.
        """
        found = {key: value for key in keys if (value := self._take(key)) is not None}
        for key, value in found.items():
            if value != next(iter(found.values())):
                first = next(iter(found))
                raise ConversionError(
                    f"{self.layout} config: {first}={found[first]!r} and {key}={value!r} differ; keep one of them"
                )
        if found:
            key = next(iter(found))
            return check_kind(f"{self.layout} config: {key}", kind, found[key])
        if default is _REQUIRED:
            raise ConversionError(
                f"{self.layout} config: expected {' or '.join(keys)}{name and f' ({name})'}, found none"
            )
        return default() if callable(default) else default

    def translate(self, table: Mapping[Any, Any], *keys: str, default: Any = None) -> Any:
        """A value that is spelled otherwise here: table holds this layout's spelling first."""
        value = self.get("any", *keys, default=None)
        if value is None:
            return default
        if value not in table:
            raise ConversionError(
                f"{self.layout} config: {keys[0]}: expected one of {sorted(map(str, table))}, found {value!r}"
            )
        return table[value]

    def constant(self, key: str, expected: Any) -> None:
        """A key that, where it is there, must have one value."""
        value = self._take(key)
        if value is not None and value != expected:
            raise ConversionError(
                f"{self.layout} config: {key}: expected {expected!r}, found {value!r}"
            )

    def option(self, name: str, kind: str, default: Any, key: str | None = None) -> Any:
        """An option: from this layout's key, else as the caller says, else the default."""
        stored = self._take(key) if key else None
        given = self.options.pop(name, None)
        if stored is not None and given is not None and stored != given:
            raise ConversionError(
                f"{self.layout} config: {key}={stored!r}, but {name}={given!r} is asked for"
            )
        value = stored if stored is not None else given if given is not None else default
        return check_kind(f"option {name}", kind, value)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        """The alternative of a variant, the first where the caller says none."""
        value = self.options.pop(name, choices[0])
        if value not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, not {value!r}")
        return str(value)

    def extra(self) -> dict[str, Any]:
        """What no key asked for, by layout; TypeError for options that do not exist."""
        if self.options:
            raise TypeError(f"no option is called {min(self.options)!r}")
        stored = {layout: rest for layout, rest in self._stored.items() if layout != "mesh"}
        return {**stored, **({self.layout: self._rest} if self._rest else {})}

    def _take(self, key: str) -> Any:
        """The value of a dotted key, None where it is absent; it no longer counts as extra."""
        value: Any = self.config
        path = key.split(".")
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            _remove(self._rest, path)
        return value


def _remove(config: dict[str, Any], path: list[str]) -> None:
    inner = config.get(path[0])
    if len(path) > 1 and isinstance(inner, dict):
        _remove(inner, path[1:])
    if len(path) == 1 or inner == {}:
        config.pop(path[0], None)


def write_config(
    layout: str, values: Mapping[str, Any], extra: Mapping[str, Any]
) -> dict[str, Any]:
    """A config dict: the keys the layout had of its own, the values by dotted key (None: left out).

    What the other layout had of its own goes along in the `mapc` block.
    """
    config: dict[str, Any] = deepcopy(dict(extra.get(layout, {})))
    for key, value in values.items():
        if value is not None:
            *path, last = key.split(".")
            inner = config
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = deepcopy(value)
    others = {name: deepcopy(rest) for name, rest in extra.items() if name != layout}
    return {**config, **({"mapc": others} if others else {})}


def exactly(above: int, below: int, above_name: str, below_name: str) -> int:
    """above / below, which must divide."""
    if below == 0 or above % below:
        raise ConversionError(f"{above_name}={above} is not a multiple of {below_name}={below}")
    return above // below


def require(holds: bool, message: str) -> None:
    """Refuse a config that breaks a condition of the map."""
    if not holds:
        raise ConversionError(message)


def roundup(value: int, multiple: int) -> int:
    """The smallest multiple that is not below the value."""
    return -(-value // multiple) * multiple
