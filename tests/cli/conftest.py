"""The command `mapc` in this process, in a folder of its own with the maps and configs of the tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mapc.compiler.__main__ import main

from .command import Done, Mapc

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "dsl" / "maps" / "llama_hf_mcore.map"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a copy of `maps/` and of one shipped map."""
    for path in (*(HERE / "maps").iterdir(), SHIPPED):
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def mapc(folder: Path, capsys: pytest.CaptureFixture[str]) -> Mapc:
    """Runs a command line."""

    def run(*arguments: str | Path) -> Done:
        code = main([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run
