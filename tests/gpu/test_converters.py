"""Every shipped converter with kernels and without: the same bytes, in few launches."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

GENERATED = Path(__file__).parents[2] / "generated"
TESTS = sorted(GENERATED.glob("test_*.py"))
MOST_LAUNCHES = 8


@cache
def test_of(path: Path) -> ModuleType:
    """The generated test of a converter, which has configs, meshes and checkpoints for it."""
    name = f"{path.stem}_for_kernels"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
