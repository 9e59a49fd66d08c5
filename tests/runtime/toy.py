"""The converter of toy.map, compiled and loaded; and those of other maps."""

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


class TextLoader(InspectLoader):
    """Loads a converter from its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def get_source(self, fullname: str) -> str:
        return self.text


@cache
def load_toy() -> ModuleType:
    """The converter as a module."""
    return _loaded("toy_converter", toy_text())


@cache
def load(path: Path, text: str | None = None) -> ModuleType:
    """The converter of a map, or of what its file might say instead."""
    text = path.read_text() if text is None else text
    name = f"{path.stem}_converter_{hash(text) % 1000}"
    return _loaded(name, compile_text(text, name=path.name).module)


def _loaded(name: str, text: str) -> ModuleType:
    spec = spec_from_loader(name, TextLoader(text))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[module.__name__] = module  # where dataclasses look for their names
    spec.loader.exec_module(module)
    return module
