"""`mapc build` and `mapc vendor`: the converter and the test of a map, as files in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from .answer import Answer, of_each
from .driver import Compiled, compile_file, compile_text
from .shipped import shipped_text
from .text_files import TextFile, replace_files, text_file


def build(
    maps: Sequence[Path],
    folder: Path,
    parts: str,
    check: bool,
    include: Sequence[Path] = (),
) -> Answer:
    """Write what is stale or missing in the folder, or with `check` only say so. Raises MapError, OSError."""
    compiled = of_each(
        maps, lambda path: compile_file(path, parts=parts, include=include)
    )
    stems = [one.stem for one in compiled]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise click.UsageError(
            f"two maps are called `{twice}`; both would be written to {folder / twice}.py"
        )
    files = [file for one in compiled for file in _files(one, folder)]
    return _checked(files) if check else _written(files)


def vendor(name: str, folder: Path, parts: str) -> Answer:
    """Write the converter and the test of a shipped map into the folder. Raises OSError."""
    text = shipped_text(name)
    return _written(_files(compile_text(text, name=f"{name}.map", parts=parts), folder))


def _files(compiled: Compiled, folder: Path) -> list[TextFile]:
    texts = {
        f"{compiled.stem}.py": compiled.module,
        f"test_{compiled.stem}.py": compiled.test,
    }
    return [text_file(folder / name, text) for name, text in texts.items() if text]


def _written(files: Sequence[TextFile]) -> Answer:
    replace_files(files)
    states = [(file, "current" if file.current else "wrote") for file in files]
    return Answer(_listed(states), {"files": _data(states)})


def _checked(files: Sequence[TextFile]) -> Answer:
    states = [(file, _state(file)) for file in files]
    behind = sum(not file.current for file in files)
    text = "".join(file.difference for file in files) + _listed(states)
    if behind:
        text += f"\n\nstale or missing: {behind} of {len(files)} files; `mapc build` without --check writes them"
    return Answer(text, {"files": _data(states)}, 1 if behind else 0)


def _state(file: TextFile) -> str:
    return "missing" if file.found is None else "current" if file.current else "stale"


def _listed(states: Iterable[tuple[TextFile, str]]) -> str:
    return "\n".join(f"{state:<7}  {file.path}" for file, state in states)


def _data(states: Iterable[tuple[TextFile, str]]) -> list[dict[str, str]]:
    """What became of each file; the diff stands there where it was not written."""
    return [
        {
            "path": str(file.path),
            "state": state,
            **({"diff": file.difference} if state in ("stale", "missing") else {}),
        }
        for file, state in states
    ]
