"""The layers of every stage, asked of Megatron-Core 0.16.1 itself: where they partition the layers they are ours."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from ..runtime.test_stages import LAYOUTS, Setting, accepted, settings

pytest.importorskip(
    "megatron.core", reason="Megatron-Core is installed by make test-peers"
)


def theirs(one: Setting) -> dict[tuple[int, int], range] | None:
    """The layers of each chunk, by stage and chunk there; None where it refuses the setting."""
    from megatron.core.transformer.transformer_block import get_num_layers_to_build
    from megatron.core.transformer.transformer_layer import get_transformer_layer_offset

    config = SimpleNamespace(
        num_layers=one.layers,
        pipeline_model_parallel_size=one.pieces,
        virtual_pipeline_model_parallel_size=one.rounds if one.rounds > 1 else None,
        pipeline_model_parallel_layout=None,
        num_layers_in_first_pipeline_stage=one.first,
        num_layers_in_last_pipeline_stage=one.last,
        account_for_embedding_in_pipeline_split=one.embedding,
        account_for_loss_in_pipeline_split=one.loss,
    )
    found = {}
    try:
        for chunk in range(one.rounds):
            for stage in range(one.pieces):
                at = chunk if one.rounds > 1 else None
                count = get_num_layers_to_build(config, at, stage)
                start = get_transformer_layer_offset(config, at, stage)
                found[stage, chunk] = range(start, start + count)
    except AssertionError:
        return None
    return found


def test_every_small_configuration() -> None:
    kinds: Counter[str] = Counter()
    for one in settings():
        if one.pieces == 1:  # of which it ignores what is said
            continue
        ends = one.first is not None and one.last is not None
        if one.pieces == 2 and ends and one.rounds > 1:
            kinds["it divides by zero"] += 1
            continue
        ours, asked = accepted(one), theirs(one)
        if asked is None:
            kinds["both refuse"] += 1
            assert ours is None
            continue
        held = [i for own in asked.values() for i in own]
        if held != list(range(one.layers)):
            kinds["no partition"] += 1
            assert ours is None
            continue
        kinds["the same"] += 1
        assert ours is not None
        assert {at: [*own] for at, own in ours.items()} == {
            at: [*own] for at, own in asked.items()
        }
    assert kinds == {
        "the same": 845,
        "both refuse": 11889,
        "no partition": 418,
        "it divides by zero": 2400,
    }


@pytest.mark.parametrize(("layout", "layers", "pieces", "counts"), LAYOUTS)
def test_layouts(layout: object, layers: int, pieces: int, counts: list[int]) -> None:
    from megatron.core import parallel_state
    from megatron.core.transformer.pipeline_parallel_layer_layout import (
        PipelineParallelLayerLayout,
    )

    made = PipelineParallelLayerLayout(layout, pieces)
    flat = [part.name for part in made.flatten_layout]
    made.validate_layer_layout(layers, flat.count("mtp"))
    parallel_state.set_virtual_pipeline_model_parallel_world_size(len(counts) // pieces)
    found = [
        len(made.get_layer_id_list(vp_stage=chunk // pieces, pp_rank=chunk % pieces))
        for chunk in range(len(counts))
    ]
    parallel_state.set_virtual_pipeline_model_parallel_world_size(None)
    assert found == counts
