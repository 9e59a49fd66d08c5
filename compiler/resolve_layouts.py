"""Resolve: the two layouts, their meshes, prefixes and files.

Used by `resolve`. After it a layout is bound: each of its rules stands once, and the names of its files tell the ranks
of its mesh apart.
"""

from __future__ import annotations

import re
from typing import NoReturn

from ..dsl import syntax
from ..dsl.diagnostics import Label
from . import hir
from .kinds import paths
from .limits import check_dimensions
from .problems import nearest, refuse, word
from .taken import check_dim

SAFETENSORS = "safetensors"
# The formats of files, and the class of the runtime that reads and writes each of the others.
FORMATS = {SAFETENSORS: "", "torch": "TorchRanks", "dcp": "DcpFolder"}
WHOLE = ("dcp",)  # formats of a layout without ranks, in a folder


def resolve_layouts(
    header: syntax.Map, found: list[syntax.Layout]
) -> tuple[hir.Layout, hir.Layout]:
    """Both layouts of a map, bound; one of which it says nothing is plain."""
    blocks: dict[str, syntax.Layout] = {}
    for block in found:
        if block.name not in (header.left, header.right):
            names = (header.left, header.right)
            refuse(
                "M0203",
                f"no layout of this map is called `{block.name}`",
                word(block.name, block.span),
                help=nearest(block.name, names),
            )
        if block.name in blocks:
            message = f"expected one `layout {block.name}`, found 2"
            refuse_second(message, blocks[block.name], block)
        blocks[block.name] = block
    if header.left == header.right:
        refuse(
            "M0204",
            f"the two sides are both called `{header.left}`",
            word(header.right, header.span, last=True),
            help="each layout has a name of its own",
        )
    left, right = (
        _layout(name, blocks.get(name)) for name in (header.left, header.right)
    )
    if left.dims and right.dims:
        refuse(
            "M0200",
            "a mesh on both layouts is not supported yet",
            blocks[right.name].span,
        )
    return left, right


def refuse_second(message: str, first: syntax.Node, second: syntax.Node) -> NoReturn:
    """Raises MapError for what may stand once."""
    refuse("M0202", message, second.span, labels=(Label(first.span, "first here"),))


def _layout(name: str, block: syntax.Layout | None) -> hir.Layout:
    rules = block.rules if block else ()
    for index, rule in enumerate(rules):
        before = [other for other in rules[:index] if _kind(rule) == _kind(other)]
        if before:
            message = f"expected one `{_kind(rule)}` in `layout {name}`, found 2"
            refuse_second(message, before[0], rule)
    mesh = next((rule for rule in rules if isinstance(rule, syntax.Mesh)), None)
    stages = next((rule for rule in rules if isinstance(rule, syntax.Stages)), None)
    files = [rule for rule in rules if isinstance(rule, syntax.Files)]
    layout = hir.Layout(
        name,
        mesh.countings if mesh else (),
        stages,
        tuple((rule.format or SAFETENSORS, rule.pattern) for rule in files),
        _prefixes(rules),
    )
    if stages and stages.mesh not in layout.dims:
        refuse(
            "M0205",
            f"`{stages.mesh}` is no dimension of the mesh of `{name}`",
            word(stages.mesh, stages.span),
            help=nearest(stages.mesh, layout.dims),
        )
    whole = [rule for rule in files if rule.format in WHOLE]
    if whole:
        _check_folder(name, files, mesh)
    if files and not mesh and not whole:
        refuse(
            "M0206",
            f"`layout {name}` has files but no mesh",
            files[0].span,
            help="a layout without a mesh is one directory",
        )
    if mesh:
        check_dimensions(mesh)
        _check_mesh(layout, mesh, files)
    return layout


def _check_folder(
    name: str, files: list[syntax.Files], mesh: syntax.Mesh | None
) -> None:
    """A format of whole tensors is the only one of a layout without ranks, in a folder of a plain name."""
    if mesh or len(files) > 1:
        refuse(
            "M0206",
            (
                f"`layout {name}` has whole tensors and ranks"
                if mesh
                else f"`layout {name}` has files of two formats"
            ),
            files[-1].span,
            help="a layout of whole tensors has no mesh, and one format",
        )
    for part in files[0].pattern.parts:
        if not isinstance(part, syntax.Text) or not re.fullmatch(
            r"\w[\w.-]*", part.text
        ):
            refuse(
                "M0344",
                f"expected the name of a folder, found `{files[0].pattern.span.text}`",
                files[0].pattern.span,
                help="a plain name, such as `release`",
            )


def _kind(rule: syntax.Rule) -> str:
    """What there is one of: of files one a format."""
    if isinstance(rule, syntax.Files) and rule.format not in (None, SAFETENSORS):
        return f"files .. format {rule.format}"
    return type(rule).__name__.lower()


def _prefixes(rules: tuple[syntax.Rule, ...]) -> tuple[str, ...]:
    """What the names of a layout may begin with; nothing where no rule says it."""
    for rule in rules:
        if isinstance(rule, syntax.Prefixes):
            again = [text for text in rule.items if rule.items.count(text) > 1]
            if again:
                refuse("M0268", f'the prefix "{again[0]}" stands twice', rule.span)
            return rule.items
    return ("",)


def _check_mesh(
    layout: hir.Layout, mesh: syntax.Mesh, files: list[syntax.Files]
) -> None:
    named = [dim for counting in layout.countings for dim in counting]
    again = sorted({dim for dim in named if named.count(dim) > 1})
    if again:
        refuse(
            "M0207",
            f"`{again[0]}` stands twice in the mesh",
            word(again[0], mesh.span, last=True),
            labels=(Label(word(again[0], mesh.span), "first here"),),
            help="a dimension belongs to one counting; only one with stages to all",
        )
    for dim in named:
        check_dim(dim, named, mesh)
    if not files:
        refuse(
            "M0208",
            f"`layout {layout.name}` has a mesh but no `files`",
            mesh.span,
            help='files "rank_{tp}.safetensors"',
        )
    for rule in files:
        _check_files(layout, rule)


def _check_files(layout: hir.Layout, files: syntax.Files) -> None:
    """The names of files have the dimensions of the mesh, as many as tell the ranks apart."""
    holes = [part for part in files.pattern.parts if isinstance(part, syntax.Hole)]
    for hole in holes:
        for path in paths(hole.value):
            if path.text not in layout.dims:
                refuse(
                    "M0205",
                    f"`{path.text}` is no dimension of the mesh of `{layout.name}`",
                    path.span,
                    help=nearest(path.text, layout.dims),
                )
    _check_pattern(files, holes)
    if files.format == "torch":
        _check_brackets(files)
    told = {path.text for hole in holes for path in paths(hole.value)}
    # Others name such files, and leave out how experts are split; a mesh on which that counts is refused.
    open_ = layout.countings[1:] if files.format == "torch" else ()
    free = {dim for counting in open_ for dim in counting}
    missing = [dim for dim in layout.dims if dim not in told | free]
    if missing:
        refuse(
            "M0210",
            f"`files` does not tell the ranks of `{missing[0]}` apart",
            files.span,
            help=f"add `{{{missing[0]}}}`",
        )


def _check_pattern(files: syntax.Files, holes: list[syntax.Hole]) -> None:
    """Each hole is one dimension, and no two are read as one number: 1 and 11 is 11 and 1."""
    texts = [p.text for p in files.pattern.parts if isinstance(p, syntax.Text)]
    first = files.pattern.parts[0] if files.pattern.parts else None
    absolute = isinstance(first, syntax.Text) and first.text.startswith("/")
    odd = any(re.search(r"\.\.|[\\:\n\r\t]", text) for text in texts)
    if absolute or odd:
        refuse(
            "M0344",
            f"expected a path inside the checkpoint's folder, found `{files.pattern.span.text}`",
            files.pattern.span,
            help="names with `/` between them, without `..`",
        )
    for part in files.pattern.parts:
        if isinstance(part, (syntax.Several, syntax.Alternates, syntax.Deep)):
            refuse(
                "M0216",
                f"expected a mesh dimension in a file's name, found `{part.span.text}`",
                part.span,
                help="a rank has one file, of one name",
            )
    for hole in holes:
        if not isinstance(hole.value, syntax.Path):
            refuse(
                "M0216",
                "expected a mesh dimension in a file's name, found an expression",
                hole.span,
                help="a hole of `files` is a dimension and perhaps a width, `{tp:02}`",
            )
    open_: syntax.Hole | None = None
    for part in files.pattern.parts:
        if open_ is not None and isinstance(part, syntax.Hole):
            refuse(
                "M0217",
                f"`{open_.span.text}` and `{part.span.text}` are read as one number",
                part.span,
                help="put a `_` between them",
            )
        if isinstance(part, syntax.Hole) or not part.span.text.isdigit():
            open_ = part if isinstance(part, syntax.Hole) else None


def _check_brackets(files: syntax.Files) -> None:
    """In brackets stands what some formats may leave out: one mesh dimension."""
    parts = files.pattern.parts
    text = "".join("{" if isinstance(p, syntax.Hole) else p.span.text for p in parts)
    if set(re.sub(r"\[[^][{]*\{[^][{]*\]", "", text)) & set("[]"):
        refuse(
            "M0216",
            f"expected brackets around one mesh dimension each, found `{files.pattern.span.text}`",
            files.pattern.span,
            help="`[_{pp:03}]` is left out where all ranks have the same number",
        )
