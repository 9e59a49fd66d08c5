"""Maps that are refused, each with all that is said about it beside it: the text, and the JSON of `--json`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from mapc.dsl.diagnostics import MapError, to_json
from mapc.dsl.parser import parse
from mapc.dsl.reading import MOST, source_of
from mapc.dsl.source import Source

CASES = sorted((Path(__file__).parent / "errors").glob("*.map"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_map_is_refused(path: Path, same_as: Callable[[Path, str], None]) -> None:
    with pytest.raises(MapError) as refused:
        parse(source_of(path.name, path.read_bytes()))
    assert len(refused.value.diagnostics) == 1
    assert_said(path, refused.value, same_as)


def test_a_long_text_is_refused(same_as: Callable[[Path, str], None]) -> None:
    """Its map is not kept."""
    with pytest.raises(MapError) as refused:
        parse(Source("too_long.map", "language 1\n" + "#" * MOST))
    path = Path(__file__).parent / "errors" / "too_long.map"
    assert_said(path, refused.value, same_as)


def assert_said(
    path: Path, refused: MapError, same_as: Callable[[Path, str], None]
) -> None:
    text = str(refused)
    assert text.isascii()
    same_as(path.with_suffix(".txt"), text + "\n")
    data = {"diagnostics": [to_json(one) for one in refused.diagnostics]}
    same_as(path.with_suffix(".json"), json.dumps(data, indent=2) + "\n")


def test_every_code_has_a_case() -> None:
    """The codes that the front end's source names, and those in the expected texts, are the same."""
    folder = Path(__file__).parents[2] / "dsl"
    source = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    texts = "".join(
        path.with_suffix(".txt").read_text(encoding="utf-8") for path in CASES
    )
    named = set(re.findall(r'"(M0[01]\d\d)"', source))
    assert named == set(re.findall(r"error\[(M\d+)\]", texts)) | {"M0002"}
