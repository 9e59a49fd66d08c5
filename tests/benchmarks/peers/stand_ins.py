"""Modules that a peer imports and does not call here, so that it can be imported without gigabytes of packages."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Anything(type):
    """A class of which every attribute is an empty tuple: nothing to catch, nothing to walk over."""

    def __getattr__(cls, name: str) -> tuple[()]:
        if name.startswith("__"):
            raise AttributeError(name)
        return ()


class _StandIn(ModuleType):
    """A module in which every name is an empty class."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (), {})


def stand_in(*names: str) -> None:
    """Put stand-ins where the modules would be, if they are not loaded."""
    for name in names:
        sys.modules.setdefault(name, _StandIn(name))
