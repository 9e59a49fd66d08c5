"""The maps in the documents compile, or are refused as the document says, with the text that it shows."""

from __future__ import annotations

import os
import re

import pytest
from mapc.compiler import MapError, codegen
from mapc.compiler.driver import VERSION, plan_text
from mapc.compiler.instance import running
from mapc.dsl.formatter import format_file
from mapc.dsl.parser import parse
from mapc.dsl.source import Source

from .blocks import BLOCKS, Block, below, replace_text

MAPS = [b for b in BLOCKS if b.language == "map" and not b.value("file")]
TOP_LEVEL = re.compile(r"(?:config|option|replica|require|let) ")
HERE = "    # a part stands here\n"


@pytest.mark.parametrize("block", [b for b in MAPS if not b.value("refused")], ids=str)
def test_the_map_becomes_a_converter(block: Block) -> None:
    planned = plan_text(text_of(block))
    with running(codegen.core(planned, VERSION), planned.stem) as names:
        assert names["converter"]().name == planned.proven.hir.name


@pytest.mark.parametrize("block", MAPS, ids=str)
def test_the_map_is_in_its_canonical_form(block: Block) -> None:
    text = text_of(block)
    assert format_file(parse(Source("example.map", text))) == text


@pytest.mark.parametrize("block", [b for b in MAPS if b.value("refused")], ids=str)
def test_the_map_is_refused(block: Block) -> None:
    with pytest.raises(MapError) as refused:
        plan_text(text_of(block))
    assert {one.code for one in refused.value.diagnostics} == {block.value("refused")}
    shown, text = below(block), f"{refused.value}\n"
    if shown and shown.language == "text" and shown.text.startswith(("error[", "\n")):
        if os.environ.get("MAPC_BLESS") == "1":
            replace_text(shown, text)
        else:
            assert shown.text == text


def text_of(block: Block) -> str:
    """The whole map: a part stands in the frame of its document, its top-level lines before `tensors`."""
    if "part" not in block.words:
        return block.text
    frame = next(
        b.text for b in MAPS if b.document == block.document and "frame" in b.words
    )
    above: list[str] = []
    below_them: list[str] = []
    for line in block.text.splitlines(keepends=True):
        starts = bool(line.strip()) and not line.startswith((" ", "}", "#"))
        if starts:
            target = above if TOP_LEVEL.match(line) else below_them
        elif not above and not below_them:
            target = below_them
        target.append(line)
    tensors = "".join(f"    {line}" if line.strip() else line for line in below_them)
    assert frame.count(HERE) == 1 and frame.count("tensors {") == 1
    whole = frame.replace(HERE, tensors)
    top = "".join(f"\n{line}" if line == above[0] else line for line in above)
    return whole.replace("\ntensors {", f"{top}\ntensors {{")
