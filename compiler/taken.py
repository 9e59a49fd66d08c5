"""Names that a converter has a use of its own for: those of a map that become parameters, fields or flags differ.

A mesh dimension is a field of `Rank` and `Mesh`, and a flag of the command line for each mesh that a command takes.
Options and variants are given by name to functions that have parameters of their own.
"""

from __future__ import annotations

import keyword

from ..dsl import syntax
from ..dsl.source import Span
from .problems import refuse, word

# What Rank, Mesh and `places` call their own things.
FIELDS = ("count", "index", "ranks", "when")
# What stands before a dimension in the flags of the other mesh of `reshard`, and of `diff`.
PREFIXES = ("to_", "other_")
FLAGS = (
    "allow-narrowing check-replicas dtype follow-links format fsync help json layout max-memory max-shard-size "
    "other-layout overwrite plan quiet resume set threads to-set variant verify"
)
# Those of the functions that take options and variants, and what Config has besides these.
PARAMETERS = (
    "allow_narrowing announce check_replicas cls config converter directory dtype extra follow_links form fsync layout "
    "max_memory max_shard_size mesh one other other_layout other_mesh overwrite plan_only progress resume source_dir "
    "target_dir threads to to_mesh to_options verify"
)


def check_dim(dim: str, dims: list[str], mesh: syntax.Mesh) -> None:
    """Raises MapError for a mesh dimension that cannot be a field, or whose flag is another's."""
    if keyword.iskeyword(dim) or dim.startswith("_") or dim in FIELDS:
        _refuse_dim(
            dim, mesh, "it becomes a field of `Rank` and an option of the command line"
        )
    if dim.replace("_", "-") in FLAGS.split():
        flag = f"--{dim.replace('_', '-')}"
        _refuse_dim(dim, mesh, f"the command line has a flag `{flag}` of its own")
    for prefix in PREFIXES:
        other = dim.removeprefix(prefix)
        if other != dim and other in dims:
            flag = f"--{dim.replace('_', '-')}"
            _refuse_dim(
                dim, mesh, f"the command line has a flag `{flag}` for `{other}`"
            )


def _refuse_dim(dim: str, mesh: syntax.Mesh, help: str) -> None:
    message = f"a mesh dimension cannot be called `{dim}`"
    refuse("M0215", message, word(dim, mesh.span), help=help)


def check_parameter(name: str, what: str, span: Span) -> None:
    """Raises MapError for an option or a variant that callers of the converter could not give by name."""
    if keyword.iskeyword(name):
        refuse(
            "M0215",
            f"{what} cannot be called `{name}`",
            word(name, span),
            help="it becomes a parameter of the converter, and this is a keyword of Python",
        )
    if name in PARAMETERS.split():
        refuse(
            "M0215",
            f"{what} cannot be called `{name}`",
            word(name, span),
            help="it becomes a parameter of the converter, which has one of this name",
        )
