"""Files that a command keeps up to date: compared with what they should be, and replaced as a whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

_NO_NEWLINE = "\\ No newline at end of file\n"


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file, the text it should have, and the one it has (None where there is no file)."""

    path: Path
    text: str
    found: str | None

    @property
    def current(self) -> bool:
        return self.text == self.found

    @property
    def difference(self) -> str:
        """A unified diff from what is there to what should be, empty where nothing differs."""
        name = self.path.as_posix()
        before = "/dev/null" if self.found is None else name
        lines = unified_diff(_lines(self.found or ""), _lines(self.text), before, name)
        return "".join(
            line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}" for line in lines
        )


def text_file(path: Path, text: str) -> TextFile:
    """The file with its present text, line ends as they are. Raises OSError."""
    try:
        found = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        found = None
    return TextFile(path, text, found)


def replace_files(files: Iterable[TextFile]) -> None:
    """Write every file that is not current. An OSError while writing changes none: they are first written beside."""
    beside: dict[Path, Path] = {}
    try:
        for file in files:
            if not file.current:
                target = file.path.resolve()  # a link stays one
                target.parent.mkdir(parents=True, exist_ok=True)
                beside[target] = target.with_name(f".{target.name}.{os.getpid()}.new")
                beside[target].write_bytes(file.text.encode("utf-8"))
                if target.exists():
                    shutil.copymode(target, beside[target])
        for target, written in beside.items():
            os.replace(written, target)
    finally:
        for written in beside.values():
            written.unlink(missing_ok=True)


def _lines(text: str) -> list[str]:
    """Lines with their ends; only a newline ends one."""
    return list(_ended(text.split("\n"))) if text else []


def _ended(lines: list[str]) -> Iterator[str]:
    *whole, last = lines
    yield from (f"{line}\n" for line in whole)
    if last:
        yield last
