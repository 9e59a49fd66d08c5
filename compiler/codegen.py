"""Codegen: the text of a converter and of its test, from a plan.

Last pass. Templates put finished pieces in their places; black is called here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import black
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..dsl.syntax import Alternates, Deep
from . import hir
from .emit import attribute, escaped, quoted
from .plan import Plan
from .proof import Proven
from .sample import Sample
from .splice import PARTS, Runtime, import_block, modules_of, parts_of, runtime
from .witness import ANY, TAILS

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


# What a converter with files exports besides.
FILE_NAMES = ["Difference", "Fingerprint", "Report", "UsageError"]
FILE_NAMES += ["convert_checkpoint", "diff_checkpoints", "fingerprint_checkpoint"]


def module(plan: Plan, version: str, parts: str = "core,files,cli") -> str:
    """The converter as one Python module: the head of this map, and what it needs of the runtime."""
    chosen = parts_of(parts)
    names = modules_of(chosen, _head(plan, version, chosen))
    head = _head(plan, version, chosen, runtime(names))
    return "\n\n".join([formatted(head), *map(_formatted_module, names)])


def core(plan: Plan, version: str) -> str:
    """The converter without files, to be run and not to be read; with all that its map may compute."""
    below = runtime(PARTS["core"])
    return f"{_head(plan, version, ('core',), below)}\n\n{below.text}"


def _head(
    plan: Plan, version: str, parts: tuple[str, ...], below: Runtime | None = None
) -> str:
    """What stands above the runtime, with the imports of both where it is known what stands below."""
    template = _environment().get_template("module.py.jinja")
    given = {"plan": plan, "version": version, "parts": ",".join(parts)}
    given |= {"exported": _exported(plan, parts)}
    above = template.render(given, imports="")
    if below is None:
        return above
    return template.render(given, imports=import_block(above, below, HEAD))


@cache
def _formatted_module(name: str) -> str:
    return formatted(runtime((name,)).text)


def test(
    plan: Plan, calls: Sample | None, version: str, parts: str = "core,files,cli"
) -> str:
    """The test that goes with a converter."""
    if calls is None:
        template = _environment().get_template("untested.py.jinja")
        return formatted(template.render(plan=plan, version=version))
    map_ = plan.proven.hir
    choices = [option.name for option in map_.options]
    choices += [variant.name for variant in map_.variants]
    template = _environment().get_template("test.py.jinja")
    text = template.render(
        _of_sides(plan),
        **_of_statements(plan.proven),
        **_of_sample(calls),
        plan=plan,
        version=version,
        parts=",".join(parts_of(parts)),
        choices=_settings(choices),
        tail_texts=repr(TAILS),
        any_shape=repr(ANY),
    )
    return formatted(text)


def _of_sides(plan: Plan) -> dict[str, Any]:
    """What a test says of the sides; that without a mesh is the whole checkpoint."""
    number = 1 if plan.sides[0].file else 0
    map_ = plan.proven.hir
    return {
        "number": number,
        "side": ("left", "right")[number],
        "whole": plan.sides[number],
        "other": plan.sides[1 - number],
        "writable": all(_writable(side.file) for side in plan.sides),
        "prefixes": _prefixes(map_.layouts[number]),
        "first_prefix": escaped(map_.layouts[number].prefixes[0]),
        "takes_all": _takes_all(plan.proven, number),
        "options_of": [_given(map_, side) for side in (0, 1)],
        "required": [_required(map_, side) for side in (0, 1)],
    }


def _of_statements(proven: Proven) -> dict[str, bool]:
    """What kinds of statements a test is about."""
    statements = [proof.statement for proof in proven.proofs]
    kinds = {kind for proof in proven.proofs for kind in proof.kinds}
    return {
        "free": any(statement.whole for statement in statements),
        "optional": any(statement.optional for statement in statements),
        "tails": any(statement.tail for statement in statements),
        "defaulted": "defaulted" in kinds,
        "computed": bool({"rounded", "defaulted"} & kinds),
        "alternates": _alternates(proven),
    }


def _of_sample(calls: Sample) -> dict[str, Any]:
    """The configs and meshes of a test, and what comes out on them."""
    witnesses = zip(_distinct(calls.cases), calls.witnesses)
    return {
        "fields": _keywords(calls.fields),
        "cases": [
            (_keywords(changes), _keywords(dict(mesh))) for changes, mesh in calls.cases
        ],
        "sizes": repr(dict(calls.sizes)) if calls.sizes else "",
        "witnesses": [
            (
                _keywords(change),
                [repr(side) for side in witness.shapes],
                list(map(repr, witness.elements)),
                list(map(repr, witness.computed)),
                list(map(repr, witness.made)),
            )
            for change, witness in witnesses
        ],
        "made": any(witness.made for witness in calls.witnesses),
        "arithmetic": any(witness.computed for witness in calls.witnesses),
        "left_out": "; ".join(_keywords(dict(mesh)) for mesh in calls.left_out),
    }


def _writable(file: str | None) -> bool:
    """Whether files of this f-string are written, and not read only."""
    return file is None or file.endswith('.safetensors"')


def _distinct(cases: tuple[tuple[dict[str, Any], Any], ...]) -> list[dict[str, Any]]:
    """The changes of the cases, each once."""
    return [
        change
        for number, (change, _) in enumerate(cases)
        if change not in [c for c, _ in cases[:number]]
    ]


def _keywords(fields: Mapping[str, object]) -> str:
    return ", ".join(f"{attribute(name)}={value!r}" for name, value in fields.items())


def _settings(names: list[str]) -> str:
    return (
        "{"
        + ", ".join(f"{quoted(name)}: config.{attribute(name)}" for name in names)
        + "}"
    )


def _given(map_: hir.Map, side: int) -> str:
    """The options and variants that a side's config does not hold."""
    elsewhere = [o.name for o in map_.options if o.layout != map_.layouts[side].name]
    names = [*elsewhere, *(variant.name for variant in map_.variants)]
    return "".join(f", {name}=config.{attribute(name)}" for name in names)


def _alternates(proven: Proven) -> bool:
    """Whether a name of a statement is spelled in several ways."""
    statements = [
        proof.statement for proof in proven.proofs if not proof.statement.tail
    ]
    tensors = [t for s in statements for t in s.left + s.right]
    return any(
        isinstance(part, Alternates)
        for tensor in tensors
        for placed in tensor.names
        for part in placed.name.parts
    )


def _prefixes(layout: hir.Layout) -> str:
    """The prefixes of a layout, empty where it has one."""
    return repr(layout.prefixes) if len(layout.prefixes) > 1 else ""


def _takes_all(proven: Proven, side: int) -> bool:
    """Whether a tail or a drop of a side begins with `**`, so that no name is left over for certain."""
    names = [drop.name for drop in hir.drops(proven.hir.items) if drop.side == side]
    names += [
        proof.statement.sides[side][0].names[0].name
        for proof in proven.proofs
        if proof.statement.tail
    ]
    return any(isinstance(name.parts[0], Deep) for name in names)


def _required(map_: hir.Map, side: int) -> list[str]:
    """The keys of a side that must be there: plain ones, of bound names, without a default."""
    entries = [
        (entry, (entry.left, entry.right)[side])
        for entry in map_.entries
        if entry.bound
    ]
    return [
        here.keys[0]
        for _, here in entries
        if isinstance(here, hir.Keys)
        and here.default is None
        and len(here.keys) == 1
        and "." not in here.keys[0]
    ]


def formatted(text: str) -> str:
    """The text as black writes it."""
    return black.format_str(text, mode=black.Mode(magic_trailing_comma=False))


@cache
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
    names += [
        f"{prefix}_{side.function}"
        for prefix in ("expected", "to")
        for side in plan.sides
    ]
    names += [f"names_{side.function}" for side in plan.sides if side.file]
    names += ["stage_layers"] if plan.stages else []
    names += ["Bucket", "BucketStream", "Stream", "prepare"]
    names += FILE_NAMES if "files" in parts else []
    names += ["reshard_checkpoint"] if "files" in parts and plan.mesh else []
    names += ["main"] if "cli" in parts else []
    return sorted(names)
