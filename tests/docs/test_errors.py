"""The codes of diagnostics: each has a text and a refused map, and docs/errors.md is all of the texts.

A text names its example, a case of tests/dsl/errors or tests/compiler/refused; MAPC_BLESS=1 writes the example and its
diagnostic into it, and then the page.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from mapc.compiler.catalog import Entry, entry
from mapc.dsl.diagnostics import plain

from .blocks import ROOT

TEXTS = sorted((ROOT / "compiler" / "errors").glob("M*.md"))
CORPUS = {
    path.stem: path
    for folder in ("tests/dsl/errors", "tests/compiler/refused")
    for path in (ROOT / folder).glob("*.txt")
}
PAGE = ROOT / "docs" / "errors.md"
HEAD = """# Diagnostics

A map that cannot be compiled is refused, with one diagnostic or more: a code, what is wrong, the place, and help.
`mapc explain CODE` prints what stands here. Each code has one cause. Below are all, each with a map that is refused
so and what is printed about it.

| code | |
|---|---|
"""
MOST_LINES, WIDEST = 40, 100  # of an example that is shown with its diagnostic


def codes_of_the_source() -> set[str]:
    files = [
        path for name in ("dsl", "compiler") for path in (ROOT / name).glob("*.py")
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    return set(re.findall(r'"(M\d{4})"', text))


def test_every_code_has_a_text() -> None:
    """Write compiler/errors/CODE.md for a code that is missing here, in the form of its neighbours."""
    assert [path.stem for path in TEXTS] == sorted(codes_of_the_source())


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_the_text_shows_its_example(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    one = entry(text)
    assert one.code == path.stem and text.isascii()
    assert max(map(len, f"{one.why}\n{one.way_out}".split("\n"))) <= 120
    expected = text.replace(one.shown, "") if one.shown else text
    expected += shown(CORPUS[one.example], one.code)
    if os.environ.get("MAPC_BLESS") == "1":
        path.write_text(expected, encoding="utf-8", newline="")
    else:
        assert text == expected


def shown(path: Path, code: str) -> str:
    """The map, if it is small, and its diagnostic, which is of this code."""
    said = path.read_text(encoding="utf-8")
    assert f"error[{code}]" in said, f"{path.stem} is refused with another code"
    map_ = path.with_suffix(".map")
    text = map_.read_bytes().decode("utf-8", "replace") if map_.exists() else ""
    lines = plain(text).rstrip("\n").split("\n")
    small = text and len(lines) <= MOST_LINES and max(map(len, lines)) <= WIDEST
    blocks = [lines] if small else []
    return "".join(
        "\n" + "".join(f"    {line}".rstrip() + "\n" for line in block)
        for block in (*blocks, said.rstrip("\n").split("\n"))
    )


def page(entries: list[Entry]) -> str:
    rows = [
        f"| [{one.code}](#{anchor(one)}) | {one.title.replace('|', chr(92) + '|')} |\n"
        for one in entries
    ]
    return HEAD + "".join(rows) + "".join(f"\n#{one}" for one in entries)


def anchor(one: Entry) -> str:
    heading = f"{one.code}: {one.title}".lower()
    return re.sub(r"[^\w -]", "", heading).replace(" ", "-")


def test_the_page_is_current() -> None:
    text = page([entry(path.read_text(encoding="utf-8")) for path in TEXTS])
    if os.environ.get("MAPC_BLESS") == "1":
        PAGE.write_text(text, encoding="utf-8")
    else:
        assert PAGE.read_text(encoding="utf-8") == text
