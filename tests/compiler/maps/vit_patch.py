"""A patch embedding: a convolution as a matrix, and a class token that moves from the first row to the last."""

import torch

CASES = [{"config": {"o": 7, "c": 3, "p": 2, "s": 5}}]


def whole(c):
    return {
        "conv.weight": (c.o, c.c, c.p, c.s),
        "conv.bias": (c.o,),
        "pos.weight": (1 + c.p * c.s, c.o),
    }


def parts(t, c, mesh, rank):
    pos = t["pos.weight"]
    return {
        "linear.weight": t["conv.weight"].flatten(1),
        "linear.bias": t["conv.bias"],
        "pos_embed": torch.cat([pos[1:], pos[:1]]),
    }
