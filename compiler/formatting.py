"""`mapc fmt`: maps in their canonical form."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..dsl.formatter import format_file
from ..dsl.parser import parse
from ..dsl.reading import source_of
from .answer import Answer, of_each
from .text_files import TextFile, replace_files


def fmt(maps: Sequence[Path], check: bool) -> Answer:
    """Rewrite the maps that are not in the canonical form, or with `check` only say so. Raises MapError, OSError."""
    found = of_each(maps, _formatted)
    if not check:
        replace_files(found)
    other = "different" if check else "rewrote"
    states = [(file, "current" if file.current else other) for file in found]
    lines = [f"{state:<9}  {file.path}" for file, state in states]
    text = "".join(file.difference for file in found) if check else ""
    data = [
        {"path": str(file.path), "state": state}
        | ({"diff": file.difference} if state == "different" else {})
        for file, state in states
    ]
    code = int(check and any(not file.current for file in found))
    return Answer(text + "\n".join(lines), {"files": data}, code)


def _formatted(path: Path) -> TextFile:
    data = path.read_bytes()
    file = parse(source_of(path.name, data))
    return TextFile(path, format_file(file), data.decode("utf-8"))
