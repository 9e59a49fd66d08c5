"""Converters as modules, apart from those that other tests have loaded."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from mapc.compiler.driver import compile_text

GENERATED = Path(__file__).parents[2] / "generated"


def committed(stem: str) -> ModuleType:
    """A module of generated/."""
    return _loaded(GENERATED / f"{stem}.py")


def compiled(path: Path, text: str) -> ModuleType:
    """The converter of a map, written to a path, since triton reads the text of its kernels."""
    path.write_text(compile_text(text, name=f"{path.stem}.map").module)
    return _loaded(path)


def _loaded(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"{path.stem}_for_kernels", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their names
    spec.loader.exec_module(module)
    return module
