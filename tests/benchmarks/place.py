"""The folder of a run: models and converters, each made when it is first asked for, and outputs that come and go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mapc.compiler.driver import compile_file

from .clock import remove, touch_memory
from .files import Stored, read_folder
from .models import MODELS, Config, write_model

OUTPUTS = ("cp", "floor", "ours", "output", "other")
ROOT = Path(__file__).parents[2]
MAPS = Path(__file__).parent / "maps"


@dataclass(frozen=True)
class Place:
    """`quick` is for tiny models, `rounds` is how often each clock runs."""

    folder: Path
    quick: bool
    rounds: int

    def model(self, name: str) -> Path:
        """The folder of a model, as a hub has it."""
        folder = self.folder / f"model-{name}"
        if not folder.exists():
            write_model(MODELS[name], folder, self.quick)
        return folder

    def config(self, name: str) -> Config:
        return MODELS[name].sizes(self.quick)

    def tensors(self, name: str) -> dict[str, Stored]:
        return read_folder(self.model(name))

    def converter(self, name: str) -> Path:
        """The file of the converter of a map, compiled by the mapc that stands here."""
        path = self.folder / "converters" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        text = _compiled(name)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        return path

    def fresh(self, name: str) -> Path:
        """A folder that is not there."""
        folder = self.folder / name
        remove(folder)
        return folder

    def clear(self) -> None:
        """Remove the outputs."""
        for name in OUTPUTS:
            remove(self.folder / name)

    def forget_models(self, still_needed: Iterable[str]) -> None:
        """Remove the models, and what was made of them, that no later work needs."""
        for folder in self.folder.iterdir():
            kind, _, rest = folder.name.partition("-")
            name = rest.rpartition("-")[0] if kind == "there" else rest
            if kind in ("model", "there") and name not in still_needed:
                remove(folder)

    def touch(self, size: int) -> None:
        touch_memory(self.folder, 0 if self.quick else size)


@cache
def _compiled(name: str) -> str:
    return compile_file(MAPS / f"{name}.map").module
