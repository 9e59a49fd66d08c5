"""Numbers that a dtype does not hold are refused where they are, or written and counted where that is allowed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ..runtime import test_values as values
from ..runtime.files import Stored, read
from ..runtime.toy import load, load_toy
from ..runtime.toy_checkpoint import (
    hf_tensors,
    mcore_tensors,
    rank_file,
    to_hf,
    to_mcore,
    write_hf,
    write_mcore,
)
from .commands import everything_below, run

TORCH = values.TORCH
FLAGS = {"F32": "f32", "BF16": "bf16", "F16": "f16"}
# Casts that may lose a number: from, to; the smallest number that becomes infinite, and the one before it.
PAIRS = [
    ("F64", "F32"),
    ("F64", "BF16"),
    ("F64", "F16"),
    ("F32", "BF16"),
    ("F32", "F16"),
    ("BF16", "F16"),
]


def border(here: str, there: str) -> tuple[float, float]:
    """The largest number of one dtype that another holds when it is rounded, and the next one."""
    low, high = 1.0, torch.finfo(TORCH[here]).max
    fits = torch.tensor(low, dtype=TORCH[here])
    bits = {"F64": torch.int64, "F32": torch.int32, "BF16": torch.int16}[here]
    a = int(fits.view(bits))
    b = int(torch.tensor(high, dtype=TORCH[here]).view(bits))
    while b - a > 1:  # numbers above zero are in the order of their bits
        middle = torch.tensor((a + b) // 2, dtype=bits).view(TORCH[here])
        if math.isinf(middle.to(TORCH[there]).item()):
            b = (a + b) // 2
        else:
            a = (a + b) // 2
    one, other = (torch.tensor(n, dtype=bits).view(TORCH[here]) for n in (a, b))
    return one.item(), other.item()


def small(dtype: str) -> dict[str, Stored]:
    """hf tensors of ordinary numbers."""
    generator = torch.Generator().manual_seed(11)
    return {
        name: as_stored(torch.randn(shape, generator=generator), dtype)
        for name, (_, shape, _) in hf_tensors().items()
    }


def as_stored(tensor: torch.Tensor, dtype: str) -> Stored:
    data = tensor.to(TORCH[dtype]).contiguous().view(-1).view(torch.uint8)
    return Stored(dtype, tuple(tensor.shape), data.numpy().tobytes())


def as_tensor(stored: Stored) -> torch.Tensor:
    flat = torch.frombuffer(bytearray(stored.data), dtype=TORCH[stored.dtype])
    return flat.view(stored.shape)


def with_number(
    tensors: dict[str, Stored], name: str, index: tuple[int, ...], number: float
) -> dict[str, Stored]:
    tensor = as_tensor(tensors[name])
    tensor[index] = number
    return {**tensors, name: as_stored(tensor, tensors[name].dtype)}


# In a tensor that is moved, fused, split, turned and padded: where it is in the source, and what is said of the target.
PLACES = [
    ("layers.1.norm.weight", (3,), "decoder.1.norm.weight", 29),
    ("layers.0.q.weight", (17, 4), "decoder.0.qkv.weight", 30),
    ("layers.3.k.weight", (11, 0), "decoder.3.qkv.weight", 30),
    ("layers.2.down.weight", (4, 12), "decoder.2.fc2.weight", 33),
    ("layers.2.up.weight", (1, 13), "decoder.2.turned.weight", 34),
    ("embed.weight", (28, 2), "embedding.weight", 26),
]


@pytest.mark.parametrize("here, there", PAIRS)
def test_the_border(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], here: str, there: str
) -> None:
    fits, too_large = border(here, there)
    target, file = tmp_path / "mcore", tmp_path / "hf/model.safetensors"
    command = ("to-mcore", tmp_path / "hf", target, "--tp", "2", "--quiet")
    command += ("--dtype", FLAGS[there], "--set", "vocab_multiple=8", "--verify")
    for number, (name, index, to, line) in enumerate(PLACES):
        sign = (1, -1)[number % 2]
        hf = with_number(small(here), name, index, sign * fits)
        write_hf(tmp_path / "hf", hf)
        assert run(capsys, *command, "--overwrite") == (0, "", "")
        hf = with_number(hf, name, index, sign * too_large)
        write_hf(tmp_path / "hf", hf)
        before = everything_below(tmp_path)
        said = (
            f"error: {file}: {name}: element {list(index)}: expected a number that {there} holds, "
            f"found {sign * too_large} of {here}, which would become {sign * math.inf} "
            f"in {to} (toy.map:{line}); --allow-narrowing writes it all the same\n"
        )
        assert run(capsys, *command, "--overwrite") == (1, "", said)
        assert everything_below(tmp_path) == before


def test_allowed_and_counted(tmp_path: Path) -> None:
    """Each written copy counts; what was infinite or no number before does not, and verifying counts nothing twice."""
    hf = small("F32")
    for name, index, number in (
        ("layers.0.q.weight", (17, 4), 1e5),
        ("layers.0.q.weight", (18, 0), -1e38),
        ("layers.1.norm.weight", (2,), 7e4),
        ("layers.1.norm.weight", (1,), math.inf),
        ("layers.2.up.weight", (1, 1), math.nan),
        ("layers.2.up.weight", (3, 1), 1e-8),
        ("layers.2.up.weight", (3, 2), -1e-38),
        ("layers.2.up.weight", (3, 3), 0.0),
        ("layers.2.up.weight", (3, 4), -0.0),
    ):
        hf = with_number(hf, name, index, number)
    source = write_hf(tmp_path / "hf", hf)
    for threads in (1, 3):
        report = to_mcore(
            source,
            tmp_path / f"mcore{threads}",
            2,
            1,
            dtype="f16",
            allow_narrowing=True,
            verify=threads == 3,
            threads=threads,
        )
        # The norm is on both ranks, and so is what is turned and not split.
        assert report.became_infinite == {
            "decoder.0.qkv.weight": 2,
            "decoder.1.norm.weight": 2,
        }
        assert report.became_zero == {"decoder.2.turned.weight": 4}
    lines = str(report).splitlines()
    assert lines[-3:-1] == [
        "became infinite: 4 elements of 2 tensors, most of decoder.0.qkv.weight",
        "became zero: 4 elements of 1 tensors, most of decoder.2.turned.weight",
    ]
    counts = json.loads((tmp_path / "mcore3/mapc.json").read_text())["counts"]
    assert (counts["became_infinite"], counts["became_zero"]) == (4, 4)
    for at_tp in range(2):
        expected = {
            name: as_stored(as_tensor(tensor), "F16")
            for name, tensor in mcore_tensors(hf, 2, 1, at_tp, 0).items()
        }
        assert read(tmp_path / "mcore3" / rank_file(at_tp, 0)) == expected


@pytest.mark.parametrize(
    "here, there", [("F16", "F32"), ("BF16", "F32"), ("F16", "BF16")]
)
def test_nothing_is_lost_in_a_larger_range(
    tmp_path: Path, here: str, there: str
) -> None:
    hf = small(here)
    info = torch.finfo(TORCH[here])
    for at, number in enumerate((info.max, info.min, info.tiny, math.inf, math.nan)):
        hf = with_number(hf, "layers.0.norm.weight", (at,), number)
    report = to_mcore(
        write_hf(tmp_path / "hf", hf), tmp_path / "mcore", dtype=FLAGS[there]
    )
    assert (report.became_infinite, report.became_zero) == ({}, {})


def test_zeros_of_f32_in_bf16_are_not_counted(tmp_path: Path) -> None:
    hf = with_number(small("F32"), "layers.0.norm.weight", (1,), 1e-44)
    report = to_mcore(write_hf(tmp_path / "hf", hf), tmp_path / "mcore", dtype="bf16")
    assert report.became_zero == {}
    found = read(tmp_path / "mcore" / rank_file(0, 0))["decoder.0.norm.weight"]
    assert as_tensor(found)[1].item() == 0


def test_many_finite_numbers_whose_sum_is_not(tmp_path: Path) -> None:
    """The sum is where it is looked first; it decides nothing."""
    hf = {
        name: as_stored(torch.full(tensor.shape, 6e4), "F32")
        for name, tensor in small("F32").items()
    }
    report = to_mcore(write_hf(tmp_path / "hf", hf), tmp_path / "mcore", dtype="f16")
    assert (report.became_infinite, report.became_zero) == ({}, {})


def test_of_a_rank(tmp_path: Path) -> None:
    """Coming back the source is a tensor of one rank."""
    hf = with_number(small("BF16"), "layers.2.down.weight", (4, 12), 1e20)
    source = write_mcore(tmp_path / "mcore", hf, 2, 2)
    before = everything_below(tmp_path)
    with pytest.raises(load_toy().ConversionError) as error:
        to_hf(source, tmp_path / "hf", dtype="f16", threads=1)
    number = torch.tensor(1e20).to(torch.bfloat16).item()
    assert str(error.value) == (
        f"{source / rank_file(1, 1)}: decoder.0.fc2.weight (rank tp=1 pp=1): element [4, 5]: expected a number that F16 holds, found {number} "
        "of BF16, which would become inf in layers.2.down.weight (toy.map:33); "
        "--allow-narrowing writes it all the same"
    )
    assert everything_below(tmp_path) == before


# ---- arithmetic, and dtypes that the map fixes


def too_large_for_arithmetic() -> list[tuple[str, tuple[int, ...], float, str]]:
    said = "expected a number that {} holds, found {} of {}, which would become {} in {} (values.map:{}); "
    said += "--allow-narrowing writes it all the same"
    top = torch.finfo(torch.float32).max
    return [
        ("embed", (1500, 400), math.inf, ""),  # infinite before is no loss
        ("turned", (7, 8), top, ""),
        ("a", (3,), 0.5, said.format("F32", 0.5, "F32", "-inf", "ab", 20)),
        ("b", (400,), 0.0, said.format("F32", 0.0, "F32", "-inf", "ab", 20)),
        ("b", (2,), -1.0, said.format("F32", -1.0, "F32", "nan", "ab", 20)),
    ]


@pytest.mark.parametrize("name, index, number, said", too_large_for_arithmetic())
def test_arithmetic(
    tmp_path: Path, name: str, index: tuple[int, ...], number: float, said: str
) -> None:
    """log(a - 0.5) and log(b), in files, in memory and fed."""
    module, tensors = load(values.PATH), values.numbers("F32")
    tensors[name][index] = number
    source = values.write_hf(tmp_path / "hf", tensors)
    config, mesh = module.Config.from_hf(values.CONFIG), module.Mesh(2)

    def fed(**how: Any) -> None:
        stream = module.Stream("to_mcore", config, mesh, module.Rank(1), **how)
        for one, tensor in tensors.items():
            list(stream.feed(one, tensor))

    for way in ("files", "memory", "stream"):
        convert: Any = {
            "files": lambda **how: module.convert_checkpoint(
                source, tmp_path / "mcore", mesh=mesh, overwrite=True, **how
            ),
            "memory": lambda **how: dict(
                module.to_mcore(tensors, config, mesh, module.Rank(1), **how)
            ),
            "stream": fed,
        }[way]
        if not said:
            convert()
            continue
        with pytest.raises(module.ConversionError) as error:
            convert()
        file = f"{source / 'model.safetensors'}: " if way == "files" else ""
        assert str(error.value) == f"{file}{name}: element {list(index)}: {said}", way
        convert(allow_narrowing=True)
    report = module.convert_checkpoint(
        source, tmp_path / "again", mesh=mesh, allow_narrowing=True
    )
    assert report.became_infinite == ({"ab": 2} if said else {})


def test_a_fixed_dtype(tmp_path: Path) -> None:
    """`bias[e] as f32`: coming back from float64 in ranks, files and memory."""
    module, tensors = load(values.PATH), values.numbers("F64")
    config, mesh = module.Config.from_hf(values.CONFIG), module.Mesh(1)
    ranks = dict(module.to_mcore(tensors, config, mesh))
    ranks["bias"] = ranks["bias"].double()
    ranks["bias"][7] = 1e39
    ranks["bias"][9] = 1e-50
    folder = tmp_path / "mcore"
    values.write(folder / "rank_0.safetensors", values.stored(ranks))
    text = json.dumps({**values.CONFIG, "dtype": "float64"})
    (folder / "config.json").write_text(text)
    message = (
        "element [7]: expected a number that F32 holds, found 1e+39 of F64, which would become inf "
        "in bias (values.map:23); --allow-narrowing writes it all the same"
    )
    with pytest.raises(module.ConversionError) as error:
        dict(module.to_hf(ranks, config, mesh))
    assert str(error.value) == f"bias (rank tp=0): {message}"
    with pytest.raises(module.ConversionError) as error:
        module.convert_checkpoint(folder, tmp_path / "hf", "hf")
    file = folder / "rank_0.safetensors"
    assert str(error.value) == f"{file}: bias (rank tp=0): {message}"
    found = dict(module.to_hf(ranks, config, mesh, allow_narrowing=True))["bias"]
    assert (found[7], found[9], found.dtype) == (math.inf, 0, torch.float32)
    report = module.convert_checkpoint(
        folder, tmp_path / "hf", "hf", allow_narrowing=True
    )
    assert (report.became_infinite, report.became_zero) == ({"bias": 1}, {"bias": 1})
    assert read(tmp_path / "hf/model.safetensors")["bias"] == as_stored(found, "F32")


def test_whole_numbers_stay(tmp_path: Path) -> None:
    """No cast leads to integers or away from them, so nothing of them is ever lost."""
    hf = hf_tensors("I32")
    report = to_mcore(write_hf(tmp_path / "hf", hf), tmp_path / "mcore", dtype="f16")
    assert (report.became_infinite, report.became_zero) == ({}, {})
    found = read(tmp_path / "mcore" / rank_file(0, 0))
    assert {tensor.dtype for tensor in found.values()} == {"I32"}
