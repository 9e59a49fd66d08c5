"""The language and the compiler know no model family: what one needs stands in its map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FAMILIES = (
    "bert|bloom|chatglm|cohere|deepseek|ernie|falcon|gemma|glm|gpt|gptj|granite|grok|kimi|llama|llava|mamba"
    "|mimo|minimax|mistral|mixtral|moonlight|mpt|nemotron|neox|olmo|qwen|starcoder|whisper"
)
# The word, alone or with what may follow it in a name: `gpt2`, `qwen3_moe`, `LlamaConfig`; not `regptr` or `robert`.
FAMILY = re.compile(rf"(?<![A-Za-z])(?i:{FAMILIES})(?![a-z])")

SOURCES = sorted(
    path
    for folder in ("dsl", "compiler", "templates")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".lark", ".jinja"}
)


@pytest.mark.parametrize(
    "path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_no_family_is_named(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert [
        f"{n}: {line}" for n, line in enumerate(lines, 1) if FAMILY.search(line)
    ] == []


def test_maps_are_where_the_families_are() -> None:
    maps = [
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.map")
        if ".venv" not in path.parts
    ]
    shipped = [path for path in maps if not path.startswith("tests/")]
    assert shipped != [] and all(
        path.startswith("dsl/maps/") for path in shipped
    ), shipped


@pytest.mark.parametrize(
    "text", ["LlamaForCausalLM", "gpt2", "qwen3_moe", "is_mixtral", "a GLM map"]
)
def test_a_family_is_recognised(text: str) -> None:
    assert FAMILY.search(text)


@pytest.mark.parametrize("text", ["adoption", "glmnet", "berth", "falconry", "legpt"])
def test_a_word_is_no_family(text: str) -> None:
    assert not FAMILY.search(text)
