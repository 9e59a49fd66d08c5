"""Checkpoints of torch.distributed.checkpoint: files of chunks, and `.metadata` that say where each is.

Written so that a loader that wants a part of a tensor reads little else: large tensors are cut along their first axes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from .checks import NO_TENSOR
from .dcp_chunks import Chunked
from .dcp_metadata import METADATA_FILE, read_metadata
from .dcp_output import dcp_metadata, dcp_outputs
from .errors import ConversionError
from .latest import latest_documents, latest_files, place_below
from .output_files import OutputFile
from .plain_header import bytes_spanned
from .plan import Plan
from .source_files import SourceFiles, what_is
from .source_folder import is_plain_name
from .stored import StoredTensor, StoredTensors
from .torch_output import STATE, plain_file

BACKEND_FILE = "metadata.json"
BACKEND = "torch_dist"
COMMON_FILE = "common.pt"


class DcpFolder(NamedTuple):
    """The folder of a layout without ranks that holds its chunks."""

    folder: str
    form: str = "dcp"

    def is_there(self, path: str, mesh_class: Any) -> bool:
        """A layout without ranks has no other format."""
        return True

    def mesh_there(self, path: str, side: Any, mesh_class: Any) -> Any:
        """There is none."""

    def read(
        self, files: SourceFiles, mesh: Any
    ) -> tuple[tuple[str, ...], dict[Any, StoredTensors]]:
        """What was read, and the tensors."""
        folder = os.path.dirname(
            os.path.join(*place_below(files, f"{self.folder}/{METADATA_FILE}"))
        )
        path = files.place(os.path.join(folder, METADATA_FILE))
        if not os.path.isfile(path):
            raise ConversionError(
                f"{path}: expected the metadata of a torch.distributed checkpoint, found {what_is(path)}"
            )
        others = list(_backend_files(files, folder))
        found, none, seen = read_metadata(path)
        files.seen[path] = seen
        tensors = {name: StoredTensor(NO_TENSOR, (), path, 0, 0) for name in none}
        for name, one in found.items():
            size = 0 if 0 in one.shape else bytes_spanned(one.dtype, one.shape)
            kept = path, 0, size, None, seen, Chunked(name, one, folder)
            tensors[name] = StoredTensor(one.dtype, one.shape, *kept)
        chunks = {chunk.file: None for one in found.values() for chunk in one.chunks}
        every = (METADATA_FILE, *others, *filter(is_plain_name, chunks))
        read = [os.path.join(folder, name) for name in every]
        return (*latest_files(files), *read), {None: StoredTensors(path, tensors)}

    def outputs(
        self, plan: Plan, ranks: list[Any], dtype: str | None, most: int
    ) -> list[OutputFile]:
        """Files of at most `most` bytes of tensors."""
        return dcp_outputs(self.folder, plan.transfers(None), dtype, most)

    def documents(self, files: list[OutputFile]) -> dict[str, Any]:
        """What is written besides these files: where their chunks are, and what else a loader looks for."""
        backend = {
            "sharded_backend": BACKEND,
            "sharded_backend_version": 1,
            "common_backend": "torch",
            "common_backend_version": 1,
        }
        return {
            **latest_documents(files),
            f"{self.folder}/{COMMON_FILE}": plain_file(STATE),
            f"{self.folder}/{BACKEND_FILE}": backend,
            f"{self.folder}/{METADATA_FILE}": dcp_metadata(files),
        }


def _backend_files(files: SourceFiles, folder: str) -> Iterator[str]:
    """The files that Megatron writes besides the chunks, where they are there; ConversionError for another backend."""
    name = os.path.join(folder, BACKEND_FILE)
    if os.path.lexists(os.path.join(files.path, name)):
        backend = files.document(name).get("sharded_backend")
        if backend != BACKEND:
            raise ConversionError(
                f"{os.path.join(files.path, name)}: sharded_backend: expected {BACKEND}, found {backend!r}"
            )
        yield BACKEND_FILE
    if os.path.lexists(os.path.join(files.path, folder, COMMON_FILE)):
        yield COMMON_FILE
