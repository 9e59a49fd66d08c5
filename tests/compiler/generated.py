"""A map's converter as a module, made in memory from the text that the compiler generates."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import ModuleType

from mapc.compiler import codegen
from mapc.compiler.driver import plan_file, plan_text
from mapc.compiler.plan import Plan


@cache
def of_file(path: Path) -> ModuleType:
    return _loaded(plan_file(path))


@cache
def of_text(text: str) -> ModuleType:
    return _loaded(plan_text(text))


def text_of(text: str) -> str:
    """The converter of a map's text, not formatted and without files."""
    return codegen.core(plan_text(text), "mapc 0")


def _loaded(plan: Plan) -> ModuleType:
    module = ModuleType(f"converter_of_{plan.digest[:12]}")
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    text = codegen.core(plan, "mapc 0")
    code = compile(text, f"{plan.stem}.py", "exec")
    exec(code, module.__dict__)  # noqa: S102 - the text under test
    return module
