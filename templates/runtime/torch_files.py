"""Reading what torch.save wrote (`.bin`, `.pt`), without torch: a zip file that stores tensors as they are.

Where the elements of a tensor lie in the file is worked out from its pickle, so they are read like those of any other
file. Only tensors that are not row-major are copied into memory.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .errors import ConversionError
from .plain_header import bytes_spanned
from .safetensors_io import check_unicode
from .source_files import check_is_fetched, open_regular
from .sources import SourceReader
from .stored import FileIdentity, StoredTensor, item_size
from .strided import StridedBlock, copy_block
from .torch_pickle import StateDict, TorchStorage, TorchView, are_numbers, read_pickle
from .values import STORED_DTYPES

PICKLE_LIMIT = 1 << 25  # bytes; 120,000 tensors take as many


class TorchRecords(NamedTuple):
    """A file of torch.save: where its records are, in bytes, and what its pickle holds."""

    path: str
    seen: FileIdentity
    spans: Mapping[str, tuple[int, int]]  # begin and size, by name
    pickled: Any
    foreign: list[str]  # names in the pickle of what is no part of a tensor


def read_torch_file(path: str) -> dict[str, StoredTensor]:
    """The tensors of a file, by name. A tensor that is not row-major is copied into memory.

    Raises ConversionError where the file is anything but a dictionary of dense tensors.
    """
    file = read_records(path)
    if not isinstance(file.pickled, StateDict):
        raise ConversionError(
            f"{path}: expected a dictionary of tensors, found {kind_found(file.pickled)}"
        )
    tensors = torch_tensors(file, file.pickled)
    check_foreign(file, lambda name: False)
    return tensors


def torch_tensors(file: TorchRecords, views: StateDict) -> dict[str, StoredTensor]:
    """The tensors of a dictionary in the pickle of a file; ConversionError where something else is among them."""
    path = file.path
    if views.odd:
        raise _no_tensors(path, f"found in its pickle a {views.odd} for a name")
    check_unicode(path, dict.fromkeys(views))
    storages: dict[str, TorchStorage] = {}
    tensors, held = dict[str, StoredTensor](), 0
    for name, view in views.items():
        tensor = tensors[name] = torch_tensor(file, name, view, storages)
        held += tensor.size if tensor.memory is not None else 0
        if held > file.seen.size:
            raise ConversionError(
                f"{path}: {name}: expected less to copy than the file has, {file.seen.size} bytes, found {held}; "
                "save the tensors as they are, not views of each other"
            )
    return tensors


def check_foreign(file: TorchRecords, is_known: Callable[[str], bool]) -> None:
    """ConversionError where a pickle names something else than parts of tensors and what is known."""
    for name in file.foreign:
        if not is_known(name):
            raise _no_tensors(
                file.path, f"found {name} in its pickle, which is not run"
            )


def held_memory(tensors: dict[str, StoredTensor]) -> int:
    """The bytes of the tensors that are copied into memory."""
    return sum(t.size for t in tensors.values() if t.memory is not None)


def _no_tensors(path: str, found: str) -> ConversionError:
    return ConversionError(
        f"{path}: expected a zip file of plain tensors, as torch.save writes it, {found}"
    )


def read_records(path: str) -> TorchRecords:
    """What is in a file."""
    descriptor, seen = open_regular(path)
    with open(descriptor, "rb") as file:
        return read_archive(path, file, seen, 0, seen.size)


def read_archive(
    path: str, file: Any, seen: FileIdentity, begin: int, size: int
) -> TorchRecords:
    """What is in an archive of so many bytes, from byte `begin` on of a path; `file` has just these bytes.

    Reading bytes that nobody has checked raises whatever they lead it into.
    """
    try:
        text, spans = _records_in(path, file, begin, size)
    except ConversionError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise _no_tensors(path, "found one that is cut off or broken") from None
    try:
        return TorchRecords(path, seen, spans, *read_pickle(text))
    except ValueError as error:
        raise _no_tensors(path, f"found in its pickle {error}") from None
    except Exception:  # noqa: BLE001
        raise _no_tensors(path, "found a pickle that is cut off or broken") from None


def _records_in(
    path: str, file: Any, begin: int, size: int
) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """The pickle of an archive, and where its records are."""
    import zipfile

    descriptor = file.fileno()
    start = os.pread(descriptor, min(8, size), begin)
    check_is_fetched(path, start)
    if start[:4] != b"PK\3\4":
        raise _no_tensors(path, f"found a file that begins with {start!r}")
    entries = zipfile.ZipFile(file).infolist()
    entries.sort(key=lambda entry: entry.header_offset)
    _check_ends(path, descriptor, entries, begin, size)
    spans = _spans(path, descriptor, entries, begin, size)
    _check_kind(path, descriptor, spans)
    return _read_span(descriptor, spans["data.pkl"]), spans


def _check_ends(
    path: str, descriptor: int, entries: list[Any], begin: int, size: int
) -> None:
    """ConversionError where something stands before the first record, or behind the end: readers pass over that."""
    end = os.pread(descriptor, 22, begin + size - 22)
    if end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        raise _no_tensors(path, "found bytes behind it that nothing tells of")
    if entries[0].header_offset > 0:
        first = entries[0].header_offset
        raise _no_tensors(path, f"found its first record at byte {first}")


def _spans(
    path: str, descriptor: int, entries: list[Any], begin: int, size: int
) -> dict[str, tuple[int, int]]:
    """Where the records are, by name; ConversionError where one is not stored as it is, or not alone in its place."""
    folder = f"{entries[0].filename.partition('/')[0]}/"
    spans: dict[str, tuple[int, int]] = {}
    end = 0
    for entry in entries:
        name = entry.filename.removeprefix(folder)
        if entry.compress_type or entry.flag_bits & 1 or name in spans:
            what = "twice" if name in spans else "packed"
            raise _no_tensors(path, f"found {name} {what}")
        spans[name] = _span(descriptor, entry, begin, size)
        if begin + entry.header_offset < end:
            raise _no_tensors(path, f"found {name} in the place of another record")
        end = sum(spans[name])
    return spans


def _span(descriptor: int, entry: Any, begin: int, size: int) -> tuple[int, int]:
    """Where a record begins in its file, behind its own header, and its bytes; ValueError where that is the header of another."""
    name = entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437")
    head = os.pread(descriptor, 30 + len(name), begin + entry.header_offset)
    lengths = [int.from_bytes(head[at : at + 2], "little") for at in (26, 28)]
    first = entry.header_offset + 30 + sum(lengths)
    is_own = head[:4] == b"PK\3\4" and (lengths[0], head[30:]) == (len(name), name)
    if not is_own or first + entry.file_size > size:
        raise ValueError(f"{entry.filename} is not there")
    return begin + first, entry.file_size


def _check_kind(
    path: str, descriptor: int, spans: Mapping[str, tuple[int, int]]
) -> None:
    """ConversionError for a file that other software wrote, or another function of torch."""
    order = _read_span(descriptor, spans.get("byteorder", (0, 0)))
    if "constants.pkl" in spans:
        raise _no_tensors(path, "found a program of TorchScript, which is never run")
    if "data.pkl" not in spans:
        raise _no_tensors(path, "found no data.pkl in it")
    if spans["data.pkl"][1] > PICKLE_LIMIT:
        size = spans["data.pkl"][1]
        raise _no_tensors(
            path, f"with a data.pkl of at most {PICKLE_LIMIT} bytes, found {size}"
        )
    if order not in (b"", b"little"):
        raise _no_tensors(
            path, f"found the byte order {order.decode('ascii', 'replace')}"
        )


def _read_span(descriptor: int, span: tuple[int, int]) -> bytes:
    begin, size = span
    return os.pread(descriptor, min(size, PICKLE_LIMIT), begin)


def kind_found(found: Any) -> str:
    """What stands in a pickle, in a word."""
    names = {TorchView: "Tensor", StateDict: "dict"}
    return names.get(type(found)) or type(found).__name__


def torch_tensor(
    file: TorchRecords, name: Any, view: Any, storages: dict[str, TorchStorage]
) -> StoredTensor:
    """The tensor of one entry of the dictionary; ConversionError where it is none, or is more than its storage has."""
    where = f"{file.path}: {name}"
    if not isinstance(name, str) or not isinstance(view, TorchView):
        raise ConversionError(
            f"{where}: expected a name and a tensor, found {kind_found(view)}; "
            "save a flat dictionary of tensors"
        )
    dtype, storage = view.dtype, view.storage
    for one in (dtype, getattr(storage, "dtype", storage)):
        if not isinstance(one, str) or one not in STORED_DTYPES:
            found = getattr(one, "__name__", type(one).__name__)
            raise ConversionError(
                f"{where}: expected a dense tensor of a plain dtype, found {found}"
            )
    start, size = _storage_span(file, where, storage, storages)
    shape, strides, last = _checked_view(where, view, size // item_size(dtype))
    width = item_size(dtype)
    begin, count = start + view.offset * width, bytes_spanned(dtype, shape)
    if 0 in shape:
        return StoredTensor(dtype, shape, file.path, start, 0, None, file.seen)
    stored = StoredTensor(dtype, shape, file.path, begin, count, None, file.seen)
    if _is_row_major(shape, strides):
        return stored
    span = stored._replace(size=(last + 1 - view.offset) * width)
    return stored._replace(begin=0, memory=_gathered(span, strides, count))


def _storage_span(
    file: TorchRecords,
    where: str,
    storage: TorchStorage,
    storages: dict[str, TorchStorage],
) -> tuple[int, int]:
    """Where the elements of a storage are, whose record must be as long as the pickle says, whoever says it."""
    span = file.spans.get(f"data/{storage.key}", (0, -1))
    width = item_size(storage.dtype)
    if span[1] != storage.elements * width:
        raise ConversionError(
            f"{where}: expected {storage.elements} elements of {storage.dtype} in data/{storage.key}, "
            f"found {'no such record' if span[1] < 0 else f'{span[1]} bytes'}"
        )
    if storages.setdefault(storage.key, storage) != storage:
        raise ConversionError(
            f"{where}: expected {storages[storage.key].dtype} in data/{storage.key}, as another tensor says, "
            f"found {storage.dtype}"
        )
    return span


def _checked_view(
    where: str, view: TorchView, count: int
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Shape, strides and last element of a tensor, which lies in a storage of so many elements and is not larger."""
    shape, strides, offset = view.shape, view.strides, view.offset
    plain = all(map(are_numbers, (shape, strides, (offset,))))
    if not plain or len(shape) != len(strides):
        raise ConversionError(
            f"{where}: expected an offset and as many strides as sizes, all of them counts, "
            f"found {f'{len(strides)} strides and {len(shape)} sizes' if plain else 'something else'}"
        )
    last = offset + sum((size - 1) * step for size, step in zip(shape, strides))
    if 0 not in shape and (last >= count or bytes_spanned("U8", shape) > count):
        raise ConversionError(
            f"{where}: expected elements of a storage that has {count}, each once, "
            f"found {list(shape)} with the strides {list(strides)} from element {offset} on"
        )
    return shape, strides, last


def _is_row_major(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = 1
    for size, step in zip(reversed(shape), reversed(strides)):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True


def _gathered(span: StoredTensor, strides: tuple[int, ...], size: int) -> memoryview:
    """The `size` bytes of a tensor in row-major order; `span` is all from its first element to its last."""
    width, reader = item_size(span.dtype), SourceReader()
    dims = [dim for dim, count in enumerate(span.shape) if count > 1]
    counts, steps = [span.shape[dim] for dim in dims], [strides[dim] for dim in dims]
    rows = [width]
    for count in reversed(counts[1:]):
        rows.append(rows[-1] * count)
    block = StridedBlock(
        0,
        tuple(step * width for step in steps),
        0,
        tuple(reversed(rows)),
        tuple(counts),
        width,
    )
    made, scratch = memoryview(bytearray(size)), memoryview(bytearray(size))
    try:
        copy_block(block, reader.memory(span, 0, span.size), made, scratch)
    finally:
        reader.close()
    return made
