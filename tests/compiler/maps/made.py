"""Tensors that one side does not have: masks, counts, tables and numbers; split, padded, in loops and under conditions."""

import math

import torch

CONFIG = {"L": 4, "e": 3, "n": 6, "p": 8, "dim": 10, "base": 500.0, "scale": 0.3}
CASES = [
    {"config": CONFIG | {"scale": scale}, "mesh": {"tp": tp, "pp": pp}}
    for tp in (1, 2)
    for pp in (1, 2)
    for scale in (0.3, 2)
]
CASES += [{"config": CONFIG | {"n": 16, "p": 1}}, {"config": CONFIG | {"n": 1}}]

ACROSS = "made: layers.0.slopes is made by made.map:26, and no other layout tells whose it is; convert the checkpoint there and back"


def whole(c):
    return {f"h.{i}.weight": (c.e,) for i in range(c.L)}


def again(t, c):
    made = {"rope.inv_freq": inv_freq(c.dim, c.base)}
    made["position_ids"] = torch.arange(c.p).expand((1, -1))
    for i in range(c.L):
        mask = torch.tril(torch.ones((c.p, c.p), dtype=torch.uint8))
        made[f"h.{i}.attn.bias"] = mask.view(1, 1, c.p, c.p)
        made[f"h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    return {**t, **made}


def inv_freq(dim, base):
    return 1.0 / (base ** (torch.arange(0, dim, 2, dtype=torch.int64).float() / dim))


def slopes(heads):
    """As BLOOM computes them."""
    closest = 2 ** math.floor(math.log2(heads))
    base = torch.tensor(2 ** (-(2 ** -(math.log2(closest) - 3))))
    found = torch.pow(base, torch.arange(1, 1 + closest, dtype=torch.int32))
    if closest != heads:
        base = torch.tensor(2 ** (-(2 ** -(math.log2(2 * closest) - 3))))
        rest = min(closest, heads - closest)
        powers = torch.arange(1, 1 + 2 * rest, 2, dtype=torch.int32)
        found = torch.cat([found, torch.pow(base, powers)])
    return found


def parts(t, c, mesh, rank):
    found, each = {}, c.L // mesh.pp
    for number in range(each):
        i = rank.pp * each + number
        found[f"layers.{number}.weight"] = t[f"h.{i}.weight"]
        own = slopes(c.n).chunk(mesh.tp)[rank.tp]
        found[f"layers.{number}.slopes"] = own.view(-1, 1, 1).bfloat16()
        found[f"layers.{number}.layer"] = torch.tensor(i + 1)
    if rank.pp == 0:
        found["ids"] = torch.arange(c.p).float().chunk(mesh.tp)[rank.tp]
    if rank.pp == mesh.pp - 1 and c.scale > 1:
        mask = torch.tril(torch.ones((c.p, c.p), dtype=torch.bool))
        found["mask"] = mask.chunk(mesh.tp, 1)[rank.tp]
    if rank.pp in (0, mesh.pp - 1):
        padded = torch.tensor([c.scale] * c.e + [0] * 3, dtype=torch.float16)
        found["padded"] = padded.chunk(mesh.tp)[rank.tp]
    return found
