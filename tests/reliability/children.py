"""A checkpoint of several megabytes, and conversions of it in processes of their own that are hit by a fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from ..runtime.files import Stored, files_of, write
from ..runtime.toy import load_toy, toy_text

LAYERS, E, G, H, D, F, V = 2, 509, 6, 3, 4, 3002, 2003
SHAPES = {
    "norm": (E,),
    "q": (G * H * D, E),
    "k": (G * D, E),
    "v": (G * D, E),
    "down": (E, F),
    "up": (E, F),
}
MESH = ("--tp", "2", "--set", "vocab_multiple=8")
PHASES = ("before", "writing", "exchanging")
LEDGER = "mapc.json"  # says how long a run took, and so differs from run to run


def write_source(path: Path) -> Path:
    """A source of 15 MB of the hf layout, with a file that is copied along."""
    shapes = {"embed.weight": (V, E), "final.weight": (E,)}
    for i in range(LAYERS):
        shapes |= {f"layers.{i}.{name}.weight": size for name, size in SHAPES.items()}
    random = Random(1)
    tensors = {
        name: Stored("BF16", shape, random.randbytes(2 * _count(shape)))
        for name, shape in shapes.items()
    }
    write(path / "model.safetensors", tensors)
    sizes = {"layers": LAYERS, "e": E, "g": G, "h": H, "d": D, "f": F, "v": V}
    config = {f"hf_{name}": size for name, size in sizes.items()}
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_bytes(random.randbytes(100_003))
    return path


def _count(shape: Sequence[int]) -> int:
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def write_converter(path: Path) -> Path:
    """The toy converter as a file of its own."""
    path.write_text(toy_text())
    return path


PARTIAL = ".mcore.mapc-partial"
# What else a run may have beside the target, and what stands there before it is overwritten: one file of the old target
# is as long as that of the new one.
BESIDE = {PARTIAL, ".mcore.mapc-lock", ".mcore.mapc-replaced"}
RANK = "mp_rank_00_000/model.safetensors"


class Place(NamedTuple):
    """A folder with a source, what has to come out, and what stood there before."""

    folder: Path
    converter: Path
    source: dict[str, bytes] | None
    whole: dict[str, bytes] | None
    old: dict[str, bytes]

    def command(self) -> tuple[str, ...]:
        """The arguments of the conversion."""
        return ("to-mcore", "hf", "mcore", *MESH)

    def check(self, overwrite: bool = False) -> str:
        """What stands under the name of the target, `none`, `old` or `whole`; nothing else may, and the source stays."""
        assert content(self.folder / "hf") == self.source
        assert set(os.listdir(self.folder)) - BESIDE <= {"hf", "mcore"}
        found = content(self.folder / "mcore")
        if found is None:
            return "none"
        assert found in (self.whole, self.old if overwrite else self.whole)
        return "whole" if found == self.whole else "old"

    def set_up(self, overwrite: bool) -> None:
        """Everything is as it was before the first run."""
        for name in {"mcore", *BESIDE} & set(os.listdir(self.folder)):
            remove(self.folder / name)
        for name, data in self.old.items() if overwrite else ():
            path = self.folder / "mcore" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    for below in sorted(path.rglob("*"), reverse=True) if path.is_dir() else ():
        below.rmdir() if below.is_dir() else below.unlink()
    path.rmdir() if path.is_dir() else path.unlink()


def new_place(path: Path) -> Place:
    """A folder `folder` in one that exists, and the converter beside it."""
    folder = path / "folder"
    write_source(folder / "hf")
    converter = write_converter(path / "toy.py")
    assert convert_here(folder, "--quiet") == (0, "")
    whole = content(folder / "mcore")
    assert whole is not None
    old = {RANK: whole[RANK][::-1], "notes/old.txt": b"old", "config.json": b"{}"}
    return Place(folder, converter, content(folder / "hf"), whole, old)


class Ended(NamedTuple):
    """How a process ended: its exit code, or minus the signal; what it printed; the steps that it told."""

    code: int
    out: str
    err: str
    steps: tuple[str, ...]


def start(
    place: Place, fault: dict[str, Any], *arguments: str
) -> subprocess.Popen[str]:
    """Start the command line of the converter in a folder, and hit it with a fault; see faulty.py."""
    program = str(Path(__file__).parent / "faulty.py")
    converter = str(place.converter)
    command = [sys.executable, program, converter, json.dumps(fault), *arguments]
    return subprocess.Popen(
        command,
        cwd=place.folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen[str]) -> Ended:
    """Wait for its end."""
    out, err = process.communicate(timeout=120)
    lines = err.splitlines()
    steps = [line[5:] for line in lines if line.startswith("step ")]
    said = "".join(f"{line}\n" for line in lines if not line.startswith("step "))
    return Ended(process.returncode, out, said, tuple(steps))


def convert(place: Place, fault: dict[str, Any], *arguments: str) -> Ended:
    """Convert `hf` to `mcore` in a process that is hit by a fault."""
    return end(start(place, fault, *place.command(), *arguments))


def convert_here(folder: Path, *arguments: str) -> tuple[int, str]:
    """The same in this process, without a fault; the exit code, and what was printed."""
    paths = (str(folder / "hf"), str(folder / "mcore"))
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()):
        code = load_toy().main(["to-mcore", *paths, *MESH, *arguments])
    return code, out.getvalue()


def content(path: Path) -> dict[str, bytes] | None:
    """The files of a checkpoint, but for the ledger; None where it does not exist."""
    if not os.path.lexists(path):
        return None
    files = files_of(path)
    files.pop(LEDGER, None)
    return files


def phase_of(steps: tuple[str, ...]) -> str:
    """The phase of a run that has told these steps, the last of which it is about to do."""
    if any(step.startswith("exchange ") for step in steps):
        return "exchanging"
    return "writing" if any(step.startswith("os.mkdir") for step in steps) else "before"


def steps_in(phase: str, steps: tuple[str, ...]) -> list[int]:
    """The numbers of the steps in a phase."""
    phases = [phase_of(steps[: number + 1]) for number in range(len(steps))]
    return [number for number, found in enumerate(phases) if found == phase]
