"""The statements as a generator: loops and conditions, with one recipe a statement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..dsl import syntax
from ..dsl.never import assert_never
from . import hir
from .emit import attribute, expression, fstring, identifier, quoted
from .layout import formula
from .lower_loops import local_numbers, loop_text, owner, split_dims, uses
from .lower_names import Names, Place, fill_text
from .lower_parting import parted
from .lower_require import requirement
from .proof import Proof, name_splits, spellings


@dataclass(frozen=True, slots=True)
class Emitter:
    """What the lines need to know of the whole map."""

    map: hir.Map
    proofs: Mapping[int, Proof]
    recipes: Mapping[int, str]  # the call that gives a statement's recipe

    @property
    def _names(self) -> Names:
        return Names(self.map.layouts)

    def lines(self, items: tuple[hir.Item, ...], place: Place) -> list[str]:
        """The lines of a block; empty where nothing is left to say."""
        found: list[str] = []
        for position, item in enumerate(items):
            match item:
                case hir.Statement():
                    found += self._statement(item, place)
                case hir.Make():
                    found.append(self._make(item, place))
                case hir.Drop():
                    found += self._drop(item, place)
                case hir.Require():
                    found.append(requirement(item, place.env))
                case hir.Loop():
                    found += self._loop(item, place)
                case hir.Choice(test=test, then=then, otherwise=otherwise):
                    found += self._choice(
                        test,
                        self.lines(then, place),
                        self.lines(otherwise, place),
                        place,
                    )
                case hir.Stored():
                    found += self._stored(item, place)
                case hir.Let():
                    return [*found, *self._let(item, items[position + 1 :], place)]
                case _:
                    assert_never(item)
        return found

    def _let(self, let: hir.Let, rest: tuple[hir.Item, ...], place: Place) -> list[str]:
        """The rest of the block, behind the value if it needs it."""
        name = identifier(let.name)
        inner = replace(
            place, env=place.env.adding({let.name: name}, {let.name: let.kind})
        )
        lines = self.lines(rest, inner)
        return (
            [f"{name} = {expression(let.value, place.env)}", *lines]
            if uses(lines, name)
            else lines
        )

    def _choice(
        self, test: syntax.Expr, then: list[str], otherwise: list[str], place: Place
    ) -> list[str]:
        text = expression(test, place.env)
        if not then and not otherwise:
            return []
        if not then:
            negated = syntax.Unary("not", test, span=test.span)
            return [f"if {expression(negated, place.env)}:", *_indented(otherwise)]
        lines = [f"if {text}:", *_indented(then)]
        if otherwise and otherwise[0].startswith("if ") and _one_branch(otherwise):
            return [*lines, "el" + otherwise[0], *otherwise[1:]]
        return [*lines, *(["else:", *_indented(otherwise)] if otherwise else [])]

    def _stored(self, item: hir.Stored, place: Place) -> list[str]:
        lines: list[str] = []
        field = f"config.{attribute(item.variant.name)}"
        for choice, body in zip(item.variant.choices, item.bodies):
            inner = self.lines(body, place)
            first = choice == item.variant.choices[0]
            test = f"in (None, {quoted(choice)})" if first else f"== {quoted(choice)}"
            if inner:
                lines += [
                    f"{'el' if lines else ''}if {field} {test}:",
                    *_indented(inner),
                ]
        return lines

    def _loop(self, loop: hir.Loop, place: Place) -> list[str]:
        """The statements that bundle the loop stand before it, the others inside."""
        bundling, inside = parted(loop.body, loop.index, self.proofs)
        lines = self.lines(bundling, place) if bundling else []
        inner_place = self._within(loop, place)
        body = self.lines(inside, inner_place)
        if not body:
            return lines
        prefixes = self._prefix_lines(loop, inner_place, body)
        if loop.filtered and all(line.startswith(" ") for line in body[1:]):
            body = [
                body[0],
                *_indented(prefixes),
                *body[1:],
            ]  # only where the filter holds
        else:
            body = [*prefixes, *body]
        if loop.staged:
            number = "number" if uses(body, "number") else "_"
            body.insert(0, f"stage, {number} = layers[{identifier(loop.index)}]")
        variable = identifier(loop.index)
        used, dims = uses(body, variable), split_dims(loop, self.map.layouts, body)
        over = loop_text(loop, variable, used, dims, place.env)
        return [*lines, f"for {over}:", *_indented(body)]

    def _within(self, loop: hir.Loop, place: Place) -> Place:
        written = {loop.index: identifier(loop.index)}
        written |= local_numbers(loop.index, self.map.layouts)
        env = place.env.adding(written, {loop.index: "int"})
        if loop.prefixes is None:
            return replace(place, env=env, staged=place.staged or loop.staged)
        outer = place.prefixes is not None
        names = []
        for layout in self.map.layouts:
            name = f"{identifier(layout.name)}{'_' + loop.index if outer else ''}"
            while name in env.names.values():
                name += "_"
            names.append(name)
        prefixes = ((names[0], loop.prefixes[0]), (names[1], loop.prefixes[1]))
        return Place(env, prefixes, place.staged or loop.staged)

    def _prefix_lines(self, loop: hir.Loop, place: Place, body: list[str]) -> list[str]:
        if loop.prefixes is None or place.prefixes is None:
            return []
        used = [
            (variable, name)
            for variable, name in place.prefixes
            if uses(body, variable)
        ]
        return [f"{variable} = {fstring(name, place.env)}" for variable, name in used]

    def _statement(self, statement: hir.Statement, place: Place) -> list[str]:
        proof = self.proofs[statement.number]
        sides = [self._names.side(proof, side, place) for side in (0, 1)]
        recipe = self.recipes[statement.number]
        optional = ", optional=True" if statement.optional else ""
        if statement.tail:
            return [f"yield Tail({recipe}, {sides[0]}, {sides[1]})"]
        if not proof.measured and not statement.whole:
            return [f"yield Group({recipe}, {sides[0]}, {sides[1]}{optional})"]
        named = [f"left = {sides[0]}", f"right = {sides[1]}"]
        return [*named, f"yield Group({recipe}, left, right{optional})"]

    def _make(self, make: hir.Make, place: Place) -> str:
        proof = self.proofs[make.statement.number]
        tensor = self._names.side(proof, make.side, place)
        function, *values = fill_text(make.fill, place)
        given = f", ({', '.join(values)},)" if values else ""
        lossy = ", lossy=True" if make.lossy else ""
        recipe = self.recipes[make.statement.number]
        return f"yield Make({recipe}, {make.side}, {tensor}, Fill({function}{given}){lossy})"

    def _drop(self, drop: hir.Drop, place: Place) -> list[str]:
        layout = self.map.layouts[drop.side]
        splits = name_splits(drop.name, layout)
        held = [(dim, owner(index, dim)) for index, dim in splits]
        if layout.stages is not None and place.staged:
            held.insert(0, (layout.stages.mesh, "stage"))
        at = f"{{{', '.join(f'{quoted(dim)}: {where}' for dim, where in held)}}}"
        where = quoted(drop.span.where)
        names = [self._names.text(n, drop.side, place) for n in spellings(drop.name)]
        return [f"yield Drop({where}, {drop.side}, Place({n}, {at}))" for n in names]


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _one_branch(lines: list[str]) -> bool:
    """Whether lines are one `if` with its branches and nothing behind it."""
    return all(line.startswith((" ", "elif ", "else:")) for line in lines[1:])


def same_axes(proof: Proof) -> bool:
    """Whether a statement only renames a tensor: plain indices, in the same order, on both sides."""
    left, right = proof.statement.sides
    if len(left) != 1 or len(right) != 1 or proof.bundled or proof.measured:
        return False
    plain = all(isinstance(axis, syntax.Index) for axis in left[0].axes)
    return plain and formula(left[0].axes) == formula(right[0].axes)
