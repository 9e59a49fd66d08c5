"""What a converter's text may consist of: the compiler's own words, identifiers made of the map's, and literals."""

from __future__ import annotations

import ast
import io
import re
import token
import tokenize
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# What reaches out of a converter. The map's words are never called, whatever they are.
REACHING = {"eval", "exec", "compile", "__import__", "globals", "locals", "system"}


@cache
def own_words() -> frozenset[str]:
    """The words of templates and of the compiler's text constants."""
    found: set[str] = set()
    for path in (ROOT / "templates").rglob("*.*"):
        if path.suffix in (".py", ".jinja"):
            found |= set(WORD.findall(path.read_text("utf-8")))
    for path in (ROOT / "compiler").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found |= set(WORD.findall(node.value))
    return frozenset(found)


def check_module(text: str, map_text: str) -> None:
    """Assert that the map's text is only in literals, comments and identifiers made of its words."""
    assert text.isascii() and text.isprintable() is False and "\0" not in text
    tree = ast.parse(text)
    allowed, pieces = own_words(), made_of(map_text)
    for one in tokenize.generate_tokens(io.StringIO(text).readline):
        if one.type == token.NAME and one.string not in allowed:
            parts = [part for part in one.string.lower().split("_") if part]
            strange = [p for p in parts if not joined(p, pieces)]
            assert not strange, f"line {one.start[0]}: {one.string}"
    modules = {name for node in ast.walk(tree) for name in imported(node)}
    assert {name.split(".")[0] for name in modules} <= imports()
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & REACHING


def joined(part: str, pieces: frozenset[str]) -> bool:
    """A piece, or several side by side, as the texts of a name are around a hole: digits, or three letters or more."""
    ends = {0}
    for end in range(1, len(part) + 1):
        if any(
            part[at:end].isdigit() or (end - at > 2 and part[at:end] in pieces)
            for at in ends
        ):
            ends.add(end)
    return part in pieces or len(part) in ends


def made_of(map_text: str) -> frozenset[str]:
    """The pieces that identifiers may have: the words of the map and of the compiler, cut at underscores."""
    words = re.findall(r"[A-Za-z0-9]+", map_text, re.ASCII)
    own = {part for name in own_words() for part in name.lower().split("_")}
    numbered = {f"{word}{n}" for word in ("i", "own") for n in range(10)}
    return frozenset({word.lower() for word in words} | own | numbered)


def imported(node: ast.AST) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [name.name for name in names]
        case ast.ImportFrom(module=str() as module):
            return [module]
    return []


@cache
def imports() -> frozenset[str]:
    """The modules that the runtime's files import, and those of the head."""
    found = {"math", "collections", "dataclasses", "typing", "__future__", "sys"}
    for path in (ROOT / "templates" / "runtime").glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names = (name for node in ast.walk(tree) for name in imported(node))
        found |= {name.split(".")[0] for name in names}
    return frozenset(found)
