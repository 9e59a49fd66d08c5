"""The passes in order, and the Python API of the compiler: `compile_text` and `compile_file`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..dsl import syntax
from ..dsl.diagnostics import MapError
from ..dsl.parser import parse
from ..dsl.source import Source
from . import check as checking
from . import codegen, hir, plan
from .check import Proven, check
from .lower import lower
from .problems import refuse
from .resolve import resolve
from .sample import sample
from .support import support

VERSION = "mapc 0.1.0"


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled map: its proof, its plan, and the text of the converter and of its test."""

    stem: str
    proven: Proven
    plan: plan.Plan
    module: str
    test: str


def prove(source: Source) -> tuple[syntax.File, Proven]:
    """Parse, resolve and check a map. Raises MapError."""
    file = support(parse(source))
    return file, checking.verify(check(hir.verify(resolve(file))))


def plan_text(text: str, *, name: str | None = None) -> tuple[Proven, plan.Plan]:
    """Prove and plan the text of a map; `name` is what messages call it. Raises MapError."""
    file, proven = prove(Source(name or _name(text), text))
    return proven, plan.verify(lower(proven, title(file)))


def plan_file(path: str | Path) -> tuple[Proven, plan.Plan]:
    """Prove and plan a map; its file is called as the map is. Raises MapError, OSError."""
    path = Path(path)
    proven, planned = plan_text(path.read_text("utf-8"), name=path.name)
    if planned.stem != path.stem:
        header = next(
            item for item in parse(proven.hir.source).items if isinstance(item, syntax.Map)
        )
        refuse(
            "M0242",
            f"the file is called `{path.stem}` and the map `{planned.stem}`",
            header.span,
            help="call both the same",
        )
    return proven, planned


def compile_text(text: str, *, name: str | None = None, parts: str = "core,files,cli") -> Compiled:
    """Compile the text of a map; `name` is what messages call it. Raises MapError."""
    return _compiled(*plan_text(text, name=name), parts)


def compile_file(path: str | Path, *, parts: str = "core,files,cli") -> Compiled:
    """Compile a map; its file is called as the map is. Raises MapError, OSError."""
    return _compiled(*plan_file(path), parts)


def _compiled(proven: Proven, planned: plan.Plan, parts: str) -> Compiled:
    module = codegen.module(planned, VERSION, parts)
    chosen = sample(proven, codegen.core(planned, VERSION), planned.recipes)
    test = codegen.test(planned, proven, chosen, VERSION, parts)
    return Compiled(planned.stem, proven, planned, module, test)


def _name(text: str) -> str:
    """A name for a map that comes without a file: its own."""
    try:
        file = parse(Source("<text>", text))
    except MapError:
        return "<text>"
    return next(
        (f"{item.name}.map" for item in file.items if isinstance(item, syntax.Map)), "<text>"
    )


def title(file: syntax.File) -> str:
    """What a map converts: its first comment, else its header."""
    if file.comments and file.comments[0].own_line and file.comments[0].span.line == 1:
        return file.comments[0].text.lstrip("# ")
    header = next(item for item in file.items if isinstance(item, syntax.Map))
    return f"{header.name}: {header.left} <-> {header.right}"
