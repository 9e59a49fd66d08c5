"""--dtype: floating-point tensors are cast as torch does it, the others stay."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from .files import Stored, read
from .toy import load_toy
from .toy_checkpoint import hf_tensors, mcore_tensors, rank_file, to_mcore, write_hf

TORCH = {
    "F64": torch.float64,
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
}


def numbers(dtype: str) -> dict[str, Stored]:
    """hf tensors of numbers that have to be rounded, with infinities, denormals and a NaN."""
    found = {}
    generator = torch.Generator().manual_seed(7)
    for name, (_, shape, _) in hf_tensors().items():
        values = torch.randn(shape, generator=generator, dtype=torch.float64)
        special = torch.tensor(
            [float("inf"), -float("inf"), 1e-40, -0.0], dtype=torch.float64
        )
        values.view(-1)[:4] = special
        values = values.to(TORCH[dtype]).contiguous()
        found[name] = Stored(dtype, shape, values.view(torch.uint8).numpy().tobytes())
    return found


def cast(tensor: Stored, to: str) -> Stored:
    values = torch.frombuffer(bytearray(tensor.data), dtype=TORCH[tensor.dtype]).to(
        TORCH[to]
    )
    return Stored(to, tensor.shape, values.view(torch.uint8).numpy().tobytes())


@pytest.mark.parametrize(
    "there, flag", [("BF16", "bf16"), ("F32", "f32"), ("F16", "f16")]
)
@pytest.mark.parametrize("here", ["F64", "F32", "BF16", "F16"])
def test_every_pair(tmp_path: Path, here: str, there: str, flag: str) -> None:
    hf = numbers(here)
    to_mcore(
        write_hf(tmp_path / "hf", hf), tmp_path / "mcore", 2, 1, dtype=flag, verify=True
    )
    for at_tp in range(2):
        expected = {
            name: cast(t, there)
            for name, t in mcore_tensors(hf, 2, 1, at_tp, 0).items()
        }
        assert read(tmp_path / "mcore" / rank_file(at_tp, 0)) == expected


def test_integers_stay(tmp_path: Path) -> None:
    hf = hf_tensors("I32")
    hf["layers.1.norm.weight"] = numbers("F32")["layers.1.norm.weight"]
    to_mcore(write_hf(tmp_path / "hf", hf), tmp_path / "mcore", 2, 1, dtype="bf16")
    found = read(tmp_path / "mcore" / rank_file(1, 0))
    assert {
        name: tensor.dtype for name, tensor in found.items() if tensor.dtype != "I32"
    } == {"decoder.1.norm.weight": "BF16"}
    assert found["decoder.1.norm.weight"] == cast(hf["layers.1.norm.weight"], "BF16")


def test_codes_of_fp8_are_refused(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf", hf_tensors("F8_E4M3"))
    with pytest.raises(load_toy().ConversionError) as error:
        to_mcore(source, tmp_path / "never", 2, 1, dtype="bf16")
    assert str(error.value) == (
        "embedding.weight: expected a dtype among F64, F32, F16, BF16 to cast to BF16, found F8_E4M3; "
        "leave --dtype out to keep the codes"
    )


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(load_toy().ConversionError) as error:
        to_mcore(tmp_path / "never-read", tmp_path / "never", 2, 1, dtype="bf16")
    assert str(error.value) == (
        "--dtype needs torch, which is not installed; install it, or leave --dtype out"
    )
