"""--verify: what was written is read back, every byte of it, and compared with what it should be.

Tensors are computed again from the source, copied files are read again, headers and documents are known.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from .compare import element_difference, first_difference
from .errors import ConversionError
from .output_files import OutputFile
from .safetensors_io import read_header
from .siblings import Siblings
from .stored import StoredTensor
from .stream import CHUNK, Assembler

LENGTH = 8  # bytes; what a safetensors file begins with is the length of its header


def verify_header(file: OutputFile, path: str, look: Callable[[], None]) -> None:
    """ConversionError where a written file does not begin with its header, or is not read as that was meant.

    `look` is called while all that was read is in memory.
    """
    with open(path, "rb") as written:
        found = written.read(len(file.header))
    if found != file.header:
        at = first_difference(file.header, found)
        what = "header" if at >= LENGTH else "length of the header"
        raise differing(f"{path}: {what}", at, file.header, found)
    tensors = read_header(path)
    look()
    verify_tensors(file, path, tensors)


def verify_tensors(
    file: OutputFile, path: str, tensors: Mapping[str, StoredTensor]
) -> None:
    """ConversionError where the tensors that are read of a written file are not those that were meant."""
    for tensor in file.tensors:
        name = tensor.transfer.name
        meant = (
            tensor.dtype,
            tensor.transfer.shape,
            path,
            tensor.begin,
            tensor.size,
            None,
        )
        read = tensors[name][: len(meant)] if name in tensors else None
        if read != meant:
            raise ConversionError(f"{path}: {name}: expected {meant}, found {read}")


def verify_siblings(
    assembler: Assembler,
    siblings: Siblings,
    part: tuple[int, int],
    folder: str,
    progress: Callable[[int], None],
) -> None:
    """verify_part for a part of siblings: of each the bytes that were written with that part."""
    for low, high, _ in siblings.stretches(*part):
        for file in siblings.files:
            path = os.path.join(folder, file.name)
            verify_part(assembler, file, low, high, path, progress)


def verify_part(
    assembler: Assembler,
    file: OutputFile,
    begin: int,
    end: int,
    path: str,
    progress: Callable[[int], None],
) -> None:
    """Compute the bytes [begin, end) of a written file again; ConversionError names the first element that differs."""
    descriptor = os.open(path, os.O_RDONLY)
    narrowing, assembler.narrowing = assembler.narrowing, None  # it has counted them
    try:
        found = bytearray()
        for low, view in assembler.chunks(file, begin, end):
            if len(found) != len(view):
                found = bytearray(len(view))
            _read_back(descriptor, low, found)
            if found != view:
                raise _difference(file, path, low, bytes(view), found)
            progress(len(view))
    finally:
        assembler.narrowing = narrowing
        os.close(descriptor)


def verify_document(path: str, text: bytes) -> None:
    """ConversionError where a written document does not hold this text and nothing else."""
    with open(path, "rb") as written:
        found = written.read(len(text) + 1)
    if found != text:
        raise differing(path, first_difference(text, found), text, found)


def verify_copy(source: str, path: str) -> None:
    """ConversionError where a copied file does not hold the bytes of its source and no more."""
    with open(source, "rb") as original, open(path, "rb") as written:
        begin, expected = 0, b"begin"
        while expected:
            expected, found = original.read(CHUNK), written.read(CHUNK)
            if found != expected:
                at = first_difference(expected, found)
                raise differing(path, begin + at, expected, found, begin)
            begin += len(expected)


def _read_back(descriptor: int, position: int, found: bytearray) -> None:
    """Fill with the bytes of a file from a position on; shortened where the file ends before."""
    done = 0
    while done < len(found):
        with memoryview(found) as view:
            count = os.preadv(descriptor, [view[done:]], position + done)
        done += count
        if count == 0:
            del found[done:]


def _difference(
    file: OutputFile, path: str, low: int, expected: bytes, found: bytearray
) -> ConversionError:
    """The error for a chunk of a file, from byte `low` on, that is not as expected."""
    at = first_difference(expected, found)
    tensor = max(
        (t for t in file.tensors if t.begin <= low + at),
        key=lambda t: t.begin + bool(t.size),
    )
    where = low + at - tensor.begin
    if where >= tensor.size:  # what stands between tensors
        return differing(path, low + at, expected, found, low)
    shape, dtype = tensor.transfer.shape, tensor.dtype
    return unreliable(
        f"{path}: {tensor.transfer.name}",
        element_difference(shape, dtype, where, expected, found, at),
    )


def differing(
    where: str, at: int, expected: bytes, found: bytes | bytearray, begin: int = 0
) -> ConversionError:
    """The error for byte `at` of a file, of which bytes from `begin` on were expected and found."""
    one, other = (text[at - begin : at - begin + 1].hex() for text in (expected, found))
    return unreliable(
        where,
        f"byte {at}: expected {one or 'the end of the file'}, found {other or 'the end of the file'}",
    )


def unreliable(where: str, what: str) -> ConversionError:
    """The error for a file that does not hold what was written to it."""
    return ConversionError(
        f"{where}: {what}; the file differs from what was written to it, the storage is not reliable"
    )
