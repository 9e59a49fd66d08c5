"""The plan: which tensor of the target comes from where, with everything checked before a byte moves.

Both executors, memory and files, take their work from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from .config import ConfigTable
from .errors import ConversionError
from .recipe import Copy, Counts, Piece, Recipe


class Place(NamedTuple):
    """A tensor's name, and the mesh coordinates that it needs (the others hold copies)."""

    name: str
    at: Mapping[str, int]


class Group(NamedTuple):
    """A statement for one value of its loops. A tensor with several places is tied: one tensor, many names."""

    recipe: Recipe
    left: tuple[tuple[Place, ...], ...]
    right: tuple[tuple[Place, ...], ...]


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
        return [None] if (self.left, self.right)[side].file is None else list(mesh.ranks())


class Source(NamedTuple):
    """One stored tensor of the source checkpoint; rank is None where its layout has no mesh."""

    rank: Any
    name: str

    def __str__(self) -> str:
        if self.rank is None:
            return self.name
        return f"{self.name} (rank {' '.join(f'{k}={v}' for k, v in self.rank._asdict().items())})"


class Transfer(NamedTuple):
    """One target tensor: its sources, the blocks that fill it and those that are zeros."""

    where: str
    name: str
    shape: Counts
    sources: tuple[Source, ...]
    copies: tuple[Copy, ...]
    zeros: tuple[Copy, ...]
    dtype: Any


class Shapes:
    """The shapes that sizes are measured on: those of the source checkpoint, or none where only names matter."""

    def __init__(self, side: int | None, found: Mapping[Any, Mapping[str, Any]] | None) -> None:
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
        if (where, sizes) not in self._made:
            self._made[where, sizes] = make(self.config, self.mesh, where, *sizes)
        return self._made[where, sizes]

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
        if where not in self._made:
            formula = f"[{' '.join(sizes)}]"
            recipe = Recipe(where, **sizes)
            recipe.match(
                recipe.left(0, formula, *sizes.values()), recipe.right(0, formula, *sizes.values())
            )
            self._made[where] = recipe
        return self._made[where]


def places(*names: str, when: bool = True, **at: int) -> tuple[tuple[Place, ...], ...]:
    """Tensors of one name each, on the ranks with these mesh coordinates; none where not `when`."""
    return tuple((Place(name, at),) for name in names) if when else ()


def tied(*names: tuple[tuple[Place, ...], ...]) -> tuple[tuple[Place, ...], ...]:
    """One tensor under all of these names."""
    return (tuple(place for slots in names for slot in slots for place in slot),)


def make_plan(
    converter: Converter, to: str, config: Any, mesh: Any, found: Mapping[Any, Mapping[str, Any]]
) -> Plan:
    """Check the tensors of a whole source checkpoint against the map, and plan the conversion.

    `found` holds, for every source rank (None without a mesh), what is stored under each name: anything
    with a `shape` and a `dtype`. Raises ConversionError for whatever is missing, extra or different.
    """
    target = converter.side(to)
    ranks = converter.ranks(1 - target, mesh)
    if set(found) != set(ranks):
        missing = [rank for rank in ranks if rank not in found] or ["none"]
        extra = [rank for rank in found if rank not in ranks] or ["none"]
        raise ConversionError(
            f"expected the tensors of {len(ranks)} ranks, found {len(found)}; "
            f"first missing: {missing[0]}; first unexpected: {extra[0]}"
        )
    config = _detected(
        converter, 1 - target, config, mesh, {n for names in found.values() for n in names}
    )
    return Plan(converter, target, config, mesh, found)


Expected: TypeAlias = "dict[str, tuple[Counts, None]]"


def expected(converter: Converter, to: str, config: Any, mesh: Any, rank: Any) -> Expected:
    """Names and shapes of a target, without a source."""
    side = converter.side(to)
    names: Expected = {}
    for group in groups(converter, config, mesh, Shapes(None, {})):
        for position, places in enumerate((group.left, group.right)[side]):
            for place in places:
                if holds(rank, place):
                    names[place.name] = (group.recipe.tensors[side][position].shape, None)
    return names


def groups(converter: Converter, config: Any, mesh: Any, shapes: Shapes) -> Iterator[Group]:
    """The statements of the map, without its drops."""
    return (item for item in converter.statements(config, mesh, shapes) if isinstance(item, Group))


def holds(rank: Any, place: Place) -> bool:
    """Whether a rank holds a copy of the tensor."""
    return all(getattr(rank, dim) == at for dim, at in place.at.items())


def _detected(converter: Converter, side: int, config: Any, mesh: Any, names: set[str]) -> Any:
    """The config with every variant that the source's names decide."""
    for variant, choices in converter.variants.items():
        own = {
            choice: _names(converter, side, replace(config, **{variant: choice}), mesh)
            for choice in choices
        }
        shared = set.intersection(*own.values())
        seen = {choice: sorted((own[choice] - shared) & names) for choice in choices}
        present = [choice for choice in choices if seen[choice]]
        if len(present) > 1:
            raise ConversionError(
                f"{seen[present[0]][0]} belongs to {variant}={present[0]} and {seen[present[1]][0]} to "
                f"{variant}={present[1]}; expected the names of one of {', '.join(choices)}"
            )
        if present:
            config = replace(config, **{variant: present[0]})
    return config


def _names(converter: Converter, side: int, config: Any, mesh: Any) -> set[str]:
    statements = converter.statements(config, mesh, Shapes(side, None))
    return {
        place.name
        for group in statements
        if isinstance(group, Group)
        for places in (group.left, group.right)[side]
        for place in places
    }


class Plan:
    """A checked conversion. `transfers(rank)` are the tensors of one target rank, in checkpoint order."""

    def __init__(
        self,
        converter: Converter,
        target: int,
        config: Any,
        mesh: Any,
        found: Mapping[Any, Mapping[str, Any]],
    ) -> None:
        self.converter, self.target, self.config, self.mesh, self.found = (
            converter,
            target,
            config,
            mesh,
            found,
        )
        self.ties: list[tuple[Source, Source]] = []
        self.replicas: list[tuple[Source, Source]] = []
        self.paddings: list[tuple[Source, tuple[Copy, ...]]] = []
        self.drops: dict[str, int] = {}
        self._holders: dict[tuple[tuple[str, int], ...], list[Any]] = {}
        self._ranks = converter.ranks(1 - target, mesh)
        self._read: dict[Any, set[str]] = {rank: set() for rank in self._ranks}
        shapes = Shapes(1 - target, found)
        statements = list(converter.statements(config, mesh, shapes))
        self._groups = [item for item in statements if isinstance(item, Group)]
        self._check_sources()
        self._check_extra([item for item in statements if isinstance(item, Drop)])
        self._check_targets()

    @cached_property
    def _all_names(self) -> list[str]:
        return sorted({name for names in self.found.values() for name in names})

    def transfers(self, rank: Any) -> Iterator[Transfer]:
        """The tensors of one target rank; rank is None where the target has no mesh."""
        for group in self._groups:
            recipe = group.recipe
            for position, places in enumerate((group.left, group.right)[self.target]):
                tensor = recipe.tensors[self.target][position]
                for place in places:
                    if not holds(rank, place):
                        continue
                    at = tuple((dim, getattr(rank, dim)) for dim in tensor.dims)
                    filling = recipe.filling(Piece(self.target, position, at))
                    sources = tuple(self._source(group, piece) for piece in filling.sources)
                    dtype = self._dtype(recipe.where, place.name, sources)
                    yield Transfer(
                        recipe.where,
                        place.name,
                        tensor.shape,
                        sources,
                        filling.copies,
                        filling.zeros,
                        dtype,
                    )

    def _places(self, group: Group) -> tuple[tuple[Place, ...], ...]:
        return (group.left, group.right)[1 - self.target]

    def _holding(self, place: Place, piece: Piece) -> list[Any]:
        """The source ranks that hold a piece."""
        at = (*place.at.items(), *piece.at)
        if at not in self._holders:
            self._holders[at] = [
                rank for rank in self._ranks if all(getattr(rank, d) == n for d, n in at)
            ]
        return self._holders[at]

    def _source(self, group: Group, piece: Piece) -> Source:
        """Where a piece is read: under the first of its names that is there."""
        for place in self._places(group)[piece.position]:
            rank = self._holding(place, piece)[0]
            if place.name in self.found[rank]:
                return Source(rank, place.name)
        raise AssertionError("a checked plan has every source")

    def _dtype(self, where: str, name: str, sources: tuple[Source, ...]) -> Any:
        dtypes = {source: self.found[source.rank][source.name].dtype for source in sources}
        first = sources[0]
        for source, dtype in dtypes.items():
            if dtype != dtypes[first]:
                raise ConversionError(
                    f"{name}: its parts differ in dtype, {first} is {dtypes[first]} and {source} is {dtype} "
                    f"({where}); cast one of them first"
                )
        return dtypes[first]

    def _check_sources(self) -> None:
        """Every source tensor is there, once, in the shape that its statement says."""
        for group in self._groups:
            tensors = group.recipe.tensors[1 - self.target]
            for position, places in enumerate(self._places(group)):
                for piece in group.recipe.pieces:
                    if piece[:2] != (1 - self.target, position):
                        continue
                    self._check_piece(group, places, piece, tensors[position].shape)

    def _check_piece(
        self, group: Group, places: tuple[Place, ...], piece: Piece, shape: Counts
    ) -> None:
        read: list[Source] = []
        for place in places:
            there = [Source(rank, place.name) for rank in self._holding(place, piece)]
            present = [source for source in there if source.name in self.found[source.rank]]
            if present and len(present) < len(there):
                raise self._missing(group, piece, next(s for s in there if s not in present))
            for source in present:
                self._check_shape(group, piece, source, shape)
            read += present[:1]
            self.replicas += [(present[0], other) for other in present[1:]]
            padding = group.recipe.pads(piece)
            self.paddings += [(source, padding) for source in present[:1] if padding]
        if not read:
            raise self._missing(
                group, piece, Source(self._holding(places[0], piece)[0], places[0].name)
            )
        self.ties += [(read[0], other) for other in read[1:]]

    def _check_shape(self, group: Group, piece: Piece, source: Source, shape: Counts) -> None:
        recipe, have = group.recipe, tuple(self.found[source.rank][source.name].shape)
        formula = recipe.tensors[piece.side][piece.position].formula
        if have != shape:
            raise ConversionError(
                f"{source} {formula}: expected {list(shape)}{recipe.legend()}, found {list(have)} ({recipe.where})"
            )
        if source.name in self._read[source.rank]:
            raise ConversionError(f"{source}: read by two statements, the second is {recipe.where}")
        self._read[source.rank].add(source.name)

    def _missing(self, group: Group, piece: Piece, source: Source) -> ConversionError:
        tensor = group.recipe.tensors[piece.side][piece.position]
        return ConversionError(
            f"{source}: missing; {group.recipe.where} reads it as {tensor.formula}, "
            f"expected {list(tensor.shape)}{group.recipe.legend()}{self._nearest(source.name)}"
        )

    def _nearest(self, name: str) -> str:
        unread = [n for n in self._all_names if n != name]
        close = get_close_matches(name, unread, n=1, cutoff=0.8)
        return f"; the nearest name is {close[0]}" if close else ""

    def _check_extra(self, drops: Iterable[Drop]) -> None:
        """Every source tensor is read by a statement or left behind by a `drop`."""
        unread = [
            Source(rank, name)
            for rank, names in self.found.items()
            for name in names
            if name not in self._read[rank]
        ]
        for drop in drops:
            if drop.side == 1 - self.target:
                taken = [
                    s
                    for s in unread
                    if holds(s.rank, drop.place) and _like(s.name, drop.place.name)
                ]
                self.drops[drop.where] = self.drops.get(drop.where, 0) + len(taken)
                unread = [s for s in unread if s not in taken] if taken else unread
        if unread:
            others = f" (and {len(unread) - 1} more tensors)" if len(unread) > 1 else ""
            raise ConversionError(
                f"{unread[0]}: no statement of {self.converter.name} reads it{others}"
                f"{self._nearest_statement(unread[0].name)}; a `drop` in the map leaves a tensor behind"
            )

    def _nearest_statement(self, name: str) -> str:
        known = {
            place.name: group
            for group in self._groups
            for places in self._places(group)
            for place in places
        }
        close = get_close_matches(name, known, n=1, cutoff=0.8)
        return f"; the nearest name is {close[0]} ({known[close[0]].recipe.where})" if close else ""

    def _check_targets(self) -> None:
        """No target tensor is written twice, and each comes in one dtype."""
        for rank in self.converter.ranks(self.target, self.mesh):
            written: dict[str, str] = {}
            for transfer in self.transfers(rank):
                if transfer.name in written:
                    raise ConversionError(
                        f"{Source(rank, transfer.name)}: written twice, by {written[transfer.name]} "
                        f"and by {transfer.where}"
                    )
                written[transfer.name] = transfer.where


def _like(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern in which `**` stands for any components."""
    return _components(name.split("."), pattern.split("."))


def _components(names: list[str], pattern: list[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_components(names[skip:], pattern[1:]) for skip in range(len(names) + 1))
    return bool(names) and names[0] == pattern[0] and _components(names[1:], pattern[1:])
