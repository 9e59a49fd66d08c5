"""How names are spelled in one checkpoint: its prefix, and which of several spellings a tensor has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from .errors import ConversionError
from .grid import Counts
from .layouts import Converter, Staged
from .mapping import Drop, Group, Item, Make, Place, Slots, Tail, holds
from .shapes import Holders, Shapes
from .values import MADE_DTYPES

Expected: TypeAlias = "dict[str, tuple[Counts | None, str | None]]"


def prefix_of(
    converter: Converter, side: int, found: Mapping[Any, Mapping[str, Any]]
) -> str:
    """The longest prefix of a layout that every name begins with; ConversionError where none is."""
    layout = (converter.left, converter.right)[side]
    if layout.prefixes == ("",):
        return ""
    names = {name for tensors in found.values() for name in tensors}
    odd = {
        prefix: sorted(name for name in names if not name.startswith(prefix))
        for prefix in layout.prefixes
    }
    fitting = [prefix for prefix, others in odd.items() if not others]
    if fitting:
        return max(fitting, key=len)
    nearest = min(odd, key=lambda prefix: len(odd[prefix]))
    known = " or ".join(layout.prefixes)
    raise ConversionError(
        f"{odd[nearest][0]}: expected all names of {layout.name} to begin with {known}; "
        f"{len(names) - len(odd[nearest])} of {len(names)} begin with {nearest}"
    )


def statements(
    converter: Converter, config: Any, mesh: Any, shapes: Shapes
) -> Iterator[Item]:
    """The statements of the map, every name with the prefix that it has in the source or is written with."""
    prefixes = [side.prefixes[0] for side in (converter.left, converter.right)]
    if shapes.side is not None:
        prefixes[shapes.side] = shapes.prefix
    found = laid_out(converter, config, mesh, shapes)
    if shapes.most is not None:
        found = _few(found, converter.name, shapes.most)
    return _with_prefixes(found, prefixes) if any(prefixes) else found


def laid_out(
    converter: Converter, config: Any, mesh: Any, shapes: Shapes
) -> Iterator[Item]:
    """The statements of the map without prefixes; what lives in a chunk of layers with names of its own, under these."""
    staged = converter.staged
    chunks = len(staged.chunks(config, mesh)) if staged and staged.named else 0
    if staged is None or chunks <= getattr(mesh, staged.dim):
        return converter.statements(config, mesh, shapes)
    named = _naming(staged, mesh)
    if shapes.side == staged.side:
        shapes.stored_as = named
    found = converter.statements(config, mesh, shapes)
    return _of_chunks(found, staged, named, chunks)


def _few(items: Iterator[Item], name: str, most: int) -> Iterator[Item]:
    """The statements; ConversionError where more names stand in them, as a config that counts too much has."""
    for item in items:
        most -= len(item.left) + len(item.right) if isinstance(item, Group) else 1
        if most < 0:
            raise ConversionError(
                f"{name}.map: expected statements about the tensors of this source, found many times more; "
                "its config says more layers, or more of something else, than it has"
            )
        yield item


def _naming(staged: Staged, mesh: Any) -> Callable[[Place], Place]:
    """From a place that says a chunk to one that says its stage, under the name that the chunk has there."""
    pieces = getattr(mesh, staged.dim)

    def named(place: Place) -> Place:
        chunk = place.at[staged.dim]
        at = {**place.at, staged.dim: chunk % pieces}
        prefix = f"{staged.named}{chunk // pieces}."
        return _prefixed(place, prefix)._replace(at=at)

    return named


def _of_chunks(
    items: Iterator[Item], staged: Staged, named: Callable[[Place], Place], chunks: int
) -> Iterator[Item]:
    """The statements with stages in place of chunks, and each name as its chunk has it."""
    for item in items:
        if isinstance(item, Drop) and item.side == staged.side:
            own = item.place.at.get(staged.dim)  # one outside of loops is of all
            for chunk in range(chunks) if own is None else (own,):
                at = {**item.place.at, staged.dim: chunk}
                yield item._replace(place=named(item.place._replace(at=at)))
        elif isinstance(item, Make) and item.side == staged.side:
            yield item._replace(tensor=_each(item.tensor, named))
        elif isinstance(item, (Group, Tail)) and staged.side == 1:
            yield item._replace(right=_each(item.right, named))
        elif isinstance(item, (Group, Tail)):
            yield item._replace(left=_each(item.left, named))
        else:
            yield item


def _each(slots: Slots, change: Callable[[Place], Place]) -> Slots:
    return tuple(tuple(map(change, places)) for places in slots)


def _with_prefixes(items: Iterator[Item], prefixes: list[str]) -> Iterator[Item]:
    for item in items:
        if isinstance(item, Make):
            yield item._replace(tensor=_all(item.tensor, prefixes[item.side]))
        elif isinstance(item, Drop):
            place = _prefixed(item.place, prefixes[item.side])
            yield item._replace(place=place)
        else:
            left, right = (
                _all(slots, prefix) for slots, prefix in zip(item.sides, prefixes)
            )
            yield item._replace(left=left, right=right)


def groups(
    converter: Converter, config: Any, mesh: Any, shapes: Shapes
) -> Iterator[Group]:
    """The statements of the map, without what it makes and drops and its tails."""
    return (
        item
        for item in statements(converter, config, mesh, shapes)
        if isinstance(item, Group)
    )


def expected(
    converter: Converter, to: str, config: Any, mesh: Any, rank: Any
) -> Expected:
    """Names and shapes of a target, without a source.

    A shape that only the source's tensors know is None, and so is a dtype that the map does not fix, such as
    "float32"; optional tensors and those of tails are not listed.
    """
    side = converter.side(to)
    names: Expected = {}
    for item in statements(converter, config, mesh, Shapes(None, {})):
        group = item.group if isinstance(item, Make) and item.side == side else item
        if not isinstance(group, Group) or group.optional:
            continue
        recipe = group.recipe
        for position, places in enumerate(group.sides[side]):
            for place in places:
                if holds(rank, place):
                    shape = recipe.shapes[recipe.piece(side, position, rank)]
                    dtype = place.values.dtype if place.values is not None else None
                    names[place.name] = shape, MADE_DTYPES.get(dtype or "")
    return names


def as_found(group: Group, side: int, holders: Holders, found: Any) -> Group:
    """The group with the spellings that the source has; ConversionError for a tensor that it has in two."""
    for places in group.sides[side]:
        for place in places:
            if place.spellings:
                return _renamed(group, side, holders, found)
    return group


def _renamed(group: Group, side: int, holders: Holders, found: Any) -> Group:
    slots: Slots = tuple(
        tuple(_as_found(group, place, holders, found) for place in places)
        for places in group.sides[side]
    )
    return group._replace(left=slots) if side == 0 else group._replace(right=slots)


def _as_found(group: Group, place: Place, holders: Holders, found: Any) -> Place:
    for rank in holders.of(place):
        there = [name for name in place.names if name in found[rank]]
        if len(there) > 1:
            raise ConversionError(
                f"{there[0]} and {there[1]} are two spellings of one tensor ({group.recipe.where}); "
                "keep one of them"
            )
        if there:
            return place._replace(name=there[0], spellings=())
    return place


def _all(slots: Slots, prefix: str) -> Slots:
    return tuple(tuple(_prefixed(place, prefix) for place in one) for one in slots)


def _prefixed(place: Place, prefix: str) -> Place:
    spellings = tuple(prefix + name for name in place.spellings)
    return place._replace(name=prefix + place.name, spellings=spellings)
