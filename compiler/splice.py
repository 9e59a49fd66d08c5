"""Splicing: real, tested modules of `templates/runtime` become the lower half of a converter.

Their text is taken as it stands; imports are hoisted, and only those that the converter uses are kept.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeGuard

# What each part of a converter consists of, in order of reading.
PARTS: dict[str, tuple[str, ...]] = {
    "core": (
        "errors",
        "config",
        "formulas",
        "pipeline",
        "stages",
        "fills",
        "values",
        "grid",
        "recipe",
        "mapping",
        "shapes",
        "layouts",
        "spelling",
        "numbering",
        "patterns",
        "checks",
        "tails",
        "variants",
        "transfers",
        "narrowing",
        "collecting",
        "plan",
        "kernels",
        "moves",
        "launching",
        "making",
        "batches",
        "memory",
        "prepared",
        "awaiting",
        "feeding",
        "buckets",
        "resharding",
    ),
    "files": (
        "usage",
        "stored",
        "strict_json",
        "sizes",
        "footprint",
        "account",
        "casting",
        "source_files",
        "plain_header",
        "safetensors_io",
        "torch_pickle",
        "torch_files",
        "source_folder",
        "interrupts",
        "lock",
        "swapping",
        "target_folder",
        "scatter",
        "sources",
        "output_files",
        "runs",
        "strided",
        "stream",
        "resuming",
        "siblings",
        "columns",
        "chunk_needs",
        "compare",
        "verifying",
        "beside",
        "sharing",
        "workers",
        "writing",
        "repeated",
        "opening",
        "report",
        "ledger",
        "between",
        "weights",
        "fingerprint",
        "difference",
        "differing",
        "checkpoint",
        "nested_torch",
        "latest",
        "pickling",
        "zip_files",
        "torch_output",
        "torch_ranks",
        "dcp_metadata",
        "dcp_chunks",
        "dcp_output",
        "dcp_folder",
    ),
    "cli": ("progress", "signals", "arguments", "inspecting", "cli"),
}
# Modules that only mapping parts call, or others of these: they stand where a name of theirs is used.
ON_DEMAND = (
    "formulas",
    "pipeline",
    "stages",
    "numbering",
    "nested_torch",
    "latest",
    "pickling",
    "zip_files",
    "torch_output",
    "torch_ranks",
    "dcp_metadata",
    "dcp_chunks",
    "dcp_output",
    "dcp_folder",
)
MARKER = "# ---- runtime: "


@dataclass(frozen=True, slots=True)
class Runtime:
    """The text of some runtime modules, and the imports that they and the head of a module may need."""

    text: str
    imports: tuple[str, ...]
    typing_imports: tuple[str, ...]


def parts_of(chosen: str) -> tuple[str, ...]:
    """The parts named in `core,files,cli`; ValueError where one needs another that is not there."""
    named = tuple(part.strip() for part in chosen.split(","))
    unknown = [part for part in named if part not in PARTS]
    if unknown:
        raise ValueError(
            f"no part is called `{unknown[0]}`; there are {', '.join(PARTS)}"
        )
    needed = list(PARTS)[: max(list(PARTS).index(part) for part in named) + 1]
    missing = [part for part in needed if part not in named]
    if missing:
        raise ValueError(
            f"`{named[-1]}` needs `{missing[0]}`: --with {','.join(needed)}"
        )
    return tuple(needed)


def modules_of(parts: tuple[str, ...], above: str) -> tuple[str, ...]:
    """The modules of the chosen parts, without those that the text above does not call."""
    used = used_names(above)
    called: set[str] = set()
    more = [name for name in ON_DEMAND if used & _defined_by(name)]
    while more:
        called.update(more)
        needed = set[str]().union(*map(_siblings, more))
        more = [name for name in ON_DEMAND if name in needed - called]
    return tuple(
        name
        for part in parts
        for name in PARTS[part]
        if name not in ON_DEMAND or name in called
    )


def runtime(names: tuple[str, ...]) -> Runtime:
    """The runtime of some modules."""
    modules = [_module(name) for name in names]
    return Runtime(
        "\n\n".join(module.text for module in modules),
        tuple(line for module in modules for line in module.imports),
        tuple(line for module in modules for line in module.typing_imports),
    )


@cache
def defined() -> frozenset[str]:
    """Every name that the runtime has at the level of a module, imported ones too."""
    names = [name for part in PARTS.values() for name in part]
    nodes = [node for name in names for node in ast.walk(ast.parse(_text(name)))]
    imported = {
        alias.asname or alias.name
        for node in nodes
        if _imports(node)
        for alias in node.names
    }
    return frozenset(imported).union(*map(_defined_by, names))


@cache
def _defined_by(name: str) -> frozenset[str]:
    """The functions, classes and constants of a module."""
    found = set()
    for statement in ast.parse(_text(name)).body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(
                targets=[ast.Name(id=name)]
            ):
                found.add(name)
    return frozenset(found)


def _imports(node: ast.AST) -> TypeGuard[ast.Import | ast.ImportFrom]:
    return isinstance(node, (ast.Import, ast.ImportFrom))


def _text(name: str) -> str:
    return files("mapc.templates.runtime").joinpath(f"{name}.py").read_text("utf-8")


def _siblings(name: str) -> set[str]:
    """The other modules of the runtime that one imports."""
    tree = ast.parse(_text(name))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {node.module for node in nodes if node.level == 1 and node.module}


@cache
def _module(name: str) -> Runtime:
    text = _text(name)
    tree = ast.parse(text)
    docstring = ast.get_docstring(tree) or name
    imports, typing_imports, end = [], [], 0
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imports += list(_lines(node))
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            typing_imports += [line for inner in node.body for line in _lines(inner)]
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            break
        end = node.end_lineno or end
    body = "\n".join(text.splitlines()[end:]).strip("\n")
    return Runtime(
        f"{MARKER}{docstring.splitlines()[0]}\n\n\n{body}\n",
        tuple(imports),
        tuple(typing_imports),
    )


def _lines(node: ast.stmt) -> Iterator[str]:
    """An import as one line a name, without those of siblings."""
    if isinstance(node, ast.Import):
        yield from (f"import {_spelled(alias)}" for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0:
        yield from (
            f"from {node.module} import {_spelled(alias)}" for alias in node.names
        )


def _spelled(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


@cache
def used_names(text: str) -> frozenset[str]:
    """Every name that a text of Python mentions."""
    tree = ast.parse(text)
    return frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))


def import_block(above: str, found: Runtime, head: tuple[str, ...]) -> str:
    """The imports of a module, the text above and the runtime below: plain ones first, typing ones last."""
    used = used_names(above) | used_names(found.text)
    plain = _used((*head, *found.imports), used | {"annotations"})
    typing = _used(found.typing_imports, used)
    plain = [line for line in plain if not line.startswith("from __future__")]
    if typing and "from typing import TYPE_CHECKING" not in plain:
        plain.append("from typing import TYPE_CHECKING")
    lines = _merged(plain)
    if typing:
        lines += ["", "if TYPE_CHECKING:", *(f"    {line}" for line in _merged(typing))]
    return "\n".join(lines)


def _used(lines: tuple[str, ...], used: frozenset[str]) -> list[str]:
    names = {
        line: line.split(" as ")[-1].split("import ")[-1].split(".")[0]
        for line in dict.fromkeys(lines)
    }
    return [line for line, name in names.items() if name in used]


def _merged(lines: list[str]) -> list[str]:
    """One line a module, `import x` before `from x import y`."""
    plain = sorted({line for line in lines if line.startswith("import ")})
    named: dict[str, set[str]] = {}
    for line in lines:
        if line.startswith("from "):
            module, _, name = line[5:].partition(" import ")
            named.setdefault(module, set()).add(name)
    return [
        *plain,
        *(
            f"from {module} import {', '.join(sorted(named[module], key=_case))}"
            for module in sorted(named)
        ),
    ]


def _case(name: str) -> tuple[bool, bool, str]:
    """CONSTANTS, then Classes, then functions."""
    return not name.isupper(), not name[0].isupper(), name
