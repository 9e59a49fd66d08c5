"""The statements as a generator: loops, conditions and names, with one recipe a statement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..dsl import syntax
from ..dsl.never import assert_never
from . import hir
from .arithmetic import MADE_DTYPES
from .emit import Env, attribute, expression, fstring, identifier, quoted
from .kinds import paths
from .layout import formula
from .lower_loops import STAGED, local_number, local_numbers, loop_text, owner, owners
from .lower_recipe import bundled_names, each
from .lower_require import requirement
from .proof import Proof, name_splits, spellings


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands: how names are written, the prefixes of the enclosing loop, and whether it is staged."""

    env: Env
    prefixes: tuple[tuple[str, syntax.Name], tuple[str, syntax.Name]] | None = None
    staged: bool = False


@dataclass(frozen=True, slots=True)
class Emitter:
    """What the lines need to know of the whole map."""

    map: hir.Map
    proofs: Mapping[int, Proof]
    recipes: Mapping[int, str]  # the call that gives a statement's recipe

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
        bundling, inside = self._parted(loop.body, loop)
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
        used, dims = uses(body, variable), self._split(loop, body)
        over = loop_text(loop, variable, used, dims, place.env)
        return [*lines, f"for {over}:", *_indented(body)]

    def _split(self, loop: hir.Loop, lines: list[str]) -> tuple[str, ...]:
        """The dimensions over which lines split a loop's index; the stages aside, which have lines of their own."""
        names = {
            dim: (owner(loop.index, dim), local_number(loop.index, dim))
            for layout in self.map.layouts
            for dim in layout.dims
        }
        return tuple(
            dim for dim, pair in names.items() if any(uses(lines, n) for n in pair)
        )

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

    def _parted(
        self, items: tuple[hir.Item, ...], loop: hir.Loop
    ) -> tuple[tuple[hir.Item, ...], tuple[hir.Item, ...]]:
        """The items in two: those whose statements bundle the loop, and the others."""
        taken: list[hir.Item] = []
        left: list[hir.Item] = []
        for item in items:
            match item:
                case hir.Statement(number=number) | hir.Make(
                    statement=hir.Statement(number=number)
                ):
                    bundled = [other.index for other in self.proofs[number].bundled]
                    (taken if loop.index in bundled else left).append(item)
                case hir.Let(value=value):
                    own = any(path.text == loop.index for path in paths(value))
                    taken += [] if own else [item]
                    left.append(item)
                case hir.Drop() | hir.Require():
                    left.append(item)
                case hir.Loop(body=body):
                    inner = self._parted(body, loop)
                    taken += [replace(item, body=inner[0])] if inner[0] else []
                    left += [replace(item, body=inner[1])] if inner[1] else []
                case hir.Choice(test=test, then=then, otherwise=otherwise):
                    first, second = self._parted(then, loop), self._parted(
                        otherwise, loop
                    )
                    taken += (
                        [hir.Choice(test, first[0], second[0])]
                        if first[0] or second[0]
                        else []
                    )
                    left += (
                        [hir.Choice(test, first[1], second[1])]
                        if first[1] or second[1]
                        else []
                    )
                case hir.Stored(variant=variant, bodies=bodies):
                    parts = [self._parted(body, loop) for body in bodies]
                    taken += (
                        [hir.Stored(variant, tuple(p[0] for p in parts))]
                        if any(p[0] for p in parts)
                        else []
                    )
                    left += (
                        [hir.Stored(variant, tuple(p[1] for p in parts))]
                        if any(p[1] for p in parts)
                        else []
                    )
                case _:
                    assert_never(item)
        held = [
            any(not isinstance(item, hir.Let) for item in part)
            for part in (taken, left)
        ]
        return tuple(taken if held[0] else ()), tuple(left if held[1] else ())

    def _statement(self, statement: hir.Statement, place: Place) -> list[str]:
        proof = self.proofs[statement.number]
        sides = [self._side(proof, side, place) for side in (0, 1)]
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
        tensor = self._side(proof, make.side, place)
        function, *values = _fill(make.fill, place)
        given = f", ({', '.join(values)},)" if values else ""
        lossy = ", lossy=True" if make.lossy else ""
        recipe = self.recipes[make.statement.number]
        return f"yield Make({recipe}, {make.side}, {tensor}, Fill({function}{given}){lossy})"

    def _side(self, proof: Proof, side: int, place: Place) -> str:
        return self._slots(proof, proof.statement.sides[side], side, place)

    def _slots(
        self, proof: Proof, tensors: tuple[hir.Tensor, ...], side: int, place: Place
    ) -> str:
        """The names of some of a side's tensors; `*` before each part where there are several."""
        parts: list[str] = []
        plain: list[str] = []
        before: str | None = None
        for tensor in tensors:
            at = self._at(side, tensor.names[0])
            if tensor.steps or tensor.dtype or tensor.default:
                plain = []
                parts.append(self._computed(proof, tensor, side, place))
            elif (
                len(tensor.names) == 1
                and at is not None
                and not self._spread(proof, tensor, side)
            ):
                name = self._name(proof, tensor, tensor.names[0], side, place)
                if parts and plain and before == at:
                    plain.append(name)
                    parts[-1] = f"places({', '.join(plain)}{at}"
                else:
                    plain = [name]
                    parts.append(f"places({name}{at}")
                before = at
            else:
                plain = []
                parts.append(self._tied_bundle(proof, tensor, side, place))
        return (
            parts[0]
            if len(parts) == 1
            else f"({', '.join('*' + part for part in parts)})"
        )

    def _computed(
        self, proof: Proof, tensor: hir.Tensor, side: int, place: Place
    ) -> str:
        """A tensor with its default, its dtype, and the steps from its elements to what the equation is about."""
        alone = replace(tensor, steps=(), dtype=None, default=None)
        text = self._slots(proof, (alone,), side, place)
        if tensor.default is not None:
            text = f"defaulted({text}, {', '.join(_fill(tensor.default, place))})"
        if tensor.dtype is not None:
            text = f"fixed({text}, {quoted(MADE_DTYPES[tensor.dtype])})"
        steps = [
            f"Step({quoted(step.operator)}"
            + (f", {expression(step.operand, place.env)})" if step.operand else ")")
            for step in tensor.steps
        ]
        return f"computed({text}, {', '.join(steps)})" if steps else text

    def _at(self, side: int, placed: hir.Placed) -> str | None:
        """The end of a `places` call: the coordinates and the closing bracket. None where there are two stages."""
        layout = self.map.layouts[side]
        more = owners(placed.name, layout)
        if layout.stages is None:
            return f"{more})"
        if placed.at == "first,last":
            return None
        return f", {layout.stages.mesh}={placed.at or 'stage'}{more})"

    def _spread(self, proof: Proof, tensor: hir.Tensor, side: int) -> bool:
        """Whether the tensors that a statement bundles live on ranks of their own."""
        bundle = {loop.index for loop in bundled_names(proof, tensor)}
        layout = self.map.layouts[side]
        splits = name_splits(tensor.names[0].name, layout)
        staged = any(loop.staged for loop in proof.bundled) and layout.stages
        return bool(staged) or any(index in bundle for index, _ in splits)

    def _tied_bundle(
        self, proof: Proof, tensor: hir.Tensor, side: int, place: Place
    ) -> str:
        """One tensor under several names, for every value of the indices that are bundled in them."""
        bundle = bundled_names(proof, tensor)
        if not bundle:
            return self._tied(tensor, side, place, bundle)
        inner = replace(place, env=self._each(place.env, bundle))
        text = self._tied(tensor, side, inner, bundle)
        return f"tuple(one for{self._over(bundle, place.env, text)} for one in {text})"

    def _tied(
        self, tensor: hir.Tensor, side: int, place: Place, bundle: tuple[hir.Loop, ...]
    ) -> str:
        texts: list[str] = []
        for placed in tensor.names:
            name = self._text(placed.name, side, place, bundle)
            tests = [expression(placed.when, place.env)] if placed.when else []
            if (at := self._at(side, placed)) is not None:
                texts.append(_places(name, at, tests))
                continue
            split = owners(placed.name, self.map.layouts[side])
            stages = self.map.layouts[side].stages
            assert stages is not None, "a place among stages"
            more = [*(f"({test})" for test in tests), f"mesh.{stages.mesh} > 1"]
            texts.append(_places(name, f", {stages.mesh}=first{split})", tests))
            texts.append(_places(name, f", {stages.mesh}=last{split})", more))
        alone = len(texts) == 1 and tensor.names[0].when is None
        return texts[0] if alone else f"tied({', '.join(texts)})"

    def _name(
        self,
        proof: Proof,
        tensor: hir.Tensor,
        placed: hir.Placed,
        side: int,
        place: Place,
    ) -> str:
        bundle = bundled_names(proof, tensor)
        if not bundle:
            return self._text(placed.name, side, place)
        inner = replace(place, env=self._each(place.env, bundle))
        text = self._text(placed.name, side, inner, bundle)
        return f"*[{text} for{self._over(bundle, place.env, text)}]"

    def _each(self, env: Env, bundle: tuple[hir.Loop, ...]) -> Env:
        """The names inside a comprehension over bundled indices."""
        names = {loop.index: each(loop.index) for loop in bundle}
        for loop in bundle:
            names |= local_numbers(loop.index, self.map.layouts)
        return env.adding(names)

    def _over(self, bundle: tuple[hir.Loop, ...], env: Env, text: str) -> str:
        """` each_x in range(config.X) for each_y in ..`: what stands behind the `for` of a comprehension."""
        found = []
        for loop in bundle:
            variable, dims = each(loop.index), self._split(loop, [text])
            if loop.staged and uses([text], "stage"):
                dims = (STAGED, *dims)
            used = uses([text], variable)
            found.append(f" {loop_text(loop, variable, used, dims, env)}")
        return " for".join(found)

    def _text(
        self,
        name: syntax.Name,
        side: int,
        place: Place,
        bundle: tuple[hir.Loop, ...] = (),
    ) -> str:
        """A name; one that is spelled in several ways as a tuple."""
        texts = [self._one_text(n, side, place, bundle) for n in spellings(name)]
        return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"

    def _one_text(
        self, name: syntax.Name, side: int, place: Place, bundle: tuple[hir.Loop, ...]
    ) -> str:
        if place.prefixes is not None:
            variable, prefix = place.prefixes[side]
            held = {
                p.text
                for part in prefix.parts
                if isinstance(part, syntax.Hole)
                for p in paths(part.value)
            }
            inside = not held & {loop.index for loop in bundle}
            if inside and name.parts[: len(prefix.parts)] == prefix.parts:
                return fstring(name, place.env, (variable, len(prefix.parts)))
        return fstring(name, place.env)

    def _drop(self, drop: hir.Drop, place: Place) -> list[str]:
        layout = self.map.layouts[drop.side]
        splits = name_splits(drop.name, layout)
        held = [(dim, owner(index, dim)) for index, dim in splits]
        if layout.stages is not None and place.staged:
            held.insert(0, (layout.stages.mesh, "stage"))
        at = f"{{{', '.join(f'{quoted(dim)}: {where}' for dim, where in held)}}}"
        where = quoted(drop.span.where)
        names = [self._one_text(n, drop.side, place, ()) for n in spellings(drop.name)]
        return [f"yield Drop({where}, {drop.side}, Place({n}, {at}))" for n in names]


def _fill(fill: hir.Fill, place: Place) -> list[str]:
    """The function and its values, as arguments."""
    return [
        quoted(fill.function),
        *(expression(value, place.env) for value in fill.arguments),
    ]


def _places(name: str, at: str, tests: list[str]) -> str:
    """A call of `places`, with its condition if there is one."""
    return f"places({name}{', when=' + ' and '.join(tests) if tests else ''}{at}"


def uses(lines: list[str], name: str) -> bool:
    """Whether lines of Python mention a name."""
    return any(re.search(rf"\b{re.escape(name)}\b", line) for line in lines)


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
