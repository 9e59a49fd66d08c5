"""Every shipped converter with kernels and without: the same bytes, in few launches."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import prod
from types import ModuleType
from typing import Any

import pytest
import torch

from .loading import GENERATED, committed
from .variants import is_compiled

TESTS = sorted(path.stem for path in GENERATED.glob("test_*.py"))
MOST_LAUNCHES = 8
RENAMING = {"test_olmo2_hf_olmo"}  # every target is a view


@cache
def suite(stem: str) -> ModuleType:
    """The generated tests of a converter, which have configs, meshes and checkpoints for it."""
    return committed(stem)


def ranks(case: tuple[Any, Any]) -> int:
    return prod(vars(case[1]).values()) if case[1] else 1


def flat(tensors: dict[Any, Any]) -> Iterator[tuple[Any, torch.Tensor]]:
    """The tensors of one rank or of several."""
    for key, value in tensors.items():
        if isinstance(value, dict):
            yield from (((key, name), tensor) for name, tensor in value.items())
        else:
            yield key, value


def bits(tensors: dict[Any, Any]) -> dict[Any, tuple[Any, bytes]]:
    return {
        name: (
            (tensor.dtype, tuple(tensor.shape)),
            tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes(),
        )
        for name, tensor in flat(tensors)
    }


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("stem", TESTS)
def test_the_same_bytes(stem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = suite(stem)
    launches: list[int] = []
    launch = tests.m.MoveTable.launch

    def counted(table: Any) -> None:
        launches.append(table.launches)
        assert all(is_compiled(kernel) for kernel, _ in table._launches)
        launch(table)

    monkeypatch.setattr(tests.m.MoveTable, "launch", counted)
    config, mesh = max(tests.CASES, key=ranks)
    source = {
        name: tensor.short() if tensor.dtype == torch.int64 else tensor
        for name, tensor in tests.checkpoint(config, mesh).items()
    }
    there = tests.there(source, config, mesh)
    back = tests.back(there, config, mesh)
    assert bool(launches) == (stem not in RENAMING)
    assert max(launches, default=0) <= MOST_LAUNCHES
    with monkeypatch.context() as patch:
        patch.delenv("MAPC_KERNELS")
        count = len(launches)
        expected = tests.there(source, config, mesh)
        assert bits(there) == bits(expected)
        assert bits(back) == bits(tests.back(expected, config, mesh))
        assert len(launches) == count  # none of them were made by kernels
