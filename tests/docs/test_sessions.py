"""The commands and the Python of a document run from its top to its end, in one folder, as a reader would type them.

Beside the checkpoints in `hf/`, `otter/` and `trained/` there is nothing but what the document itself makes, and the
script of its name that stands beside it; a whole map that it shows stands there under its name.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from mapc.compiler.__main__ import main as mapc

from .blocks import BLOCKS, DOCUMENTS, Block, below, replace_text
from .otter import write_otter

RUN = [
    block
    for block in BLOCKS
    if block.language in ("console", "map", "python", "sh")
    and not {"not-run", "part", "surface"} & {*block.words}
    and not block.value("file")
]


@pytest.mark.parametrize(
    "document",
    [d for d in DOCUMENTS if any(b.document == d for b in RUN)],
    ids=lambda d: d.name,
)
def test_a_reader_sees_what_is_shown(
    document: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(checkpoint, tmp_path / "hf")
    write_otter(tmp_path)
    if (script := document.with_suffix(".py")).exists():
        shutil.copy(script, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "llama_hf_mcore", raising=False)
    loaded = set(sys.modules)
    names: dict[str, Any] = {"__name__": "session"}
    try:
        for block in [b for b in RUN if b.document == document]:
            for shown, printed in run(block, names):
                if os.environ.get("MAPC_BLESS") == "1" and not matches(
                    shown.text, printed
                ):
                    replace_text(shown, printed)
                elif not matches(shown.text, printed):
                    assert printed == shown.text, str(shown)
    finally:
        for name in {*sys.modules} - loaded:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(
                str(tmp_path)
            ):
                del sys.modules[name]


def run(block: Block, names: dict[str, Any]) -> Iterator[tuple[Block, str]]:
    """Run a block; each block that shows output, with what is really printed."""
    match block.language:
        case "python":
            printed, shown = run_python(block, names), below(block)
            if shown and "output" in shown.words:
                yield shown, printed
        case "map":
            header = re.search(r"^map (\w+):", block.text, flags=re.MULTILINE)
            assert header, f"{block}: expected a header"
            Path(f"{header[1]}.map").write_text(block.text)
        case "sh":
            run_commands(block, [line for line in block.text.splitlines() if line])
        case "console":
            lines = [
                line[2:] for line in block.text.splitlines() if line.startswith("$ ")
            ]
            yield block, run_commands(block, lines)


def run_python(block: Block, names: dict[str, Any]) -> str:
    """What a block prints; a traceback shows the lines of the document."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        program = compile("\n" * block.line + block.text, str(block.document), "exec")
        exec(program, names)  # noqa: S102 - the documents are ours
    return printed.getvalue()


def run_commands(block: Block, lines: list[str]) -> str:
    """The commands with their output. All end with 0, the last one with what the block says."""
    text = ""
    for position, line in enumerate(lines):
        code, output = command(line)
        expected = int(block.value("exit") or 0) if position == len(lines) - 1 else 0
        assert code == expected, f"{block}: {line}\n{output}"
        text += f"$ {line}\n{output}"
    return text


def command(line: str) -> tuple[int, str]:
    """Exit code and output of a command; `mapc` runs in this process, whose compiler is warm."""
    program, *arguments = shlex.split(line, comments=True)
    if program == "mapc":
        printed = io.StringIO()
        with redirect_stdout(printed), redirect_stderr(printed):
            code = mapc(arguments)
        return code, printed.getvalue()
    start = [sys.executable] if program == "python" else [program]
    done = subprocess.run(
        [*start, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout + done.stderr


def matches(shown: str, printed: str) -> bool:
    """Whether an output is what is shown: `...` stands for anything on its line, alone for any lines."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "...\n" else re.escape(line).replace(r"\.\.\.", ".*")
        for line in shown.splitlines(keepends=True)
    )
    return re.fullmatch(pattern, printed) is not None
