"""Recipes: where each element of one statement's tensors lives on both sides.

A recipe pairs grids of the left and the right tensors. Both directions are read off the same pairs, so they cannot
disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, NamedTuple

from .errors import ConversionError
from .grid import Box, Counts, Grid, Limit, Piece, Share, boxes, dot


class Block(NamedTuple):
    """A box of elements on both sides. `again` are the sides that another block already fills (copies)."""

    pieces: tuple[Piece, Piece]
    offsets: tuple[int, int]
    steps: tuple[Counts, Counts]
    counts: Counts
    again: frozenset[int]


class Matched(NamedTuple):
    """A block, the grids that it is a part of, and the index of its first element in them."""

    grids: tuple[Grid, Grid]
    first: Counts
    block: Block


class Copy(NamedTuple):
    """One rectangular block of a target, in elements; dims sorted by the step there, slowest first.

    `source` counts the target's sources; -1 where the block is zeros.
    """

    source: int
    start: int
    steps: Counts
    offset: int
    strides: Counts
    counts: Counts


class Filling(NamedTuple):
    """All blocks that fill one target, and the pieces they come from."""

    sources: tuple[Piece, ...]
    copies: tuple[Copy, ...]
    zeros: tuple[Copy, ...]


class Stated(NamedTuple):
    """A piece of a tensor as it has to be stored; without a shape where nothing says it."""

    piece: Piece
    shape: Counts | None
    padding: tuple[Copy, ...]


class TensorAxes(NamedTuple):
    """The axes of a tensor as the map writes them, and the mesh dims it is split over."""

    formula: str
    dims: tuple[str, ...]


class Recipe:
    """The geometry of one statement, worked out once for all its layers."""

    def __init__(self, where: str, /, **sizes: int) -> None:
        for name, size in sizes.items():
            if size is None:  # one that a config may leave out, where no tensor has it
                raise ConversionError(
                    f"{where}: {name}: expected a size, found none in the config"
                )
        self.where = where
        self.sizes = sizes
        self.tensors: tuple[dict[int, TensorAxes], dict[int, TensorAxes]] = ({}, {})
        self.shapes: dict[Piece, Counts | None] = {}  # None: nothing says it
        self.pairs: list[tuple[Grid, Grid]] = []
        self.padding: dict[Piece, dict[Grid, None]] = {}
        self.matched: list[Matched] = []
        self.repetitions: list[Block] | None = None  # of a recipe between meshes
        self._repeats: dict[int, bool] = {}
        self._blocks: dict[Piece, list[Block]] = {}
        self._fillings: dict[Piece, Filling] = {}
        self._stored: dict[int, list[Stated]] = {}
        self._whole: dict[tuple[int, int], tuple[Piece, ...]] = {}

    def left(self, position: int, formula: str, /, *shape: int, **at: int) -> Grid:
        """A tensor of the left side, by its position in the statement."""
        return self._tensor(0, position, formula, shape, at)

    def right(self, position: int, formula: str, /, *shape: int, **at: int) -> Grid:
        """A tensor of the right side; `at` are the coordinates of the rank that holds it."""
        return self._tensor(1, position, formula, shape, at)

    def _tensor(
        self, side: int, position: int, formula: str, shape: Counts, at: dict[str, int]
    ) -> Grid:
        self.tensors[side][position] = TensorAxes(formula, tuple(at))
        piece = Piece(side, position, tuple(at.items()))
        self.shapes[piece] = shape
        return Grid(
            piece, shape, tuple(prod(shape[dim + 1 :]) for dim in range(len(shape)))
        )

    def unknown(self, side: int, position: int) -> None:
        """A tensor whose shape nothing says."""
        self.tensors[side][position] = TensorAxes("", ())
        self.shapes[Piece(side, position, ())] = None

    def piece(self, side: int, position: int, rank: Any) -> Piece:
        """What a rank holds of a tensor; `rank` is None where the layout has no mesh."""
        dims = self.tensors[side][position].dims
        return Piece(side, position, tuple((dim, getattr(rank, dim)) for dim in dims))

    def share(
        self,
        formula: str,
        whole: int,
        dim: str,
        pieces: int,
        piece: int,
        ceil: bool = False,
    ) -> Share:
        """The share of rank `piece` of `pieces` along a mesh dim; ConversionError where it does not divide.

        With `ceil` it need not: the shares are rounded up, and the last ranks hold less, or nothing.
        """
        if ceil:
            size = -(-whole // pieces)
            return Share(
                whole, min(piece * size, whole), min((piece + 1) * size, whole)
            )
        if whole % pieces:
            raise ConversionError(
                f"{self.where}: {formula} = {whole}{self.legend()} is not a multiple of {dim}={pieces}; "
                f"choose a {dim} that divides it"
            )
        size = whole // pieces
        return Share(whole, piece * size, (piece + 1) * size)

    def legend(self) -> str:
        return (
            f" ({' '.join(f'{name}={size}' for name, size in self.sizes.items())})"
            if self.sizes
            else ""
        )

    def match(
        self,
        left: Grid,
        right: Grid,
        left_again: bool = False,
        right_again: bool = False,
    ) -> None:
        """State that two grids of the same counts hold the same elements; ConversionError where padding is too short.

        A side that comes again has copies of elements that another match fills already.
        """
        if left.counts != right.counts:
            raise ConversionError(
                f"{self.where}: a padded axis is shorter than its data, "
                f"expected {list(left.counts)}, found {list(right.counts)}{self.legend()}"
            )
        self.pairs.append((left, right))
        copies = {side for side, again in enumerate((left_again, right_again)) if again}
        repeats = [int(a == 0) - int(b == 0) for a, b in zip(left.steps, right.steps)]
        for first, counts in self._regions(left, right, repeats):
            filled = {
                int(side < 0) for index, side in zip(first, repeats) if index and side
            }
            block = Block(
                (left.piece, right.piece),
                (
                    left.offset + dot(left.steps, first),
                    right.offset + dot(right.steps, first),
                ),
                (left.steps, right.steps),
                counts,
                frozenset(filled | copies),
            )
            self.matched.append(Matched((left, right), first, block))
            self.add(block)

    def add(self, block: Block) -> None:
        """Let a block fill its pieces, those that no other fills with it."""
        for side, piece in enumerate(block.pieces):
            self._blocks.setdefault(piece, []).extend(
                [block] if side not in block.again else []
            )

    def _regions(self, left: Grid, right: Grid, repeats: list[int]) -> list[Box]:
        """The boxes inside every limit; repeated dims are cut behind their first index."""
        found: list[Box] = [((0,) * len(left.counts), left.counts)]
        first_copies = [
            Limit(tuple(int(d == dim) for d in range(len(repeats))), 0, low, high)
            for dim, repeat in enumerate(repeats)
            if repeat
            for low, high in ((0, 1), (1, left.counts[dim]))
        ]
        for limit in (*left.limits, *right.limits):
            found = [box for part in found for box in _inside(part, limit)]
        for cut in zip(first_copies[::2], first_copies[1::2]):
            found = [
                box for part in found for limit in cut for box in _inside(part, limit)
            ]
        return [box for box in found if 0 not in box[1]]

    def repeats(self, side: int) -> bool:
        """Whether elements of the other side stand several times in the tensors of a side."""
        if self.repetitions is not None:
            return bool(self.repetitions)
        if side not in self._repeats:
            agains = (matched.block.again for matched in self.matched)
            self._repeats[side] = any(again == {1 - side} for again in agains)
        return self._repeats[side]

    def zeros(self, grid: Grid) -> None:
        """State that a grid is padding: written as zeros, left behind coming back."""
        self.padding.setdefault(grid.piece, {})[grid] = None

    def stored(self, side: int) -> list[Stated]:
        """Every piece of the tensors of a side, with its shape and its padding."""
        if side not in self._stored:
            self._stored[side] = [
                Stated(piece, shape, self.pads(piece))
                for piece, shape in self.shapes.items()
                if piece.side == side
            ]
        return self._stored[side]

    def goes_into(self, side: int, position: int) -> tuple[Piece, ...]:
        """A piece of every tensor that goes into a tensor, whatever rank holds the piece."""
        if (side, position) not in self._whole:
            found: dict[int, Piece] = {}
            for pair in self.pairs:
                piece, other = pair[side].piece, pair[1 - side].piece
                if piece.position == position:
                    found.setdefault(other.position, other)
            self._whole[side, position] = tuple(found.values())
        return self._whole[side, position]

    def filling(self, target: Piece) -> Filling:
        """How one target is filled from the other side."""
        if target not in self._fillings:
            self._fillings[target] = self._fill(target)
        return self._fillings[target]

    def _fill(self, target: Piece) -> Filling:
        side, other = target.side, 1 - target.side
        blocks = self._blocks.get(target, [])
        sources = tuple(dict.fromkeys(b.pieces[other] for b in blocks))
        if not sources:
            # A target that is all padding still takes its dtype from the tensor it is matched with.
            kin = [
                pair[other].piece
                for pair in self.pairs
                if pair[side].piece.position == target.position
            ]
            sources = tuple(kin[:1])
        copies = tuple(
            _copy(
                sources.index(block.pieces[other]),
                (block.offsets[other], block.steps[other]),
                (block.offsets[side], block.steps[side]),
                block.counts,
            )
            for block in blocks
        )
        return Filling(sources, copies, self.pads(target))

    def pads(self, piece: Piece) -> tuple[Copy, ...]:
        """The padding of one tensor."""
        return tuple(
            _copy(
                -1,
                (grid.offset + offset, grid.steps),
                (grid.offset + offset, grid.steps),
                counts,
            )
            for grid in self.padding.get(piece, ())
            for first, counts in self._regions(grid, grid, [])
            for offset in (dot(grid.steps, first),)
        )


def whole_copy(count: int) -> Copy:
    """The copy of all elements of a tensor, so many, to the same places."""
    return _copy(0, (0, (1,)), (0, (1,)), (count,))


def inverse(copy: Copy) -> Copy:
    """The copy that leads back, from the one tensor of the other side."""
    here, there = (copy.offset, copy.strides), (copy.start, copy.steps)
    return _copy(0, here, there, copy.counts)


def _inside(part: Box, limit: Limit) -> Iterator[Box]:
    """The boxes of a box that lie inside a limit."""
    origin, counts = part
    start = limit.start + dot(limit.weights, origin)
    for first, sizes in boxes(counts, limit.weights, start, limit.low, limit.high):
        yield tuple(a + b for a, b in zip(origin, first)), sizes


def _copy(
    source: int, there: tuple[int, Counts], here: tuple[int, Counts], counts: Counts
) -> Copy:
    """A copy with its dims sorted by the step in the target and merged where both sides allow it."""
    dims: list[tuple[int, int, int]] = []
    for stride, step, count in sorted(
        zip(here[1], there[1], counts), key=lambda dim: -dim[0]
    ):
        if count == 1:
            continue
        if dims and dims[-1][0] == stride * count and dims[-1][1] == step * count:
            dims[-1] = (stride, step, dims[-1][2] * count)
        else:
            dims.append((stride, step, count))
    return Copy(
        source,
        there[0],
        tuple(step for _, step, _ in dims),
        here[0],
        tuple(stride for stride, _, _ in dims),
        tuple(count for _, _, count in dims),
    )
