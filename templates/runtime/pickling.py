"""Pickles that are written: plain values, names of classes and functions, and what is made of them.

The same value is the same text each time. Nothing is imported that a pickle names.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class PickledName(NamedTuple):
    """A class or a function, by its module and its name there."""

    module: str
    name: str


class PickledCall(NamedTuple):
    """What a function makes of arguments."""

    function: PickledName
    arguments: tuple[Any, ...]


class PickledObject(NamedTuple):
    """An object of a class, made of nothing, that is given a state."""

    kind: PickledName
    state: Any


class PickledPairs(NamedTuple):
    """A dictionary whose keys are objects."""

    items: tuple[tuple[Any, Any], ...]


class PickledRecord(NamedTuple):
    """What is stored outside of the pickle, by what the reader is told of it."""

    key: tuple[Any, ...]


def make_pickle(value: Any) -> bytes:
    """The pickle of a value, in the protocol that torch.save writes."""
    return b"".join((b"\x80\x02", *_pickled(value), b"."))


def _pickled(value: Any) -> Iterable[bytes]:
    """The text of a value, in pieces."""
    match value:
        case None:
            yield b"N"
        case bool():
            yield b"\x88" if value else b"\x89"
        case int():
            yield _integer(value)
        case float():
            yield b"G" + struct.pack(">d", value)
        case str():
            text = value.encode("utf-8")
            yield b"X" + struct.pack("<I", len(text)) + text
        case PickledName(module, name):
            yield f"c{module}\n{name}\n".encode("ascii")
        case PickledCall(function, arguments):
            yield from (*_pickled(function), *_pickled(arguments), b"R")
        case PickledObject(kind, state):
            yield from (*_pickled(kind), b")\x81", *_pickled(state), b"b")
        case PickledPairs(items):
            yield b"}("
            for pair in items:
                yield from _all_pickled(pair)
            yield b"u"
        case PickledRecord(key):
            yield from (*_pickled(key), b"Q")
        case tuple():
            yield from (b"(", *_all_pickled(value), b"t")
        case list():
            yield from (b"](", *_all_pickled(value), b"e")
        case Mapping():
            yield from _pickled(PickledPairs(tuple(value.items())))
        case _:
            raise AssertionError(f"{type(value).__name__} is not pickled here")


def _all_pickled(values: Iterable[Any]) -> Iterable[bytes]:
    for value in values:
        yield from _pickled(value)


def _integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    text = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(text)]) + text
