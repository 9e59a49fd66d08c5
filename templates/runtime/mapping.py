"""What a mapping part is made of: places, groups of tensors with their recipe, drops, and the two layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from .config import ConfigTable
from .errors import ConversionError
from .grid import Counts
from .recipe import Recipe


class Place(NamedTuple):
    """A tensor's name, and the mesh coordinates that it needs (the others hold copies)."""

    name: str
    at: Mapping[str, int]


class Group(NamedTuple):
    """A statement for one value of its loops. A tensor with several places is tied: one tensor, many names."""

    recipe: Recipe
    left: tuple[tuple[Place, ...], ...]
    right: tuple[tuple[Place, ...], ...]

    @property
    def sides(
        self,
    ) -> tuple[tuple[tuple[Place, ...], ...], tuple[tuple[Place, ...], ...]]:
        """Both, by number."""
        return self.left, self.right


class Drop(NamedTuple):
    """Tensors left behind on purpose; `**` in the name stands for any components."""

    where: str
    side: int
    place: Place


class Side(NamedTuple):
    """One layout: its config, and the file of a rank (None where the layout has no mesh)."""

    name: str
    read: Callable[..., Any]
    write: Callable[[Any], dict[str, Any]]
    file: Callable[[Any], str] | None


class Converter(NamedTuple):
    """What the mapping part of a converter tells the runtime."""

    name: str
    version: str
    digest: str
    left: Side
    right: Side
    mesh: Callable[..., Any] | None
    table: ConfigTable
    statements: Callable[[Any, Any, Shapes], Iterator[Group | Drop]]

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
        return (
            [None] if (self.left, self.right)[side].file is None else list(mesh.ranks())
        )


class Shapes:
    """The shapes that sizes are measured on: those of the source checkpoint, or none where only names matter."""

    def __init__(
        self, side: int | None, found: Mapping[Any, Mapping[str, Any]] | None
    ) -> None:
        self.side = side
        self.found = found

    def of(self, places: tuple[Place, ...], axes: int, what: str) -> Counts:
        """The shape of a source tensor; ConversionError where there is none to measure."""
        for rank, tensors in (self.found or {}).items():
            for place in places:
                if holds(rank, place) and place.name in tensors:
                    shape = tuple(tensors[place.name].shape)
                    if len(shape) != axes:
                        raise ConversionError(
                            f"{place.name}: expected {axes} axes, found {list(shape)}; {what} is measured on it"
                        )
                    return shape
        raise ConversionError(
            f"{places[0].name}: missing; {what} is not in the config and measured on it"
        )


class Recipes:
    """The recipes of a config and a mesh, each worked out on first use and once."""

    def __init__(self, config: Any, mesh: Any, shapes: Shapes) -> None:
        self.config = config
        self.mesh = mesh
        self.shapes = shapes
        self._made: dict[Any, Recipe] = {}

    def __call__(self, make: Callable[..., Recipe], where: str, *sizes: int) -> Recipe:
        """The recipe that `make` works out for the statement at `where`."""
        key = make, where, sizes
        if key not in self._made:
            self._made[key] = make(self.config, self.mesh, where, *sizes)
        return self._made[key]

    def measured(
        self,
        make: Callable[..., Recipe],
        where: str,
        sizes: Callable[..., tuple[int, ...]],
        left: tuple[tuple[Place, ...], ...],
        right: tuple[tuple[Place, ...], ...],
        *known: int,
    ) -> Recipe:
        """A recipe with sizes that are measured on the source's tensors."""
        if self.shapes.found is None:
            return Recipe(where)
        found = sizes(self.config, self.mesh, self.shapes, left, right, *known)
        return self(make, where, *known, *found)

    def same(self, where: str, **sizes: int) -> Recipe:
        """The recipe of a tensor that is the same on both sides; an axis a size."""
        key = where, tuple(sizes)
        if key not in self._made:
            formula, shape = f"[{' '.join(sizes)}]", sizes.values()
            recipe = self._made[key] = Recipe(where, **sizes)
            recipe.match(
                recipe.left(0, formula, *shape), recipe.right(0, formula, *shape)
            )
        return self._made[key]


def places(*names: str, when: bool = True, **at: int) -> tuple[tuple[Place, ...], ...]:
    """Tensors of one name each, on the ranks with these mesh coordinates; none where not `when`."""
    return tuple((Place(name, at),) for name in names) if when else ()


def tied(*names: tuple[tuple[Place, ...], ...]) -> tuple[tuple[Place, ...], ...]:
    """One tensor under all of these names."""
    return (tuple(place for slots in names for slot in slots for place in slot),)


Expected: TypeAlias = "dict[str, tuple[Counts, None]]"


def expected(
    converter: Converter, to: str, config: Any, mesh: Any, rank: Any
) -> Expected:
    """Names and shapes of a target, without a source."""
    side = converter.side(to)
    names: Expected = {}
    for group in groups(converter, config, mesh, Shapes(None, {})):
        for position, places in enumerate(group.sides[side]):
            for place in places:
                if holds(rank, place):
                    names[place.name] = (
                        group.recipe.tensors[side][position].shape,
                        None,
                    )
    return names


def groups(
    converter: Converter, config: Any, mesh: Any, shapes: Shapes
) -> Iterator[Group]:
    """The statements of the map, without its drops."""
    return (
        item
        for item in converter.statements(config, mesh, shapes)
        if isinstance(item, Group)
    )


def holds(rank: Any, place: Place) -> bool:
    """Whether a rank holds a copy of the tensor."""
    return all(getattr(rank, dim) == at for dim, at in place.at.items())
