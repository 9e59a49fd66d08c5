"""What a config makes of a map: tensors, elements and bytes of both sides, and the shapes of the tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from ..templates.runtime.sizes import size_text
from .configured import Instance
from .table import columns

# Bytes of an element, by the names that config.json files give dtypes.
DTYPES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}
DTYPES |= {"float8_e4m3fn": 1, "float8_e5m2": 1, "int8": 1, "uint8": 1}
ASSUMED = 2


@dataclass(frozen=True, slots=True)
class Count:
    """The tensors of a rank; rank is None where the layout has no mesh. The shapes of `unknown` are not known."""

    rank: dict[str, int] | None
    tensors: int
    elements: int
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class Shape:
    """A tensor: its name, the mesh coordinates that it needs, its axes and its shape on one rank."""

    where: str
    layout: str
    name: str
    at: str
    axes: str
    shape: tuple[int, ...] | None


def counted(instance: Instance, every: bool) -> tuple[str, dict[str, object]]:
    """The counts and the shapes, as text and as data; `every`: of all layers and not of the first."""
    width, why = _width(instance.raw)
    layouts = [layout.name for layout in instance.proven.hir.layouts]
    sides = [(name, _counts(instance, side)) for side, name in enumerate(layouts)]
    shapes = list(_shapes(instance, every))
    text = [f"For {instance.title}; {why}:", "", *_count_table(sides, width)]
    text += [
        *_left_out(instance, sides),
        "",
        "Shapes:" if every else "Shapes of the first layer (--shapes: of all):",
        "",
    ]
    rows = [
        (
            s.where,
            s.layout,
            f"{s.name}{' on ' + s.at if s.at else ''}",
            s.axes,
            "any" if s.shape is None else str(list(s.shape)),
        )
        for s in shapes
    ]
    text += columns([("where", "layout", "tensor", "axes", "shape"), *rows])
    return "\n".join(text), {
        "bytes_per_element": width,
        "sides": [_side_data(name, counts, width) for name, counts in sides],
        "shapes": [_shape_data(shape) for shape in shapes],
    }


def _width(raw: Any) -> tuple[int, str]:
    """The bytes of an element, and where that is known from."""
    for key in ("dtype", "torch_dtype"):
        dtype = raw.get(key)
        if isinstance(dtype, str):
            width = DTYPES.get(dtype.removeprefix("torch."))
            if width is not None:
                return width, f"`{key}` says {dtype}, {width} bytes an element"
            return (
                ASSUMED,
                f"`{key}` says {dtype}, which is not known here: {ASSUMED} bytes an element",
            )
    return ASSUMED, f"no `dtype` in the config: {ASSUMED} bytes an element"


def _counts(instance: Instance, side: int) -> list[Count]:
    name = instance.proven.hir.layouts[side].name
    found = []
    for rank in instance.ranks(side):
        expected = instance.names["expected"]
        tensors = expected(
            instance.converter, name, instance.config, instance.mesh, rank
        )
        at = None if rank is None else dict(rank._asdict())
        shapes = [shape for shape, _ in tensors.values()]
        known = sum(prod(shape) for shape in shapes if shape is not None)
        found.append(Count(at, len(tensors), known, shapes.count(None)))
    return found


def _count_table(sides: Sequence[tuple[str, list[Count]]], width: int) -> list[str]:
    rows: list[tuple[str, ...]] = [("layout", "tensors", "elements", "bytes")]
    for name, counts in sides:
        total = _total(counts)
        ranks = f", {len(counts)} ranks together" if len(counts) > 1 else ""
        rows.append(_count_row(name + ranks, total, width))
        for count in counts if len(counts) > 1 else ():
            at = " ".join(f"{dim}={n}" for dim, n in (count.rank or {}).items())
            rows.append(_count_row(f"  {at}", count, width))
    return columns(rows, right=(1, 2, 3))


def _count_row(name: str, count: Count, width: int) -> tuple[str, ...]:
    return (
        name,
        f"{count.tensors:,}",
        f"{count.elements:,}",
        size_text(count.elements * width),
    )


def _total(counts: Sequence[Count]) -> Count:
    return Count(
        None,
        sum(c.tensors for c in counts),
        sum(c.elements for c in counts),
        sum(c.unknown for c in counts),
    )


def _side_data(name: str, counts: Sequence[Count], width: int) -> dict[str, object]:
    total = _total(counts)
    ranks = [
        {"rank": count.rank, **_count_data(count, width)}
        for count in counts
        if count.rank
    ]
    return {
        "layout": name,
        **_count_data(total, width),
        **({"ranks": ranks} if ranks else {}),
    }


def _left_out(
    instance: Instance, sides: Sequence[tuple[str, list[Count]]]
) -> list[str]:
    """A line about what the counts do not hold."""
    statements = [proof.statement for proof in instance.proven.proofs]
    unknown = max(_total(counts).unknown for _, counts in sides)
    told = [f"the elements of {unknown} tensors of any shape"] if unknown else []
    if any(statement.optional for statement in statements):
        told.append("optional tensors")
    if any(statement.tail for statement in statements):
        told.append("what tails take")
    return ["", f"Not in these numbers: {', '.join(told)}."] if told else []


def _count_data(count: Count, width: int) -> dict[str, int]:
    return {
        **({"without_shape": count.unknown} if count.unknown else {}),
        "tensors": count.tensors,
        "elements": count.elements,
        "bytes": count.elements * width,
    }


def _shapes(instance: Instance, every: bool) -> Iterator[Shape]:
    """The tensors of every statement: where it first holds, or wherever it does."""
    seen: set[object] = set()
    for group in instance.statements():
        if not isinstance(group, instance.names["Group"]):
            continue
        recipe = group.recipe
        formulas = [t.formula for side in recipe.tensors for t in side.values()]
        key = recipe.where, tuple(formulas), tuple(recipe.shapes.values())
        if every or key not in seen:
            yield from _group_shapes(instance, group)
        seen.add(key)


def _group_shapes(instance: Instance, group: Any) -> Iterator[Shape]:
    for side, tensors in enumerate((group.left, group.right)):
        for position, places in enumerate(tensors):
            formula = group.recipe.tensors[side][position].formula
            layout = instance.proven.hir.layouts[side].name
            for place, (at, shape) in product(places, _kinds(group, side, position)):
                held = instance.coordinates({**place.at, **at})
                where = group.recipe.where
                yield Shape(where, layout, place.name, held, formula, shape)


def _kinds(
    group: Any, side: int, position: int
) -> list[tuple[dict[str, int], tuple[int, ...] | None]]:
    """The shape of a tensor; where it differs by rank, that of every rank."""
    found = [
        (dict(piece.at), shape)
        for piece, shape in group.recipe.shapes.items()
        if (piece.side, piece.position) == (side, position)
    ]
    return found if len({shape for _, shape in found}) > 1 else [({}, found[0][1])]


def _shape_data(shape: Shape) -> dict[str, object]:
    return {
        "where": shape.where,
        "layout": shape.layout,
        "name": shape.name,
        "at": shape.at,
        "axes": shape.axes,
        "shape": None if shape.shape is None else list(shape.shape),
    }
