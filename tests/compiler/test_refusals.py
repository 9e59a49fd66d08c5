"""Maps that are refused, each with all that is said about it beside it: the text, and the JSON of `--json`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mapc.compiler.driver import plan_file, plan_text
from mapc.dsl.diagnostics import MapError, to_json

ROOT = Path(__file__).parents[2]
PARSED = {"M0001", "M0104"}  # codes of the parser, in included files
CASES = sorted((Path(__file__).parent / "refused").glob("*.map"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_map_is_refused(path: Path, same_as: Callable[[Path, str], None]) -> None:
    with pytest.raises(MapError) as refused:
        plan_text(path.read_text("utf-8"), name=path.name, include=[path.parent])
        plan_file(path)  # only of its file's name, if at all
    text = str(refused.value)
    assert text.isascii()
    same_as(path.with_suffix(".txt"), text + "\n")
    data = {"diagnostics": [to_json(one) for one in refused.value.diagnostics]}
    same_as(path.with_suffix(".json"), json.dumps(data, indent=2) + "\n")


def test_every_code_has_a_case() -> None:
    """The codes that the compiler's source names, and those in the expected texts, are the same."""
    source = "".join(
        path.read_text("utf-8") for path in (ROOT / "compiler").glob("*.py")
    )
    texts = "".join(path.with_suffix(".txt").read_text("utf-8") for path in CASES)
    named = set(re.findall(r'"(M0\d\d\d)"', source))
    assert named == set(re.findall(r"error\[(M\d+)\]", texts)) - PARSED
