"""What a mapping part is made of: places, groups of tensors with their recipe, drops, and the two layouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import lcm, prod
from typing import Any, NamedTuple, Protocol, TypeAlias

from .config import ConfigTable
from .errors import ConversionError
from .fills import Fill
from .grid import Counts
from .recipe import Recipe
from .values import Step, Values


class Place(NamedTuple):
    """A tensor's name, and the mesh coordinates that it needs (the others hold copies).

    `spellings` are other names under which a source may have it. `values` are the same for all names of a tensor; None where they are stored as the equation states them.
    """

    name: str
    at: Mapping[str, int]
    values: Values | None = None
    spellings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every spelling, the one that is written first."""
        return self.name, *self.spellings


# The tensors of a side of a statement, each under one name or under several that are tied.
Slots: TypeAlias = "tuple[tuple[Place, ...], ...] | Named"


class Named:
    """Tensors of one name each, with the same mesh coordinates; they are places once these are asked for.

    A name with several spellings is a tuple of them.
    """

    __slots__ = ("at", "names")

    def __init__(
        self, names: tuple[str | tuple[str, ...], ...], at: Mapping[str, int]
    ) -> None:
        self.names = names
        self.at = at

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[Place, ...]]:
        return iter([(self._place(name),) for name in self.names])

    def __getitem__(self, position: int) -> tuple[Place, ...]:
        return (self._place(self.names[position]),)

    def _place(self, name: str | tuple[str, ...]) -> Place:
        if isinstance(name, str):
            return Place(name, self.at)
        return Place(name[0], self.at, None, name[1:])


class Group(NamedTuple):
    """A statement for one value of its loops. A tensor with several places is tied: one tensor, many names.

    Optional: its tensors are there all together or not at all.
    """

    recipe: Recipe
    left: Slots
    right: Slots
    optional: bool = False

    @property
    def sides(self) -> tuple[Slots, Slots]:
        """Both, by number."""
        return self.left, self.right


class Make(NamedTuple):
    """A tensor of one side that the other does not have: its values are made, and compared when it is read.

    Lossy: it is not compared.
    """

    recipe: Recipe
    side: int
    tensor: Slots
    fill: Fill
    lossy: bool = False

    @property
    def group(self) -> Group:
        """The tensor beside one that is absent and has these values."""
        absent = ((Place("", {}, Values(default=self.fill)),),)
        sides = (absent, self.tensor) if self.side else (self.tensor, absent)
        return Group(self.recipe, *sides)


class Drop(NamedTuple):
    """Tensors left behind on purpose; `**` in the name stands for any components."""

    where: str
    side: int
    place: Place


class Tail(NamedTuple):
    """Every tensor of these names that no statement and no drop takes, unchanged; `**` stands for any components."""

    where: str
    left: Slots
    right: Slots

    @property
    def sides(self) -> tuple[Slots, Slots]:
        """Both, by number."""
        return self.left, self.right


Item: TypeAlias = "Group | Make | Drop | Tail"


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


class Holders:
    """Which source ranks hold a tensor, or a piece of it."""

    def __init__(self, ranks: list[Any]) -> None:
        self.ranks = ranks
        self._found: dict[tuple[tuple[str, int], ...], list[Any]] = {}

    def of(self, place: Place, piece: tuple[tuple[str, int], ...] = ()) -> list[Any]:
        """The ranks with the coordinates of the place and of the piece, in order."""
        return self.at(place.at, piece)

    def at(
        self, place: Mapping[str, int], piece: tuple[tuple[str, int], ...]
    ) -> list[Any]:
        """The ranks with both coordinates, in order."""
        if not piece and not place:
            return self.ranks
        at = (*place.items(), *piece)
        found = self._found.get(at)
        if found is None:
            found = self._found[at] = [
                rank
                for rank in self.ranks
                if all(getattr(rank, dim) == n for dim, n in at)
            ]
        return found


# Names in the statements about a source: so many may stand for a few packed tensors, and a few more for each.
LEAST_MOST, MOST_EACH = 200_000, 20


class Shapes:
    """The shapes that sizes are measured on: those of the source checkpoint, or none where only names matter.

    `prefix` is what the names of the source begin with and those of the map's statements do not. `asked`: what came
    of them depends on these shapes. `most`: more names do not stand in statements about this source. `stored_as` is the
    place in the source of a place of the map, where they differ.
    """

    def __init__(
        self,
        side: int | None,
        found: Mapping[Any, Mapping[str, Any]] | None,
        prefix: str = "",
        most: int | None = None,
    ) -> None:
        self.most = most
        if most is None and found:
            self.most = LEAST_MOST + MOST_EACH * sum(map(len, found.values()))
        self.side = side
        self.found = found
        self.prefix = prefix
        self.asked = False
        self.stored_as: Callable[[Place], Place] | None = None
        self._holders = Holders(list(found or ()))

    def of(self, places: tuple[Place, ...], axes: int, what: str) -> Counts:
        """The shape of a source tensor; ConversionError where there is none to measure."""
        shape = self.first((places,))
        if shape is None:
            raise ConversionError(
                f"{places[0].name}: missing; {what} is not in the config and measured on it"
            )
        if len(shape) != axes:
            raise ConversionError(
                f"{places[0].name}: expected {axes} axes, found {list(shape)}; {what} is measured on it"
            )
        return shape

    def first(self, slots: Slots) -> Counts | None:
        """The shape of the first of these source tensors that is there."""
        self.asked = True
        for place in (place for places in slots for place in places):
            if self.stored_as is not None:
                place = self.stored_as(place)
            for rank in self._holders.of(place):
                for name in place.names:
                    tensor = (self.found or {})[rank].get(self.prefix + name)
                    if tensor is not None:
                        return tuple(tensor.shape)
        return None


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
        recipe = self._made.get(key)
        if recipe is None:
            recipe = self._made[key] = make(self.config, self.mesh, where, *sizes)
        return recipe

    def measured(
        self,
        make: Callable[..., Recipe],
        where: str,
        sizes: Callable[..., tuple[int, ...]],
        left: Slots,
        right: Slots,
        *known: int,
    ) -> Recipe:
        """A recipe with sizes that are measured on the source's tensors; without these it has no shapes."""
        if self.shapes.first((left, right)[self.shapes.side or 0]) is None:
            return self._shapeless(where, len(left), len(right))
        found = sizes(self.config, self.mesh, self.shapes, left, right, *known)
        return self(make, where, *known, *found)

    def whole(self, where: str, left: Slots, right: Slots) -> Recipe:
        """The recipe of tensors of any shape, which the source's have: one, or its copies in the other's names."""
        counts = len(left), len(right)
        shape = self.shapes.first((left, right)[self.shapes.side or 0])
        if shape is None:
            return self._shapeless(where, *counts)
        key = where, counts, shape
        if key not in self._made:
            recipe = self._made[key] = Recipe(where)
            lefts = [recipe.left(n, "", *shape) for n in range(counts[0])]
            rights = [recipe.right(n, "", *shape) for n in range(counts[1])]
            for n in range(max(counts)):
                again = n >= counts[0], n >= counts[1]
                recipe.match(
                    lefts[0 if again[0] else n], rights[0 if again[1] else n], *again
                )
        return self._made[key]

    def _shapeless(self, where: str, *counts: int) -> Recipe:
        """A recipe without shapes, of so many tensors a side."""
        key = where, counts
        if key not in self._made:
            recipe = self._made[key] = Recipe(where)
            for side, count in enumerate(counts):
                for position in range(count):
                    recipe.unknown(side, position)
        return self._made[key]

    def same(self, where: str, **sizes: int) -> Recipe:
        """The recipe of a tensor that is the same on both sides; an axis a size."""
        key = where, tuple(sizes.items())
        if key not in self._made:
            formula, shape = f"[{' '.join(sizes)}]", sizes.values()
            recipe = self._made[key] = Recipe(where, **sizes)
            recipe.match(
                recipe.left(0, formula, *shape), recipe.right(0, formula, *shape)
            )
        return self._made[key]


MOST_RANKS = 2**16
MOST_NUMBERS = 2**16


def check_ranks(sizes: Mapping[str, int], *countings: tuple[str, ...]) -> None:
    """ConversionError for more ranks than a checkpoint is stored on; each counting counts them all."""
    count = lcm(*(prod(sizes[dim] for dim in counting) for counting in countings))
    if count > MOST_RANKS:
        spelled = " ".join(f"{dim}={size}" for dim, size in sizes.items())
        raise ConversionError(
            f"{spelled}: expected at most {MOST_RANKS} ranks, found {count}"
        )


def numbers(what: str, count: int) -> range:
    """The values of an index that stands in the names of one statement; `what` is how the map writes their count."""
    if count > MOST_NUMBERS:
        raise ConversionError(
            f"{what}: expected at most {MOST_NUMBERS} values of an index in names, found {count}"
        )
    return range(count)


def places(*names: str | tuple[str, ...], when: bool = True, **at: int) -> Slots:
    """Tensors of one name each, on the ranks with these mesh coordinates; none where not `when`.

    Of several spellings of a name the first is written.
    """
    return Named(names, at) if when else ()


def names_of(slots: Slots) -> list[str]:
    """Every spelling of all names."""
    if isinstance(slots, Named):
        plain = [name for name in slots.names if isinstance(name, str)]
        if len(plain) == len(slots.names):
            return plain
    return [name for places in slots for place in places for name in place.names]


def tied(*names: Slots) -> Slots:
    """One tensor under all of these names."""
    return (tuple(place for slots in names for slot in slots for place in slot),)


def computed(tensors: Slots, *steps: Step) -> Slots:
    """The same tensors; the equation is about what these steps make of their elements."""
    return _with_values(tensors, steps=steps)


def fixed(tensors: Slots, dtype: str) -> Slots:
    """The same tensors, which are always stored in this dtype."""
    return _with_values(tensors, dtype=dtype)


def defaulted(tensors: Slots, function: str, *arguments: Any) -> Slots:
    """The same tensors, which have these values where they are absent."""
    return _with_values(tensors, default=Fill(function, arguments))


def _with_values(tensors: Slots, **said: Any) -> Slots:
    return tuple(
        tuple(
            place._replace(values=(place.values or Values())._replace(**said))
            for place in places
        )
        for places in tensors
    )


def holds(rank: Any, place: Place) -> bool:
    """Whether a rank holds a copy of the tensor."""
    return all(getattr(rank, dim) == at for dim, at in place.at.items())
