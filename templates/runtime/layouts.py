"""The two layouts of a map: their names, files and meshes, and the converter between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import lcm, prod
from typing import Any, NamedTuple, Protocol

from .config import ConfigTable
from .errors import ConversionError
from .mapping import Item
from .shapes import Shapes


class Container(Protocol):
    """Another format than safetensors that the files of a layout may have.

    Paths are those of a checkpoint's directory, `files` its SourceFiles; tensors are by rank, as in a SourceFolder.
    """

    @property
    def form(self) -> str:
        """The name of the format."""

    def is_there(self, path: str, mesh_class: Any) -> bool:
        """Whether a directory has files of this format."""

    def mesh_there(self, path: str, side: Side, mesh_class: Any) -> Any:
        """The mesh that the names of its files show."""

    def read(self, files: Any, mesh: Any) -> tuple[tuple[str, ...], dict[Any, Any]]:
        """The names of what was read, and the tensors."""

    def outputs(
        self, plan: Any, ranks: list[Any], dtype: str | None, most: int
    ) -> list[Any]:
        """The files to write, as OutputFiles; shards have at most `most` bytes."""

    def documents(self, files: list[Any]) -> dict[str, Any]:
        """What is written besides these files, by name."""


class Side(NamedTuple):
    """One layout: its config, the file of a rank (None where the layout has no mesh), how its names may begin.

    `form` is the format that is written unless another of `containers` is asked for.
    """

    name: str
    read: Callable[..., Any]
    write: Callable[[Any], dict[str, Any]]
    file: Callable[[Any], str] | None
    prefixes: tuple[str, ...] = ("",)
    form: str = "safetensors"
    containers: tuple[Container, ...] = ()

    @property
    def forms(self) -> list[str]:
        """The formats that this layout may be written in."""
        return list(dict.fromkeys((self.form, *(one.form for one in self.containers))))

    def container(self, form: str) -> Container | None:
        """The container of a format; None for safetensors files."""
        return next((one for one in self.containers if one.form == form), None)


class Meshes(NamedTuple):
    """The meshes of both layouts, where both have ranks: of one layout that changes its mesh.

    `options` are those that the right one has instead of the left one's.
    """

    left: Any
    right: Any
    options: Mapping[str, Any]


def mesh_of(mesh: Any, side: int) -> Any:
    """The mesh of a side; without Meshes there is one, of the side that has ranks."""
    return mesh[side] if isinstance(mesh, Meshes) else mesh


class Staged(NamedTuple):
    """How a mesh dimension of a side owns layers. `chunks` are the layers of each chunk; chunk c is on stage c % size.

    `named`: the names of a chunk begin with this and its number on the stage, and places say chunks instead of stages.
    `options` say how many layers a chunk has; they are none where one stage has all of them.
    """

    side: int
    dim: str
    chunks: Callable[[Any, Any], list[int]]
    named: str
    options: tuple[str, ...]


class Converter(NamedTuple):
    """What the mapping part of a converter tells the runtime."""

    name: str
    version: str
    digest: str
    left: Side
    right: Side
    mesh: Callable[..., Any] | None
    table: ConfigTable
    statements: Callable[[Any, Any, Shapes], Iterator[Item]]
    staged: Staged | None = None

    @property
    def options(self) -> dict[str, str]:
        """The options of the map and their kinds."""
        return {name: self.table.kind(name) for name in self.table.options}

    @property
    def variants(self) -> Mapping[str, tuple[str, ...]]:
        """The variants and their alternatives."""
        return self.table.variants

    def side(self, name: str) -> int:
        """0 for the left layout, 1 for the right one."""
        names = (self.left.name, self.right.name)
        if name not in names:
            raise ValueError(f"`to` must be one of {names}, not {name!r}")
        return names.index(name)

    def ranks(self, side: int, mesh: Any) -> list[Any]:
        """The ranks of a layout; [None] where it has no mesh."""
        if (self.left, self.right)[side].file is None:
            return [None]
        return list(mesh_of(mesh, side).ranks())


MOST_RANKS = 2**16


def check_ranks(sizes: Mapping[str, int], *countings: tuple[str, ...]) -> None:
    """ConversionError for more ranks than a checkpoint is stored on; each counting counts them all."""
    count = lcm(*(prod(sizes[dim] for dim in counting) for counting in countings))
    if count > MOST_RANKS:
        spelled = " ".join(f"{dim}={size}" for dim, size in sizes.items())
        raise ConversionError(
            f"{spelled}: expected at most {MOST_RANKS} ranks, found {count}"
        )
