"""Files as torch.save writes them, with the tensors of a model and what says that a state of training has no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .nested_torch import models_of, read_nested_file
from .output_files import Blocks, OutputFile, dtype_in_file, output_tensor
from .pickling import PickledCall, PickledName, PickledRecord, make_pickle
from .stored import item_size
from .torch_pickle import STORAGES
from .transfers import Transfer
from .values import STORED_DTYPES
from .zip_files import ZipClosing, ZipRecord, plain_record, plan_archive

FOLDER = "archive"  # the folder of a zip file that has all of its records
ORDERED = PickledCall(PickledName("collections", "OrderedDict"), ())
KINDS_OF_STORAGE = {dtype: name for name, dtype in reversed(STORAGES.items())}
# What a state of training has besides its model.
STATE: Mapping[str, Any] = {"checkpoint_version": 3.0, "iteration": 0}


def torch_output(
    name: str,
    transfers: Iterable[Transfer],
    dtype: str | None,
    known: dict[int, Blocks],
) -> OutputFile:
    """A file of these tensors in their order; `known` as in output_file."""
    tensors = [output_tensor(t, dtype_in_file(t, dtype), 0, known) for t in transfers]
    views = {
        tensor.transfer.name: tensor_pickle(tensor.dtype, tensor.transfer.shape, n)
        for n, tensor in enumerate(tensors)
    }
    records = [ZipRecord(f"data/{n}", tensor.size) for n, tensor in enumerate(tensors)]
    planned = plan_archive(
        FOLDER, [*plain_records({**models_of(views), **STATE}), *records]
    )
    placed = tuple(t._replace(begin=b) for t, b in zip(tensors, planned.begins))
    head, *gaps = planned.frames
    closing = ZipClosing(planned.seals, read_nested_file)
    return OutputFile(
        name, head, placed, planned.begins, planned.end, tuple(gaps), closing
    )


def plain_file(value: Any) -> bytes:
    """A file of torch.save without tensors."""
    return plan_archive(FOLDER, plain_records(value)).frames[0]


def plain_records(value: Any) -> list[ZipRecord]:
    """The records of a file of torch.save besides its tensors, of which the first holds what is pickled."""
    return [
        plain_record("data.pkl", make_pickle(value)),
        plain_record("byteorder", b"little"),
        plain_record("version", b"3\n"),
    ]


def tensor_pickle(dtype: str, shape: tuple[int, ...], key: int) -> PickledCall:
    """A row-major tensor that fills the record of this number."""
    count, strides = 1, list[int]()
    for size in reversed(shape):
        strides.insert(0, count)
        count *= size
    where = str(key), "cpu"
    if dtype in KINDS_OF_STORAGE:
        kind = PickledName(*KINDS_OF_STORAGE[dtype].rsplit(".", 1))
        record = PickledRecord(("storage", kind, *where, count))
        view = (record, 0, shape, tuple(strides), False, ORDERED)
        return PickledCall(PickledName("torch._utils", "_rebuild_tensor_v2"), view)
    kind = PickledName("torch.storage", "UntypedStorage")
    record = PickledRecord(("storage", kind, *where, count * item_size(dtype)))
    view = (record, 0, shape, tuple(strides), False, ORDERED)
    typed = (*view, PickledName("torch", STORED_DTYPES[dtype][1]))
    return PickledCall(PickledName("torch._utils", "_rebuild_tensor_v3"), typed)
