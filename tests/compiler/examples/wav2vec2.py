"""Two names have two spellings on the left, of which the first is written; everything else keeps its name."""

import torch

CASES = [{}]
CONV = "encoder.pos_conv_embed.conv."
NOW = {
    CONV + "weight_g": CONV + "parametrizations.weight.original0",
    CONV + "weight_v": CONV + "parametrizations.weight.original1",
}


def configs(c):
    return {}, {}


def left(c):
    return {
        "masked_spec_embed": (7,),
        "encoder.layers.0.attention.k_proj.weight": (3, 5),
        "encoder.steps": torch.tensor([1, 2**40]),
        CONV + "weight_g": (1, 1, 4),
        CONV + "weight_v": (6, 2, 4),
        CONV + "bias": (6,),
    }


def right(t, c, mesh, rank):
    return {NOW.get(name, name): tensor for name, tensor in t.items()}


def left_too(t, c):
    yield right(t, c, None, None)
