"""JSON as a checkpoint may hold it: one object, no name twice, no NaN, no infinity, no -0, not nested deeply.

config.json, the index of the shards and the header of a safetensors file are all read here.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

from .errors import ConversionError

MOST_DIGITS = 1000  # of a whole number; Python has a limit of its own
_ODD_NUMBER = re.compile(rb"-0|[0-9]{1000}")
DEEPEST = 100  # objects and lists in one another; other readers stop at 127


def parse_object(text: bytes, where: str) -> dict[str, Any]:
    """The JSON object that `text` is; ConversionError, which begins with `where`, if it is none."""
    try:
        found = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_whole_number if _ODD_NUMBER.search(text) else None,
        )
    except RecursionError:
        raise _too_deep(where) from None
    except ValueError as error:
        raise ConversionError(
            f"{where}: expected JSON, found a mistake: {error}"
        ) from None
    if not isinstance(found, dict):
        raise ConversionError(
            f"{where}: expected a JSON object, found a {type(found).__name__} at the top"
        )
    if text.count(b"[") + text.count(b"{") > DEEPEST and _is_deep(found):
        raise _too_deep(where)
    return found


def _too_deep(where: str) -> ConversionError:
    return ConversionError(f"{where}: expected JSON, found it nested too deeply")


def _is_deep(found: Any) -> bool:
    """Whether a value is nested deeper than can be copied, printed and written again without care."""
    level = [found]
    for _ in range(DEEPEST + 1):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return bool(level)


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
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    if text == "-0":
        raise ValueError("-0 is a whole number to some readers and none to others")
    return int(text)


def _finite(text: str) -> float:
    if not isfinite(float(text)):
        raise ValueError(f"{text} is more than a number can be")
    return float(text)


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")
