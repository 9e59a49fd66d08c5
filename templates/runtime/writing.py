"""Writing a checked conversion: the files of tensors on several threads, then what stands beside them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from .casting import cast_scratch, computing_memory
from .compare import verify_header, verify_part
from .output_files import OutputFile
from .source_folder import SourceFolder
from .stored import StoredTensor
from .stream import (
    CHUNK,
    Assembler,
    assembler_memory,
    create_file,
    file_parts,
    write_part,
)
from .target_folder import check_room, target_folder
from .torch_files import held_memory
from .workers import Meter, Progress, choose_threads, run_jobs


class TargetContent(NamedTuple):
    """All that a target directory will hold."""

    files: list[OutputFile]
    documents: Mapping[
        str, Mapping[str, Any]
    ]  # JSON files by name, in the order of writing
    copied: list[str]  # names of files of the source


def prepare_writing(
    source: SourceFolder,
    content: TargetContent,
    target: str,
    threads: int | None,
    max_memory: int | None,
) -> int:
    """The number of threads to write with.

    Raises ConversionError where one thread takes more memory than allowed, OSError where the disk is too full.
    """
    copied = sum(
        os.path.getsize(os.path.join(source.path, name)) for name in content.copied
    )
    check_room(target, copied + sum(file.size for file in content.files))
    held = sum(held_memory(tensors) for tensors in source.tensors.values())
    per_thread = assembler_memory(CHUNK, _cast_scratch(content.files))
    per_thread += _computing_memory(content.files)
    return choose_threads(threads, per_thread, held, max_memory)


def write_target(
    source: SourceFolder,
    content: TargetContent,
    target: str,
    threads: int,
    verify: bool,
    progress: Progress | None,
) -> None:
    """Write a target directory, whole or not at all; with `verify` its tensors are computed twice and compared."""
    total = sum(file.size - len(file.header) for file in content.files)
    meter = Meter(total * (2 if verify else 1), progress)
    with target_folder(target) as folder, _one_torch_thread():
        for file in content.files:
            os.makedirs(os.path.dirname(os.path.join(folder, file.name)), exist_ok=True)
            create_file(file, os.path.join(folder, file.name))
        run_jobs(
            _jobs(source.tensors, content.files, folder, threads, verify, meter),
            threads,
            meter,
        )
        if verify:
            for file in content.files:
                verify_header(file, os.path.join(folder, file.name))
        for name in content.copied:
            shutil.copyfile(os.path.join(source.path, name), os.path.join(folder, name))
        for name, document in content.documents.items():
            with open(os.path.join(folder, name), "x", encoding="ascii") as text:
                text.write(json.dumps(document, indent=2) + "\n")


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """torch, if it is loaded, stays in the thread that calls it: waiting for others takes longer than a chunk."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _jobs(
    found: Mapping[Any, Mapping[str, StoredTensor]],
    files: list[OutputFile],
    folder: str,
    threads: int,
    verify: bool,
    meter: Meter,
) -> list[Callable[[], None]]:
    """A job a file, or several where there are fewer files than threads."""
    scratch = _cast_scratch(files)

    def job(file: OutputFile, part: range) -> None:
        path = os.path.join(folder, file.name)
        assembler = Assembler(found, CHUNK, scratch)
        try:
            write_part(assembler, file, part, path, meter.add)
            if verify:
                verify_part(assembler, file, part, path, meter.add)
        finally:
            assembler.close()

    parts = -(-threads // max(1, len(files)))
    return [
        partial(job, file, part) for file in files for part in file_parts(file, parts)
    ]


def _cast_scratch(files: list[OutputFile]) -> int:
    tensors = [tensor for file in files for tensor in file.tensors]
    cast = {(t.transfer.dtype, t.dtype) for t in tensors if not t.transfer.changes}
    computed = {
        (change.dtype, tensor.dtype)
        for tensor in tensors
        for change in tensor.transfer.changes
        if change.filled is None
    }
    return cast_scratch({pair for pair in cast if pair[0] != pair[1]} | computed, CHUNK)


def _computing_memory(files: list[OutputFile]) -> int:
    computed = any(tensor.transfer.changes for file in files for tensor in file.tensors)
    return computing_memory(CHUNK) if computed else 0
