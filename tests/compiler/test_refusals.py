"""Maps that are refused, each with the whole text of its diagnostics beside it; and sources that converters refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mapc.compiler.driver import compile_file, plan_text
from mapc.dsl.diagnostics import MapError

ROOT = Path(__file__).parents[2]
CASES = sorted((Path(__file__).parent / "refused").glob("*.map"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_map_is_refused(path: Path, same_as: Callable[[Path, str], None]) -> None:
    with pytest.raises(MapError) as refused:
        plan_text(path.read_text("utf-8"), name=path.name)
    text = str(refused.value)
    assert text.isascii()
    same_as(path.with_suffix(".txt"), text + "\n")


def test_a_file_is_called_as_its_map(tmp_path: Path) -> None:
    path = tmp_path / "other.map"
    path.write_text(
        "language 1\nmap m: a <-> b\nconfig {\n    e: e <-> e\n}\ntensors {\n    x[e] <-> y[e]\n}\n"
    )
    with pytest.raises(MapError) as refused:
        compile_file(path)
    assert str(refused.value) == (
        "error[M0242]: the file is called `other` and the map `m`\n"
        " --> other.map:2:1\n"
        "  |\n"
        "2 | map m: a <-> b\n"
        "  | ^^^^^^^^^^^^^^\n"
        "  = help: call both the same"
    )


def test_every_code_has_a_case() -> None:
    """The codes that the compiler's source names, and those in the expected texts, are the same."""
    source = "".join(
        path.read_text("utf-8") for path in (ROOT / "compiler").glob("*.py")
    )
    texts = "".join(path.with_suffix(".txt").read_text("utf-8") for path in CASES)
    named = set(re.findall(r'"(M0[2-9]\d\d)"', source))
    assert named == set(re.findall(r"error\[(M\d+)\]", texts)) | {"M0242"}
