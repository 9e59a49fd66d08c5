"""Sources and configs that a converter refuses, each with the whole message, and nothing converted before it."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from .generated import of_text

MAP = """language 1
map m: hf <-> mcore

layout mcore {
    mesh   tp, pp
    stages pp over L by layers
    files  "rank_{tp}_{pp}.safetensors"
}
option layers = none as mcore.layers
config {
    L: L <-> L
    f: f <-> f
    e: e <-> e
    tied: tied ?? false <-> tied ?? false
}
let vp = e + 1
require e < 100, "e={e} is too many"

tensors {
    embed.weight[e] = head.weight if tied <-> embedding.weight[e^vp] at pp=first = output.weight at pp=last if tied and pp > 1
    for i in L: layers.{i} <-> decoder.{i@pp} {
        variant packing: fused {
            gate_up.weight[(f + f) e]               <-> fc1.weight[(f@tp + f@tp) e]
        } apart {
            gate.weight[f e], up.weight[f e] <-> fc1.weight[(f@tp + f@tp) e]
        }
        drop right **._extra_state
    }
}
"""
LISTED = MAP.replace("option layers = none as mcore.layers\n", "").replace(
    " by layers", ""
)
EXPERTS = """language 1
map m: hf <-> mcore

layout mcore {
    mesh  tp | ep
    files "rank_{tp}_{ep}.safetensors"
}
config {
    X: X <-> X
    e: e <-> e
}

tensors {
    experts.{X}[e] <-> experts.{X@ep}[e]
}
"""
CONFIG = {"L": 2, "f": 4, "e": 3}
Tensors = dict[str, torch.Tensor]


def module() -> ModuleType:
    return of_text(MAP)


def settings(tied: bool = False, **options: Any) -> Any:
    return module().Config.from_hf({**CONFIG, "tied": tied}, **options)


def source(**changes: torch.Tensor | None) -> Tensors:
    """A source that fits; a tensor is replaced, added or, with None, left out. `__` stands for a dot."""
    found = {"embed.weight": torch.zeros(3)}
    found |= {f"layers.{i}.gate_up.weight": torch.zeros(8, 3) for i in range(2)}
    for name, tensor in changes.items():
        if tensor is None:
            del found[name.replace("__", ".")]
        else:
            found[name.replace("__", ".")] = tensor
    return found


def ranks(mesh: Any, config: Any = None) -> dict[Any, Tensors]:
    """A source of ranks that fits."""
    m = module()
    config = config or settings()
    return {
        rank: dict(m.to_mcore(source(), config, mesh, rank)) for rank in mesh.ranks()
    }


def refused(tensors: Any, to: str = "mcore", config: Any = None, **mesh: int) -> str:
    """What the converter says of a source."""
    m = module()
    given = config or settings()
    with pytest.raises(m.ConversionError) as error:
        if to == "mcore":
            m.to_mcore(tensors, given, m.Mesh(**mesh), m.Rank())
        else:
            m.to_hf(tensors, given, m.Mesh(**mesh))
    return str(error.value)


def test_a_source_that_fits() -> None:
    m = module()
    mesh = m.Mesh(tp=2, pp=2)
    back = dict(m.to_hf(ranks(mesh), settings(), mesh))
    assert sorted(back) == sorted(source())


def test_missing() -> None:
    assert refused(source(layers__1__gate_up__weight=None)) == (
        "layers.1.gate_up.weight: missing; m.map:23 reads it as [(f + f) e], expected [8, 3] (f=4 e=3); "
        "the nearest name is layers.0.gate_up.weight"
    )


def test_missing_with_a_near_name() -> None:
    tensors = source(
        layers__1__gate_up__weight=None, layers__1__gate_upp__weight=torch.zeros(8, 3)
    )
    assert refused(tensors).endswith("the nearest name is layers.1.gate_upp.weight")


def test_missing_among_very_many() -> None:
    """Only those are looked at that would stand next to it in a list of all names."""
    many = (f"{prefix}.{number}" for prefix in "az" for number in range(15_000))
    tensors = dict.fromkeys(many, torch.zeros(1))
    tensors |= source(layers__1__gate_up__weight=None)
    assert refused(tensors).endswith("the nearest name is layers.0.gate_up.weight")


def test_missing_on_one_rank() -> None:
    m = module()
    tensors = ranks(m.Mesh(tp=2))
    del tensors[m.Rank(tp=1)]["decoder.0.fc1.weight"]
    assert refused(tensors, "hf", tp=2) == (
        "decoder.0.fc1.weight (rank tp=1 pp=0): missing; m.map:23 reads it as [(f@tp + f@tp) e], "
        "expected [4, 3] (f=4 e=3); the nearest name is decoder.1.fc1.weight"
    )


def test_missing_copy() -> None:
    """A tensor that is not split is on all ranks or on none."""
    m = module()
    tensors = ranks(m.Mesh(tp=2))
    del tensors[m.Rank(tp=1)]["embedding.weight"]
    assert refused(tensors, "hf", tp=2) == (
        "embedding.weight (rank tp=1 pp=0): missing; m.map:20 reads it as [e^vp], expected [4] (e=3 vp=4)"
    )


def test_extra() -> None:
    assert refused(
        source(layers__2__gate_up__weight=torch.zeros(1), z=torch.zeros(1))
    ) == (
        "layers.2.gate_up.weight: no statement of m reads it (and 1 more tensors); "
        "the nearest name is layers.1.gate_up.weight (m.map:23); a `drop` in the map leaves a tensor behind"
    )


def test_extra_on_a_rank() -> None:
    m = module()
    tensors = ranks(m.Mesh(tp=2))
    tensors[m.Rank(tp=1)]["decoder.1.fc1._extra_state"] = torch.zeros(1)
    assert list(m.to_hf(tensors, settings(), m.Mesh(tp=2)))
    tensors[m.Rank(tp=1)]["decoder.9.fc1._extra_state"] = torch.zeros(1)
    assert refused(tensors, "hf", tp=2).startswith(
        "decoder.9.fc1._extra_state (rank tp=1 pp=0): no statement of m reads it"
    )


@pytest.mark.parametrize("shape", [(8,), (8, 2), (4, 3), (8, 3, 1), (3, 8)])
def test_wrong_shape(shape: tuple[int, ...]) -> None:
    assert refused(source(layers__0__gate_up__weight=torch.zeros(shape))) == (
        f"layers.0.gate_up.weight [(f + f) e]: expected [8, 3] (f=4 e=3), found {list(shape)} (m.map:23)"
    )


def test_wrong_shape_on_a_rank() -> None:
    m = module()
    tensors = ranks(m.Mesh(tp=2))
    tensors[m.Rank(tp=1)]["decoder.0.fc1.weight"] = torch.zeros(8, 3)
    assert refused(tensors, "hf", tp=2) == (
        "decoder.0.fc1.weight (rank tp=1 pp=0) [(f@tp + f@tp) e]: "
        "expected [4, 3] (f=4 e=3), found [8, 3] (m.map:23)"
    )


def test_mixed_dtypes() -> None:
    tensors = source(layers__0__gate_up__weight=None, layers__1__gate_up__weight=None)
    for i in (0, 1):
        tensors[f"layers.{i}.gate.weight"] = torch.zeros(4, 3)
        tensors[f"layers.{i}.up.weight"] = torch.zeros(4, 3, dtype=torch.bfloat16)
    assert refused(tensors) == (
        "decoder.0.fc1.weight: its parts differ in dtype, layers.0.gate.weight is torch.float32 and "
        "layers.0.up.weight is torch.bfloat16 (m.map:25); cast one of them first"
    )


def test_indivisible() -> None:
    assert refused(source(), tp=3) == (
        "m.map:23: f = 4 (f=4 e=3) is not a multiple of tp=3; choose a tp that divides it"
    )


def test_experts_that_the_ranks_do_not_divide() -> None:
    m = of_text(EXPERTS)
    tensors = {f"experts.{x}": torch.zeros(3) for x in range(6)}
    with pytest.raises(m.ConversionError) as error:
        list(m.to_mcore(tensors, m.Config(X=6, e=3), m.Mesh(ep=4), m.Rank()))
    assert str(error.value) == (
        "X = 6 is not a multiple of ep=4; choose a size of ep that divides it"
    )


def test_missing_rank() -> None:
    m = module()
    tensors = ranks(m.Mesh(tp=2))
    del tensors[m.Rank(tp=1)]
    assert refused(tensors, "hf", tp=2) == (
        "expected the tensors of 2 ranks, found 1; first missing: Rank(tp=1, pp=0); first unexpected: none"
    )


def test_unexpected_rank() -> None:
    m = module()
    tensors = ranks(m.Mesh(tp=2))
    assert refused(tensors, "hf", tp=1) == (
        "expected the tensors of 1 ranks, found 2; first missing: none; first unexpected: Rank(tp=1, pp=0)"
    )


def test_names_where_ranks_are_expected() -> None:
    m = module()
    tensors = ranks(m.Mesh(tp=2))
    assert refused(tensors[m.Rank()], "hf", tp=2) == (
        "expected {rank: {name: tensor}} for a source of 2 ranks, found the name embedding.weight"
    )


def test_ties_that_differ() -> None:
    config = settings(tied=True)
    tensors = source(head__weight=torch.tensor([0.0, 1.0, 0.0]))
    assert refused(tensors, config=config) == (
        "embed.weight and head.weight are one tensor in this map, but their values differ"
    )
    tensors["head.weight"] = torch.zeros(3, dtype=torch.bfloat16)
    assert refused(tensors, config=config) == (
        "head.weight: expected torch.float32 as embed.weight has, found torch.bfloat16 (m.map:20)"
    )
    tensors["head.weight"] = torch.tensor(
        [0.0, -0.0, 0.0]
    )  # equal numbers, other bytes
    assert refused(tensors, config=config).startswith(
        "embed.weight and head.weight are one tensor"
    )


def test_ties_of_which_one_is_there() -> None:
    m = module()
    config = settings(tied=True)
    for names in (["embed.weight"], ["head.weight"], ["embed.weight", "head.weight"]):
        tensors = source(embed__weight=None) | {name: torch.ones(3) for name in names}
        found = dict(m.to_mcore(tensors, config))
        assert found["embedding.weight"].tolist() == [1, 1, 1, 0]
    assert refused(source(embed__weight=None), config=config).startswith(
        "embed.weight: missing; "
    )


def test_a_tie_whose_condition_fails() -> None:
    assert refused(source(head__weight=torch.zeros(3))).startswith(
        "head.weight: no statement of m reads it"
    )


def test_ties_on_two_ranks_that_differ() -> None:
    m = module()
    config = settings(tied=True)
    tensors = ranks(m.Mesh(pp=2), config)
    tensors[m.Rank(pp=1)]["output.weight"] = torch.tensor([0.0, 0.0, 5.0, 0.0])
    assert refused(tensors, "hf", config, pp=2) == (
        "embedding.weight (rank tp=0 pp=0) and output.weight (rank tp=0 pp=1) are one tensor in this map, "
        "but their values differ"
    )


def test_both_variants_present() -> None:
    tensors = source(layers__1__up__weight=torch.zeros(4, 3))
    assert refused(tensors) == (
        "layers.0.gate_up.weight belongs to packing=fused and layers.1.up.weight to packing=apart; "
        "expected the names of one of fused, apart"
    )


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([1, 2], "pp=2: the stages hold [1, 2] layers, expected 2 in all"),
        ([3, -1], "pp=2: the stages hold [3, -1] layers, expected 2 in all"),
        ([2], "pp=2: expected 2 stages, found 1 in [2]"),
    ],
)
def test_stages_that_do_not_partition(layers: list[int], message: str) -> None:
    config = settings(layers=layers)
    assert refused(source(), config=config, pp=2) == message


def test_stages_that_do_not_divide() -> None:
    m = of_text(LISTED)
    with pytest.raises(m.ConversionError) as error:
        m.to_mcore(source(), m.Config(**CONFIG, tied=False), m.Mesh(pp=3), m.Rank())
    assert str(error.value) == (
        "pp=3: 2 layers do not divide over 3 stages; "
        "choose another pp or uneven stages"
    )


def test_read_twice() -> None:
    m = of_text(
        "language 1\nmap m: a <-> b\nconfig {\n    e: e <-> e\n}\ntensors {\n"
        "    for i in e {\n        x.{i}[e] <-> y.{i}[e]\n    }\n"
        "    for j in e {\n        x.{j}[e] <-> z.{j}[e]\n    }\n}\n"
    )
    with pytest.raises(m.ConversionError) as error:
        m.to_b({"x.0": torch.zeros(1)}, m.Config(e=1))
    assert str(error.value) == "x.0: read by two statements, the second is m.map:11"
    with pytest.raises(m.ConversionError) as error:
        m.to_a({"y.0": torch.zeros(1), "z.0": torch.zeros(1)}, m.Config(e=1))
    assert str(error.value) == "x.0: written twice, by m.map:8 and by m.map:11"


def test_padding_shorter_than_its_data() -> None:
    m = of_text(
        "language 1\nmap m: a <-> b\nconfig {\n    e: e <-> e\n    p: p <-> p\n}\n"
        "tensors {\n    x[e] <-> y[e^p]\n}\n"
    )
    with pytest.raises(m.ConversionError) as error:
        m.to_b({"x": torch.zeros(4)}, m.Config(e=4, p=3))
    assert str(error.value) == (
        "m.map:8: a padded axis is shorter than its data, expected [4], found [3] (e=4 p=3)"
    )


def test_nothing_to_read() -> None:
    """An axis of no experts has no tensor that says its dtype."""
    m = of_text(
        "language 1\nmap m: a <-> b\nconfig {\n    X: X <-> X\n    e: e <-> e\n}\n"
        "tensors {\n    for x in X {\n        x.{x}[e] <-> y[x e]\n    }\n}\n"
    )
    with pytest.raises(m.ConversionError) as error:
        m.to_b({}, m.Config(X=0, e=4))
    assert str(error.value) == (
        "y: no tensor of the source goes into it, so nothing says its dtype (m.map:9)"
    )
    assert dict(m.to_a({"y": torch.zeros(0, 4)}, m.Config(X=0, e=4))) == {}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"f": 4, "e": 3}, "hf config: expected L (L), found none"),
        ({**CONFIG, "f": "4"}, "hf config: f: expected int, found '4'"),
        ({**CONFIG, "f": 4.0}, "hf config: f: expected int, found 4.0"),
        ({**CONFIG, "f": True}, "hf config: f: expected int, found True"),
        ({**CONFIG, "f": -1}, "hf config: f: expected a size, 0 or more, found -1"),
        ({**CONFIG, "tied": 1}, "hf config: tied: expected bool, found 1"),
        ({**CONFIG, "e": 100}, "e=100 is too many"),
    ],
)
def test_configs(config: dict[str, Any], message: str) -> None:
    m = module()
    with pytest.raises(m.ConversionError) as error:
        m.Config.from_hf(config)
    assert message in str(error.value)


def test_misuse_is_no_conversion_error() -> None:
    """What a caller gets wrong, whatever the checkpoint."""
    m = module()
    config = settings()
    with pytest.raises(ValueError, match="the mesh has 2 ranks: say which one"):
        m.to_mcore(source(), config, m.Mesh(tp=2))
    with pytest.raises(ValueError, match="is not a rank of"):
        m.to_mcore(source(), config, m.Mesh(tp=2), m.Rank(tp=2))
    with pytest.raises(ValueError, match="tp: expected 1 or more, not 0"):
        m.Mesh(tp=0)
    with pytest.raises(TypeError, match="no option is called 'layer'"):
        m.Config.from_hf(CONFIG, layer=[1])
    with pytest.raises(
        ValueError, match="packing: expected one of fused, apart, not 'split'"
    ):
        m.Config.from_hf(CONFIG, packing="split")
