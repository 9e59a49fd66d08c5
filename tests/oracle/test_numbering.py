"""The numbers of layers and experts on each rank of the records: the formulas of NeMo-RL, written out here.

`names_mcore` is what converters have in place of its `get_global_key_from_local_key`, `stage_layers` in place of its
`get_local_layer_num` and `get_global_layer_num`. What is counted as a layer, of which it knows nothing, is left out here
and stands in tests/runtime/test_stages.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .megatron import configured, converter, every_case, mesh_of, ranks_of, variant
from .records import Case


def global_layer(local: int, stage: int, stages: int, config: Any) -> int:
    """NeMo-RL's offsets: even stages, or ends of their own with even ones between them."""
    layers, first, last = config.L, config.first_stage, config.last_stage
    if config.count_embedding:
        return (
            local + stage * ((layers + 1 + config.count_loss) // stages) - (stage > 0)
        )
    if first is None and last is None:
        first = last = layers // stages
    elif first is None:
        first = (layers - last) // (stages - 1)
    elif last is None:
        last = (layers - first) // (stages - 1)
    if stage == 0:
        return local
    if stage == stages - 1:
        return layers - last + local
    return first + (stage - 1) * ((layers - first - last) // (stages - 2)) + local


def global_name(name: str, rank: Any, mesh: Any, config: Any) -> str:
    """The name that a tensor of a rank has in the whole model, by its numbers alone."""

    def layer(number: int) -> int:
        return global_layer(number, rank.pp, mesh.pp, config)

    def expert(number: int) -> int:
        return number + rank.ep * (config.X // mesh.ep)

    if name == "output_layer.weight" and config.tied:
        return "embedding.word_embeddings.weight"
    name = numbered(r"^decoder\.layers\.(\d+)\.", layer, name)
    if ".experts." in name:
        name = numbered(r"\.linear_fc\d\.(?:weight|bias)(\d+)$", expert, name)
        name = numbered(r"\.local_experts\.(\d+)\.", expert, name)
    return name


def numbered(pattern: str, number: Callable[[int], int], name: str) -> str:
    """The name with another number where the pattern has its group."""
    found = re.search(pattern, name)
    if found is None:
        return name
    return f"{name[:found.start(1)]}{number(int(found[1]))}{name[found.end(1):]}"


@every_case
def test_names_of_the_whole_model(case: Case) -> None:
    module, config = converter(case), configured(case, "from_hf", variant(case))
    mesh = mesh_of(module, case)
    wholes: dict[str, set[str]] = {}
    for rank, recorded in ranks_of(module, case).items():
        names = module.names_mcore(config, mesh, rank)
        assert names.keys() == recorded.keys()
        assert {name: found.whole for name, found in names.items()} == {
            name: global_name(name, rank, mesh, config) for name in recorded
        }
        for found in names.values():
            for other in found.others:
                wholes.setdefault(other, set()).add(found.whole)
    assert wholes.keys() == case.source.keys()
    single = module.names_mcore(config)
    assert {whole for found in wholes.values() for whole in found} == single.keys()
    assert all(name == found.whole for name, found in single.items())


@every_case
def test_layers_of_each_stage(case: Case) -> None:
    module, config = converter(case), configured(case, "from_hf", variant(case))
    mesh = mesh_of(module, case)
    assert module.stage_layers(config, mesh) == {
        (stage, 0): range(
            global_layer(0, stage, mesh.pp, config),
            1 + max(local_layers(module, case, stage, mesh, config)),
        )
        for stage in range(mesh.pp)
    }


def local_layers(
    module: Any, case: Case, stage: int, mesh: Any, config: Any
) -> list[int]:
    """The layers of a stage by the names that are recorded."""
    return [
        global_layer(int(found[1]), stage, mesh.pp, config)
        for rank, tensors in ranks_of(module, case).items()
        for name in tensors
        if rank.pp == stage and (found := re.match(r"decoder\.layers\.(\d+)\.", name))
    ]
