"""What a map makes and what stands in the place of absent tensors: the same in memory and in files, on every mesh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from mapc.templates.runtime import fills

from .files import read, write
from .test_values import stored
from .toy import load

PATH = Path(__file__).parent / "fills.map"
V, VP, E = 599, 600, 1024
CONFIG = {"v": V, "vp": VP, "e": E, "std": 0.5, "number": -3}
NAMES = ("random", "spread", "a", "zero")
Tensors = dict[str, torch.Tensor]


def given() -> Tensors:
    """What is there of hf: the tensors that have no default."""
    found = {"weight": torch.arange(E), "weight_b": torch.arange(V)}
    return {name: tensor.to(torch.bfloat16) for name, tensor in found.items()}


def write_hf(path: Path, tensors: Tensors, **config: Any) -> Path:
    write(path / "model.safetensors", stored(tensors))
    (path / "config.json").write_text(json.dumps({**CONFIG, **config}))
    return path


def there(tensors: Tensors, tp: int, **config: Any) -> list[Tensors]:
    m = load(PATH)
    read_ = m.Config.from_hf({**CONFIG, **config})
    return [
        dict(m.to_mcore(tensors, read_, m.Mesh(tp), m.Rank(at))) for at in range(tp)
    ]


def refused(tensors: Tensors, **config: Any) -> str:
    with pytest.raises(load(PATH).ConversionError) as error:
        there(tensors, 1, **config)
    return str(error.value)


def joined(ranks: list[Tensors]) -> Tensors:
    """The tensors of all ranks together."""
    whole = dict(ranks[0])
    whole["mask"] = torch.cat([rank["mask"] for rank in ranks])
    whole["random"] = torch.cat([rank["random"] for rank in ranks], 1)
    return whole


@pytest.mark.parametrize("tp", [1, 2, 4])
def test_files_are_as_memory_says(tmp_path: Path, tp: int) -> None:
    m, source = load(PATH), write_hf(tmp_path / "hf", given())
    ranks = there(given(), tp)
    for threads in (1, 3):
        target = tmp_path / f"mcore_{threads}"
        m.convert_checkpoint(
            source, target, mesh=m.Mesh(tp), threads=threads, verify=True
        )
        for at, rank in enumerate(ranks):
            assert read(target / f"rank_{at}.safetensors") == stored(rank)
    m.convert_checkpoint(tmp_path / "mcore_1", tmp_path / "back", "hf")
    config = m.Config.from_hf(CONFIG)
    back = dict(m.to_hf(dict(zip(m.Mesh(tp).ranks(), ranks)), config, m.Mesh(tp)))
    assert read(tmp_path / "back/model.safetensors") == stored(back)
    assert set(back) == {*given(), *NAMES, "counts", "slopes"}
    m.convert_checkpoint(tmp_path / "back", tmp_path / "again", mesh=m.Mesh(tp))
    for at, rank in enumerate(ranks):
        assert read(tmp_path / f"again/rank_{at}.safetensors") == stored(rank)


def test_the_mesh_does_not_matter() -> None:
    one = joined(there(given(), 1))
    for tp in (2, 4):
        other = joined(there(given(), tp))
        assert all(torch.equal(one[name], other[name]) for name in one)
    # Absent on the side of the mesh, too.
    m, config = load(PATH), load(PATH).Config.from_hf(CONFIG)
    found = []
    for tp in (1, 2):
        ranks = [
            {n: t for n, t in rank.items() if n != "spread"}
            for rank in there(given(), tp)
        ]
        mesh = m.Mesh(tp)
        found.append(dict(m.to_hf(dict(zip(mesh.ranks(), ranks)), config, mesh)))
    assert torch.equal(found[0]["spread"], found[1]["spread"])
    assert 0.1 < found[0]["spread"].float().std() < 0.4  # half of normal(0.5)


def test_the_values() -> None:
    found = there(given(), 1)[0]
    rows = torch.tril(torch.ones(V, V, dtype=torch.uint8))
    assert torch.equal(found["mask"][:V], rows) and not found["mask"][V:].any()
    assert torch.equal(found["number"], torch.full((E,), -3, dtype=torch.int16))
    assert found["ab"].dtype == torch.bfloat16
    assert (found["ab"][:V] == 2).all()  # ones - 0 = ab - 1
    assert torch.equal(
        found["ab"][V:], (torch.arange(V).bfloat16().float() + 1).bfloat16()
    )
    assert found["zero"].dtype == torch.float32 and not found["zero"].any()
    spread = found["spread"]
    assert spread.min() >= -2 and 3.9 < spread.max() <= 4
    assert abs(float(spread.mean()) - 1) < 0.15
    random = found["random"][:, :V]
    assert not found["random"][:, V:].any()
    assert abs(float(random.mean())) < 0.004 and abs(float(random.std()) - 0.5) < 0.004
    assert len(random.unique()) > 0.9 * random.numel()
    assert not torch.equal(random[0], random[1])


def test_the_dtype_of_what_is_absent(tmp_path: Path) -> None:
    """As --dtype says, else as the config of the target, else float32."""
    m = load(PATH)
    source = write_hf(tmp_path / "hf", given())
    m.convert_checkpoint(source, tmp_path / "asked", dtype="f16")
    assert read(tmp_path / "asked/rank_0.safetensors")["zero"].dtype == "F16"
    m.convert_checkpoint(source, tmp_path / "mcore")
    config = json.loads((tmp_path / "mcore/config.json").read_text())
    written = {**config, "mapc": {**config["mapc"], "hf": {"torch_dtype": "bfloat16"}}}
    (tmp_path / "mcore/config.json").write_text(json.dumps(written))
    path = tmp_path / "mcore/rank_0.safetensors"
    kept = {n: t for n, t in read(path).items() if n != "spread"}
    write(path, kept)
    m.convert_checkpoint(tmp_path / "mcore", tmp_path / "back", "hf")
    assert read(tmp_path / "back/model.safetensors")["spread"].dtype == "BF16"


def test_what_is_made_is_compared(tmp_path: Path) -> None:
    tensors = given() | {"counts": torch.arange(V, dtype=torch.int32)}
    there(tensors, 1)
    tensors["counts"][500] = 7
    message = "counts: element [500]: expected 500, which the map makes, found 7 (fills.map:21)"
    message += "; with `lossy` behind the `make` it is left behind"
    assert refused(tensors) == message
    m, source = load(PATH), write_hf(tmp_path / "hf", tensors)
    with pytest.raises(m.ConversionError) as error:
        m.convert_checkpoint(source, tmp_path / "never")
    assert str(error.value) == message


def test_what_others_compute_may_differ_in_the_last_digits() -> None:
    slopes = there(given(), 1)  # as the map makes them on the way back
    m = load(PATH)
    back = dict(m.to_hf({m.Rank(0): slopes[0]}, m.Config.from_hf(CONFIG)))
    near = back["slopes"] * (1 + 2 * torch.finfo(torch.float32).eps)
    there(given() | {"slopes": near}, 1)
    far = back["slopes"] * (1 + 1e-5)
    assert refused(given() | {"slopes": far}).startswith("slopes: element [0, 0]: ")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"number": 2**15},
            "fills.map:23: full: expected values that I16 holds, found 32768",
        ),
        ({"std": "0.5"}, "hf config: std: expected float, found '0.5'"),
        (
            {"number": 0.5},
            "fills.map:23: full: expected values that I16 holds, found 0.5",
        ),
    ],
)
def test_values_that_do_not_fit(config: dict[str, Any], message: str) -> None:
    assert refused(given(), **config) == message


def test_another_dtype_than_the_one_that_is_made() -> None:
    assert refused(given() | {"counts": torch.arange(V)}) == (
        "counts: expected I32, which the map fixes, found torch.int64 (fills.map:21)"
    )


def test_a_tensor_is_there_on_every_rank_or_on_none() -> None:
    m, ranks = load(PATH), there(given(), 2)
    del ranks[1]["spread"]
    with pytest.raises(m.ConversionError) as error:
        m.to_hf(
            dict(zip(m.Mesh(2).ranks(), ranks)), m.Config.from_hf(CONFIG), m.Mesh(2)
        )
    assert str(error.value).startswith("spread (rank tp=1): missing; fills.map:25")


def test_philox() -> None:
    """The known answers of Random123 for philox4x32-10."""

    def words(*values: int) -> Any:
        return tuple(torch.tensor([value]) for value in values)

    full = 0xFFFFFFFF
    for counter, key, answer in (
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (
            (full, full, full, full),
            (full, full),
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ):
        found = fills.philox(words(*counter), key)
        assert tuple(int(word) for word in found) == answer


def test_any_part_of_random_numbers() -> None:
    filled = fills.Filled(fills.Fill("normal", (1.0, 3)), (100_000,), "x", False)
    whole = fills.element_values(filled, torch.arange(100_000))
    for low, high in ((0, 1), (17, 99), (16_380, 16_390), (99_999, 100_000)):
        part = fills.element_values(filled, torch.arange(low, high))
        assert torch.equal(part, whole[low:high])
    other = fills.element_values(filled._replace(name="y"), torch.arange(10))
    assert not torch.equal(other, whole[:10])
