"""Writing a checked conversion: the files of tensors on several threads, then what stands beside them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from .account import Account, Clock
from .beside import copy_files, write_documents
from .casting import cast_scratch, computing_memory
from .columns import write_siblings
from .footprint import taken_memory
from .narrowing import Narrowing, may_narrow
from .output_files import OutputFile
from .recipe import Copy
from .resuming import keep_files, open_outputs, resume_file
from .runs import LONG_RUN
from .sharing import Shares
from .siblings import alone, find_siblings
from .source_files import check_unchanged
from .source_folder import SourceFolder
from .stored import StoredTensor
from .stream import CHUNK, Assembler, assembler_memory, create_file
from .strided import StridedBlock, copy_block
from .target_folder import LEDGER_FILE, TargetPlace, check_room, target_folder
from .torch_files import held_memory
from .values import Change
from .verifying import verify_header, verify_siblings
from .workers import Meter, Needs, Progress, choose_threads, run_threads

THREAD = 1 << 20  # bytes of a thread besides its buffers: stack, heap of its own
REST = 2 << 20  # bytes for what comes besides the threads: documents, report
READ_BACK = 16  # bytes that reading a header takes for each of its bytes


class TargetContent(NamedTuple):
    """All that a target directory will hold."""

    files: list[OutputFile]
    documents: Mapping[
        str, Mapping[str, Any]
    ]  # JSON files by name, in the order of writing
    copied: list[str]  # names of files of the source
    by_rank: bool  # a file a rank, not shards of one
    narrowing: Narrowing


def prepare_writing(
    source: SourceFolder,
    content: TargetContent,
    target: TargetPlace,
    threads: int | None,
    verify: bool,
    max_memory: int | None,
) -> int:
    """The number of threads to write with.

    Raises ConversionError where one thread takes more memory than allowed, OSError where the disk is too full.
    """
    copied = sum(
        os.path.getsize(os.path.join(source.path, name)) for name in content.copied
    )
    check_room(target, copied + sum(file.size for file in content.files))
    if max_memory is not None and any(map(_needs_arrays, content.files)):
        _load_arrays()
    header = max((len(file.header) for file in content.files), default=0)
    needs = Needs(
        taken_memory(),
        sum(held_memory(tensors) for tensors in source.tensors.values()),
        REST + (READ_BACK * header if verify else 0),
        assembler_memory(CHUNK, _cast_scratch(content.files))
        + _computing_memory(content.files)
        + THREAD,
    )
    return choose_threads(threads, needs, max_memory)


def write_target(
    source: SourceFolder,
    content: TargetContent,
    target: TargetPlace,
    threads: int,
    verify: bool,
    progress: Progress | None,
    account: Account,
    ledger: Callable[[], Mapping[str, Any]],
) -> None:
    """Write a target directory, whole or not at all; with `verify` its tensors are computed twice and compared.

    `ledger` is called when all the rest is written.
    """
    total = sum(file.size - len(file.header) for file in content.files)
    meter = Meter(total * (2 if verify else 1), progress, account)
    with target_folder(target) as folder, _one_torch_thread():
        account.begin("writing")
        kept = keep_files(folder, {file.name for file in content.files})
        for file in content.files:
            path = os.path.join(folder, file.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            (resume_file if file.name in kept else create_file)(file, path)
        _write_files(source.tensors, content, folder, threads, verify, meter, kept)
        account.begin("finishing")
        if verify:
            for file in content.files:
                verify_header(file, os.path.join(folder, file.name), account.look)
        copy_files(source.path, folder, content.copied, verify)
        write_documents(folder, content.documents, verify)
        write_documents(folder, {LEDGER_FILE: ledger()}, verify)
        check_unchanged(source.folder.seen)


def _write_files(
    found: Mapping[Any, Mapping[str, StoredTensor]],
    content: TargetContent,
    folder: str,
    threads: int,
    verify: bool,
    meter: Meter,
    kept: Collection[str],
) -> None:
    """Fill the files of a folder, which have been created; of those in `kept` what differs."""
    # The ranks take their shares of the same tensors, which are read once if all files grow together. Shards do not.
    files, together = content.files, len(content.files) if content.by_rank else threads
    groups = find_siblings(found, files) if content.by_rank else list(map(alone, files))
    shares, scratch = Shares(groups, together), _cast_scratch(files)
    clocks: list[Clock] = []

    def work() -> None:
        clock = Clock(meter.add)
        clocks.append(clock)
        assembler = Assembler(found, CHUNK, scratch, content.narrowing)
        try:
            for siblings, part in shares.take():
                clock.start()
                with open_outputs(folder, siblings.files, kept, clock) as outputs:
                    write_siblings(assembler, siblings, part, outputs, clock)
                clock.stop()
                if verify:
                    verify_siblings(assembler, siblings, part, folder, meter.add)
                    clock.verified()
            meter.account.look()
        finally:
            assembler.close()

    run_threads(work, max(1, min(threads, shares.count)), meter)
    meter.account.share_out(clocks, len(files))


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


def _needs_arrays(file: OutputFile) -> bool:
    """Whether something in a file may be copied as a strided block."""
    return any(
        _is_strided(copy) for tensor in file.tensors for copy in tensor.blocks.copies
    )


def _is_strided(copy: Copy) -> bool:
    """Whether a copy is not made of long runs, if its elements are as small as they can be."""
    if copy.steps[-1:] == copy.strides[-1:] == (1,):
        return len(copy.counts) > 1 and copy.counts[-1] < LONG_RUN
    return copy.counts != ()


def _load_arrays() -> None:
    """Import what strided blocks are copied with, as the first of them would."""
    block = StridedBlock(0, (1,), 0, (1,), (1,), 1)
    copy_block(block, memoryview(b"\0"), memoryview(bytearray(1)), memoryview(b""))


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
    """What torch takes besides, to compute a chunk or to look for numbers that have become infinite."""
    pairs = {
        (bool(tensor.transfer.changes), tensor.transfer.dtype, tensor.dtype)
        for file in files
        for tensor in file.tensors
    }
    takes = any(
        computed or may_narrow(Change(dtype, ()), to) for computed, dtype, to in pairs
    )
    return computing_memory(CHUNK) if takes else 0
