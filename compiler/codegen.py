"""Codegen: the text of a converter and of its test, from a plan.

Last pass. Templates put finished pieces in their places; black is called here and nowhere else.
"""

from __future__ import annotations

import black
from jinja2 import Environment, PackageLoader, StrictUndefined

from .plan import Plan
from .splice import import_block, parts_of, runtime

HEAD = (
    "import math",
    "import os",
    "from collections.abc import Callable",
    "from collections.abc import Iterator",
    "from collections.abc import Mapping",
    "from dataclasses import dataclass",
    "from dataclasses import field",
    "from typing import Any",
    "from typing import NamedTuple",
)


def module(plan: Plan, version: str, parts: str = "core,files,cli") -> str:
    """The converter as one Python module."""
    chosen = parts_of(parts)
    below = runtime(chosen)
    text = (
        _environment()
        .get_template("module.py.jinja")
        .render(
            plan=plan,
            version=version,
            parts=",".join(chosen),
            exported=_exported(plan, chosen),
            runtime=below.text,
        )
    )
    return formatted(
        text.replace("@IMPORTS@", import_block(text.replace("@IMPORTS@", ""), below, HEAD))
    )


def formatted(text: str) -> str:
    """The text as black writes it."""
    return black.format_str(text, mode=black.Mode(magic_trailing_comma=False))


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("mapc.templates", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def _exported(plan: Plan, parts: tuple[str, ...]) -> list[str]:
    names = ["Config", "ConversionError", *(["Mesh", "Rank"] if plan.mesh else [])]
    names += [f"{prefix}_{side.function}" for prefix in ("expected", "to") for side in plan.sides]
    names += ["Report", "convert_checkpoint"] if "files" in parts else []
    names += ["main"] if "cli" in parts else []
    return sorted(names)
