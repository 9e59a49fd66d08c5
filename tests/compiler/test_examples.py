"""Hard maps, whole: each is proven, converts in both directions as the torch code beside it says, and passes its own test.

`examples/NAME.py` says for `examples/NAME.map`: `CASES`, each the sizes, with a mesh, options, and `read`, options of
the way back; `configs(c)`, what both layouts' configs say; `left(c)`, the left tensors or their shapes;
`right(tensors, c, mesh, rank)`, what a rank of the other layout holds of them. `left_too(tensors, c)` are further left
checkpoints that come to the same, `right_too(tensors, c)` further right ones.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mapc.compiler import compile_file
from mapc.dsl.formatter import format_file
from mapc.dsl.parser import parse
from mapc.dsl.source import Source

from .generated import of_file

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.map"))
# Their generated tests are run; those of all with MAPC_LONG=1.
CHOSEN = ("ernie4_5_vl_moe", "gpt_oss", "neuron_llama", "olmo3moe", "t5_cs16")
ABOUT = {"mesh", "options", "read"}
Tensors = dict[str, torch.Tensor]


@cache
def sidecar(path: Path) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(path.with_suffix(".py"))))


def cases() -> Iterator[Any]:
    for path in EXAMPLES:
        for number, case in enumerate(sidecar(path).CASES):
            yield pytest.param(path, case, id=f"{path.stem}-{number}")


class Example:
    """A case of a map: its two configs, and the left checkpoint."""

    def __init__(self, path: Path, case: dict[str, Any]) -> None:
        self.side, self.module = sidecar(path), of_file(path)
        names = self.module.converter()
        self.layouts = (names.left.name, names.right.name)
        self.options, self.read = case.get("options", {}), case.get("read", {})
        sizes = {key: value for key, value in case.items() if key not in ABOUT}
        self.sizes = SimpleNamespace(**sizes, **self.options)
        self.configs = self.side.configs(self.sizes)
        self.config = self.from_config(0, self.options)
        meshes = case.get("mesh", {})
        self.mesh = self.module.Mesh(**meshes) if "Mesh" in vars(self.module) else None
        self.ranks = self.mesh.ranks() if self.mesh else [None]

    def from_config(self, side: int, options: dict[str, Any]) -> Any:
        read = getattr(self.module.Config, f"from_{self.layouts[side]}")
        return read(self.configs[side], **options)

    def to_config(self, config: Any, side: int) -> dict[str, Any]:
        """What is written, without what is kept for the way back."""
        written = dict(getattr(config, f"to_{self.layouts[side]}")())
        written.pop("mapc", None)
        return written

    def left(self) -> Tensors:
        return numbered(self.side.left(self.sizes))

    def right(self, tensors: Tensors, rank: Any) -> Tensors:
        made = self.side.right(tensors, self.sizes, self.mesh, rank)
        return {name: tensor.contiguous() for name, tensor in made.items()}

    def to_right(self, tensors: Tensors, rank: Any) -> Tensors:
        where = (self.mesh, rank) if self.mesh else ()
        to = getattr(self.module, f"to_{self.layouts[1]}")
        return dict(to(tensors, self.config, *where))

    def to_left(self, tensors: Any, config: Any) -> Tensors:
        to = getattr(self.module, f"to_{self.layouts[0]}")
        if self.mesh is None:
            return dict(to(tensors[None], config))
        return dict(to(tensors, config, self.mesh))


def numbered(given: dict[str, Any]) -> Tensors:
    """Tensors as they are given; of shapes, tensors in which every element is a number of its own."""
    found, start = {}, 1
    for name, one in given.items():
        if not isinstance(one, torch.Tensor):
            count = torch.Size(one).numel()
            one = torch.arange(start, start + count, dtype=torch.float32).reshape(one)
            start += count
        found[name] = one
    assert start < 2**24, "beyond this float32 does not hold every whole number"
    return found


every_case = pytest.mark.parametrize(("path", "case"), list(cases()))
every_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


@every_example
def test_it_is_in_its_canonical_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_file(parse(Source(path.name, text))) == text


@every_case
def test_configs(path: Path, case: dict[str, Any]) -> None:
    example = Example(path, case)
    left, right = example.configs
    assert example.to_config(example.config, 1) == right
    assert example.to_config(example.from_config(1, example.read), 0) == left


@every_case
def test_right(path: Path, case: dict[str, Any]) -> None:
    example = Example(path, case)
    tensors = example.left()
    too = getattr(example.side, "left_too", lambda tensors, c: ())
    for given in (tensors, *too(tensors, example.sizes)):
        for rank in example.ranks:
            found = example.to_right(shuffled(given), rank)
            assert_same(found, example.right(tensors, rank))


@every_case
def test_left(path: Path, case: dict[str, Any]) -> None:
    example = Example(path, case)
    tensors = example.left()
    ranks = {rank: example.right(tensors, rank) for rank in reversed(example.ranks)}
    too = getattr(example.side, "right_too", lambda ranks, c: ())
    for given in (ranks, *too(ranks, example.sizes)):
        given = {rank: shuffled(own) for rank, own in given.items()}
        config = example.from_config(1, example.read)
        assert_same(example.to_left(given, config), tensors)


def shuffled(tensors: Tensors) -> Tensors:
    return dict(sorted(tensors.items(), key=lambda item: item[0][::-1]))


def assert_same(found: Tensors, expected: Tensors) -> None:
    """The same names, shapes, dtypes and elements."""
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        assert found[name].shape == tensor.shape, name
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name


def test_their_own_tests_pass(tmp_path: Path) -> None:
    for path in EXAMPLES:
        if path.stem in CHOSEN or os.environ.get("MAPC_LONG") == "1":
            made = compile_file(path)
            (tmp_path / f"{made.stem}.py").write_text(made.module, encoding="utf-8")
            test = tmp_path / f"test_{made.stem}.py"
            test.write_text(made.test, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout, done.stdout[-3000:]
