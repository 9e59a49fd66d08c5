"""The fenced code blocks of the documents, and what their first lines say about them.

The line of a fence is ```` ```LANGUAGE WORD KEY=VALUE ... ````; readers and renderers see the language alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
FENCE = re.compile(r"```([a-z]*)((?: [\w.=/-]+)*)")


@dataclass(frozen=True, slots=True)
class Block:
    """The text between two fences, whole lines; `line` is that of the first fence, from 1, `number` counts blocks."""

    document: Path
    number: int
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT).as_posix()}:{self.line}"

    def value(self, key: str) -> str | None:
        """What stands behind `key=`."""
        found = [
            word.partition("=")[2] for word in self.words if word.startswith(f"{key}=")
        ]
        return found[0] if found else None


def blocks_of(document: Path) -> Iterator[Block]:
    """The blocks of a document, in order."""
    opened, found, head, held = 0, 0, ("", ""), list[str]()
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if not opened and line.startswith("```"):
            match = FENCE.fullmatch(line)
            assert (
                match
            ), f"{document.name}:{number}: expected ```language words, found {line}"
            opened, head, held = number, (match[1], match[2]), []
        elif opened and line == "```":
            words = tuple(head[1].split())
            yield Block(
                document,
                found,
                opened,
                head[0],
                words,
                "".join(f"{one}\n" for one in held),
            )
            opened, found = 0, found + 1
        elif opened:
            held.append(line)
    assert not opened, f"{document.name}:{opened}: this block has no end"


BLOCKS = tuple(block for document in DOCUMENTS for block in blocks_of(document))


def below(block: Block) -> Block | None:
    """The block that follows in the same document."""
    later = [
        one
        for one in BLOCKS
        if one.document == block.document and one.line > block.line
    ]
    return later[0] if later else None


def replace_text(block: Block, text: str) -> None:
    """Write another text between the fences of a block. Its line may have moved; its number has not."""
    now = list(blocks_of(block.document))[block.number]
    lines = block.document.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[now.line : now.line + len(now.text.splitlines())] = [text]
    block.document.write_text("".join(lines), encoding="utf-8")
