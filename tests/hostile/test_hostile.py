"""Maps that mean harm: whatever the text, it is a diagnostic or a converter, in 5 seconds and 1 GB.

`maps/` holds small texts, bombs.py makes large ones; outcomes.txt says what becomes of each, and MAPC_BLESS=1
writes it anew. Mutations of good maps come from hypothesis.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mapc.compiler.driver import compile_text, plan_text
from mapc.dsl.diagnostics import MapError, to_json

from .bombs import WORDS, bombs
from .emitted import check_module

HERE = Path(__file__).parent
COMPILER = HERE.parent / "compiler"
GOOD = [
    p for name in ("maps", "refused") for p in sorted((COMPILER / name).glob("*.map"))
]
TEXTS = [path.read_text("utf-8") for path in GOOD]
PIECE = re.compile(r'"(?:[^"\\\n]|\\.)*"|\w+|\s+|<->|\?\?|.', re.DOTALL)
ODD = (
    *(
        "",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "{{",
        "}}",
        '"',
        "'",
        "\\",
        "`",
        "#",
        "\n",
        "\0",
    ),
    *(
        "<->",
        "->",
        "**",
        "@",
        "@tp",
        "^",
        "?",
        "??",
        "..",
        ".",
        ",",
        ":",
        "|",
        "=",
        "+",
        "%",
    ),
    *(
        "for",
        "if",
        "else",
        "in",
        "where",
        "tensors",
        "config",
        "layout",
        "variant",
        "not",
    ),
    *(
        "0",
        "1",
        "-1",
        "10000000",
        "9" * 25,
        "1e308",
        "1e-999",
        "0.0",
        "00",
        "\u202e",
        "\u00e9",
    ),
    *('"{e}"', '"\\n"', '"""', "{e}", "{__class__}", "{0}", "%s", "{# #}", "{{ 7 }}"),
    *WORDS,
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="limits need os.fork")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What became of every file and every bomb, each in a process with limits."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, text in bombs():
        (folder / f"{name}.map").write_text(text, encoding="utf-8", newline="")
    files = [*sorted((HERE / "maps").glob("*.map")), *sorted(folder.glob("*.map"))]
    command = [sys.executable, str(HERE / "limited.py"), str(folder), *map(str, files)]
    subprocess.run(command, check=True)
    results = {path.stem: folder / f"{path.stem}.json" for path in files}
    found = {
        name: json.loads(path.read_text("ascii")) for name, path in results.items()
    }
    for path in files:
        found[path.stem]["map"] = path.read_bytes().decode("utf-8", "replace")
    return found


def test_each_is_refused_or_compiled(
    outcomes: dict[str, dict[str, str]], same_as: Callable[[Path, str], None]
) -> None:
    lines = [f"{name}: {one['outcome']}\n" for name, one in sorted(outcomes.items())]
    assert [
        line for line in lines if not re.search(r": (compiles|M\d{4}( M\d{4})*)$", line)
    ] == []
    same_as(HERE / "outcomes.txt", "".join(lines))


def test_what_was_compiled_has_no_text_of_the_map(
    outcomes: dict[str, dict[str, str]],
) -> None:
    compiled = [one for one in outcomes.values() if one["outcome"] == "compiles"]
    assert len(compiled) > 20
    for one in compiled:
        check_module(one["module"], one["map"])
        compile(one["test"], "test", "exec")


def test_code_of_the_map_would_be_seen() -> None:
    """The check can fail."""
    made = compile_text(TEXTS[0]).module
    for code in ("import socket\n", "undreamt = 1\n", 'eval("1")\n'):
        with pytest.raises(AssertionError):
            check_module(made + code, TEXTS[0])


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A good map with some pieces left out, doubled, exchanged, or replaced by odd ones."""
    pieces = PIECE.findall(draw(st.sampled_from(TEXTS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(pieces) - 1))
        other = draw(st.integers(0, len(pieces) - 1))
        match draw(st.sampled_from(("out", "double", "exchange", "odd"))):
            case "out":
                pieces[at] = ""
            case "double":
                pieces[at] *= draw(st.sampled_from((2, 3, 50)))
            case "exchange":
                pieces[at], pieces[other] = pieces[other], pieces[at]
            case _:
                pieces[at] = draw(st.sampled_from(ODD))
    return "".join(pieces)


def refused_or_planned(text: str) -> bool:
    """Whether a text is planned; a diagnostic of it can be shown."""
    try:
        plan_text(text, name="hostile.map")
    except MapError as error:
        assert str(error).isascii()
        assert json.dumps([to_json(one) for one in error.diagnostics])
        return False
    return True


@settings(max_examples=300, deadline=None, derandomize=True)
@given(mutated())
@example("")
@example("\n")
@example("language 1")
def test_a_mutation_is_refused_or_planned(text: str) -> None:
    refused_or_planned(text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from((*ODD, " ", "e", "x[e]")), max_size=60).map(" ".join))
def test_a_text_of_odd_pieces_is_refused(text: str) -> None:
    assert not refused_or_planned(f"language 1\ntensors {{\n{text}\n}}\n")


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(mutated().filter(refused_or_planned))
def test_a_mutation_that_compiles_has_no_text_of_the_map(text: str) -> None:
    check_module(compile_text(text).module, text)
