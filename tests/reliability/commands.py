"""Running a converter's command line the way a user does, and looking at what it left on the disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from ..runtime.toy import load_toy


class Outcome(NamedTuple):
    """What a command came to: its exit code, and what it printed."""

    code: int
    out: str
    err: str


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Outcome:
    """The command line of the toy converter, in this process."""
    capsys.readouterr()
    code = load_toy().main([str(argument) for argument in arguments])
    return Outcome(code, *capsys.readouterr())


def everything_below(path: Path) -> dict[str, object]:
    """All that is in a directory, by relative name: the bytes of files, where links point, what else things are.

    Nothing is opened that is not a regular file, and no link is followed.
    """
    found: dict[str, object] = {}
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            one = Path(folder, name)
            found[one.relative_to(path).as_posix()] = _content(one)
    return found


def _content(path: Path) -> object:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return f"a link to {os.readlink(path)}"
    return path.read_bytes() if stat.S_ISREG(mode) else stat.filemode(mode)
