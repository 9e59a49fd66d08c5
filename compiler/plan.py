"""The plan: a converter as finished pieces of text, in the order in which a reader meets them.

Last form of a map before Python (hir -check-> proof -lower-> plan -codegen-> text). Templates get nothing else.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from .proof import Proven
from .resolve_layouts import FORMATS, WHOLE


@dataclass(frozen=True, slots=True)
class Field:
    """A field of Config: `name: type = default`."""

    name: str
    type: str
    default: str | None


@dataclass(frozen=True, slots=True)
class Property:
    """A value computed from the config alone."""

    name: str
    type: str
    value: str
    comment: str


@dataclass(frozen=True, slots=True)
class ConfigView:
    """Config, and the table of its equations: rows of a field and its text."""

    fields: tuple[Field, ...]
    properties: tuple[Property, ...]
    kinds: str
    checks: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    variants: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class MeshView:
    dims: tuple[str, ...]
    countings: str
    ranks: str
    order: str
    layout: str


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the mapping part: its comment lines stand above the body."""

    name: str
    parameters: str
    returns: str
    comment: tuple[str, ...]
    body: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SideView:
    """One layout as a target: `files` are the f-strings of a rank's file, by format; none without a mesh.

    `prefixes` is the argument of Side that says how names may begin, empty where it says nothing.
    """

    name: str
    function: str
    files: tuple[tuple[str, str], ...]
    tensors: str
    mesh: str
    rank: str
    summary: str
    raises: str
    prefixes: str

    @property
    def file(self) -> str | None:
        """The f-string of a rank's file in the first format."""
        return self.namers[0][2] if self.namers else None

    @property
    def writer(self) -> str:
        """The argument of Side that names a rank's file."""
        return "rank_file" if self.file else "None"

    @property
    def namers(self) -> tuple[tuple[str, str, str], ...]:
        """The functions that name a rank's file: of which format, what they are called, and what they return."""
        return tuple(
            (form, f"{form}_file" if number else "rank_file", text)
            for number, (form, text) in enumerate(self.files)
            if form not in WHOLE
        )

    @property
    def containers(self) -> str:
        """The arguments of Side that say which other formats there are, empty where there is none."""
        others = [
            f"{FORMATS[form]}({name})" for form, name, _ in self.namers if FORMATS[form]
        ]
        others += [
            f"{FORMATS[form]}({text})" for form, text in self.files if form in WHOLE
        ]
        first = [f'form="{form}"' for form, _ in self.files[:1] if FORMATS[form]]
        more = [f"containers=({', '.join(others)},)"] if others else []
        return "".join(f", {text}" for text in first + more)


@dataclass(frozen=True, slots=True)
class StagesView:
    """How the mesh dimension `dim` owns layers: `chunks` is the call that counts them, the rest arguments of Staged."""

    dim: str
    side: int
    chunks: str
    named: str
    options: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A converter, and the proof that it was made from."""

    proven: Proven
    stem: str
    title: str
    source: str
    digest: str
    sides: tuple[SideView, SideView]
    legend: tuple[tuple[str, str], ...]
    table: tuple[str, ...]
    config: ConfigView
    mesh: MeshView | None
    stages: StagesView | None
    functions: tuple[Function, ...]
    statements: Function
    recipes: Mapping[int, str]

    @property
    def but(self) -> str:
        """What is not moved bit for bit, in the docstring of the converter."""
        computed = any("rounded" in proof.kinds for proof in self.proven.proofs)
        return (
            " but for what the map computes, which is rounded once" if computed else ""
        )


def verify(plan: Plan) -> Plan:
    """Assert that every piece of text is Python; a failure here is a bug of the compiler."""
    for function in (*plan.functions, plan.statements):
        body = "\n".join(f"    {line}" for line in function.body)
        ast.parse(
            f"def {function.name}({function.parameters}) -> {function.returns}:\n{body}\n"
        )
    for _, row in (*plan.config.keys, *plan.config.options, *plan.config.variants):
        ast.parse(row, mode="eval")
    names = [function.name for function in plan.functions]
    assert len(names) == len(set(names)), f"functions have names of their own: {names}"
    return plan
