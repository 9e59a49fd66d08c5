"""The tour of CONTRIBUTING.md names every file of the house, and none that is not there."""

from __future__ import annotations

import re

import pytest

from .blocks import ROOT

TOUR = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "folder", ["dsl", "compiler", "templates", "templates/runtime"]
)
def test_every_file_is_named(folder: str) -> None:
    section = re.split(r"\n##", TOUR.split(f"\n### `{folder}/`\n")[1])[0]
    named = re.findall(r"^\| `([^`]*)` \|", section, flags=re.MULTILINE) or re.findall(
        r"`([^`]*\.jinja)`", section
    )
    kinds = {".py", ".lark", ".jinja"}
    there = [path.name for path in (ROOT / folder).iterdir() if path.suffix in kinds]
    assert sorted(named) == sorted(set(there) - {"__init__.py"})


def test_every_folder_is_named() -> None:
    tests = [path.name for path in (ROOT / "tests").iterdir() if path.is_dir()]
    folders = ["dsl", "compiler", "templates", "generated", "docs"]
    folders += [f"tests/{name}" for name in tests if name != "__pycache__"]
    assert [folder for folder in folders if f"| `{folder}/` |" not in TOUR] == []


def test_every_command_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    documents = TOUR + (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", documents, flags=re.MULTILINE))
    assert (
        sorted(named - set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE)))
        == []
    )
