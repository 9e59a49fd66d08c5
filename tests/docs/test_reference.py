"""What the reference lists is what there is: codes, constructs that are refused, signatures, settings, flags, fields."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .blocks import BLOCKS, ROOT

LANGUAGE = ROOT / "docs" / "language.md"
CONVERTERS = ROOT / "docs" / "converters.md"
CONVERTER = ROOT / "generated" / "llama_hf_mcore.py"
SOURCES = [
    path
    for folder in ("dsl", "compiler")
    for path in sorted((ROOT / folder).glob("*.py"))
]


# ---- the language -----------------------------------------------------------------------------


def test_every_construct_that_is_not_supported_is_listed() -> None:
    text = re.sub(r"\\\|", "|", section(LANGUAGE, "Not supported yet"))
    missing = [
        piece
        for path in SOURCES
        for piece in not_supported(path)
        if piece.strip() not in text
    ]
    assert missing == []


def test_no_construct_is_listed_that_is_supported() -> None:
    """Each row of the table has a phrase that the compiler says."""
    said = [piece.strip() for path in SOURCES for piece in not_supported(path)]
    rows = re.findall(
        r"^\| ([^|\\]*(?:\\\|[^|\\]*)*) \|",
        section(LANGUAGE, "Not supported yet"),
        re.MULTILINE,
    )
    phrases = [row.replace("\\|", "|") for row in rows[1:] if set(row) != {"-"}]
    assert phrases
    assert [row for row in phrases if not any(piece in row for piece in said)] == []


def not_supported(path: Path) -> Iterator[str]:
    """What a module says is not supported yet, cut at the holes of its messages."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if path.name == "support.py" and isinstance(node, ast.Return) and node.value:
            yield from pieces(node.value)
        elif isinstance(node, ast.Call) and any(
            is_code(argument) for argument in node.args
        ):
            yield from pieces(node.args[1])


def is_code(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value == "M0200"


def pieces(message: ast.expr) -> Iterator[str]:
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            piece = re.sub(
                r"^`(?=[, ])|`$| (here )?is not supported yet$", "", part.value
            )
            if len(piece.strip("` ()@")) > 2:
                yield piece


def section(document: Path, heading: str) -> str:
    """The text under a heading of the second level."""
    return (
        document.read_text(encoding="utf-8")
        .split(f"\n## {heading}\n")[1]
        .split("\n## ")[0]
    )


# ---- the converters ---------------------------------------------------------------------------


def test_signatures_are_those_of_a_converter() -> None:
    surface = next(
        b for b in BLOCKS if b.document == CONVERTERS and "surface" in b.words
    )
    shown = signatures(ast.parse(surface.text))
    real = signatures(ast.parse(CONVERTER.read_text(encoding="utf-8")))
    assert shown == {name: real.get(name) for name in shown}
    exported = re.search(
        r"__all__ = \[(.*?)\]", CONVERTER.read_text(encoding="utf-8"), re.DOTALL
    )
    assert exported
    text = CONVERTERS.read_text(encoding="utf-8")
    assert [
        name for name in re.findall(r'"(\w+)"', exported[1]) if name not in text
    ] == []


def signatures(tree: ast.Module) -> dict[str, str]:
    """Arguments and result of every function and method, type and default of every field of a class, by name."""
    found: dict[str, str] = {}
    for node in tree.body:
        for inner in node.body if isinstance(node, ast.ClassDef) else [node]:
            owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
            if isinstance(inner, ast.FunctionDef):
                result = f" -> {ast.unparse(inner.returns)}" if inner.returns else ""
                found[owner + inner.name] = f"({ast.unparse(inner.args)}){result}"
            elif isinstance(inner, ast.AnnAssign) and owner:
                found[owner + ast.unparse(inner.target)] = ast.unparse(inner)
    return found


def test_every_setting_is_listed() -> None:
    tree = ast.parse(
        (ROOT / "templates/runtime/checkpoint.py").read_text(encoding="utf-8")
    )
    function = next(
        n for n in tree.body if isinstance(n, ast.FunctionDef) and n.args.kwonlyargs
    )
    text = section(CONVERTERS, "In Python")
    rows = "".join(re.findall(r"^\| .* \|$", text, flags=re.MULTILINE))
    assert [a.arg for a in function.args.kwonlyargs if f"`{a.arg}`" not in rows] == []


def test_every_field_of_the_report_is_listed() -> None:
    tree = ast.parse((ROOT / "templates/runtime/report.py").read_text(encoding="utf-8"))
    report = next(
        n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Report"
    )
    names = [ast.unparse(n.target) for n in report.body if isinstance(n, ast.AnnAssign)]
    assert [n for n in names if f"`{n}`" not in section(CONVERTERS, "Files")] == []


def test_every_flag_is_listed() -> None:
    flags = {"--version"}
    for command in ("to-mcore", "to-hf"):
        help = [sys.executable, str(CONVERTER), command, "--help"]
        done = subprocess.run(help, capture_output=True, text=True, check=True)
        flags |= set(re.findall(r"--[a-z][a-z-]*", done.stdout))
    rows = re.findall(
        r"^\| (`--.*?) \|",
        section(CONVERTERS, "On the command line"),
        flags=re.MULTILINE,
    )
    assert {
        flag for row in rows for flag in re.findall(r"--[a-z][a-z-]*", row)
    } == flags
