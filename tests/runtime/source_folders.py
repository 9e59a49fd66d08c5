"""Source directories as the runtime opens them, for the tests of whole checkpoints and of rank files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.layouts import Side
from mapc.templates.runtime.source_folder import SourceFolder, open_source

from .files import Stored, coded

TENSORS = {name: coded(i, "BF16", 3, i) for i, name in enumerate("abcdef", 1)}


class Rank(NamedTuple):
    tp: int
    pp: int


@dataclass(frozen=True)
class Mesh:
    tp: int = 1
    pp: int = 1

    def ranks(self) -> list[Rank]:
        return [Rank(tp, pp) for tp in range(self.tp) for pp in range(self.pp)]


HF = Side("hf", dict, dict, None)
MCORE = HF._replace(
    name="mcore",
    file=lambda rank: f"mp_rank_{rank.tp:02}_{rank.pp:03}/model.safetensors",
)


def opened(path: Path) -> SourceFolder:
    return open_source(str(path), HF, None, None)


def opened_ranks(path: Path, claimed: Any = None) -> SourceFolder:
    return open_source(str(path), MCORE, Mesh, claimed)


def contents(folder: SourceFolder) -> dict[Any, dict[str, Stored]]:
    """The tensors that a folder points to, read from where it says."""
    found: dict[Any, dict[str, Stored]] = {}
    for rank, tensors in folder.tensors.items():
        found[rank] = {}
        for name, tensor in tensors.items():
            data = Path(tensor.path).read_bytes()[
                tensor.begin : tensor.begin + tensor.size
            ]
            found[rank][name] = Stored(tensor.dtype, tensor.shape, data)
    return found


def refused(
    path: Path, name: str, message: str, claimed: Any = None, mesh: bool = False
) -> None:
    with pytest.raises(ConversionError) as error:
        opened_ranks(path, claimed) if mesh else opened(path)
    assert str(error.value) == f"{path / name if name else path}: {message}"
