"""Recipes: each statement as straight-line code that pairs views of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..dsl import syntax
from . import hir
from .emit import identifier, quoted
from .layout import axis_indices, formula, place_dims, spell, splits
from .lower_grid import Match, index_text, match_of, size_text
from .proof import Proof, name_indices

_SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor of the statement and how the recipe writes it."""

    side: int
    position: str
    variable: str
    tensor: hir.Tensor
    dims: tuple[str, ...]
    bundle: tuple[str, ...]
    chains: tuple[
        tuple[str, ...], ...
    ]  # the operations on its grid that lead to each leaf
    paddings: tuple[tuple[str, ...], ...]  # and to each padding

    @property
    def common(self) -> int:
        """How many operations all of these begin with."""
        chains = (*self.chains, *self.paddings)
        shortest = min(len(chain) for chain in chains)
        return next(
            (n for n in range(shortest) if len({c[n] for c in chains}) > 1), shortest
        )


def recipe_lines(
    proof: Proof,
    variables: tuple[tuple[str, ...], tuple[str, ...]],
    sizes: Mapping[str, str],
) -> list[str]:
    """The body of a recipe function. `variables` name the tensors, `sizes` the text of each known size."""
    shares = _shares(proof.statement)
    matches = [match_of(left, right, shares) for left, right in proof.pairs]
    tensors = [_tensors(side, proof, variables[side], matches) for side in (0, 1)]
    split = 0 if any(tensor.dims for tensor in tensors[0]) else 1
    names = needed(proof)
    lines = _locals(names, sizes)
    lines.append(
        f"recipe = Recipe(where{''.join(f', {name}={name}' for name in map(identifier, names))})"
    )
    lines += [
        line for t in tensors[1 - split] if not t.bundle for line in _declare(t, shares)
    ]
    groups = dict.fromkeys(tensor.dims for tensor in tensors[split])
    for dims in groups:
        indent = ""
        for dim in dims:
            lines.append(f"{indent}for {identifier(dim)} in range(mesh.{dim}):")
            indent += "    "
        group = [tensor for tensor in tensors[split] if tensor.dims == dims]
        lines += [
            indent + line
            for line in _group(proof, split, group, tensors, matches, shares)
        ]
    return [*lines, "return recipe"]


def measured_sizes(proof: Proof) -> tuple[str, ...]:
    return tuple(identifier(name) for name in proof.measured)


def needed(proof: Proof) -> list[str]:
    """The sizes that the recipe works with: indices and padded sizes, in order of writing."""
    found: list[str] = []
    for tensor in (*proof.statement.left, *proof.statement.right):
        nodes = [node for axis in tensor.axes for node in syntax.walk(axis)]
        found += [name for axis in tensor.axes for name in axis_indices(axis)]
        found += [node.size for node in nodes if isinstance(node, syntax.Padded)]
        found += [loop.index for loop in bundled_names(proof, tensor)]
    return list(dict.fromkeys(found))


def _locals(names: list[str], sizes: Mapping[str, str]) -> list[str]:
    given = [name for name in names if name in sizes]
    if not given:
        return []
    return [
        f"{', '.join(map(identifier, given))} = {', '.join(sizes[name] for name in given)}"
    ]


def _shares(statement: hir.Statement) -> dict[str, str]:
    """The variable of each share, by the split's text."""
    found: dict[str, str] = {}
    for tensor in (*statement.left, *statement.right):
        for axis in tensor.axes:
            for split in splits(axis):
                found.setdefault(
                    spell(split), "own" if not found else f"own_{len(found) + 1}"
                )
    return found


def _tensors(
    side: int, proof: Proof, variables: tuple[str, ...], matches: list[Match]
) -> list[_Tensor]:
    found: list[_Tensor] = []
    before: list[str] = []
    for number, tensor in enumerate(proof.statement.sides[side]):
        mine = [match for match in matches if match.leaves[side].term == number]
        chains = tuple(match.chains[side] for match in mine)
        paddings = tuple(
            dict.fromkeys(padding for match in mine for padding in match.paddings[side])
        )
        bundle = tuple(loop.index for loop in bundled_names(proof, tensor))
        count, index = _flat(bundle)
        position = " + ".join([*_counted(before), *([index] if index else [])]) or "0"
        dims = tuple(
            dict.fromkeys(split.mesh for axis in tensor.axes for split in splits(axis))
        )
        found.append(
            _Tensor(
                side,
                position,
                variables[number],
                tensor,
                dims,
                bundle,
                chains,
                paddings,
            )
        )
        before.append(count)
    return found


def bundled_names(proof: Proof, tensor: hir.Tensor) -> tuple[hir.Loop, ...]:
    """The loops over which one statement has a tensor a value: bundled, with the index in the name."""
    return tuple(
        loop
        for loop in proof.bundled
        if loop.index in name_indices(tensor.names[0].name)
    )


def _flat(bundle: tuple[str, ...]) -> tuple[str, str]:
    """How many tensors a bundle has, and the number of one, row-major."""
    number = ""
    for name in bundle:
        ahead = f"({number})" if " " in number else number
        number = (
            f"{ahead} * {identifier(name)} + {each(name)}" if number else each(name)
        )
    return " * ".join(identifier(name) for name in bundle) or "1", number


def each(index: str) -> str:
    """The variable that runs over a bundled index; the index itself names the size."""
    return f"each_{index}"


def _counted(before: list[str]) -> list[str]:
    ones = before.count("1")
    return [*[text for text in before if text != "1"], *([str(ones)] if ones else [])]


def _declare(tensor: _Tensor, shares: Mapping[str, str]) -> list[str]:
    lines = []
    for axis in tensor.tensor.axes:
        for split in reversed(list(splits(axis))):
            whole, dim = size_text(split.value, shares), split.mesh
            line = f"{shares[spell(split)]} = recipe.share({quoted(spell(split.value))}, {whole}, {quoted(dim)}, mesh.{dim}, {identifier(dim)}{', ceil=True' if split.ceil else ''})"
            if line not in lines:
                lines.append(line)
    shape = "".join(f", {size_text(axis, shares)}" for axis in tensor.tensor.axes)
    at = "".join(f", {dim}={identifier(dim)}" for dim in tensor.dims)
    chain = "".join(tensor.chains[0][: tensor.common])
    form = quoted(formula(tensor.tensor.axes))
    made = f"recipe.{_SIDES[tensor.side]}({tensor.position}, {form}{shape}{at})"
    if not chain or len(tensor.variable) + len(made) + len(chain) < 75:
        lines.append(f"{tensor.variable} = {made}{chain}")
    else:
        lines += [
            f"{tensor.variable} = {made}",
            f"{tensor.variable} = {tensor.variable}{chain}",
        ]
    for padding in tensor.paddings:
        lines.append(
            f"recipe.zeros({tensor.variable}{''.join(padding[tensor.common :])})"
        )
    return lines


def _group(
    proof: Proof,
    split: int,
    group: list[_Tensor],
    tensors: list[list[_Tensor]],
    matches: list[Match],
    shares: Mapping[str, str],
) -> list[str]:
    """The tensors of one side that are split alike, and the blocks they share with the other side."""
    plain = [_declare(tensor, shares) for tensor in group if not tensor.bundle]
    lines = list(dict.fromkeys(line for one in plain for line in one))
    open_bundle: tuple[str, ...] = ()
    declared: set[str] = set()
    for match in matches:
        pair = [tensors[side][match.leaves[side].term] for side in (0, 1)]
        if pair[split] not in group:
            continue
        named = {index for tensor in pair for index in tensor.bundle}
        bundle = tuple(loop.index for loop in proof.bundled if loop.index in named)
        if bundle != open_bundle:
            lines += [
                f"{'    ' * n}for {each(i)} in numbers({quoted(i)}, {identifier(i)}):"
                for n, i in enumerate(bundle)
            ]
            open_bundle, declared = bundle, set()
        inner = [
            line
            for t in pair
            if t.bundle
            for line in _declare(t, shares)
            if line not in declared
        ]
        declared.update(inner)
        inner.append(
            f"recipe.match({', '.join(_ends(match, pair))}{_again(match, pair)})"
        )
        lines += ["    " * len(bundle) + line for line in inner]
    return lines


def _again(match: Match, pair: list[_Tensor]) -> str:
    """Copies in a name or on ranks that do not split the leaf: going back, all but the first find it filled."""
    texts = []
    for side, word in enumerate(_SIDES):
        other = pair[1 - side]
        held = {*match.leaves[side].indices, *pair[side].bundle}
        copies = [each(index) for index in other.bundle if index not in held]
        split = {
            dim for place in match.leaves[1 - side].axes for dim in place_dims(place)
        }
        copies += [identifier(dim) for dim in other.dims if dim not in split]
        if copies:
            texts.append(
                f", {word}_again={' or '.join(f'{copy} > 0' for copy in copies)}"
            )
    return "".join(texts)


def _ends(match: Match, pair: list[_Tensor]) -> list[str]:
    """The two grids of a pair, with their dims in one order."""
    texts = [
        t.variable + "".join(match.chains[side][t.common :])
        for side, t in enumerate(pair)
    ]
    orders = [list(order) for order in match.orders]
    for side, other in ((0, pair[1]), (1, pair[0])):
        # An index that is in the other tensor's name has one value in each pass of the loop over it.
        fixed = [
            n for n in orders[side] if n in other.bundle and n not in orders[1 - side]
        ]
        texts[side] += (
            index_text([each(name) if name in fixed else ":" for name in orders[side]])
            if fixed
            else ""
        )
        orders[side] = [name for name in orders[side] if name not in fixed]
    # The side with more indices says their order; an index of one side alone is repeated on the other.
    lead = 0 if len(orders[0]) > len(orders[1]) else 1
    full = list(dict.fromkeys([*orders[lead], *orders[1 - lead]]))
    for side, order in enumerate(orders):
        present = [name for name in full if name in order]
        if present != order:
            texts[
                side
            ] += f".permute({', '.join(str(order.index(name)) for name in present)})"
        for dim, name in enumerate(full):
            if name not in present:
                texts[side] += f".repeat({dim}, {identifier(name)})"
    return texts
