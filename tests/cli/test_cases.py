"""Command lines that only read, each with all that it prints. MAPC_BLESS=1 writes the texts anew.

A case begins with the command; its output follows, then what it says on stderr and its exit code where they are not
nothing and 0.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest

from .command import Done, Mapc

CASES = sorted((Path(__file__).parent / "cases").glob("*.txt"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_all_that_is_printed(path: Path, mapc: Mapc) -> None:
    expected = path.read_text("utf-8")
    command, _, _ = expected.partition("\n")
    _, name, *arguments = shlex.split(command)
    assert (command[:2], name) == ("$ ", "mapc"), "the first line is the command"
    done = mapc(*arguments)
    if os.environ.get("MAPC_BLESS") == "1":
        path.write_text(told(command, done), "utf-8")
        expected = told(command, done)
    assert told(command, done) == expected
    if "--json" in arguments:
        assert done.err == ""
        json.loads(done.out)


def told(command: str, done: Done) -> str:
    text = f"{command}\n{done.out}"
    if done.err:
        text += f"---- stderr\n{done.err}"
    if done.code:
        text += f"---- exit {done.code}\n"
    return text


def test_there_are_cases_of_every_command_that_reads() -> None:
    commands = {path.read_text("utf-8").split()[2] for path in CASES}
    assert commands >= {"check", "explain", "fmt", "list"}


def test_a_wrong_text_is_seen(mapc: Mapc) -> None:
    """The comparison of this file can fail."""
    assert told("$ mapc list", mapc("list")) != told("$ mapc list", Done(1, "", ""))
