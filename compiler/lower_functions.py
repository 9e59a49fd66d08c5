"""The functions of the mapping part: lets that need a mesh, and one recipe for every geometry of the map."""

from __future__ import annotations

import re
from dataclasses import replace
from textwrap import wrap

from ..dsl import syntax
from . import hir
from .emit import Env, escaped, expression, function_name, identifier, quoted
from .layout import formula
from .lower_recipe import bundled_names, measured_sizes, needed, recipe_lines
from .lower_statements import same_axes
from .measure import measuring
from .plan import Function
from .proof import Proof, Proven, equation, spellings, varying
from .splice import defined


def lower_functions(
    proven: Proven, dims: frozenset[str], env: Env
) -> tuple[tuple[Function, ...], dict[int, str]]:
    """The functions, and the call that gives each statement's recipe.

    Statements of the same geometry share a recipe; the call says which statement it is for.
    """
    map_ = proven.hir
    functions = {
        function_name(let.name): _let(let, env) for let in map_.lets if let.name in dims
    }
    calls: dict[int, str] = {}
    made: dict[object, str] = {}
    for proof in proven.every:
        where, number = quoted(proof.where), proof.statement.number
        if proof.statement.tail:
            calls[number] = where
        elif proof.statement.whole:
            calls[number] = f"recipes.whole({where}, left, right)"
        elif same_axes(proof):
            calls[number] = _same(proof, where, _own(proof, env))
        else:
            name = made.get(key := _geometry(proof))
            if name is not None:
                comment = (*functions[name].comment, *_comment(proof))
                functions[name] = replace(functions[name], comment=comment)
            else:
                taken = {*functions, *defined(), "_chunks", "_statements"}
                name = made[key] = _function_name(proof, taken)
                more = _recipe(proof, map_, name, _own(proof, env))
                functions.update({function.name: function for function in more})
            calls[number] = _call(proof, name, where, env)
    return tuple(functions.values()), calls


def plain(text: str) -> str:
    """Text for comments and docstrings: one line of ASCII without backslashes or quotes that could end it."""
    return " ".join(escaped(text).replace('\\"', "'").replace("\\", "/").split())


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of a long equation; a name and its axes stay together."""
    glued = re.sub(r"\[[^]]*\]", lambda axes: axes[0].replace(" ", "\0"), text)
    lines = wrap(
        glued,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines]


def _let(let: hir.Let, env: Env) -> Function:
    kind = {"int": "int", "float": "float", "bool": "bool", "str": "str"}.get(
        let.kind, "Any"
    )
    text = f"{let.span.where}   {let.name} = {let.value.span.text}"
    body = [f"return {expression(let.value, env)}"]
    if isinstance(let.value, syntax.Conditional):
        test, then, other = (
            expression(v, env)
            for v in (let.value.test, let.value.then, let.value.other)
        )
        body = [f"if {test}:", f"    return {then}", f"return {other}"]
    return Function(
        function_name(let.name),
        "config: Config, mesh: Mesh",
        kind,
        (plain(text),),
        tuple(body),
    )


def _geometry(proof: Proof) -> object:
    """What two statements must have in common to share a recipe: all but the names."""
    sides = tuple(
        tuple(
            (formula(t.axes), tuple(loop.index for loop in bundled_names(proof, t)))
            for t in side
        )
        for side in proof.statement.sides
    )
    changing = varying(proof)
    ranges = tuple(
        (loop.index, None if loop.index in changing else loop.range)
        for loop in proof.bundled
    )
    return sides, ranges, proof.measured, tuple(sorted(proof.local))


def _same(proof: Proof, where: str, env: Env) -> str:
    axes = proof.statement.left[0].axes
    names = [axis.name for axis in axes if isinstance(axis, syntax.Index)]
    given = "".join(
        f", {identifier(n)}={identifier(n) if n in proof.local else env.names[n]}"
        for n in names
    )
    return f"recipes.same({where}{given})"


def _own(proof: Proof, env: Env) -> Env:
    """With the second names of sizes that stand twice on a tensor that is made."""
    again = proof.make.again if proof.make is not None else ()
    names = {
        one: identifier(size) if size in proof.local else env.names[size]
        for one, size in again
    }
    return env.adding(names)


def _local(proof: Proof) -> list[str]:
    """The sizes that a recipe is told: a `let` in a block gives them, or a range that changes."""
    changing = varying(proof)
    return [n for n in needed(proof) if n in proof.local or n in changing]


def _call(proof: Proof, name: str, where: str, env: Env) -> str:
    around = [loop.index for loop in proof.loops] + sorted(proof.local)
    env = env.adding({name: identifier(name) for name in around})
    ranges = varying(proof)
    given = "".join(
        f", {expression(ranges[size], env) if size in ranges else identifier(size)}"
        for size in _local(proof)
    )
    if proof.measured:
        return f"recipes.measured({name}, {where}, {name}_sizes, left, right{given})"
    return f"recipes({name}, {where}{given})"


def _recipe(proof: Proof, map_: hir.Map, name: str, env: Env) -> list[Function]:
    """The function that makes a recipe, and the one that measures its sizes if it needs some."""
    local = _local(proof)
    ranges = {
        loop.index: loop.range for loop in proof.bundled if loop.index not in local
    }
    sizes = {
        **env.names,
        **{index: expression(value, env) for index, value in ranges.items()},
    }
    sizes = {size: text for size, text in sizes.items() if size not in local}
    lines = tuple(recipe_lines(proof, _variables(proof, map_), sizes))
    given = "".join(
        f", {size}: int" for size in (*map(identifier, local), *measured_sizes(proof))
    )
    parameters = (
        f"config: Config, mesh: {'Mesh' if map_.sharded else 'None'}, where: str{given}"
    )
    function = Function(name, parameters, "Recipe", _comment(proof), lines)
    return [function, *([measuring(proof, env, name, local)] if proof.measured else [])]


def _comment(proof: Proof) -> tuple[str, ...]:
    return tuple(wrapped(f"{plain(proof.where)}   {plain(equation(proof))}", 84))


def _function_name(proof: Proof, taken: set[str]) -> str:
    """A name from the first right tensor: `_linear_qkv`, `_linear_qkv_bias`."""
    name = proof.statement.right[0].names[0].name
    variable, last = _variable(name), name.parts[-1]
    ends = (
        isinstance(last, syntax.Text)
        and last.text.endswith("bias")
        and "bias" not in variable
    )
    sizes = {other.removesuffix("_sizes") for other in taken}
    return _free(f"_{variable}{'_bias' if ends else ''}", taken | sizes)


def _free(base: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken."""
    name, number = base, 2
    while name in taken:
        name, number = f"{base}_{number}", number + 1
    return name


def _variables(proof: Proof, map_: hir.Map) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A variable for every tensor, from its name; none hides an index, a size or a mesh dimension."""
    taken = {identifier(name) for name in needed(proof)} | set(measured_sizes(proof))
    taken |= {identifier(dim) for layout in map_.layouts for dim in layout.dims}
    found: tuple[list[str], list[str]] = ([], [])
    for side in (0, 1):
        for tensor in proof.statement.sides[side]:
            base = _variable(tensor.names[0].name)
            name = _free(
                base if base not in taken else f"{base}_{map_.layouts[side].name}",
                taken,
            )
            taken.add(name)
            found[side].append(name)
    return tuple(found[0]), tuple(found[1])


def _variable(name: syntax.Name) -> str:
    """The last component of a name that says which tensor it is."""
    text = "".join(
        part.text if isinstance(part, syntax.Text) else "0"
        for part in spellings(name)[0].parts
    )
    words = [
        re.sub(r"\W", "_", part, flags=re.ASCII).lower() for part in text.split(".")
    ]
    telling = [
        word
        for word in words
        if word.rstrip("0") not in ("weight", "bias") and _telling(word)
    ]
    return identifier(telling[-1]) if telling else "tensor"


def _telling(word: str) -> bool:
    return re.fullmatch(r"[a-z]\w*[a-z]\w*", word, flags=re.ASCII) is not None
