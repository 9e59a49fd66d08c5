"""Writing a checked conversion: the files of tensors on several threads, then what stands beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from .account import Account, Clock
from .beside import copy_files, write_documents
from .chunk_needs import computing_of, load_arrays, needs_arrays, scratch_of, tensors_of
from .columns import write_siblings
from .footprint import taken_memory
from .narrowing import Narrowing
from .output_files import OutputFile
from .resuming import keep_files, open_outputs, resume_file
from .sharing import Shares
from .siblings import alone, find_siblings
from .source_files import check_unchanged
from .source_folder import SourceFolder
from .stored import StoredTensor
from .stream import CHUNK, Assembler, assembler_memory, create_file
from .target_folder import LEDGER_FILE, TargetPlace, check_room, target_folder
from .torch_files import held_memory
from .verifying import verify_header, verify_siblings
from .workers import (
    Meter,
    Needs,
    Progress,
    choose_threads,
    one_torch_thread,
    run_threads,
)

THREAD = 1 << 20  # bytes of a thread besides its buffers: stack, heap of its own
REST = 2 << 20  # bytes for what comes besides the threads: documents, report
READ_BACK = 16  # bytes that reading a header takes for each of its bytes


class TargetContent(NamedTuple):
    """All that a target directory will hold."""

    files: list[OutputFile]
    documents: Mapping[
        str, Mapping[str, Any] | bytes
    ]  # JSON files, and others as they are, by name, in the order of writing
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
    tensors = tensors_of(content.files)
    if max_memory is not None and any(map(needs_arrays, tensors)):
        load_arrays()
    header = max((len(file.header) for file in content.files), default=0)
    needs = Needs(
        taken_memory(),
        sum(map(held_memory, source.tensors.values())),
        REST + (READ_BACK * header if verify else 0),
        assembler_memory(CHUNK, scratch_of(tensors)) + computing_of(tensors) + THREAD,
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
    with target_folder(target) as folder, one_torch_thread():
        account.begin("writing")
        kept = keep_files(folder, {file.name for file in content.files})
        for file in content.files:
            path = os.path.join(folder, file.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            (resume_file if file.name in kept else create_file)(file, path)
        _write_files(source.tensors, content, folder, threads, verify, meter, kept)
        account.begin("finishing")
        for file in content.files:
            _close_file(file, os.path.join(folder, file.name), verify, account)
        copy_files(source.path, folder, content.copied, verify)
        write_documents(folder, content.documents, verify)
        write_documents(folder, {LEDGER_FILE: ledger()}, verify)
        check_unchanged(source.folder.seen)


def _close_file(file: OutputFile, path: str, verify: bool, account: Account) -> None:
    """Finish a file whose tensors are written; with `verify` it is read back."""
    if file.closing is not None:
        file.closing.seal(file, path)
        if verify:
            file.closing.verify(file, path)
    elif verify:
        verify_header(file, path, account.look)


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
    shares, scratch = Shares(groups, together), scratch_of(tensors_of(files))
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
