"""Prepared conversions, by kernels and by torch: what a call does, what it looks at, what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from .loading import committed, compiled

gemma = committed("gemma_hf_mcore")
CONFIG = gemma.Config.from_hf(
    {
        "model_type": "gemma",
        "architectures": ["GemmaForCausalLM"],
        "num_hidden_layers": 2,
        "hidden_size": 6,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 5,
        "intermediate_size": 14,
        "vocab_size": 11,
        "tie_word_embeddings": True,
    },
    vocab_divisor=1,
)
MESH = gemma.Mesh(tp=2)


@pytest.fixture(params=["kernels", "torch"])
def by(request: pytest.FixtureRequest) -> Iterator[str]:
    """Whether kernels make the targets."""
    if request.param == "kernels":
        request.getfixturevalue("interpreted")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "torch":
            patch.delenv("MAPC_KERNELS", raising=False)
        yield request.param


def checkpoint() -> dict[str, torch.Tensor]:
    shapes = gemma.expected_hf(CONFIG, MESH)
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(shape, generator=generator).bfloat16()
        for name, (shape, _) in shapes.items()
    }


def as_bits(tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: tensor.view(torch.int16).tolist() for name, tensor in tensors.items()}


RANK = gemma.Rank(tp=1)


def prepared(tensors: dict[str, torch.Tensor], **more: Any) -> Any:
    return gemma.prepare("to_mcore", tensors, CONFIG, MESH, RANK, **more)


def converted(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return dict(gemma.to_mcore(tensors, CONFIG, MESH, RANK))


def test_each_call_takes_what_the_source_has(by: str) -> None:
    tensors = checkpoint()
    conversion = prepared(tensors)
    assert bool(conversion.launches) == (by == "kernels")
    targets = conversion()
    assert as_bits(targets) == as_bits(converted(tensors))
    addresses = {name: target.data_ptr() for name, target in targets.items()}
    for tensor in tensors.values():
        tensor.mul_(2)
    again = conversion()
    assert as_bits(again) == as_bits(converted(tensors))
    assert {name: target.data_ptr() for name, target in again.items()} == addresses
    conversion.check()


# Those that elements have which torch copies: not of parts of bytes, and not its old quantized ones.
DTYPES = [
    dtype
    for name, dtype in sorted(vars(torch).items())
    if isinstance(dtype, torch.dtype)
    and re.fullmatch(r"bool|bfloat16|complex\d+|float(8_.*|16|32|64)|u?int\d\d?", name)
    and name.lstrip("uint") not in "1234567"
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_dtype(
    interpreted: None, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elements are moved with all their bits, whatever they mean."""
    generator = torch.Generator().manual_seed(9)
    tensors = {}
    for name, (shape, _) in gemma.expected_hf(CONFIG, MESH).items():
        size = torch.Size(shape).numel() * dtype.itemsize
        data = torch.randint(0, 256, (size,), dtype=torch.uint8, generator=generator)
        if dtype == torch.bool:
            data = data & 1
        tensors[name] = data.view(dtype).view(shape)
    conversion = prepared(tensors)
    assert conversion.launches > 0
    made = {n: raw(t) for n, t in conversion().items()}
    monkeypatch.delenv("MAPC_KERNELS")
    assert made == {n: raw(t) for n, t in converted(tensors).items()}


def raw(tensor: torch.Tensor) -> bytes:
    flat = tensor.contiguous().view(-1).view(torch.uint8)
    return bytes(flat.numpy())


def test_memory_that_has_moved_is_found(by: str) -> None:
    tensors = checkpoint()
    conversion = prepared(tensors)
    for tensor in tensors.values():
        tensor.data = tensor + 1
    assert as_bits(conversion()) == as_bits(converted(tensors))


def test_other_tensors(by: str) -> None:
    conversion = prepared(checkpoint())
    others = {name: -tensor for name, tensor in checkpoint().items()}
    assert as_bits(conversion(others)) == as_bits(converted(others))
    assert as_bits(conversion()) == as_bits(converted(others))


NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda t: t[:-1], "[13, 6] on cpu"),
        (lambda t: t.float(), "torch.float32 [14, 6] on cpu"),
        (lambda t: t.to("meta"), "torch.bfloat16 [14, 6] on meta"),
    ],
)
def test_tensors_unlike_those_it_was_prepared_for(
    by: str, change: Any, said: str
) -> None:
    tensors = checkpoint()
    conversion = prepared(tensors)
    other = change(tensors[NAME])
    with pytest.raises(gemma.ConversionError) as caught:
        conversion({**tensors, NAME: other})
    found = f"{other.dtype} {list(other.shape)} on {other.device}"
    assert found.endswith(said)
    assert str(caught.value) == (
        f"{NAME}: expected torch.bfloat16 [14, 6] on cpu, as it was prepared for, found {found}"
    )
    if other.device.type == "cpu":
        tensors[NAME].data = other
        with pytest.raises(gemma.ConversionError) as caught:
            conversion()
        assert str(caught.value).endswith(f"found {found}")


def test_names_unlike_those_it_was_prepared_for(by: str) -> None:
    tensors = checkpoint()
    conversion = prepared(tensors)
    with pytest.raises(gemma.ConversionError) as caught:
        conversion({**tensors, "another": tensors[NAME]})
    assert str(caught.value) == (
        "another: expected nothing, as it was prepared for, found torch.bfloat16 [14, 6] on cpu"
    )
    del tensors[NAME]
    with pytest.raises(gemma.ConversionError) as caught:
        conversion(tensors)
    assert str(caught.value) == (
        f"{NAME}: expected torch.bfloat16 [14, 6] on cpu, as it was prepared for, found nothing"
    )


def test_the_memory_of_the_caller(by: str) -> None:
    tensors = checkpoint()
    given: dict[str, torch.Tensor] = {}

    def out(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        # Every other one does not lie as it is read.
        turned = len(given) % 2 and len(shape) == 2
        made = torch.empty(shape[::-1] if turned else shape, dtype=dtype)
        given[name] = made.t() if turned else made
        return given[name]

    conversion = prepared(tensors, out=out)
    assert conversion.tensors.keys() == given.keys()
    targets = conversion()
    assert all(
        targets[name].data_ptr() == one.data_ptr() for name, one in given.items()
    )
    assert as_bits(given) == as_bits(converted(tensors))


COMPUTING = """
language 1
map computing: hf <-> cs

config {
    e: e <-> e
}

tensors {
    a[e] * 3 - 1,
    b[e]                  <-> ab[(1 + 1) e]
    first.weight[e] / 0.5 <-> first.gain[e]
    second.weight[e] * 2  <-> second.gain[e]
    exp(last.weight)[e]   <-> last.gain[e]
    cast[e]               <-> cast[e] as f16
}
"""


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # numpy's
def test_numbers_that_become_infinite(by: str, tmp_path: Path) -> None:
    """Torch refuses them while they are made; kernels are asked later, and nothing waits for them before."""
    cs = compiled(tmp_path / "computing.py", COMPUTING)
    config = cs.Config(e=5)
    tensors = {
        name: torch.linspace(-3, 3, 5).bfloat16() for name in cs.expected_hf(config)
    }
    conversion = cs.prepare("to_cs", tensors, config)
    assert as_bits(conversion()) == as_bits(dict(cs.to_cs(tensors, config)))
    assert conversion.launches == (5 if by == "kernels" else 0)
    conversion.check()

    tensors["first.weight"][3] = tensors["cast"][2] = 2e38
    with pytest.raises(cs.ConversionError) as torch_said:
        dict(cs.to_cs(tensors, config))
    assert str(torch_said.value) == (
        "first.weight: element [3]: expected a number that BF16 holds, found 1.9938419936773738e+38 of BF16, which would "
        "become inf in first.gain (computing.map:12); --allow-narrowing writes it all the same"
    )
    if by == "torch":
        with pytest.raises(cs.ConversionError) as caught:
            conversion()
        assert str(caught.value) == str(torch_said.value)
    else:
        conversion()
        with pytest.raises(cs.ConversionError) as caught:
            conversion.check()
        assert str(caught.value) == (
            "first.gain: a number of the source has become infinite (and in 1 more); allow_narrowing lets it"
        )
    allowing = cs.prepare("to_cs", tensors, config, allow_narrowing=True)
    assert as_bits(allowing()) == as_bits(
        dict(cs.to_cs(tensors, config, allow_narrowing=True))
    )
    allowing.check()


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # numpy's
def test_what_check_is_about(interpreted: None, tmp_path: Path) -> None:
    """The last call: numbers that have been repaired are no matter any more."""
    cs = compiled(tmp_path / "computing.py", COMPUTING)
    config = cs.Config(e=5)
    tensors = {name: torch.ones(5).bfloat16() for name in cs.expected_hf(config)}
    conversion = cs.prepare("to_cs", tensors, config)
    tensors["cast"][0] = 1e38
    conversion()
    with pytest.raises(cs.ConversionError):
        conversion.check()
    tensors["cast"][0] = 1
    conversion()
    conversion.check()


def test_the_same_memory_needs_no_new_table(
    interpreted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = checkpoint()
    conversion = prepared(tensors)
    monkeypatch.setattr(gemma, "MoveTable", None)  # which would be called
    again = {name: tensors[name].detach() for name in reversed(tensors)}
    assert as_bits(conversion(again)) == as_bits(conversion())
    with pytest.raises(TypeError):
        conversion({name: tensor.clone() for name, tensor in tensors.items()})


def test_what_is_returned_is_the_callers(by: str) -> None:
    conversion = prepared(checkpoint())
    targets = conversion()
    count = len(targets)
    targets.clear()
    assert len(conversion()) == count


def test_memory_that_is_given_twice(by: str) -> None:
    """Each target is made before memory for the next is asked for."""
    scratch = torch.empty(4096, dtype=torch.bfloat16)

    def out(name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return scratch[: torch.Size(shape).numel()].view(shape)

    tensors = checkpoint()
    found = {
        name: target.clone()
        for name, target in gemma.to_mcore(tensors, CONFIG, MESH, RANK, out=out)
    }
    assert as_bits(found) == as_bits(converted(tensors))


class Other(torch.Tensor):
    """A class of tensors whose elements need not lie where it says."""


def test_other_classes_of_tensors_are_left_to_torch(interpreted: None) -> None:
    tensors = checkpoint()
    parameters = {name: torch.nn.Parameter(t) for name, t in tensors.items()}
    assert prepared(parameters).launches > 0
    others: dict[str, torch.Tensor] = {
        name: tensor.as_subclass(Other) for name, tensor in tensors.items()
    }
    conversion = prepared(others)
    assert conversion.launches == 0
    assert as_bits(conversion()) == as_bits(converted(tensors))


def test_kernels_are_switched_off(
    interpreted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPC_KERNELS", "off")
    assert prepared(checkpoint()).launches == 0


def test_memory_that_is_given_back(interpreted: None) -> None:
    tensors = checkpoint()
    conversion = prepared(tensors)
    tensors[NAME].untyped_storage().resize_(0)
    with pytest.raises(RuntimeError):
        conversion()


def test_which_rank() -> None:
    with pytest.raises(ValueError) as caught:
        gemma.prepare("to_mcore", checkpoint(), CONFIG, MESH)
    assert str(caught.value) == (
        "the mesh has 2 ranks: say which one, rank=Rank(tp=0, pp=0) for instance"
    )
    ranks = {
        rank: dict(gemma.to_mcore(checkpoint(), CONFIG, MESH, rank))
        for rank in MESH.ranks()
    }
    back = gemma.prepare("to_hf", ranks, CONFIG, MESH)()
    assert as_bits(back) == as_bits(checkpoint())
