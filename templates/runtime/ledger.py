"""The ledger of a conversion, which stands beside what was written: by which map, of what, what was made, how fast.

But for what is under `run` it is the same whenever the same is converted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from .account import Account
from .layouts import mesh_of
from .output_files import OutputFile, OutputTensor
from .plan import Plan
from .report import Report
from .source_files import open_regular
from .source_folder import CONFIG_FILE, SourceFolder
from .writing import TargetContent

BLOCK = 1 << 16  # bytes that are read at once
KINDS = ("moved", "cast", "computed", "made")


def make_ledger(
    plan: Plan,
    source: SourceFolder,
    content: TargetContent,
    report: Report,
    account: Account,
    dtype: str | None,
) -> dict[str, Any]:
    """The ledger of a conversion whose files are written; `dtype` is the one that was asked for."""
    converter, files, seconds = plan.converter, content.files, account.spent()
    choices = [*converter.options, *converter.variants]
    return {
        "converter": converter.name,
        "map_sha256": converter.digest,
        "compiler": converter.version,
        "direction": report.direction,
        "mesh": {
            side.name: None if side.file is None else asdict(mesh_of(plan.mesh, n))
            for n, side in enumerate((converter.left, converter.right))
        },
        "settings": {
            "dtype": dtype,
            **{name: getattr(plan.config, name) for name in choices},
        },
        "source": {
            name: _read_file(os.path.join(source.path, name))
            for name in (CONFIG_FILE, *source.files)
        },
        "target": {file.name: _written_file(file) for file in files},
        "counts": _counts(report, content),
        "run": {
            "verified": report.verified,
            "bytes_kept": account.kept,
            "threads": report.threads,
            "seconds": round(seconds, 6),
            "gigabytes_per_second": round(report.bytes_written / 1e9 / seconds, 6),
        },
    }


def _counts(report: Report, content: TargetContent) -> dict[str, Any]:
    """How much was read and written, and what became of it."""
    tensors = (tensor for file in content.files for tensor in file.tensors)
    return {
        "tensors_read": report.tensors_read,
        "bytes_read": report.bytes_read,
        "tensors_written": report.tensors_written,
        "bytes_written": report.bytes_written,
        "written": _by_kind(tensors),
        "dropped": dict(report.dropped),
        "nonzero_padding": dict(report.nonzero_padding),
        "became_infinite": sum(content.narrowing.infinite.values()),
        "became_zero": sum(content.narrowing.zero.values()),
    }


def _read_file(path: str) -> dict[str, Any]:
    """The size and a digest of a file of the source: of weights, that of what says which tensors are in it.

    That is the header of a safetensors file, and the end of a file of torch.save, a zip file: it has a checksum for
    each tensor.
    """
    descriptor, (_, _, size, _) = open_regular(path)
    with open(descriptor, "rb") as file:
        if path.endswith(".json"):
            return {"bytes": size, "sha256": _digest(file, size)}
        if path.endswith(".safetensors"):
            length = int.from_bytes(file.read(8), "little")
            file.seek(0)
            return {"bytes": size, "header_sha256": _digest(file, 8 + length)}
        file.seek(max(0, size - BLOCK))
        return {"bytes": size, "end_sha256": _digest(file, BLOCK)}


def _digest(file: Any, size: int) -> str:
    """The sha256 of the next bytes of a file, so many or up to its end."""
    found = sha256()
    while size > 0 and (block := file.read(min(size, BLOCK))):
        found.update(block)
        size -= len(block)
    return found.hexdigest()


def _written_file(file: OutputFile) -> dict[str, Any]:
    said = {"tensors": file.holds, "bytes": file.size}
    if file.closing is not None:  # what stands before its tensors says less
        return said
    return {**said, "header_sha256": sha256(file.header).hexdigest()}


def _by_kind(tensors: Iterable[OutputTensor]) -> dict[str, dict[str, int]]:
    """Tensors and bytes, by what was done to them."""
    found = {kind: {"tensors": 0, "bytes": 0} for kind in KINDS}
    for tensor in tensors:
        counts = found[_kind(tensor)]
        counts["tensors"] += 1
        counts["bytes"] += tensor.size
    return found


def _kind(tensor: OutputTensor) -> str:
    """One of KINDS; of a tensor with several sources, the one furthest from moving them."""
    changes = tensor.transfer.changes
    if changes and all(change.filled is not None for change in changes):
        return "made"
    if any(change.steps or change.filled is not None for change in changes):
        return "computed"
    return "cast" if changes or tensor.dtype != tensor.transfer.dtype else "moved"
