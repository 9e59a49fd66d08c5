"""The shipped converters on the small checkpoints of their own tests, written as directories."""

from __future__ import annotations

import json
import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import save_file

GENERATED = Path(__file__).parents[2] / "generated"


MANY = 4  # cases


class Shipped(NamedTuple):
    """A converter on one config and one mesh: `test` is the module of its own test, `module` the converter there."""

    test: Any
    number: int

    @property
    def module(self) -> Any:
        return self.test.m

    @property
    def config(self) -> Any:
        return self.test.CASES[self.number][0]

    @property
    def mesh(self) -> Any:
        return self.test.CASES[self.number][1]

    @property
    def layouts(self) -> tuple[str, str]:
        """The one without ranks, or the left one, and the other."""
        made = self.module.converter()
        assert made.left.file is None
        return made.left.name, made.right.name

    @property
    def choices(self) -> dict[str, Any]:
        """The options and variants by name."""
        made = self.module.converter()
        return {
            name: getattr(self.config, name) for name in (*made.options, *made.variants)
        }

    def tensors(self) -> dict[str, torch.Tensor]:
        """A checkpoint in which every element is a number of its own."""
        found: dict[str, torch.Tensor] = self.test.checkpoint(self.config, self.mesh)
        return {name: tensor.clone() for name, tensor in found.items()}

    def write(self, path: Path, tensors: dict[str, torch.Tensor] | None = None) -> Path:
        """A directory of the layout without ranks."""
        path.mkdir()
        tensors = self.tensors() if tensors is None else tensors
        save_file(tensors, path / "model.safetensors", {"format": "pt"})
        config = getattr(self.config, f"to_{self.layouts[0]}")()
        (path / "config.json").write_text(json.dumps(config))
        return path

    def convert(self, source: Path, target: Path, mesh: Any = None) -> Path:
        """The same in the other layout, on the mesh of the case or on another."""
        settings = {} if self.mesh is None else {"mesh": mesh or self.mesh}
        self.module.convert_checkpoint(
            source, target, self.layouts[1], **settings, **self.choices
        )
        return target


@cache
def _test_of(stem: str) -> Any:
    path = GENERATED / f"test_{stem}.py"
    spec = spec_from_file_location(f"proof_{stem}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def every_case(one_in: int = 1) -> list[Any]:
    """Each case of each shipped converter, as a parameter of a test.

    Of converters with many cases all but one in so many are left to the long run; which these are differs from one
    converter to the next.
    """
    stems = [path.stem.removeprefix("test_") for path in GENERATED.glob("test_*.py")]
    return [
        pytest.param(
            Shipped(_test_of(stem), number),
            id=f"{stem}-{number}",
            marks=[pytest.mark.long] if (number + shift) % one_in and many else [],
        )
        for shift, stem in enumerate(sorted(stems))
        for many in [len(_test_of(stem).CASES) > MANY]
        for number in range(len(_test_of(stem).CASES))
    ]
