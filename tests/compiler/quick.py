"""A converter without its text: the plan's lines run on the runtime's own modules. For tests that need thousands of them."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, make_dataclass
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from mapc.compiler.driver import plan_text
from mapc.compiler.plan import Plan
from mapc.compiler.splice import PARTS


@dataclass(frozen=True)
class Quick:
    """A converter and its Mesh; a config is anything with the fields of Config. `runtime` are all runtime names."""

    converter: Any
    mesh: Any
    runtime: SimpleNamespace


def quick(text: str) -> Quick:
    """The converter of a map with a mesh. Raises MapError."""
    plan = plan_text(text, name="drawn.map")
    assert plan.mesh is not None, "a drawn map has a mesh"
    space = dict(_runtime())
    space["Rank"] = namedtuple("Rank", plan.mesh.dims, defaults=[0] * len(plan.mesh.dims))  # type: ignore[misc]
    ranks = eval(f"lambda self: {plan.mesh.ranks}", space)
    fields = [(dim, int, 1) for dim in plan.mesh.dims]
    mesh = make_dataclass("Mesh", fields, frozen=True, namespace={"ranks": ranks})
    _define(plan, space)
    sides = [
        space["Side"](side.name, dict, dict, (lambda rank: "") if side.file else None)
        for side in plan.sides
    ]
    converter = space["Converter"](
        name=plan.stem,
        version="",
        digest="",
        left=sides[0],
        right=sides[1],
        mesh=mesh,
        table=SimpleNamespace(options={}, variants={}),
        statements=space["_statements"],
    )
    return Quick(converter, mesh, SimpleNamespace(**space))


def _define(plan: Plan, space: dict[str, Any]) -> None:
    """The functions of the mapping part."""
    for function in (*plan.functions, plan.statements):
        head = f"from __future__ import annotations\ndef {function.name}({function.parameters}):"
        body = "\n".join(f"    {line}" for line in function.body)
        exec(f"{head}\n{body}\n", space)  # noqa: S102 - the text under test


@cache
def _runtime() -> dict[str, Any]:
    """The public names of the modules that every converter has."""
    found: dict[str, Any] = {}
    for name in PARTS["core"]:
        module = import_module(f"mapc.templates.runtime.{name}")
        found |= {
            key: value for key, value in vars(module).items() if not key.startswith("_")
        }
    return found
