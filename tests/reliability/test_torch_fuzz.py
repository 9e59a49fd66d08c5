"""Files of torch.save in any state: tensors that lie in the file, or a refusal; and the tensors that torch itself reads."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.sources import SourceReader
from mapc.templates.runtime.stored import StoredTensor
from mapc.templates.runtime.torch_files import read_torch_file
from mapc.templates.runtime.values import STORED_DTYPES

from ..runtime.files import coded
from .pickles import archive, records_of

TENSORS = {
    "a": coded(1, "BF16", 3, 5),
    "b": coded(2, "F32", 7),
    "empty": coded(3, "I32", 0, 4),
}
RECORDS = records_of(TENSORS)
PIECES = [
    b"\x80\x02",
    b"}",
    b"(",
    b"t",
    b"u",
    b"R",
    b"Q",
    b"q\1",
    b"h\1",
    b"h\x00",
    b"0",
    b"2",
]
PIECES += [
    b"cposix\nsystem\n",
    b"ctorch\nFloatStorage\n",
    b"\x8a\x01\xff",
    b"K\x00",
    b"J\xff\xff\xff\xff",
]
PIECES += [
    b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
    b"X\x01\0\0\0a",
    b"X\xff\xff\xff\xff",
    b"\x93",
    b"b",
    b".",
]


@st.composite
def broken_files(draw: st.DrawFn) -> bytes:
    """A file with some bytes exchanged, in its pickle or anywhere."""
    records = dict(RECORDS)
    text = records["data.pkl"]
    for _ in range(draw(st.integers(0, 3))):
        at, gone = draw(st.integers(0, len(text))), draw(
            st.sampled_from([0, 1, 1, 2, 9])
        )
        new = draw(st.one_of(st.sampled_from([b"", *PIECES]), st.binary(max_size=2)))
        text = text[:at] + new + text[at + gone :]
    records["data.pkl"] = text
    data = archive(records)
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at, gone = draw(st.integers(0, len(data))), draw(st.sampled_from([1, 1, 2, 40]))
        data = data[:at] + draw(st.binary(max_size=3)) + data[at + gone :]
    return data


def content(tensor: StoredTensor) -> bytes:
    reader, view = SourceReader(), memoryview(bytearray(tensor.size))
    reader.read(tensor, 0, view)
    reader.close()
    return bytes(view)


def check_broken(data: bytes) -> None:
    """Whatever is read lies in the file, and nothing but a refusal is raised."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        path.write_bytes(data)
        try:
            found = read_torch_file(str(path))
        except ConversionError as error:
            assert str(error).startswith(f"{path}: ") and str(error).isprintable()
            return
        finally:
            assert os.listdir(folder) == ["model.bin"]
        for tensor in found.values():
            held = tensor.memory is not None
            assert held or 0 <= tensor.begin <= tensor.begin + tensor.size <= len(data)
            assert len(content(tensor)) == tensor.size <= len(data)


@settings(max_examples=400)
@given(broken_files())
def test_broken_files(data: bytes) -> None:
    check_broken(data)


@pytest.mark.long
@settings(max_examples=30_000)
@given(broken_files())
def test_broken_files_often(data: bytes) -> None:
    check_broken(data)


@st.composite
def state_dicts(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    """Tensors that share storages, in views of all kinds."""
    bases = []
    for number in range(draw(st.integers(1, 3))):
        dtype = getattr(
            torch, STORED_DTYPES[draw(st.sampled_from(sorted(STORED_DTYPES)))][1]
        )
        shape = draw(st.lists(st.integers(0, 5), min_size=1, max_size=3))
        data = torch.arange(
            8 * torch.Size(shape).numel() + 8 * number, dtype=torch.int32
        )
        flat = (data % 2 if dtype == torch.bool else data).to(torch.uint8)[number * 8 :]
        bases.append(flat.view(dtype)[: torch.Size(shape).numel()].view(shape))
    found = {}
    for name in draw(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True)):
        tensor = draw(st.sampled_from(bases))
        for _ in range(draw(st.integers(0, 3))):
            tensor = draw(st.sampled_from(views_of(tensor)))
        found[name] = tensor
    return found


def views_of(tensor: torch.Tensor) -> list[torch.Tensor]:
    """Views that torch.save keeps as they are."""
    if tensor.dim() == 0:
        return [tensor, tensor[None]]
    made = [tensor, tensor[1:], tensor[::2], tensor.unsqueeze(0), tensor.movedim(0, -1)]
    return made + ([tensor[0]] if tensor.shape[0] else [])


def check_as_torch(tensors: dict[str, torch.Tensor]) -> None:
    """The same tensors as torch loads, byte by byte."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        torch.save(tensors, path)
        theirs: dict[str, Any] = torch.load(path, weights_only=True)
        mine = read_torch_file(str(path))
        assert mine.keys() == theirs.keys()
        for name, tensor in mine.items():
            other = theirs[name].clone(memory_format=torch.contiguous_format)
            data = other.reshape(-1).view(torch.uint8).numpy().tobytes()
            spelled = f"torch.{STORED_DTYPES[tensor.dtype][1]}"
            assert (spelled, tensor.shape) == (str(other.dtype), tuple(other.shape))
            assert content(tensor) == data


@settings(max_examples=150)
@given(state_dicts())
def test_what_torch_reads(tensors: dict[str, torch.Tensor]) -> None:
    check_as_torch(tensors)


@pytest.mark.long
@settings(max_examples=10_000)
@given(state_dicts())
def test_what_torch_reads_often(tensors: dict[str, torch.Tensor]) -> None:
    check_as_torch(tensors)
