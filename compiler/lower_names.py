"""The tensors of one side of a statement as Python text: calls of `places`, with their names and coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..dsl import syntax
from . import hir
from .arithmetic import MADE_DTYPES
from .emit import Env, expression, fstring, quoted
from .lower_loops import STAGED, local_numbers, loop_text, owners, split_dims, uses
from .lower_recipe import bundled_names, each
from .proof import Proof, name_indices, name_splits, spellings


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands: how names are written, the prefixes of the enclosing loop, and whether it is staged."""

    env: Env
    prefixes: tuple[tuple[str, syntax.Name], tuple[str, syntax.Name]] | None = None
    staged: bool = False


@dataclass(frozen=True, slots=True)
class Names:
    """How the names of both sides are written."""

    layouts: tuple[hir.Layout, hir.Layout]

    def side(self, proof: Proof, side: int, place: Place) -> str:
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
            text = f"defaulted({text}, {', '.join(fill_text(tensor.default, place))})"
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
        layout = self.layouts[side]
        more = owners(placed.name, layout)
        if layout.stages is None:
            return f"{more})"
        if placed.at == "first,last":
            return None
        return f", {layout.stages.mesh}={placed.at or 'stage'}{more})"

    def _spread(self, proof: Proof, tensor: hir.Tensor, side: int) -> bool:
        """Whether the tensors that a statement bundles live on ranks of their own."""
        bundle = {loop.index for loop in bundled_names(proof, tensor)}
        layout = self.layouts[side]
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
            name = self._texts(placed.name, side, place, bundle)
            tests = [expression(placed.when, place.env)] if placed.when else []
            if (at := self._at(side, placed)) is not None:
                texts.append(_places(name, at, tests))
                continue
            split = owners(placed.name, self.layouts[side])
            stages = self.layouts[side].stages
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
            return self._texts(placed.name, side, place)
        inner = replace(place, env=self._each(place.env, bundle))
        text = self._texts(placed.name, side, inner, bundle)
        return f"*[{text} for{self._over(bundle, place.env, text)}]"

    def _each(self, env: Env, bundle: tuple[hir.Loop, ...]) -> Env:
        """The names inside a comprehension over bundled indices."""
        names = {loop.index: each(loop.index) for loop in bundle}
        for loop in bundle:
            names |= local_numbers(loop.index, self.layouts)
        return env.adding(names)

    def _over(self, bundle: tuple[hir.Loop, ...], env: Env, text: str) -> str:
        """` each_x in numbers("X", config.X) for each_y in ..`: what stands behind the `for` of a comprehension."""
        found = []
        for loop in bundle:
            variable, dims = each(loop.index), split_dims(loop, self.layouts, [text])
            if loop.staged and uses([text], "stage"):
                dims = (STAGED, *dims)
            used = uses([text], variable)
            text_of_loop = loop_text(loop, variable, used, dims, env, True)
            found.append(f" {text_of_loop}")
        return " for".join(found)

    def _texts(
        self,
        name: syntax.Name,
        side: int,
        place: Place,
        bundle: tuple[hir.Loop, ...] = (),
    ) -> str:
        """A name; one that is spelled in several ways as a tuple."""
        texts = [self.text(n, side, place, bundle) for n in spellings(name)]
        return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"

    def text(
        self,
        name: syntax.Name,
        side: int,
        place: Place,
        bundle: tuple[hir.Loop, ...] = (),
    ) -> str:
        """A name of one spelling, behind the variable of its prefix where there is one."""
        if place.prefixes is not None:
            variable, prefix = place.prefixes[side]
            inside = not {loop.index for loop in bundle} & {*name_indices(prefix)}
            if inside and name.parts[: len(prefix.parts)] == prefix.parts:
                return fstring(name, place.env, (variable, len(prefix.parts)))
        return fstring(name, place.env)


def fill_text(fill: hir.Fill, place: Place) -> list[str]:
    """The function and its values, as arguments."""
    return [
        quoted(fill.function),
        *(expression(value, place.env) for value in fill.arguments),
    ]


def _places(name: str, at: str, tests: list[str]) -> str:
    """A call of `places`, with its condition if there is one."""
    return f"places({name}{', when=' + ' and '.join(tests) if tests else ''}{at}"
