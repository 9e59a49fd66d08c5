"""Who may import whom, read from the source of every module: dsl <- compiler -> templates, and generated stands alone."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("compiler", "dsl", "generated", "templates")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

# The packages of the project that a module of each folder may import, its own folder among them.
MAY_IMPORT = {
    "compiler": {"mapc.compiler", "mapc.dsl", "mapc.templates"},
    "dsl": {"mapc.dsl"},
    "generated": set(),
    "templates": {"mapc.templates"},
}
# What is installed with the project without an extra; see pyproject.toml.
REQUIRED = {
    "compiler": {"black", "click", "jinja2", "lark"},
    "dsl": {"lark"},
    "generated": set(),
    "templates": set(),
}


def of_the_repository(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


every_module = pytest.mark.parametrize("path", MODULES, ids=of_the_repository)


@every_module
def test_packages_of_the_project(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    inside = {name for name, _ in imports(path) if name.split(".")[0] == "mapc"}
    outside = {
        name
        for name in inside
        if ".".join(name.split(".")[:2]) not in MAY_IMPORT[folder]
    }
    if folder == "generated" and path.name.startswith("test_"):
        outside -= {converter_beside(path)}
    assert outside == set()


@every_module
def test_no_folder_is_imported_by_its_bare_name(path: Path) -> None:
    """`import dsl` works where the repository is the working directory, and nowhere else."""
    assert {name for name, _ in imports(path) if name.split(".")[0] in FOLDERS} == set()


@every_module
def test_what_a_module_needs_is_installed(path: Path) -> None:
    """At module level: the standard library and the requirements. torch and its kind only inside a function, if at all."""
    folder = path.relative_to(ROOT).parts[0]
    if folder == "generated" and path.name.startswith("test_"):
        return  # runs where the converter runs, with torch and pytest
    allowed = sys.stdlib_module_names | REQUIRED[folder] | {"mapc"}
    roots = {name.split(".")[0] for name, top in imports(path) if top}
    assert roots - allowed == set()


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if p.relative_to(ROOT).parts[0] in ("compiler", "dsl")],
    ids=of_the_repository,
)
def test_the_compiler_computes_no_tensor(path: Path) -> None:
    roots = {name.split(".")[0] for name, _ in imports(path)}
    assert roots & {"torch", "numpy", "safetensors", "triton", "transformers"} == set()


def test_every_folder_is_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(FOLDERS)


def test_imports_are_found(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "import os.path as p\ntry:\n    import torch\nexcept ImportError:\n    pass\ndef f():\n    from black import Mode\n"
    )
    assert sorted(imports(module)) == [
        ("black", False),
        ("os.path", True),
        ("torch", True),
    ]


# ---- helpers ----------------------------------------------------------------------------------


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules that a file imports, by absolute name, and whether it does so when it is itself imported."""
    tree = ast.parse(path.read_text(), str(path))
    inner = {
        id(node)
        for f in ast.walk(tree)
        if is_function(f) or is_type_checking(f)
        for node in ast.walk(f)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((alias.name, id(node) not in inner) for alias in names)
            case ast.ImportFrom(module=module, level=level):
                yield absolute(path, module, level), id(node) not in inner


def is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def is_type_checking(node: ast.AST) -> bool:
    """`if TYPE_CHECKING:`, whose imports no running program makes."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def absolute(path: Path, module: str | None, level: int) -> str:
    if level == 0:
        assert module is not None
        return module
    package = ("mapc", *path.relative_to(ROOT).parts[:-1])
    return ".".join(package[: len(package) - level + 1] + ((module,) if module else ()))


def converter_beside(path: Path) -> str:
    return f"mapc.generated.{path.stem.removeprefix('test_')}"
