"""A map on a config of its own: the core of its converter, loaded, with the config and the mesh of the command line.

No tensor is touched. What the converter refuses, this refuses in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ..templates.runtime.arguments import read_value
from ..templates.runtime.errors import ConversionError
from ..templates.runtime.strict_json import parse_object
from . import codegen
from .answer import Refused
from .driver import VERSION
from .guard import TooMuch
from .instance import running
from .plan import Plan
from .problems import nearest
from .proof import Proven


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says of a config: the file, whose it is, and what the file does not hold."""

    config: Path
    layout: str | None
    mesh: Mapping[str, int]
    options: Mapping[str, str]
    variants: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Instance:
    """A converter on a config. `raw` is the config as it was read; `mesh` is None where no layout has one."""

    proven: Proven
    names: Mapping[str, Any]
    converter: Any
    config: Any
    raw: Mapping[str, Any]
    mesh: Any
    layout: str

    def ranks(self, side: int) -> list[Any]:
        """The ranks of a side; [None] where it has no mesh."""
        return list(self.mesh.ranks()) if self.proven.hir.layouts[side].dims else [None]

    def statements(self) -> Iterator[Any]:
        """The Groups and Drops of the map, in checkpoint order."""
        shapes = self.names["Shapes"](None, {})
        found = self.names["statements"]
        yield from found(self.converter, self.config, self.mesh, shapes)

    def coordinates(self, at: Mapping[str, int]) -> str:
        """`tp=0 pp=1`: the coordinates that tell ranks apart on this mesh, empty where there is one rank."""
        sizes = {} if self.mesh is None else vars(self.mesh)
        return " ".join(
            f"{d}={at[d]}" for d, size in sizes.items() if d in at and size > 1
        )

    @property
    def title(self) -> str:
        """What the numbers hold for: `the hf config with tp=2 pp=1`."""
        sizes = (
            ""
            if self.mesh is None
            else " ".join(f"{d}={n}" for d, n in vars(self.mesh).items())
        )
        return f"the {self.layout} config{' with ' + sizes if sizes else ''}"


@contextmanager
def configured(proven: Proven, planned: Plan, given: Given) -> Iterator[Instance]:
    """The instance while it is loaded. Refused for what the converter refuses, OSError, usage errors."""
    map_ = proven.hir
    layout = map_.left.name if given.layout is None else given.layout
    _check_known("--layout", layout, [side.name for side in map_.layouts])
    for dim in given.mesh:
        _check_known("--mesh", dim, map_.sharded.dims if map_.sharded else ())
    _check_measured(proven)
    raw = _object(given.config)
    with running(codegen.core(planned, VERSION), planned.stem) as names:
        converter = names["converter"]()
        options = {**_options(converter, given), **_variants(converter, given)}
        sides = (converter.left, converter.right)
        try:
            config = sides[converter.side(layout)].read(raw, **options)
            mesh = None if converter.mesh is None else converter.mesh(**given.mesh)
            yield Instance(proven, names, converter, config, raw, mesh, layout)
        except (names["ConversionError"], TooMuch) as error:
            raise Refused(str(error)) from None


def _check_measured(proven: Proven) -> None:
    """Refuse a map that takes sizes from tensors, for there are none here."""
    proof = next((proof for proof in proven.proofs if proof.measured), None)
    if proof is not None:
        raise Refused(
            f"{proof.where}: the size of `{proof.measured[0]}` is measured on the tensors of "
            "a checkpoint; a config alone does not say it"
        )


def _object(path: Path) -> dict[str, Any]:
    try:
        return parse_object(path.read_bytes(), str(path))
    except ConversionError as error:
        raise Refused(str(error)) from None


def _options(converter: Any, given: Given) -> dict[str, Any]:
    found = {}
    for name, value in given.options.items():
        _check_known("--set", name, converter.options)
        kind = converter.options[name]
        try:
            found[name] = read_value(kind, value)
        except ValueError:
            raise click.UsageError(
                f"--set {name}: expected {kind}, found `{value}`"
            ) from None
    return found


def _variants(converter: Any, given: Given) -> dict[str, str]:
    for group, choice in given.variants.items():
        _check_known("--variant", group, converter.variants)
        _check_known(f"--variant {group}", choice, converter.variants[group])
    return dict(given.variants)


def _check_known(what: str, name: str, known: Any) -> None:
    if name not in known:
        close = nearest(name, known)
        raise click.UsageError(
            f"{what}: expected {' or '.join(known) or 'none, this map has no such thing'}, found `{name}`"
            + (f"; {close}" if close else "")
        )
