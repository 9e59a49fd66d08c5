"""The map that states a drawn equation alone, spelled from its axes."""

from __future__ import annotations

from mapc.dsl.syntax import Axis, Index, One, Padded, Product, Split, Sum

from .oracle import Statement

REPLICAS = ("m", "k")


def map_text(
    statement: Statement,
    names: tuple[tuple[str, ...], ...],
    sharded: int,
    named: tuple[tuple[str, ...], tuple[str, ...]],
    unlooped: tuple[str, ...],
) -> str:
    """A map with this statement alone. Loops run over `size_x`; every other size has its own name."""
    replicas = [name for name in REPLICAS if name in statement.sizes]
    loops = [
        name for name in (*named[0], *named[1]) if name not in (*replicas, *unlooped)
    ]
    keys = [
        f"size_{name}" if name in (*loops, *replicas) else name
        for name in statement.sizes
    ]
    lines = ["language 1", "map drawn: left_ <-> right_"]
    lines += [f"layout {('left_', 'right_')[sharded]} {{", "    mesh tp, ep"]
    lines += ['    files "{tp}_{ep}"', "}", "config {"]
    lines += [f"    {key}: {key} <-> {key}" for key in keys]
    lines += ["}", *(f"replica {name} = size_{name}" for name in replicas), "tensors {"]
    lines += [
        f"{'    ' * depth}for {name} in size_{name} {{"
        for depth, name in enumerate(loops, 1)
    ]
    sides = [
        ", ".join(
            ".".join([name, *(f"{{{index}}}" for index in tensor.named)])
            + _formula(tensor.axes)
            for name, tensor in zip(names[side], statement.sides[side], strict=True)
        )
        for side in (0, 1)
    ]
    lines.append(f"{'    ' * (len(loops) + 1)}{sides[0]} <-> {sides[1]}")
    lines += ["    " * depth + "}" for depth in range(len(loops), 0, -1)]
    return "\n".join([*lines, "}", ""])


def _formula(axes: tuple[Axis, ...]) -> str:
    return f"[{' '.join(map(_spelled, axes))}]"


def _spelled(axis: Axis) -> str:
    if isinstance(axis, Index):
        return axis.name
    if isinstance(axis, One):
        return "1"
    if isinstance(axis, Product):
        return f"({' '.join(map(_spelled, axis.factors))})"
    if isinstance(axis, Sum):
        parts = [
            f"{part.label}:" * bool(part.label) + _spelled(part.value)
            for part in axis.parts
        ]
        return f"({' + '.join(parts)})"
    inner = _spelled(axis.value)
    if isinstance(axis.value, Split) or (
        isinstance(axis.value, Padded) and isinstance(axis, Padded)
    ):
        inner = f"({inner})"
    if isinstance(axis, Padded):
        return f"{inner}^{axis.size}"
    return f"{inner}@{axis.mesh}{'?' if axis.ceil else ''}"
