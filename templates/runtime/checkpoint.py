"""Converting a checkpoint from one directory to another.

Everything is read and checked first, headers, plan, values that must agree, memory and disk; then the files are
streamed into a directory of their own, which takes the target's place at the very end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from .account import Account
from .casting import CAST_DTYPES, check_cast_library
from .collecting import without_collecting
from .footprint import check_taken
from .layouts import Container, Converter, Meshes, Side, mesh_of
from .ledger import make_ledger
from .narrowing import Narrowing
from .opening import check_choices, check_request, check_values, plan_source
from .output_files import (
    INDEX_FILE,
    OutputFile,
    OutputTensor,
    rank_outputs,
    shard_index,
    shard_outputs,
)
from .plan import Plan
from .report import Report, WrittenFile
from .resharding import ranked_side, resharding
from .sizes import parse_size
from .source_folder import CONFIG_FILE, SourceFolder, mesh_text, open_source
from .stored import StoredTensor
from .target_folder import LEDGER_FILE, TargetPlace, check_target, other_files
from .usage import UsageError, check_known
from .workers import Progress
from .writing import TargetContent, prepare_writing, write_target


def convert_directory(
    converter: Converter,
    source_dir: str | os.PathLike[str],
    target_dir: str | os.PathLike[str],
    to: str,
    mesh: Any = None,
    *,
    form: str | None = None,
    dtype: str | None = None,
    max_memory: int | str | None = None,
    max_shard_size: int | str = "5GB",
    follow_links: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    fsync: bool = False,
    threads: int | None = None,
    verify: bool = False,
    check_replicas: bool = False,
    allow_narrowing: bool = False,
    plan_only: bool = False,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
    **choices: Any,
) -> Report:
    """Convert the checkpoint in one directory to the layout `to` in another, which must not exist yet.

    `mesh` is the target's where that layout has ranks (one rank if it is None); else what the caller says of
    the source's (None: as its config or its file names say). `choices` are the map's options and variants by name,
    `form` is the format of the files, the first that the map says if it is None,
    `dtype` is f32, bf16 or f16, and with `allow_narrowing` a number that is too large for a dtype becomes infinite.
    Sizes are bytes or text such as "5GB", `progress` takes bytes (done, total), `announce` what is done from now on,
    such as "reading headers".

    Raises ConversionError where the checkpoint is refused, OSError where reading or writing fails, UsageError for
    arguments that make no sense. Nothing is left behind then, but with `resume` what is written stays, and the next run
    with `resume` goes on with it.
    """
    account = Account(announce)
    sides = (converter.left, converter.right)
    here, there = sides if converter.side(to) else sides[::-1]
    check_choices(converter, choices)
    if form is not None:
        check_known(f"format of {there.name}", [form], there.forms)
    stored_dtype = _stored_dtype(dtype)
    shard_size = parse_size(max_shard_size)
    memory = None if max_memory is None else parse_size(max_memory)
    check_request(converter, mesh, threads)

    with without_collecting():
        account.begin("reading headers")
        source = open_source(
            os.fspath(source_dir),
            here,
            converter.mesh,
            mesh_of(mesh, sides.index(here)),
            follow_links,
        )
        target = TargetPlace(os.path.realpath(target_dir), overwrite, resume, fsync)
        check_target(target, source.path, source.files)
        account.begin("planning")
        check_taken("once the headers are read", memory)
        plan = plan_source(converter, source, to, mesh, choices)
        account.begin("checking values")
        nonzero = check_values(plan, source, check_replicas)
        account.begin("planning")
        container = there.container(form or there.form)
        files = _files(plan, there, container, stored_dtype, shard_size)
        narrowing = Narrowing(source.tensors, allow_narrowing)
        content = _content(plan, source, there, container, files, narrowing)
        report = _report(plan, source, content, target.path, (here, there))
    threads = prepare_writing(source, content, target, threads, verify, memory)
    report = replace(
        report,
        written=not plan_only,
        verified=verify and not plan_only,
        nonzero_padding=nonzero,
        threads=threads,
    )
    if not plan_only:
        ledger = partial(make_ledger, plan, source, content, report, account, dtype)
        write_target(
            source, content, target, threads, verify, progress, account, ledger
        )
    return _ended(report, account, narrowing)


def reshard_directory(
    converter: Converter,
    source_dir: str | os.PathLike[str],
    target_dir: str | os.PathLike[str],
    mesh: Any = None,
    to_mesh: Any = None,
    to_options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Report:
    """Write a checkpoint of the layout with ranks for another mesh, `to_mesh`, one rank if it is None.

    `mesh` is what the caller says of the source's, None: as its config or its file names say. `to_options` are the map's
    options where the target has others, such as the layers of its first stage; `settings` are those of
    `convert_directory`. Raises ConversionError, OSError, UsageError as that does.
    """
    if converter.mesh is None:
        raise UsageError("expected a layout with ranks, this map has none")
    ranked, options = ranked_side(converter), to_options or {}
    rows = converter.table.options.items()
    check_known(
        "to_options", options, [name for name, row in rows if row[ranked] is not None]
    )
    made = resharding(converter)
    meshes = Meshes(mesh, to_mesh or converter.mesh(), options)
    return convert_directory(
        made, source_dir, target_dir, made.right.name, meshes, **settings
    )


def _stored_dtype(dtype: str | None) -> str | None:
    """The dtype that is asked for, as a header names it."""
    if dtype is None:
        return None
    check_known("dtype", [dtype], CAST_DTYPES)
    check_cast_library("--dtype", ", or leave --dtype out")
    return CAST_DTYPES[dtype]


def _files(
    plan: Plan, there: Side, container: Container | None, dtype: str | None, most: int
) -> list[OutputFile]:
    """The files to write; shards have at most `most` bytes."""
    ranks = plan.converter.ranks(plan.target, plan.mesh)
    if container is not None:
        files = container.outputs(plan, ranks, dtype, most)
    elif there.file is None:
        files = shard_outputs(plan, most, dtype)
    else:
        files = rank_outputs(plan, there, ranks, dtype)
    if any(tensor.transfer.changes for file in files for tensor in file.tensors):
        check_cast_library(f"the arithmetic of {plan.converter.name}.map")
    return files


def _content(
    plan: Plan,
    source: SourceFolder,
    there: Side,
    container: Container | None,
    files: list[OutputFile],
    narrowing: Narrowing,
) -> TargetContent:
    documents: dict[str, Any] = {}
    if container is not None:
        documents |= container.documents(files)
    elif len(files) > 1 and there.file is None:
        documents[INDEX_FILE] = shard_index(files)
    config = there.write(plan.config)
    if there.file is not None:
        mesh = asdict(mesh_of(plan.mesh, plan.target))
        config = {**config, "mapc": {**config.get("mapc", {}), "mesh": mesh}}
    documents[CONFIG_FILE] = config
    copied, _ = other_files(source.path, source.files)
    for name in copied:
        source.folder.place(name)  # or it is no file of this source
    by_rank = there.file is not None
    return TargetContent(files, documents, copied, by_rank, narrowing)


def _report(
    plan: Plan,
    source: SourceFolder,
    content: TargetContent,
    target: str,
    sides: tuple[Side, Side],
) -> Report:
    """The account of a conversion that has only been planned."""
    tensors = [tensor for file in content.files for tensor in file.tensors]
    names = {tensor.transfer.name for tensor in tensors}  # some in several chunks
    read = list(_read_tensors(source, tensors))
    (here, there), mesh = sides, mesh_of(plan.mesh, plan.target)
    return Report(
        source=source.path,
        target=target,
        direction=_direction(here, there, plan.mesh),
        mesh={} if mesh is None else asdict(mesh),
        written=False,
        tensors_read=len(read),
        bytes_read=sum(tensor.size for tensor in read),
        tensors_written=len(tensors) if there.file else len(names),
        bytes_written=sum(tensor.size for tensor in tensors),
        files=tuple(
            WrittenFile(file.name, file.holds, file.size) for file in content.files
        ),
        other_files=(*content.documents, LEDGER_FILE),
        copied=tuple(content.copied),
        not_copied=tuple(other_files(source.path, source.files)[1]),
        dropped=dict(plan.drops),
        kept_keys=tuple(sorted(getattr(plan.config, "extra", {}).get(here.name, {}))),
    )


def _ended(report: Report, account: Account, narrowing: Narrowing) -> Report:
    """The account of a conversion that is over."""
    account.end()
    return replace(
        report,
        bytes_kept=account.kept,
        became_infinite=dict(sorted(narrowing.infinite.items())),
        became_zero=dict(sorted(narrowing.zero.items())),
        seconds=sum(account.seconds.values()),
        seconds_by_phase=account.seconds,
        peak_memory=account.peak_memory,
        bound_by=account.bound_by(),
    )


def _direction(here: Side, there: Side, mesh: Any) -> str:
    """From where to where, with the mesh of a source that changes its mesh."""
    if isinstance(mesh, Meshes):
        return f"{there.name} of {mesh_text(mesh.left)} -> {there.name}"
    return f"{here.name} -> {there.name}"


def _read_tensors(
    source: SourceFolder, tensors: list[OutputTensor]
) -> Iterator[StoredTensor]:
    """The tensors of the source that go into these."""
    names: dict[Any, set[str]] = {rank: set() for rank in source.tensors}
    for tensor in tensors:
        for rank, name in tensor.transfer.sources:
            names[rank].add(name)
    for rank, stored in source.tensors.items():
        own = names[rank]
        yield from (tensor for name, tensor in stored.items() if name in own)
