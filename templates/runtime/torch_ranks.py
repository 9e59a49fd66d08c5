"""Checkpoints of a file of torch.save a rank, each with a state of training, as Megatron keeps them.

What stands in brackets in the name of a file is left out where it is the same for all ranks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from .errors import ConversionError
from .latest import below_release, latest_documents, latest_files, place_below
from .layouts import Side
from .nested_torch import read_nested_file
from .output_files import Blocks, OutputFile
from .plan import Plan
from .source_files import SourceFiles
from .source_folder import (
    blank_name,
    check_rank_files,
    mesh_in,
    names_like,
    rank_pattern,
    rank_text,
    read_weights,
)
from .stored import StoredTensors
from .torch_output import torch_output

SECTION = re.compile(r"\[([^][]*)\]")


class TorchRanks(NamedTuple):
    """The files of a layout by rank, as the map names them."""

    file: Callable[[Any], str]
    form: str = "torch"

    def is_there(self, path: str, mesh_class: Any) -> bool:
        """Whether a directory has such files."""
        return bool(self._there(path, mesh_class))

    def mesh_there(self, path: str, side: Side, mesh_class: Any) -> Any:
        """The mesh that the names of its files show; ConversionError where they leave it open."""
        there = self._there(path, mesh_class)
        for found in there:
            groups = found.groupdict().items()
            kept = {text is not None for name, text in groups if name[0] == "_"}
            if len(kept) > 1:
                raise ConversionError(
                    f"{os.path.join(path, found.string)}: expected to be told the mesh, since this name leaves open "
                    "whose number it has; say which mesh it is"
                )
        return mesh_in(there, mesh_class)

    def _there(self, path: str, mesh_class: Any) -> list[re.Match[str]]:
        """The files of this kind in a directory; a group each for coordinates and for what stood in brackets."""
        blank = blank_name(self.file, mesh_class)
        pattern = rank_pattern(
            os.path.join(*place_below(SourceFiles(path, True), blank)), mesh_class
        )
        for number in range(len(SECTION.findall(blank))):
            pattern = pattern.replace(r"\[", f"(?P<_{number}>", 1)
        return names_like(path, pattern.replace(r"\]", ")?"))

    def read(
        self, files: SourceFiles, mesh: Any
    ) -> tuple[tuple[str, ...], dict[Any, StoredTensors]]:
        """What was read, and the tensors of each rank; ConversionError where a file is missing or left over."""
        texts = {rank: SECTION.sub(r"\1", self.file(rank)) for rank in mesh.ranks()}
        folder, first = place_below(files, next(iter(texts.values())))
        if not os.path.isfile(os.path.join(files.path, folder, first)):
            texts = self.names(mesh.ranks())
        names = {rank: below_release(text) for rank, text in texts.items()}
        check_rank_files(os.path.join(files.path, folder), names, mesh)
        paths = {rank: os.path.join(folder, name) for rank, name in names.items()}
        tensors = {
            rank: read_weights(files, path, read_nested_file)
            for rank, path in paths.items()
        }
        return (*latest_files(files), *paths.values()), tensors

    def names(self, ranks: list[Any]) -> dict[Any, str]:
        """The file of each rank; ConversionError where two have the same, which cannot hold the tensors of both."""
        texts = {rank: self.file(rank) for rank in ranks}
        sections = zip(*(SECTION.findall(text) for text in texts.values()))
        kept = [len(set(found)) > 1 for found in sections]
        names: dict[Any, str] = {}
        of_name: dict[str, Any] = {}
        for rank, text in texts.items():
            for section, is_kept in zip(SECTION.findall(text), kept):
                text = text.replace(f"[{section}]", section if is_kept else "", 1)
            other = of_name.setdefault(text, rank)
            if other != rank:
                raise ConversionError(
                    f"{text}: expected the file of one rank, found it for {rank_text(other)} and for {rank_text(rank)}, "
                    "which this format does not tell apart; choose another mesh"
                )
            names[rank] = text
        return names

    def outputs(
        self, plan: Plan, ranks: list[Any], dtype: str | None, most: int
    ) -> list[OutputFile]:
        """A file a rank, whatever it takes."""
        known: dict[int, Blocks] = {}
        return [
            torch_output(name, plan.transfers(rank), dtype, known)
            for rank, name in self.names(ranks).items()
        ]

    def documents(self, files: list[OutputFile]) -> dict[str, bytes]:
        """What is written besides these files: which folder is the latest."""
        return latest_documents(files)
