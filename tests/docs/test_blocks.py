"""Every block of the documents is of a known kind, and none goes unchecked but those that are named here."""

from __future__ import annotations

import os
import re
from pathlib import Path
from textwrap import dedent

import pytest

from .blocks import BLOCKS, DOCUMENTS, ROOT, Block, replace_text

# What a block may say of itself, by its language.
#   map      a whole map; `frame` holds parts, `part` is put into it, `refused=CODE`; else it compiles
#   console  commands behind `$`, and what they print, where `...` stands for anything; `exit=N` is of the last one
#   sh       commands that succeed
#   python   runs, after the blocks above it; `surface` are the signatures of a converter
#   text     a drawing; behind a refused map its diagnostic; `output` is what the block above it prints
# `file=PATH` anywhere: a verbatim excerpt of a file of the repository, which may be indented less.
KINDS = {
    "console": {"exit"},
    "lark": {"file"},
    "map": {"file", "frame", "part", "refused"},
    "python": {"file", "surface"},
    "sh": {"not-run"},
    "text": {"output"},
}

# The blocks that are not run: they install, download or take minutes.
NOT_RUN = {
    "README.md": ["make demo\nmake test\n", "pip install '.[fast]'\n"],
    "gpu.md": ["python -m tests.benchmarks.gpu --write docs/gpu.md --json gpu.json\n"],
    "performance.md": ['make bench\nmake bench ROWS="--only llama tp=4"\n'],
}

every_document = pytest.mark.parametrize(
    "document", DOCUMENTS, ids=lambda path: path.name
)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_the_kind_is_known(block: Block) -> None:
    assert block.language in KINDS
    assert {word.partition("=")[0] for word in block.words} <= KINDS[block.language]


def test_what_is_not_run_is_listed() -> None:
    found: dict[str, list[str]] = {}
    for block in BLOCKS:
        if "not-run" in block.words:
            found.setdefault(block.document.name, []).append(block.text)
    assert found == NOT_RUN


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.value("file")], ids=str)
def test_an_excerpt_is_verbatim(block: Block) -> None:
    """`lark` blocks are the whole file, and MAPC_BLESS=1 writes it into the document."""
    file = ROOT / (block.value("file") or "")
    text = file.read_text(encoding="utf-8")
    if block.language == "lark":
        if os.environ.get("MAPC_BLESS") == "1":
            replace_text(block, text)
        else:
            assert block.text == text
        return
    lines, size = text.splitlines(keepends=True), len(block.text.splitlines())
    windows = (
        "".join(lines[start : start + size]) for start in range(len(lines) - size + 1)
    )
    assert any(
        dedent(window) == block.text for window in windows
    ), f"not in {file.name}"


@every_document
def test_the_text_is_plain(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert text.isascii()
    prose = [
        line
        for line in without_blocks(text).splitlines()
        if not line.startswith(("|", "    "))
    ]
    assert [line for line in prose if len(line) > 120 or line != line.rstrip()] == []


@every_document
def test_links_lead_somewhere(document: Path) -> None:
    """To files of the repository, and to headings of the same document or another."""
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]*)\)", without_blocks(text)):
        name, _, anchor = target.partition("#")
        file = (document.parent / name).resolve() if name else document
        assert file.exists(), f"{document.name}: {target}"
        assert not anchor or anchor in anchors_of(file), f"{document.name}: {target}"


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors_of(document: Path) -> set[str]:
    """The anchors of headings, as they are made of their words."""
    headings = re.findall(
        r"^#+ (.*)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }
