"""The converter of toy.map, compiled and loaded."""

from __future__ import annotations

import sys
from functools import cache
from importlib.abc import InspectLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from mapc.compiler.driver import compile_text


@cache
def toy_text() -> str:
    """The text of the converter, with files and command line."""
    text = (Path(__file__).parent / "toy.map").read_text()
    return compile_text(text, name="toy.map").module


class ToyLoader(InspectLoader):
    """Loads the converter from its text."""

    def get_source(self, fullname: str) -> str:
        return toy_text()


@cache
def load_toy() -> ModuleType:
    """The converter as a module."""
    spec = spec_from_loader("toy_converter", ToyLoader())
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[module.__name__] = module  # where dataclasses look for their names
    spec.loader.exec_module(module)
    return module
