"""Lower: a proven map as a plan, that is, as finished pieces of Python text.

Fourth pass (proof -> plan). After it no name of the map is left unexplained: all text in the plan is Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from textwrap import wrap

from ..dsl import syntax
from . import hir
from .check import Proof, Proven, equation
from .emit import Env, escaped, expression, fstring, identifier, quoted
from .lower_config import config_env, depends, lower_config, mesh_dependent, requirement
from .lower_recipe import measured_sizes, needed, recipe_lines
from .lower_statements import Emitter, Place, same_axes, uses
from .measure import measuring
from .plan import Function, MeshView, Plan, SideView


def lower(proven: Proven, title: str) -> Plan:
    """The plan of a proven map; `title` is what it converts, in a line."""
    map_ = proven.hir
    dims = mesh_dependent(map_)
    env = config_env(map_, dims)
    functions = [_let(let, map_, env) for let in map_.lets if let.name in dims]
    recipes: dict[int, str] = {}
    taken = {function.name for function in functions}
    for proof in proven.proofs:
        call, made = _recipe(proof, map_, env, taken)
        recipes[proof.statement.number] = call
        functions += made
        taken |= {function.name for function in made}
    emitter = Emitter(map_, {proof.statement.number: proof for proof in proven.proofs}, recipes)
    return Plan(
        stem=map_.name,
        title=_plain(title),
        source=map_.source.name,
        digest=sha256(map_.source.text.encode()).hexdigest(),
        sides=(_side(map_, 0), _side(map_, 1)),
        legend=_legend(map_, proven),
        table=tuple(line for proof in proven.proofs for line in _row(proof)),
        config=lower_config(map_, dims),
        mesh=_mesh(map_),
        functions=tuple(functions),
        statements=_statements(map_, emitter, env, dims),
    )


def _plain(text: str) -> str:
    """Text for comments and docstrings: one line of ASCII without backslashes or quotes that could end it."""
    return " ".join(escaped(text).replace('\\"', "'").replace("\\", "/").split())


def _where(proof: Proof, map_: hir.Map) -> str:
    return f"{map_.source.name}:{proof.statement.span.line}"


def _side(map_: hir.Map, number: int) -> SideView:
    """One layout as the target of its functions."""
    layout, source = map_.layouts[number], map_.layouts[1 - number]
    file = None
    if layout.files is not None:
        file = fstring(layout.files, Env({dim: f"rank.{dim}" for dim in layout.dims}, {}))
    whole = "Mapping[str, Tensor]"
    ranked = f"{whole} | Mapping[Rank, {whole}]"
    return SideView(
        layout.name,
        identifier(layout.name),
        file,
        ranked if source.dims else whole,
        "mesh" if map_.sharded else "None",
        "one_rank(rank, mesh)" if layout.dims else "None",
        _summary(layout, source),
        "; ValueError where the mesh has several ranks and none is named" if layout.dims else "",
    )


def _summary(layout: hir.Layout, source: hir.Layout) -> str:
    if layout.dims:
        return f"The {layout.name} tensors of one rank, from a whole {source.name} checkpoint, in checkpoint order."
    given = f"{{rank: {{name: tensor}}}} of every {source.name} rank (or {{name: tensor}} of the only one)"
    return f"The {layout.name} tensors, from {given if source.dims else f'a whole {source.name} checkpoint'}."


def _row(proof: Proof) -> list[str]:
    """A statement in the table of the docstring."""
    text = f":{proof.statement.span.line:<4} {_plain(equation(proof))}"
    return _wrapped(text, 100, " " * 10)


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Lines of a long equation; a name and its axes stay together."""
    glued = re.sub(r"\[[^]]*\]", lambda axes: axes[0].replace(" ", "\0"), text)
    lines = wrap(
        glued, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in lines]


def _legend(map_: hir.Map, proven: Proven) -> tuple[tuple[str, str], ...]:
    """What each index means: its config keys, or how it is computed."""
    used = {
        name
        for proof in proven.proofs
        for pair in proof.pairs
        for leaf in pair
        for name in leaf.indices
    }
    rows = [
        (
            entry.field,
            " <-> ".join(
                " ".join(side.keys[:1])
                for side in (entry.left, entry.right)
                if isinstance(side, hir.Keys)
            ),
        )
        for entry in map_.entries
        if entry.bound and entry.field in used
    ]
    rows += [
        (let.name, " ".join(let.value.span.text.split())) for let in map_.lets if let.name in used
    ]
    return tuple((name, _plain(text)) for name, text in rows)


def _mesh(map_: hir.Map) -> MeshView | None:
    layout = map_.sharded
    if layout is None:
        return None
    dims = layout.dims
    arguments = ", ".join(dims)
    if len(layout.countings) == 1:
        loops = " ".join(f"for {dim} in range(self.{dim})" for dim in reversed(dims))
        return MeshView(
            dims, f"[Rank({arguments}) {loops}]", f"{dims[0]} runs fastest", layout.name
        )
    staged = layout.stages.mesh if layout.stages else None
    outer = [dim for dim in dims if dim == staged]
    inner = [tuple(dim for dim in counting if dim != staged) for counting in layout.countings]
    sizes = [" * ".join(f"self.{dim}" for dim in counting) or "1" for counting in inner]
    values = {dim: dim for dim in outer}
    for counting in inner:
        for position, dim in enumerate(counting):
            below = " * ".join(f"self.{other}" for other in counting[:position])
            number = (
                f"number // ({below})"
                if " " in below
                else f"number // {below}" if below else "number"
            )
            values[dim] = f"{number} % self.{dim}"
    loops = " ".join(f"for {dim} in range(self.{dim})" for dim in outer)
    ranks = f"[Rank({', '.join(values[dim] for dim in dims)}) {loops} for number in range(math.lcm({', '.join(sizes)}))]"
    return MeshView(
        dims,
        ranks,
        "the countings " + " and ".join(", ".join(c) for c in inner) + " number the same ranks",
        layout.name,
    )


def _let(let: hir.Let, map_: hir.Map, env: Env) -> Function:
    text = _plain(let.value.span.text)
    kind = {"int": "int", "float": "float", "bool": "bool", "str": "str"}.get(let.kind, "Any")
    value = expression(let.value, env)
    body = f"return {value}"
    return Function(
        f"_{let.name}",
        "config: Config, mesh: Mesh",
        kind,
        (f"{map_.source.name}:{let.span.line}   {let.name} = {text}",),
        (body,),
    )


def _recipe(proof: Proof, map_: hir.Map, env: Env, taken: set[str]) -> tuple[str, list[Function]]:
    """The call that gives a statement's recipe, and the function behind it if it needs one."""
    where = quoted(_where(proof, map_))
    sizes = {**env.names, **{loop.index: expression(loop.range, env) for loop in proof.bundled}}
    if same_axes(proof):
        names = [
            axis.name for axis in proof.statement.left[0].axes if isinstance(axis, syntax.Index)
        ]
        given = "".join(f", {identifier(name)}={sizes[name]}" for name in names)
        return f"recipes.same({where}{given})", []
    variables = _variables(proof, map_)
    name = _function_name(variables[1][0], proof, taken)
    local = [n for n in needed(proof) if n in proof.local]
    lines = [
        line.replace("Recipe(WHERE", f"Recipe({where}")
        for line in recipe_lines(proof, variables, sizes)
    ]
    parameters = "".join(
        f", {size}: int" for size in (*map(identifier, local), *measured_sizes(proof))
    )
    mesh = "Mesh" if map_.sharded else "None"
    comment = tuple(_wrapped(f"{_plain(_where(proof, map_))}   {_plain(equation(proof))}", 90))
    functions = [
        Function(name, f"config: Config, mesh: {mesh}{parameters}", "Recipe", comment, tuple(lines))
    ]
    given = "".join(f", {identifier(size)}" for size in local)
    if proof.measured:
        solver = measuring(proof, env, name, local)
        return f"recipes.measured({name}, {solver.name}, left, right{given})", [*functions, solver]
    return f"recipes({name}{given})", functions


def _function_name(variable: str, proof: Proof, taken: set[str]) -> str:
    last = proof.statement.right[0].names[0].name.parts[-1]
    text = last.text if isinstance(last, syntax.Text) else ""
    name = base = (
        f"_{variable}_bias" if text.endswith("bias") and "bias" not in variable else f"_{variable}"
    )
    number = 2
    while name in taken:
        name = f"{base}_{number}"
        number += 1
    return name


def _variables(proof: Proof, map_: hir.Map) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A variable for every tensor, from its name; none is the name of an index or of a mesh dimension."""
    taken = {name for pair in proof.pairs for leaf in pair for name in leaf.indices}
    taken |= {dim for layout in map_.layouts for dim in layout.dims} | set(map_.name.split())
    taken |= {
        node.size
        for t in _tensors(proof)
        for axis in t.axes
        for node in syntax.walk(axis)
        if isinstance(node, syntax.Padded)
    }
    found: tuple[list[str], list[str]] = ([], [])
    for side in (0, 1):
        for tensor in proof.statement.sides[side]:
            base = _variable(tensor.names[0].name)
            name = base if base not in taken else f"{base}_{map_.layouts[side].name}"
            number = 2
            while name in taken:
                name = f"{base}_{number}"
                number += 1
            taken.add(name)
            found[side].append(name)
    return tuple(found[0]), tuple(found[1])


def _tensors(proof: Proof) -> Iterable[hir.Tensor]:
    return (*proof.statement.left, *proof.statement.right)


def _variable(name: syntax.Name) -> str:
    """The last component of a name that says which tensor it is."""
    text = "".join(part.text if isinstance(part, syntax.Text) else "0" for part in name.parts)
    for component in reversed(text.split(".")):
        word = re.sub(r"\W", "_", component, flags=re.ASCII)
        if word not in ("weight", "bias") and re.fullmatch(
            r"[A-Za-z_]\w*[A-Za-z]\w*", word, flags=re.ASCII
        ):
            return identifier(word.lower())
    return "tensor"


def _statements(map_: hir.Map, emitter: Emitter, env: Env, dims: frozenset[str]) -> Function:
    lines = [requirement(node, env) for node in map_.requires if depends(node.test, dims)]
    lines += emitter.lines(map_.items, Place(env))
    setup = ["recipes = Recipes(config, mesh, shapes)"] if uses(lines, "recipes") else []
    for layout in map_.layouts:
        if (stages := layout.stages) is not None:
            if uses(lines, "first") or uses(lines, "last"):
                setup.append(f"first, last = 0, mesh.{stages.mesh} - 1")
            setup += [_layers(stages, env)] if uses(lines, "layers") else []
    mesh = "Mesh" if map_.sharded else "None"
    parameters = f"config: Config, mesh: {mesh}, shapes: Shapes"
    return Function("_statements", parameters, "Iterator[Group | Drop]", (), (*setup, *lines))


def _layers(stages: syntax.Stages, env: Env) -> str:
    """The call that tells each layer's stage and number there."""
    given = [("by", stages.by), ("first", stages.first), ("last", stages.last)]
    given += [("embedding", stages.embedding), ("loss", stages.loss)]
    more = "".join(
        f", {name}={expression(value, env)}" for name, value in given if value is not None
    )
    dim = quoted(stages.mesh)
    return f"layers = stages({expression(stages.over, env)}, {dim}, mesh.{stages.mesh}{more})"
