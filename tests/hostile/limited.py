"""Compiles maps, each in a process of its own with 5 seconds and 1 GB: `limited.py OUT FILE.map ..`.

Writes OUT/<stem>.json: what became of it, and the texts that were made. Run by test_hostile.py.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from mapc.compiler.driver import compile_text
from mapc.dsl.diagnostics import MapError, to_json

SECONDS, BYTES = 5, 1 << 30
PLAIN = "language 1\nmap m: a <-> b\ntensors {\n    x[e] <-> y[e]\n}\n"


def outcome(path: Path) -> dict[str, str]:
    """The code that a map is refused with, `compiles`, or an exception that should not be."""
    try:
        made = compile_text(path.read_bytes().decode("utf-8", "surrogateescape"))
    except MapError as error:
        codes = sorted({one.code for one in error.diagnostics})
        text = f"{error}{json.dumps([to_json(one) for one in error.diagnostics])}"
        assert text.isascii()
        return {"outcome": " ".join(codes)}
    except Exception as error:  # noqa: BLE001  any other is what is looked for
        return {"outcome": f"{type(error).__name__}: {error}"[:300]}
    return {"outcome": "compiles", "module": made.module, "test": made.test}


def limited(path: Path, result: Path) -> None:
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        result.write_text(json.dumps(outcome(path)), encoding="ascii")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        text = (
            f"exit {status}"
            if os.WIFEXITED(status)
            else f"signal {os.WTERMSIG(status)}"
        )
        result.write_text(json.dumps({"outcome": text}), encoding="ascii")


if __name__ == "__main__":
    compile_text(PLAIN)  # so that the grammar and the runtime's text are loaded once
    out, *files = (Path(argument) for argument in sys.argv[1:])
    for file in files:
        limited(file, out / f"{file.stem}.json")
