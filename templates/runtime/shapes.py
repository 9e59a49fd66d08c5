"""What is worked out for one source: who holds a tensor, the shapes that sizes are measured on, and the recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import ConversionError
from .grid import Counts
from .mapping import Place, Slots
from .recipe import Recipe


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
