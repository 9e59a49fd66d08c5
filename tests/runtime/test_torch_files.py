"""Checkpoints that torch.save wrote."""

from __future__ import annotations

import io
import json
import os
import sys
from collections import OrderedDict
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.sources import SourceReader
from mapc.templates.runtime.torch_files import held_memory, read_torch_file
from mapc.templates.runtime.values import STORED_DTYPES

from .files import Stored, files_of, read
from .toy import load_toy
from .toy_checkpoint import (
    hf_tensors,
    mcore_tensors,
    rank_file,
    to_mcore,
    write_hf,
    write_mcore,
)


def as_torch(tensor: Stored) -> torch.Tensor:
    dtype = getattr(torch, STORED_DTYPES[tensor.dtype][1])
    return torch.frombuffer(bytearray(tensor.data), dtype=dtype).view(tensor.shape)


def save(path: Path, tensors: dict[str, Stored]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        OrderedDict((name, as_torch(tensor)) for name, tensor in tensors.items()), path
    )


def test_one_file(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    to_mcore(source, tmp_path / "expected", 2, 2)
    (source / "model.safetensors").unlink()
    save(source / "pytorch_model.bin", hf_tensors())
    report = to_mcore(source, tmp_path / "mcore", 2, 2, verify=True)
    assert report.not_copied == ()
    assert files_of(tmp_path / "mcore") == files_of(tmp_path / "expected")


def test_shards(tmp_path: Path) -> None:
    source, tensors = write_hf(tmp_path / "hf"), hf_tensors()
    to_mcore(source, tmp_path / "expected", 2, 2)
    (source / "model.safetensors").unlink()
    weight_map = {}
    for number, first in enumerate((0, 7), 1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        names = list(tensors)[first : 7 if first == 0 else None]
        save(source / file, {name: tensors[name] for name in names})
        weight_map.update(dict.fromkeys(names, file))
    (source / "pytorch_model.bin.index.json").write_text(
        json.dumps({"weight_map": weight_map})
    )
    to_mcore(source, tmp_path / "mcore", 2, 2)
    assert files_of(tmp_path / "mcore") == files_of(tmp_path / "expected")


def test_a_file_a_rank(tmp_path: Path) -> None:
    hf = hf_tensors()
    source = write_mcore(tmp_path / "mcore", hf, 2, 2)
    for rank in product(range(2), range(2)):
        file = source / rank_file(*rank)
        save(file.with_suffix(".pt"), mcore_tensors(hf, 2, 2, *rank))
        file.unlink()
    toy = load_toy()
    side = toy.converter().right
    side = side._replace(
        file=lambda rank: rank_file(*rank).replace(".safetensors", ".pt")
    )
    made = toy.converter()._replace(right=side)
    toy.convert_directory(made, source, tmp_path / "hf", to="hf")
    assert read(tmp_path / "hf/model.safetensors") == hf
    with pytest.raises(toy.ConversionError) as error:
        toy.convert_directory(made, tmp_path / "hf", tmp_path / "never", to="mcore")
    assert str(error.value) == (
        "mp_rank_00_000/model.pt: expected a file name that ends in .safetensors, which alone can be written"
    )


def test_tensors_that_are_views(tmp_path: Path) -> None:
    """Only what is not row-major is copied; tensors may share their memory."""
    whole = torch.arange(35, dtype=torch.int32).view(5, 7)
    tensors = {
        "whole": whole,
        "rows": whole[2:4],
        "turned": whole.t(),
        "spread": whole[:1].expand(3, 7),
        "parameter": torch.nn.Parameter(torch.ones(3)),
        "scalar": torch.tensor(7.0),
        "none": torch.zeros(0, 4),
        "complex": torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex64)[1:],
        "deep": torch.arange(210, dtype=torch.int16).view(5, 6, 7)[1:, ::2, 3:].mT,
    }
    torch.save(tensors, tmp_path / "model.bin")
    found = read_torch_file(str(tmp_path / "model.bin"))
    assert [name for name, tensor in found.items() if held_memory({name: tensor})] == [
        "turned",
        "spread",
        "deep",
    ]
    assert held_memory(found) == 35 * 4 + 21 * 4 + 48 * 2
    reader = SourceReader()
    for name, tensor in found.items():
        view = memoryview(bytearray(tensor.size))
        reader.read(tensor, 0, view)
        expected = tensors[name].detach().contiguous()
        dtypes = {
            torch.int16: "I16",
            torch.int32: "I32",
            torch.float32: "F32",
            torch.complex64: "C64",
        }
        assert tensor.shape == tuple(expected.shape)
        assert tensor.dtype == dtypes[expected.dtype]
        assert bytes(view) == expected.numpy().tobytes()
        assert bytes(reader.memory(tensor, 0, tensor.size)) == bytes(view)


def test_memory_for_tensors_that_are_turned(tmp_path: Path) -> None:
    source, tensors = write_hf(tmp_path / "hf"), hf_tensors()
    (source / "model.safetensors").unlink()
    loaded = {name: as_torch(tensor) for name, tensor in tensors.items()}
    loaded["embed.weight"] = loaded["embed.weight"].t().contiguous().t()
    torch.save(loaded, source / "pytorch_model.bin")
    toy = load_toy()
    limit = toy.taken_memory() + (4 << 20)  # less than it takes besides
    with pytest.raises(toy.ConversionError) as error:
        to_mcore(source, tmp_path / "never", 2, 2, max_memory=limit)
    assert (
        " once all is planned, 290 bytes of it for tensors that torch holds, "
        in str(error.value)
    )


def test_every_dtype(tmp_path: Path) -> None:
    """Those of v2, which storages of their own class have, and those of v3; the oldest torch lacks the newest."""
    tensors = {}
    for name, (width, spelled) in STORED_DTYPES.items():
        if hasattr(torch, spelled):
            data = torch.arange(1, 5 * width + 1, dtype=torch.uint8)
            if name == "BOOL":
                data = data % 2
            tensors[name] = data.view(getattr(torch, spelled))[1:]
    assert len(tensors) >= 12
    torch.save(tensors, tmp_path / "model.bin")
    reader = SourceReader()
    for name, tensor in read_torch_file(str(tmp_path / "model.bin")).items():
        view = memoryview(bytearray(tensor.size))
        reader.read(tensor, 0, view)
        expected = tensors[name].contiguous().view(torch.uint8).numpy().tobytes()
        assert (name, bytes(view)) == (tensor.dtype, expected)


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch evil",)


def test_no_code_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Evil()}, "model.bin")
    with pytest.raises(ConversionError) as error:
        read_torch_file("model.bin")
    assert str(error.value) == (
        f"model.bin: a: expected a name and a tensor, found {os.system.__module__}.system; "
        "save a flat dictionary of tensors"
    )
    assert os.listdir() == ["model.bin"]


def legacy(tensors: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


@pytest.mark.parametrize("content", [b"", b"no zip", legacy({"a": torch.ones(2)})])
def test_no_zip_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    with pytest.raises(ConversionError) as error:
        read_torch_file(str(path))
    assert str(error.value) == (
        f"{path}: expected a zip file of plain tensors, as torch.save writes it, "
        f"found a file that begins with {content[:8]!r}"
    )


@pytest.mark.parametrize(
    "found, message",
    [
        ([torch.ones(2)], "expected a dictionary of tensors, found list"),
        (
            {"model": {"a": torch.ones(2)}},
            "model: expected a name and a tensor, found dict; save a flat dictionary of tensors",
        ),
        (
            {"step": 3},
            "step: expected a name and a tensor, found int; save a flat dictionary of tensors",
        ),
        (
            {3: torch.ones(2)},
            "3: expected a name and a tensor, found Tensor; save a flat dictionary of tensors",
        ),
        (
            {"a": torch.ones(2, 2).to_sparse()},
            (
                "a: expected a name and a tensor, found torch._utils._rebuild_sparse_tensor; "
                "save a flat dictionary of tensors"
            ),
        ),
        (
            {"a": torch.ones(2, dtype=torch.complex64).conj()},
            (
                "a: expected a name and a tensor, found a tensor to be conjugated or negated; "
                "save a flat dictionary of tensors"
            ),
        ),
        (
            {"a": torch.ones(2, dtype=torch.complex128)},
            "a: expected a dense tensor of a plain dtype, found torch.ComplexDoubleStorage",
        ),
    ],
)
def test_no_dictionary_of_tensors(tmp_path: Path, found: Any, message: str) -> None:
    path = tmp_path / "model.bin"
    torch.save(found, path)
    with pytest.raises(ConversionError) as error:
        read_torch_file(str(path))
    assert str(error.value) == f"{path}: {message}"


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_hf(tmp_path / "hf")
    to_mcore(source, tmp_path / "expected", 2, 2)
    (source / "model.safetensors").unlink()
    save(source / "pytorch_model.bin", hf_tensors())
    monkeypatch.setitem(sys.modules, "torch", None)
    to_mcore(source, tmp_path / "mcore", 2, 2)
    assert files_of(tmp_path / "mcore") == files_of(tmp_path / "expected")
