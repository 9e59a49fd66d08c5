"""Arithmetic in files: computed in float32 or wider and rounded once, whatever the chunks, and the same in memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from .files import Stored, read, write
from .toy import load

TORCH = {
    "F64": torch.float64,
    "F32": torch.float32,
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "I32": torch.int32,
    "I16": torch.int16,
    "U8": torch.uint8,
}
V, VP, E = 1501, 1504, 401
CONFIG = {"v": V, "vp": VP, "e": E, "scale": 0.3}
PATH = Path(__file__).parent / "values.map"


def numbers(dtype: str) -> dict[str, torch.Tensor]:
    """hf tensors of numbers that have to be rounded; the large ones take several chunks of a file."""
    generator = torch.Generator().manual_seed(3)
    shapes = {"embed": (V, E), "turned": (V, E)}
    shapes |= dict.fromkeys(("a", "b", "plain", "bias", "gain"), (E,))
    found = {}
    for name, shape in shapes.items():
        values = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.6
        found[name] = (8 * values).to(TORCH["F32" if name == "bias" else dtype])
    return found


def stored(tensors: dict[str, torch.Tensor]) -> dict[str, Stored]:
    names = {dtype: name for name, dtype in TORCH.items()}
    return {
        name: Stored(
            names[tensor.dtype],
            tuple(tensor.shape),
            tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes(),
        )
        for name, tensor in tensors.items()
    }


def there(t: dict[str, torch.Tensor], to: torch.dtype) -> dict[str, torch.Tensor]:
    """What the mcore tensors of all ranks are together, by hand."""

    def wide(name: str) -> torch.Tensor:
        return t[name].double() if t[name].dtype == torch.float64 else t[name].float()

    def one(number: float) -> torch.Tensor:
        return torch.tensor(number, dtype=wide("a").dtype)

    def log(x: torch.Tensor) -> torch.Tensor:
        return x.double().log().to(x.dtype)

    embed = torch.zeros(VP, E, dtype=to)
    embed[:V] = (wide("embed") * one(0.3) + one(1)).to(to)
    turned = torch.zeros(E, VP, dtype=to)
    turned[:, :V] = (wide("turned") / one(3)).T.to(to)
    ab = torch.stack([log(wide("a") - one(0.5)), log(wide("b"))]).to(to)
    found = {"embed": embed, "turned": turned, "ab": ab, "plain": t["plain"].to(to)}
    return {**found, "bias": t["bias"].to(to), "gain": t["gain"].float()}


def rank(t: dict[str, torch.Tensor], at: int) -> dict[str, torch.Tensor]:
    parts = {"embed": t["embed"].chunk(2)[at], "turned": t["turned"].chunk(2, 1)[at]}
    return {**t, **parts}


def write_hf(path: Path, tensors: dict[str, torch.Tensor], **config: Any) -> Path:
    write(path / "model.safetensors", stored(tensors))
    (path / "config.json").write_text(json.dumps({**CONFIG, **config}))
    return path


@pytest.mark.parametrize("asked", [None, "f32", "bf16", "f16"])
@pytest.mark.parametrize("dtype", ["F64", "F32", "BF16", "F16"])
def test_rounded_once(tmp_path: Path, dtype: str, asked: str | None) -> None:
    m, tensors = load(PATH), numbers(dtype)
    source, target = write_hf(tmp_path / "hf", tensors), tmp_path / "mcore"
    m.convert_checkpoint(source, target, mesh=m.Mesh(2), dtype=asked, verify=True)
    to = TORCH[asked.upper() if asked else dtype]
    expected = there(tensors, to)
    if asked is None:  # where nothing is asked and no config says it, as in the source
        expected["bias"] = tensors["bias"]
    for at in (0, 1):
        assert read(target / f"rank_{at}.safetensors") == stored(rank(expected, at))
    if asked is None:
        config = m.Config.from_hf(CONFIG)
        for at in (0, 1):
            found = dict(m.to_mcore(tensors, config, m.Mesh(2), m.Rank(at)))
            assert stored(found) == stored(rank(expected, at))
        m.convert_checkpoint(target, tmp_path / "again", "hf", threads=3)
        ranks = {m.Rank(at): rank(expected, at) for at in (0, 1)}
        back = dict(m.to_hf(ranks, config, m.Mesh(2)))
        assert read(tmp_path / "again/model.safetensors") == stored(back)
        wide = {"gain": torch.finfo(torch.float32).eps}  # stored in float32 there
        for name, tensor in tensors.items():  # each way is rounded once
            same = back[name].to(tensor.dtype)
            ulp = max(torch.finfo(to).eps, wide.get(name, 0))
            assert torch.allclose(same, tensor, rtol=4 * ulp, atol=8 * ulp), name


@pytest.mark.parametrize("asked", [None, "f16"])
@pytest.mark.parametrize("said", ["bfloat16", "torch.bfloat16"])
def test_the_config_says_the_dtype(
    tmp_path: Path, said: str, asked: str | None
) -> None:
    """Of the two dtypes that are not fixed, where the map fixes the one of the other side."""
    m, tensors = load(PATH), numbers("F32")
    source = write_hf(tmp_path / "hf", tensors, torch_dtype=said)
    target, again = tmp_path / "mcore", tmp_path / "again"
    m.convert_checkpoint(source, target, dtype=asked)
    there_ = read(target / "rank_0.safetensors")
    assert there_["bias"].dtype == ("F16" if asked else "F32")
    assert there_["gain"] == stored(tensors)["gain"]
    m.convert_checkpoint(target, again, "hf", dtype=asked)
    back = read(again / "model.safetensors")
    assert back["bias"].dtype == "F32"
    assert (
        back["gain"]
        == stored(
            {"gain": tensors["gain"].to(torch.float16 if asked else torch.bfloat16)}
        )["gain"]
    )


def test_a_fixed_dtype_that_is_another(tmp_path: Path) -> None:
    tensors = numbers("F32")
    tensors["bias"] = tensors["bias"].bfloat16()
    assert refused(tmp_path, tensors) == (
        f"{tmp_path}/hf/model.safetensors: bias: expected F32, which the map fixes, found BF16 (values.map:23)"
    )


def test_fixed_dtypes_are_known_without_a_source() -> None:
    m = load(PATH)
    expected = m.expected_mcore(m.Config.from_hf(CONFIG))
    assert expected["gain"] == ((E,), "float32") and expected["bias"] == ((E,), None)


def refused(tmp_path: Path, tensors: dict[str, torch.Tensor], **config: Any) -> str:
    m = load(PATH)
    source = write_hf(tmp_path / "hf", tensors, **config)
    with pytest.raises(m.ConversionError) as error:
        m.convert_checkpoint(source, tmp_path / "never")
    assert not (tmp_path / "never").exists()
    return str(error.value)


def test_a_factor_of_zero(tmp_path: Path) -> None:
    assert refused(tmp_path, numbers("F32"), scale=0) == (
        "values.map:18: expected a number other than 0 behind `*`, found 0"
    )


def test_a_factor_that_is_no_number() -> None:
    m = load(PATH)
    config = m.Config.from_hf({**CONFIG, "scale": float("inf")})
    with pytest.raises(m.ConversionError) as error:
        m.to_mcore(numbers("F32"), config)
    assert str(error.value) == (
        "values.map:18: expected a number other than 0 behind `*`, found inf"
    )


def test_integers(tmp_path: Path) -> None:
    assert refused(tmp_path, numbers("I32")) == (
        f"{tmp_path}/hf/model.safetensors: embed: expected a dtype among F64, F32, F16, BF16 to compute with, found I32 (values.map:18)"
    )


def test_a_factor_of_one_moves_bytes(tmp_path: Path) -> None:
    text = PATH.read_text().replace("* scale + 1", "* scale")
    m = load(PATH, text)
    tensors = numbers("BF16")
    found = dict(m.to_mcore(tensors, m.Config.from_hf({**CONFIG, "scale": 1, "vp": V})))
    assert found["embed"].data_ptr() == tensors["embed"].data_ptr()


def test_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_hf(tmp_path / "hf", numbers("BF16"))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(load(PATH).ConversionError) as error:
        load(PATH).convert_checkpoint(source, tmp_path / "never")
    assert str(error.value) == (
        "the arithmetic of values.map needs torch, which is not installed; install it"
    )
