"""Lower: a proven map as a plan, that is, as finished pieces of Python text.

Fourth pass (proof -> plan). After it no name of the map is left unexplained: all text in the plan is Python.
"""

from __future__ import annotations

from hashlib import sha256

from ..dsl import syntax
from . import hir
from .emit import Env, expression, fstring, quoted
from .kinds import paths
from .lower_config import config_env, depends, lower_config, mesh_dependent
from .lower_functions import lower_functions, plain, wrapped
from .lower_loops import uses
from .lower_names import Place
from .lower_require import requirement
from .lower_statements import Emitter
from .plan import Function, MeshView, Plan, SideView, StagesView
from .proof import Proof, Proven, equation


def lower(proven: Proven) -> Plan:
    """The plan of a proven map."""
    map_ = proven.hir
    dims = mesh_dependent(map_)
    env = config_env(map_, dims)
    functions, recipes = lower_functions(proven, dims, env)
    emitter = Emitter(
        map_, {proof.statement.number: proof for proof in proven.every}, recipes
    )
    return Plan(
        proven=proven,
        stem=map_.name,
        title=plain(map_.title),
        source=plain(map_.source.name),
        digest=_digest(map_),
        sides=(_side(map_, 0), _side(map_, 1)),
        legend=_legend(map_, proven),
        table=tuple(line for proof in proven.every for line in _row(map_, proof)),
        config=lower_config(map_, dims),
        mesh=_mesh(map_),
        stages=_stages(map_, env),
        functions=functions,
        statements=_statements(map_, emitter, env, dims),
        recipes={
            number: call.partition("(")[2].partition(",")[0]
            for number, call in recipes.items()
        },
    )


def _digest(map_: hir.Map) -> str:
    """The sha256 of the map's text and of all that it includes, in order, a zero byte between them."""
    texts = [source.text for source in (map_.source, *map_.included)]
    return sha256("\0".join(texts).encode()).hexdigest()


def _side(map_: hir.Map, number: int) -> SideView:
    """One layout as the target of its functions."""
    layout, source = map_.layouts[number], map_.layouts[1 - number]
    env = Env({dim: f"rank.{dim}" for dim in layout.dims}, {})
    files = tuple((form, fstring(name, env)) for form, name in layout.files)
    whole = "Mapping[str, Tensor]"
    ranked = f"{whole} | Mapping[Rank, {whole}]"
    return SideView(
        layout.name,
        layout.name,
        files,
        ranked if source.dims else whole,
        "mesh" if map_.sharded else "None",
        "one_rank(rank, mesh)" if layout.dims else "None",
        _summary(layout, source),
        (
            "; ValueError where no rank\n    is named and the mesh has several"
            if layout.dims
            else ""
        ),
        (
            ""
            if layout.prefixes == ("",)
            else f"prefixes=({', '.join(map(quoted, layout.prefixes))},)"
        ),
    )


def _summary(layout: hir.Layout, source: hir.Layout) -> str:
    if layout.dims:
        return f"The {layout.name} tensors of one rank, from a whole {source.name} checkpoint, in checkpoint order."
    given = f"{{rank: {{name: tensor}}}} of every {source.name} rank (or {{name: tensor}} of the only one)"
    return f"The {layout.name} tensors, from {given if source.dims else f'a whole {source.name} checkpoint'}."


def _row(map_: hir.Map, proof: Proof) -> list[str]:
    """A statement in the table of the docstring."""
    span = proof.statement.span
    file = "" if span.source == map_.source else span.source.name
    text = f"{file}:{span.line:<4} {plain(equation(proof))}"
    return wrapped(text, 100, " " * 10)


def _legend(map_: hir.Map, proven: Proven) -> tuple[tuple[str, str], ...]:
    """What each index means: its config keys, or how it is computed."""
    used = {
        name
        for proof in proven.every
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
    rows += [(let.name, let.value.span.words) for let in map_.lets if let.name in used]
    return tuple((name, plain(text)) for name, text in rows)


def _mesh(map_: hir.Map) -> MeshView | None:
    layout = map_.sharded
    if layout is None:
        return None
    dims = layout.dims
    arguments = ", ".join(dims)
    shared = [layout.stages.mesh] if layout.stages else []
    every = [tuple(dict.fromkeys((*shared, *c))) for c in layout.countings]
    countings = ", ".join(map(repr, every))
    if len(layout.countings) == 1:
        loops = " ".join(f"for {dim} in range(self.{dim})" for dim in reversed(dims))
        return MeshView(
            dims,
            countings,
            f"[Rank({arguments}) {loops}]",
            f"{dims[0]} runs fastest",
            layout.name,
        )
    inner = [tuple(d for d in c if d not in shared) for c in layout.countings]
    return MeshView(
        dims,
        countings,
        _ranks(dims, shared, inner),
        "the countings "
        + " and ".join(", ".join(c) for c in inner)
        + " number the same ranks",
        layout.name,
    )


def _ranks(
    dims: tuple[str, ...], outer: list[str], countings: list[tuple[str, ...]]
) -> str:
    """The ranks of a mesh whose countings number the same ones, but for the dimension of the stages."""
    sizes = [" * ".join(f"self.{d}" for d in counting) or "1" for counting in countings]
    values = {dim: dim for dim in outer}
    for counting in countings:
        for position, dim in enumerate(counting):
            below = " * ".join(f"self.{other}" for other in counting[:position])
            below = f"({below})" if " " in below else below
            number = f"number // {below}" if below else "number"
            values[dim] = f"{number} % self.{dim}"
    loops = " ".join(f"for {dim} in range(self.{dim})" for dim in outer)
    rank = f"Rank({', '.join(values[dim] for dim in dims)})"
    return f"[{rank} {loops} for number in range(math.lcm({', '.join(sizes)}))]"


def _statements(
    map_: hir.Map, emitter: Emitter, env: Env, dims: frozenset[str]
) -> Function:
    lines = [
        requirement(node, env) for node in map_.requires if depends(node.test, dims)
    ]
    lines += emitter.lines(map_.items, Place(env)) or ["yield from ()"]
    setup = (
        ["recipes = Recipes(config, mesh, shapes)"] if uses(lines, "recipes") else []
    )
    for layout in map_.layouts:
        if (stages := layout.stages) is not None:
            setup += _owned(stages, lines)
    mesh = "Mesh" if map_.sharded else "None"
    parameters = f"config: Config, mesh: {mesh}, shapes: Shapes"
    return Function("_statements", parameters, "Iterator[Item]", (), (*setup, *lines))


def _owned(stages: syntax.Stages, lines: list[str]) -> list[str]:
    """What the statements ask of the stages; where chunks have names, these stand in the place of stages."""
    setup, size = [], f"mesh.{stages.mesh}"
    chunks = "_chunks(config, mesh)"
    if stages.named is not None:
        setup, size, chunks = [f"counts = {chunks}"], "len(counts)", "counts"
    ends = {"first": "0", "last": f"{size} - 1"}
    ends = {end: n for end, n in ends.items() if uses(lines, f"{stages.mesh}={end}")}
    setup += [f"{', '.join(ends)} = {', '.join(ends.values())}"] if ends else []
    layers = uses(lines, "layers")
    setup += [f"layers = numbered({chunks}, {size})"] if layers else []
    return setup


def _stages(map_: hir.Map, env: Env) -> StagesView | None:
    """How a mesh dimension owns layers."""
    layout = map_.sharded
    if layout is None or layout.stages is None:
        return None
    stages = layout.stages
    given = [("by", stages.by), ("first", stages.first), ("last", stages.last)]
    given += [
        ("virtual", stages.virtual),
        ("embedding", stages.embedding),
        ("loss", stages.loss),
    ]
    more = "".join(
        f", {name}={expression(value, env)}"
        for name, value in given
        if value is not None
    )
    said = [
        path.text
        for value in (stages.by, stages.virtual)
        if value
        for path in paths(value)
    ]
    options = [option.name for option in map_.options if option.name in said]
    dim = quoted(stages.mesh)
    return StagesView(
        stages.mesh,
        map_.layouts.index(layout),
        f"chunks({expression(stages.over, env)}, {dim}, mesh.{stages.mesh}{more})",
        quoted(stages.named or ""),
        f"({''.join(quoted(name) + ', ' for name in options)})",
    )
