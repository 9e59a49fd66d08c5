"""The recorded conversions of other software: where they lie, and how one is read.

A case is a folder with `meta.json`, the configs of both sides and the tensors: `src.safetensors`, and `dst.safetensors`
or, where the target is sharded, the file of each rank that `ranks` in meta.json names. The records are no part of this
project. The environment variable MAPC_ORACLE_DIR says where they are; without it they are looked for beside the
repository, in `../shared/oracle`. Where there are none, a test that needs them is skipped and says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

Tensors = dict[str, torch.Tensor]

ROOT = Path(
    os.environ.get("MAPC_ORACLE_DIR") or Path(__file__).parents[3] / "shared" / "oracle"
)


@dataclass(frozen=True)
class Case:
    """One recorded conversion."""

    path: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        return self.json("meta.json")

    @cached_property
    def source(self) -> Tensors:
        return load_file(self.path / "src.safetensors")

    @cached_property
    def target(self) -> Tensors:
        """The target of a conversion that is not sharded."""
        return load_file(self.path / "dst.safetensors")

    def json(self, name: str) -> dict[str, Any]:
        return json.loads((self.path / name).read_text())

    def ranks(self, fields: tuple[str, ...]) -> dict[tuple[int, ...], Tensors]:
        """The local tensors of every rank, by the coordinates that `fields` name.

        A mesh dimension that is none of `fields` must not tell two ranks apart: the converter has no such dimension.
        """
        files: dict[tuple[int, ...], str] = {}
        for rank in self.meta["ranks"]:
            files.setdefault(tuple(rank[field] for field in fields), rank["file"])
        spare = {
            name: n
            for name, n in self.meta["mesh"].items()
            if name not in fields and n > 1
        }
        assert (
            not spare
        ), f"the case is sharded over {spare}, the converter over {fields}"
        return {at: load_file(self.path / name) for at, name in files.items()}


def cases(*patterns: str, that: Callable[[Case], bool] | None = None) -> list[Any]:
    """The cases that match, as parameters of a test; one skipped parameter where there is none."""
    found = sorted(
        path for pattern in patterns for path in ROOT.glob(pattern) if path.is_dir()
    )
    if that is not None:
        found = [path for path in found if that(Case(path))]
    if found:
        return [pytest.param(Case(path), id=path.name) for path in found]
    reason = (
        f"no recorded case {' or '.join(patterns)} (MAPC_ORACLE_DIR names their folder)"
    )
    return [pytest.param(None, id="missing", marks=pytest.mark.skip(reason=reason))]


def beside(value: str, found: list[Any]) -> list[Any]:
    """These cases with another parameter beside each."""
    return [
        pytest.param(*one.values, value, id=f"{one.id}-{value}", marks=one.marks)
        for one in found
    ]


def assert_same(
    found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> None:
    """The same names, shapes, dtypes and bytes."""
    assert kinds(found) == kinds(expected)
    wrong = {name: first_difference(found[name], expected[name]) for name in expected}
    assert {name: at for name, at in wrong.items() if at is not None} == {}


def kinds(
    tensors: Mapping[str, torch.Tensor],
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    return {
        name: (tuple(tensor.shape), tensor.dtype)
        for name, tensor in sorted(tensors.items())
    }


def first_difference(found: torch.Tensor, expected: torch.Tensor) -> int | None:
    """The offset of the first byte that differs, or None. Bytes, since NaN differs from itself and -0 equals 0."""
    a, b = (
        t.detach().contiguous().reshape(-1).view(torch.uint8) for t in (found, expected)
    )
    different = torch.nonzero(a != b)
    return int(different[0]) if len(different) else None
