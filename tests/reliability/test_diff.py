"""What differs between two checkpoints is found in whatever layouts they are, and named as each of them names it."""

from __future__ import annotations

import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ..runtime import test_fills, test_values
from ..runtime.files import coded, read, write
from ..runtime.toy import load, load_toy
from ..runtime.toy_checkpoint import hf_tensors, to_mcore, write_hf, write_mcore
from .shipped import Shipped, every_case


def diff(one: Path, other: Path, **how: Any) -> Any:
    return load_toy().diff_checkpoints(one, other, **how)


# ---- every shipped map


@pytest.mark.parametrize("case", every_case()[::5])
def test_every_map(case: Shipped, tmp_path: Path) -> None:
    """A source equals what is made of it; an element that is changed is found in the first tensor that has it."""
    here, other = case.layouts
    tensors = case.tensors()
    source = case.write(tmp_path / "source", tensors)
    there = case.convert(source, tmp_path / "there")
    module, choices = case.module, case.choices
    found = module.diff_checkpoints(
        source, there, layout=here, other_layout=other, **choices
    )
    assert found.equal or found.rounded
    assert (found.layouts, found.tensors) == ((here, other), len(tensors))
    if found.rounded:
        return
    name, tensor = list(tensors.items())[len(tensors) // 2]
    number = tensor.numel() * 2 // 3
    like = {n for n, t in tensors.items() if torch.equal(t, tensor)}
    for one in like:  # tied tensors are changed together
        tensors[one].view(-1)[number] += 1000
    after = case.write(tmp_path / "after", tensors)
    found = module.diff_checkpoints(
        there, after, layout=other, other_layout=here, **choices
    )
    assert {t.name for t in found.different} == like and found.missing == ((), ())
    for one in found.different:
        index = torch.unravel_index(torch.tensor(number), tensor.shape)
        assert (one.first, one.different) == ([int(i) for i in index], 1)
        before = struct.unpack("<q", bytes.fromhex(one.values[0].value[-24:-1]))
        assert before[0] == int(tensors[name].view(-1)[number]) - 1000
        assert_is_there(there, one.values[0], before[0])
        assert_is_there(after, one.values[1], before[0] + 1000)


def load_distributed(folder: Path, name: str) -> torch.Tensor:
    """A tensor of a torch.distributed checkpoint."""
    from torch.distributed import checkpoint

    found = checkpoint.FileSystemReader(folder).read_metadata()
    size = found.state_dict_metadata[name].size  # type: ignore[union-attr]
    tensors = {name: torch.zeros(size, dtype=torch.int64)}
    checkpoint.load(tensors, checkpoint_id=folder)
    return tensors[name]


def assert_is_there(folder: Path, element: Any, number: int) -> None:
    """The element is where it is said to be, as other software reads it."""
    from safetensors.torch import load_file

    name, index, _, file = element.where
    if not file.endswith(".safetensors"):
        found = load_distributed((folder / file).parent, name)
    else:
        found = load_file(folder / file)[name]
    assert int(found[tuple(index)]) == number
    assert element.value.startswith(f"{number} (")


# ---- what is said


def test_other_tensors(tmp_path: Path) -> None:
    """Other sizes of models: what both have is compared, what one lacks is named."""
    one = write_hf(tmp_path / "one")
    more = hf_tensors()
    for name in ("norm", "q", "k", "v", "down", "up"):
        more[f"layers.4.{name}.weight"] = more[f"layers.3.{name}.weight"]
    more["embed.weight"] = coded(0, "F32", 29, 5)
    more["layers.0.norm.weight"] = coded(3, "BF16", 5)
    other = write_hf(tmp_path / "other", more, hf_layers=5)
    found = diff(one, other)
    assert not found.equal and found.tensors == 26
    assert found.missing[1] == () and len(found.missing[0]) == 6
    lines = str(found).splitlines()
    assert lines[3:5] == [
        "first: layers.0.norm.weight [0]",
        f"  {one}: layers.0.norm.weight [0] in model.safetensors: {number(1, 977)}",
    ]
    assert lines[6:-1] == [
        "embed.weight: BF16 [29, 5] and F32 [29, 5]",
        "layers.0.norm.weight: 5 of 5 elements, the first is [0]",
        *(
            f"missing in {one}: layers.4.{name}.weight"
            for name in ("norm", "q", "k", "v", "down", "up")
        ),
    ]
    back = diff(other, one)
    assert back.missing == ((), found.missing[0])


def number(tensor: int, words: int) -> str:
    """The first element of a coded tensor, as it is shown."""
    code = (tensor * words + 1).to_bytes(2, "little")
    return f"{struct.unpack('<f', bytes(2) + code)[0]} ({code.hex(' ')})"


def test_many_differences(tmp_path: Path) -> None:
    one, other = hf_tensors(), {
        name: coded(100 + number, "BF16", *tensor.shape)
        for number, (name, tensor) in enumerate(hf_tensors().items())
    }
    found = diff(write_hf(tmp_path / "one", one), write_hf(tmp_path / "other", other))
    lines = str(found).splitlines()
    assert lines[0] == "different: 26 of 26 tensors (3.86 KB)"
    assert lines[6:-2] == [str(tensor) for tensor in found.different[:20]]
    assert lines[-2] == "and 6 more tensors differ"
    assert [t.name for t in found.different] == list(one)
    assert all(t.different == t.elements for t in found.different)


def test_bits_and_not_numbers(tmp_path: Path) -> None:
    """0.0 and -0.0 differ, and two kinds of NaN; one NaN is equal to itself."""
    one = hf_tensors("F32")
    data = bytearray(one["final.weight"].data)
    data[:12] = struct.pack("<fff", 0.0, math.nan, 1.0)
    one["final.weight"] = one["final.weight"]._replace(data=bytes(data))
    assert diff(
        write_hf(tmp_path / "one", one), write_mcore(tmp_path / "same", one, 2, 1)
    ).equal
    data[:8] = struct.pack("<f", -0.0) + bytes.fromhex("0100c07f")
    other = {**one, "final.weight": one["final.weight"]._replace(data=bytes(data))}
    found = diff(tmp_path / "one", write_hf(tmp_path / "other", other))
    (tensor,) = found.different
    assert (tensor.name, tensor.different, tensor.first) == ("final.weight", 2, [0])
    assert [value.value for value in tensor.values] == [
        "0.0 (00 00 00 00)",
        "-0.0 (00 00 00 80)",
    ]


@pytest.mark.parametrize(
    "dtype, code, value",
    [
        ("F64", "00 00 00 00 00 00 f8 3f", "1.5"),
        ("F32", "00 00 c0 3f", "1.5"),
        ("BF16", "c0 3f", "1.5"),
        ("F16", "00 3e", "1.5"),
        ("C64", "00 00 c0 3f 00 00 00 80", "1.5, -0.0"),
        ("BOOL", "01", "True"),
        ("I8", "fe", "-2"),
        ("U16", "fe ff", "65534"),
        ("I64", "fe ff ff ff ff ff ff ff", "-2"),
        ("F8_E4M3", "7f", ""),
    ],
)
def test_value_text(dtype: str, code: str, value: str) -> None:
    found = load_toy().value_text(bytes.fromhex(code), dtype)
    assert found == (f"{value} ({code})" if value else code)


@pytest.mark.parametrize("blocked", ["", "numpy"])
def test_counts(monkeypatch: pytest.MonkeyPatch, blocked: str) -> None:
    """Elements are counted, not bytes, with numpy and without."""
    if blocked:
        monkeypatch.setitem(sys.modules, blocked, None)
    one = bytearray(range(240)) * 4
    other = bytearray(one)
    for at in (0, 1, 8, 17, 18, 900):
        other[at] ^= 255
    found = [load_toy()._different_words(one, other, width) for width in (1, 2, 4, 8)]
    assert found == [6, 5, 4, 4]


def test_several_chunks(tmp_path: Path) -> None:
    """Counts add up over chunks, and the first one is the first, whichever thread finds it."""
    module = load(Path("flat.map"), FLAT)
    count = 1_000_003
    one = torch.arange(count, dtype=torch.int32)
    other = one.clone()
    other[[5, 400_000, count - 1]] = -1
    for name, tensor in (("one", one), ("other", other)):
        tensors = test_values.stored({"b": tensor, "a": one})
        write(tmp_path / name / "model.safetensors", tensors)
        (tmp_path / name / "config.json").write_text(json.dumps({"e": count}))
    layouts = {"layout": "hf", "other_layout": "other"}
    for threads in (1, 2):
        found = module.diff_checkpoints(
            tmp_path / "one", tmp_path / "other", threads=threads, **layouts
        )
        (tensor,) = found.different
        assert (tensor.name, tensor.different, tensor.first) == ("b", 3, [5])
        assert tensor.values[1].value == "-1 (ff ff ff ff)"


FLAT = """# Two vectors
language 1
map flat: hf <-> other
config { e: e <-> e }
tensors { a[e] <-> a[e]
          b[e] <-> b[e] }
"""


# ---- what is not stored


def test_padding_and_defaults_have_no_place(tmp_path: Path) -> None:
    """An element that only one side stores: the other has the default of the map."""
    module = load(test_fills.PATH)
    source = test_fills.write_hf(tmp_path / "hf", test_fills.given())
    module.convert_checkpoint(source, tmp_path / "mcore")
    path = tmp_path / "mcore/rank_0.safetensors"
    tensors = read(path)
    data = bytearray(tensors["zero"].data)
    data[14:16] = b"\x80\x3f"
    tensors["zero"] = tensors["zero"]._replace(data=bytes(data))
    write(path, tensors)
    found = module.diff_checkpoints(source, tmp_path / "mcore")
    (tensor,) = (t for t in found.different if t.name not in found.rounded)
    assert (tensor.name, tensor.first) == ("zero", [3])
    assert list(map(str, tensor.values)) == [
        "not stored: 0.0 (00 00 00 00)",
        "zero [3] in rank_0.safetensors (rank tp=0): 1.0 (00 00 80 3f)",
    ]


def test_rounding_is_said(tmp_path: Path) -> None:
    module = load(test_values.PATH)
    source = test_values.write_hf(tmp_path / "hf", test_values.numbers("F32"))
    module.convert_checkpoint(source, tmp_path / "mcore", mesh=module.Mesh(2))
    found = module.diff_checkpoints(source, tmp_path / "mcore")
    assert found.rounded == ("a", "b", "embed", "turned")
    assert {t.name for t in found.different} <= set(found.rounded)
    assert str(found).splitlines()[-2] == (
        "4 tensors are rounded on the way between the layouts, and may differ by that"
    )


def test_after_a_cast(tmp_path: Path) -> None:
    """What --dtype has cast is of another dtype, and so different."""
    source = write_hf(tmp_path / "hf")
    to_mcore(source, tmp_path / "mcore", 2, 1, dtype="f32")
    found = diff(source, tmp_path / "mcore")
    assert len(found.different) == 26
    assert str(found.different[0]) == "embed.weight: BF16 [29, 5] and F32 [29, 5]"
    assert "first:" not in str(found)
