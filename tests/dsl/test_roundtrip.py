"""Text in canonical form prints back unchanged; other text prints with the same tree, and then to itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lark import ParseTree, Token
from mapc.dsl import syntax
from mapc.dsl.formatter import format_file
from mapc.dsl.grammar import load
from mapc.dsl.holes import COMMENT
from mapc.dsl.parser import parse
from mapc.dsl.source import Source

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "dsl" / "maps"
COMPILED = HERE.parent / "compiler"
WHOLE = [
    *SHIPPED.rglob("*.map"),
    *(COMPILED / "maps").rglob("*.map"),
    *(COMPILED / "examples").rglob("*.map"),
]
MAPS = sorted((HERE / "maps").glob("*.map"))
FORMAT = sorted((HERE / "format").glob("*.map"))
AROUND = {
    "file": "language 1\n{}\n",
    "layout": "language 1\nlayout m {{\n    {}\n}}\n",
    "config": "language 1\nconfig {{\n    {}\n}}\n",
    "tensors": "language 1\ntensors {{\n    {}\n}}\n",
}


def lines() -> Iterator[tuple[str, str]]:
    """The lines of the data file, each with the heading it stands under."""
    section = ""
    for line in (HERE / "identity.map-lines").read_text(encoding="utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and not line.startswith("#"):
            yield section, line


def read(text: str, name: str = "test.map") -> syntax.File:
    return parse(Source(name, text))


@pytest.mark.parametrize(("section", "line"), list(lines()))
def test_a_line_prints_back_unchanged(section: str, line: str) -> None:
    text = AROUND[section].format(line)
    file = read(text)
    assert format_file(file) == text
    assert read(format_file(file)) == file


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_a_map_prints_back_unchanged(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_file(read(text, path.name)) == text


@pytest.mark.parametrize("path", FORMAT, ids=lambda path: path.stem)
def test_a_map_is_formatted(path: Path, same_as: Callable[[Path, str], None]) -> None:
    file = read(path.read_bytes().decode(), path.name)
    text = format_file(file)
    same_as(path.with_suffix(".txt"), text)
    assert read(text) == file
    assert format_file(read(text)) == text


@pytest.mark.parametrize("path", sorted(WHOLE), ids=lambda path: path.stem)
def test_whole_maps_keep_their_meaning(path: Path) -> None:
    file = read(path.read_text(encoding="utf-8"), path.name)
    text = format_file(file)
    assert read(text) == file
    assert format_file(read(text)) == text


def test_every_rule_of_the_grammar_is_covered() -> None:
    """The cases above, all together, use every rule of the grammar."""
    texts = [AROUND[section].format(line) for section, line in lines()]
    texts += [path.read_text(encoding="utf-8") for path in MAPS]
    trees = [load().parse(text, start="start") for text in texts]
    trees += [
        load().parse(hole, start="hole") for tree in trees for hole in holes(tree)
    ]
    used = {str(node.data) for tree in trees for node in tree.iter_subtrees()}
    rules = load().rules
    kept = {
        rule.origin.name for rule in rules if not (rule.alias or rule.options.expand1)
    }
    named = {name for name in kept if not name.startswith("_") and "{" not in name}
    assert (named | {rule.alias for rule in rules if rule.alias}) - used == set()


def holes(tree: ParseTree) -> Iterator[str]:
    """What stands between the braces of the names in a tree."""
    tokens = [child for node in tree.iter_subtrees() for child in node.children]
    for token in tokens:
        if isinstance(token, Token) and token.type == "NAME" and "\\" not in token:
            yield from re.findall(r"\{([^{}]*)\}", token)


def test_comments_and_their_places_survive() -> None:
    text = (HERE / "format" / "comments.map").read_text(encoding="utf-8")
    before = [match[1] for match in COMMENT.finditer(text) if match[1]]
    printed = format_file(read(text))
    assert [match[1] for match in COMMENT.finditer(printed) if match[1]] == before
    assert [comment.text for comment in read(text).comments] == before
