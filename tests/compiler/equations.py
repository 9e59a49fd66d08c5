"""Equations for the tests of the algebra: drawn by hypothesis, with sizes and a mesh that divides them.

A statement is drawn by its leaves. A side is then built from a list of leaves, which are sets of indices, in one of the
many ways to write them: as terms of their own, glued into nested sums, with common indices outside of a sum or inside,
in any order of axes and factors. Two sides built from one list are an equation. Splits, padding and replicas are put
on afterwards, where the sizes allow them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.vendor.pretty import RepresentationPrinter
from mapc.dsl.source import Source, Span
from mapc.dsl.syntax import Axis, Index, One, Padded, Part, Product, Split, Sum, walk

from .map_text import REPLICAS, map_text
from .oracle import ALONE, Mesh, Statement, Tensor, leaves, size

NOWHERE = Span(Source("drawn", ""), 0, 0)
LETTERS = ("a", "b", "c", "d", "e", "f")
MOST = 400  # elements of a statement


@dataclass(frozen=True)
class Block:
    """What a leaf is drawn as: its indices, and its label if it has one."""

    indices: tuple[str, ...]
    label: str | None = None


@dataclass(frozen=True)
class Drawn:
    """An equation, as the map that states it and as the oracle takes it."""

    text: str
    statement: Statement
    names: tuple[tuple[str, ...], tuple[str, ...]]
    sharded: int  # the side with the mesh

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        """What hypothesis shows of a failure."""
        mesh = dict(self.statement.meshes[self.sharded].sizes)
        printer.text(f"{self.text}\n{mesh} {dict(self.statement.sizes)}")


@dataclass
class _State:
    """What is settled so far while an equation is drawn."""

    draw: st.DrawFn
    sizes: dict[str, int]
    mesh: dict[str, int]

    def chance(self, percent: int) -> bool:
        return self.draw(st.integers(0, 99)) >= 100 - percent  # shrinks to no

    def number(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))


@st.composite
def equations(draw: st.DrawFn) -> Drawn:
    """Any equation that the compiler should take."""
    state = _State(
        draw, {}, {"tp": draw(st.integers(1, 4)), "ep": draw(st.integers(1, 3))}
    )
    for name in LETTERS:
        state.sizes[name] = draw(st.sampled_from((2, 3, 1, 4, 5, 0)))
    sides = _sides(state)
    named = _named(state, sides)
    built = [
        tuple(_term(state, terms, named[side]) for terms in _terms(state, blocks))
        for side, blocks in enumerate(sides)
    ]
    if state.chance(30):  # one side without a plan: two sums in a term and the like
        free = tuple(_free_term(state) for _ in range(state.number(1, 2)))
        blocks = tuple(Block(leaf.indices) for leaf in leaves(free, state.sizes, ALONE))
        if len(blocks) <= 8:
            named = ((), ())
            other = tuple(_term(state, terms, ()) for terms in _terms(state, blocks))
            built = [other, free] if state.chance(50) else [free, other]
    _shrink(state, built)
    sharded = state.number(0, 1)
    left, right = (
        tuple(
            _decorated(state, tensor, set(state.mesh) if side == sharded else set())
            for tensor in tensors
        )
        for side, tensors in enumerate(built)
    )
    mesh = Mesh(
        state.mesh,
        tuple(
            {"tp": t, "ep": e}
            for e in range(state.mesh["ep"])
            for t in range(state.mesh["tp"])
        ),
    )
    meshes = (mesh, ALONE) if sharded == 0 else (ALONE, mesh)
    statement = Statement(left, right, state.sizes, meshes)
    names = tuple(
        tuple(f"{word}.{number}.weight" for number, _ in enumerate(tensors))
        for word, tensors in (("alpha", left), ("beta", right))
    )
    unlooped = LETTERS if state.chance(30) else ()  # an index in a name needs no `for`
    text = map_text(statement, names, sharded, named, unlooped)
    return Drawn(text, statement, (names[0], names[1]), sharded)


# ---- leaves -----------------------------------------------------------------------------------------


def _sides(state: _State) -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """The same blocks for both sides; labelled ones may stand elsewhere, one side may have replicas."""
    common = _subset(state, LETTERS, 2)
    blocks = []
    for number in range(state.number(1, 5)):
        more = _subset(state, [name for name in LETTERS if name not in common], 2)
        label = f"part{number}" if state.chance(10) else None
        blocks.append(Block((*common, *more), label))
    left = tuple(blocks)
    plain = iter([block for block in blocks if block.label is None])
    order = (
        state.draw(st.permutations(blocks)) if any(b.label for b in blocks) else blocks
    )
    right = tuple(block if block.label else next(plain) for block in order)
    if state.chance(25):
        state.sizes.update(m=state.number(1, 3), k=state.number(1, 2))
        left, right = _replicated(state, left, 5), _replicated(state, right, 70)
    return (left, right) if state.chance(50) else (right, left)


def _replicated(
    state: _State, blocks: tuple[Block, ...], percent: int
) -> tuple[Block, ...]:
    """Some blocks with one or two more indices."""
    found = []
    for block in blocks:
        more = tuple(name for name in REPLICAS if state.chance(percent))
        found.append(replace(block, indices=(*block.indices, *more)))
    return tuple(found)


def _subset(
    state: _State, names: list[str] | tuple[str, ...], most: int
) -> tuple[str, ...]:
    if not names:
        return ()
    return tuple(
        state.draw(st.lists(st.sampled_from(names), max_size=most, unique=True))
    )


def _named(
    state: _State, sides: tuple[tuple[Block, ...], tuple[Block, ...]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which indices stand in the names of a side, all blocks having them; on the other side they are on axes."""
    inside = [
        set.intersection(*(set(block.indices) for block in side)) for side in sides
    ]
    both = [
        name for name in LETTERS if name in inside[0] & inside[1] and state.sizes[name]
    ]
    found: list[tuple[str, ...]] = [(), ()]
    for name in both[:2]:
        if state.chance(25):
            side = state.number(0, 1)
            found[side] = (*found[side], name)
    for side in (0, 1):
        if "m" in inside[side] - inside[1 - side] and state.chance(40):
            found[side] = (*found[side], "m")
    return found[0], found[1]


# ---- from leaves to axes ----------------------------------------------------------------------------


def _terms(state: _State, blocks: tuple[Block, ...]) -> list[tuple[Block, ...]]:
    """The blocks in consecutive groups, a group a term."""
    found: list[tuple[Block, ...]] = [blocks[:1]]
    for block in blocks[1:]:
        if state.chance(50):
            found.append((block,))
        else:
            found[-1] = (*found[-1], block)
    return found


def _term(state: _State, blocks: tuple[Block, ...], named: tuple[str, ...]) -> Tensor:
    """A tensor with these leaves."""
    blocks = tuple(
        replace(block, indices=tuple(n for n in block.indices if n not in named))
        for block in blocks
    )
    shared = [
        n for n in blocks[0].indices if all(n in block.indices for block in blocks)
    ]
    outside = [name for name in shared if state.chance(60)] if len(blocks) > 1 else []
    rest = tuple(
        replace(block, indices=tuple(n for n in block.indices if n not in outside))
        for block in blocks
    )
    items = [*map(_index, outside)]
    if len(rest) > 1 or rest[0].label is not None:
        items.append(_sum(state, rest))
    else:
        items += map(_index, rest[0].indices)
    if state.chance(15):
        items.append(One(span=NOWHERE))
    items = list(state.draw(st.permutations(items)))
    return Tensor(_axes(state, items), named)


def _axes(state: _State, items: list[Axis]) -> tuple[Axis, ...]:
    """The items on axes, neighbours on one axis now and then."""
    groups: list[list[Axis]] = []
    for item in items:
        if groups and state.chance(55):
            groups[-1].append(item)
        else:
            groups.append([item])
    return tuple(_product(state, group) for group in groups)


def _product(state: _State, factors: list[Axis]) -> Axis:
    if len(factors) == 1:
        return factors[0]
    if len(factors) > 2 and state.chance(35):
        cut = state.number(1, len(factors) - 1)
        parts = (factors[:cut], factors[cut:])
        return _product(state, [_product(state, part) for part in parts])
    return Product(tuple(factors), span=NOWHERE)


def _sum(state: _State, blocks: tuple[Block, ...]) -> Axis:
    """The blocks one after the other along an axis; labels stand where a block is a part of its own."""
    if len(blocks) == 1 and blocks[0].label is None:
        factors = [_index(n) for n in state.draw(st.permutations(blocks[0].indices))]
        if not factors or state.chance(10):
            factors.insert(state.number(0, len(factors)), One(span=NOWHERE))
        return _product(state, factors)
    shared = [
        n for n in blocks[0].indices if all(n in block.indices for block in blocks)
    ]
    outside = [name for name in shared if state.chance(40)]
    blocks = tuple(
        replace(block, indices=tuple(n for n in block.indices if n not in outside))
        for block in blocks
    )
    groups: list[tuple[Block, ...]] = []
    for block in blocks:
        if (
            groups
            and block.label is None
            and groups[-1][-1].label is None
            and state.chance(30)
        ):
            groups[-1] = (*groups[-1], block)
        else:
            groups.append((block,))
    if len(groups) == 1 and groups[0][0].label is None:
        groups = [blocks[:1], blocks[1:]]
    parts = [
        Part(group[0].label, _sum(state, _unlabelled(group)), span=NOWHERE)
        for group in groups
    ]
    factors = [Sum(tuple(parts), span=NOWHERE), *map(_index, outside)]
    return _product(state, list(state.draw(st.permutations(factors))))


def _unlabelled(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    return tuple(replace(block, label=None) for block in blocks)


def _free_term(state: _State) -> Tensor:
    """A term of any form: every axis has indices of its own."""
    names = list(state.draw(st.permutations(LETTERS)))[: state.number(1, 4)]
    cuts = _cut(state, names)
    return Tensor(tuple(_free(state, part, 2) for part in cuts))


def _free(state: _State, names: list[str], depth: int) -> Axis:
    kind = state.draw(st.sampled_from(("index", "product", "sum")))
    if kind == "sum" and depth:
        parts = [
            Part(
                None,
                _free(state, list(_subset(state, names, 2)), depth - 1),
                span=NOWHERE,
            )
            for _ in range(state.number(2, 3))
        ]
        return Sum(tuple(parts), span=NOWHERE)
    if not names:
        return One(span=NOWHERE)
    if kind == "product" and depth and len(names) > 1:
        return Product(
            tuple(_free(state, part, depth - 1) for part in _cut(state, names, 2)),
            span=NOWHERE,
        )
    return _product(state, [_index(name) for name in names])


def _cut(state: _State, names: list[str], least: int = 1) -> list[list[str]]:
    """The names in consecutive groups, `least` of them or more."""
    found = [names[:1]]
    for position, name in enumerate(names[1:], 2):
        if state.chance(50) or least - len(found) > len(names) - position:
            found.append([name])
        else:
            found[-1] = [*found[-1], name]
    return found


def _index(name: str) -> Axis:
    return Index(name, span=NOWHERE)


# ---- sizes, splits and padding ----------------------------------------------------------------------


def _shrink(state: _State, built: list[tuple[Tensor, ...]]) -> None:
    """Smaller sizes, until the statement has few elements."""
    while (
        total := sum(_count(state, tensor) for side in built for tensor in side)
    ) > 2 * MOST:
        largest = max(state.sizes, key=lambda name: state.sizes[name])
        assert state.sizes[largest] > 1, f"{total} elements of size 1"
        state.sizes[largest] -= 1


def _count(state: _State, tensor: Tensor) -> int:
    total = 1
    for name in tensor.named:
        total *= state.sizes[name]
    for axis in tensor.axes:
        total *= size(axis, state.sizes, ALONE)
    return total


def _decorated(state: _State, tensor: Tensor, dims: set[str]) -> Tensor:
    """The tensor with padding, and with splits over some of these mesh dimensions, each once in a leaf."""
    axes, free = [], set(dims)
    for axis in tensor.axes:
        found, used = _decorate(state, axis, free)
        free -= used
        axes.append(found)
    return replace(tensor, axes=tuple(axes))


def _decorate(state: _State, axis: Axis, dims: set[str]) -> tuple[Axis, set[str]]:
    used: set[str] = set()
    if isinstance(axis, Sum):
        parts = []
        for part in axis.parts:
            value, more = _decorate(state, part.value, dims)
            used |= more
            parts.append(replace(part, value=value))
        axis = replace(axis, parts=tuple(parts))
    elif isinstance(axis, Product):
        factors = []
        for factor in axis.factors:
            value, more = _decorate(state, factor, dims - used)
            used |= more
            factors.append(value)
        axis = replace(axis, factors=tuple(factors))
    mesh = Mesh(state.mesh, ())
    dim = state.draw(st.sampled_from(sorted(dims - used))) if dims - used else None
    if state.chance(8) and not isinstance(axis, One):
        padded = f"pad{sum(name.startswith('pad') for name in state.sizes)}"
        length = size(axis, state.sizes, mesh) + state.number(0, 3)
        pieces = state.mesh[dim] if dim else 1
        state.sizes[padded] = -(-length // pieces) * pieces
        axis = Padded(axis, padded, span=NOWHERE)
    if dim is not None and state.chance(45):
        uneven = any(isinstance(node, Split) and node.ceil for node in walk(axis))
        divides = size(axis, state.sizes, mesh) % state.mesh[dim] == 0
        if divides and not uneven and not state.chance(15):
            axis, used = Split(axis, dim, False, span=NOWHERE), used | {dim}
        elif state.chance(50):
            axis, used = Split(axis, dim, True, span=NOWHERE), used | {dim}
    return axis, used
