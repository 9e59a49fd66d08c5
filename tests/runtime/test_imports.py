"""What a converter imports, and when: starting it is quick, and moving bytes needs nothing that is installed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mapc.compiler.driver import compile_text
from mapc.templates import runtime

from .files import coded, read, write
from .toy import toy_text
from .toy_checkpoint import hf_tensors, write_hf, write_mcore

PACKAGES = {"torch", "numpy", "safetensors"}
# Parts of the standard library that take long to import, and are not needed to begin.
SLOW = {"asyncio", "concurrent.futures", "logging", "multiprocessing", "pathlib"}


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("standalone") / "toy.py"
    path.write_text(toy_text())
    return path


def imported(program: str, *arguments: str | Path, isolated: bool = False) -> set[str]:
    """The modules that a program has imported when it ends, besides those of an empty one."""
    end = (
        "import atexit, json, sys\n"
        "before = set(sys.modules)\n"
        "atexit.register(lambda: print(json.dumps([*set(sys.modules) - before]), file=sys.stderr))\n"
    )
    command = [sys.executable, *(["-I", "-S"] if isolated else []), "-c", end + program]
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


def running(script: Path) -> str:
    """A program that runs the converter as `python toy.py` does."""
    return (
        f"with open({str(script)!r}) as file:\n    code = compile(file.read(), {script.name!r}, 'exec')\n"
        f"sys.argv[0] = {script.name!r}\nexec(code, globals())\n"
    )


@pytest.mark.parametrize("flags", [["--version"], ["--help"], ["to-hf", "--help"]])
def test_starting(script: Path, flags: list[str]) -> None:
    found = imported(running(script), *flags, isolated=True)
    assert "argparse" in found  # it did run
    assert found & (PACKAGES | SLOW) == set()


def test_importing_it(script: Path) -> None:
    program = f"sys.path.insert(0, {str(script.parent)!r})\nimport toy\n"
    found = imported(program, isolated=True)
    assert "toy" in found
    assert found & (PACKAGES | SLOW) == set()


PLAIN = """
language 1
map plain: hf <-> own

config {
    e: e <-> e
    f: f <-> f
}

tensors {
    norm[e]            <-> normed[e]
    gate[f e], up[f e] <-> gate_up[(f + f) e]
}
"""


def test_moving_bytes(tmp_path: Path) -> None:
    """What lies together on both sides is only read and written."""
    (tmp_path / "plain.py").write_text(compile_text(PLAIN, name="plain.map").module)
    tensors = {"norm": coded(0, "F32", 5)}
    tensors |= {name: coded(n, "BF16", 7, 5) for n, name in enumerate(["gate", "up"])}
    write(tmp_path / "hf/model.safetensors", tensors)
    (tmp_path / "hf/config.json").write_text('{"e": 5, "f": 7}')
    arguments = (tmp_path / "hf", tmp_path / "own", "--verify", "--threads", "2")
    found = imported(running(tmp_path / "plain.py"), "to-own", *arguments)
    assert found & (PACKAGES | SLOW) == set()
    written = read(tmp_path / "own/model.safetensors")["gate_up"]
    assert written.data == tensors["gate"].data + tensors["up"].data


def test_strided_blocks_need_numpy_alone(script: Path, tmp_path: Path) -> None:
    source = write_mcore(tmp_path / "mcore", hf_tensors(), 2, 1)
    found = imported(running(script), "to-hf", source, tmp_path / "hf", "--verify")
    assert found & PACKAGES == {"numpy"}
    assert os.listdir(tmp_path / "hf") != []


def test_a_cast_needs_torch(script: Path, tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    found = imported(
        running(script), "to-mcore", source, tmp_path / "mcore", "--dtype", "f32"
    )
    assert "torch" in found


def test_runtime_modules_share_no_name() -> None:
    """In a converter they stand in one file, where a second definition would take the place of the first."""
    folder = Path(runtime.__file__).parent
    defined: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            for name in names_of(node):
                defined.setdefault(name, []).append(path.stem)
    shared = {name: stems for name, stems in defined.items() if len(stems) > 1}
    assert shared == {}
    assert len(defined) > 300


def names_of(node: ast.stmt) -> list[str]:
    """What a statement of a module defines; imports are the same wherever they stand."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []
