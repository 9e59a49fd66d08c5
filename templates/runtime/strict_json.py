"""JSON as a checkpoint may hold it: one object, no name twice, no NaN, no -0.

config.json, the index of the shards and the header of a safetensors file are all read here.
"""

from __future__ import annotations

import json
from typing import Any

from .errors import ConversionError


def parse_object(text: bytes, where: str) -> dict[str, Any]:
    """The JSON object that `text` is; ConversionError, which begins with `where`, if it is none."""
    try:
        found = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_int=_whole_number if b"-0" in text else None,
        )
    except RecursionError:
        raise ConversionError(
            f"{where}: expected JSON, found it nested too deeply"
        ) from None
    except ValueError as error:
        raise ConversionError(
            f"{where}: expected JSON, found a mistake: {error}"
        ) from None
    if not isinstance(found, dict):
        raise ConversionError(
            f"{where}: expected a JSON object, found a {type(found).__name__} at the top"
        )
    return found


def read_object(path: str) -> dict[str, Any]:
    """The JSON object that a file holds."""
    with open(path, "rb") as file:
        return parse_object(file.read(), path)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        last = {name: index for index, (name, _) in enumerate(pairs)}
        twice = next(
            name for index, (name, _) in enumerate(pairs) if last[name] != index
        )
        raise ValueError(f"`{twice}` stands there twice")
    return found


def _whole_number(text: str) -> int:
    if text == "-0":
        raise ValueError("-0 is a whole number to some readers and none to others")
    return int(text)


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")
