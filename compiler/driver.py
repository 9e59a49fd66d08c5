"""The passes in order, and the Python API of the compiler: `compile_text` and `compile_file`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..dsl import syntax
from ..dsl.diagnostics import MapError
from ..dsl.parser import parse
from ..dsl.reading import source_of
from ..dsl.source import Source, Span
from . import codegen, hir, plan, proof
from .check import check
from .definitions import told
from .expand import expand
from .library import Library, library
from .lower import lower
from .problems import refuse
from .resolve import resolve
from .sample import sample
from .support import support

VERSION = "mapc 0.1.0"


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled map: its plan, with the proof, and the text of the converter and of its test."""

    stem: str
    plan: plan.Plan
    module: str
    test: str


Folders = Sequence["str | Path"]


def passes(found_in: Library) -> tuple[Callable[[Any], Any], ...]:
    """Each pass takes what the one before returns, and behind each stands its verifier."""
    return (
        *(parse, partial(expand, library=found_in), support),
        *(resolve, hir.verify),
        *(check, proof.verify),
        *(lower, plan.verify),
    )


def plan_text(
    text: str, *, name: str | None = None, include: Folders = ()
) -> plan.Plan:
    """Prove and plan the text of a map; `name` is what messages call it.

    Files that it includes are looked for in the folders of `include`, in order, and among the shipped maps.
    Raises MapError.
    """
    return _planned(Source(name or _name(text), text), library(None, include))


def plan_file(path: str | Path, *, include: Folders = ()) -> plan.Plan:
    """Prove and plan a map; its file is called as the map is. Raises MapError, OSError.

    Files that it includes are looked for beside it, in the folders of `include`, in order, and among the
    shipped maps.
    """
    path = Path(path)
    source = source_of(path.name, path.read_bytes())
    planned = _planned(source, library(path, include))
    if planned.stem != path.stem:
        header = next(
            item
            for item in parse(planned.proven.hir.source).items
            if isinstance(item, syntax.Map)
        )
        refuse(
            "M0242",
            f"the file is called `{path.stem}` and the map `{planned.stem}`",
            header.span,
            help="call both the same",
        )
    return planned


def compile_text(
    text: str,
    *,
    name: str | None = None,
    parts: str = "core,files,cli",
    include: Folders = (),
) -> Compiled:
    """Compile the text of a map, found and named as by `plan_text`. Raises MapError."""
    return _compiled(plan_text(text, name=name, include=include), parts)


def compile_file(
    path: str | Path, *, parts: str = "core,files,cli", include: Folders = ()
) -> Compiled:
    """Compile a map, found as by `plan_file`. Raises MapError, OSError."""
    return _compiled(plan_file(path, include=include), parts)


def _planned(source: Source, found_in: Library) -> plan.Plan:
    form: Any = source
    uses: tuple[tuple[Span, Span], ...] = ()
    for step in passes(found_in):
        try:
            form = step(form)
        except MapError as error:
            raise told(error, uses) from None
        uses = form.uses if isinstance(form, syntax.File) else uses
    assert isinstance(form, plan.Plan), "the last pass makes the plan"
    return form


def _compiled(planned: plan.Plan, parts: str) -> Compiled:
    module = codegen.module(planned, VERSION, parts)
    chosen = sample(planned.proven, codegen.core(planned, VERSION), planned.recipes)
    test = codegen.test(planned, chosen, VERSION, parts)
    return Compiled(planned.stem, planned, module, test)


def _name(text: str) -> str:
    """A name for a map that comes without a file: its own."""
    try:
        file = parse(Source("<text>", text))
    except MapError:
        return "<text>"
    return next(
        (f"{item.name}.map" for item in file.items if isinstance(item, syntax.Map)),
        "<text>",
    )
