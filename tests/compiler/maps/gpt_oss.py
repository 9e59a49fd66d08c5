"""gpt-oss: gate and up interleaved, transposed and stacked; the other side has one tensor an expert."""

import torch

CASES = [{"config": {"x": 3, "f": 5, "e": 7}}, {"config": {"x": 1, "f": 2, "e": 3}}]


def whole(c):
    return {"gate_up_proj": (c.x, c.e, 2 * c.f)}


def parts(t, c, mesh, rank):
    experts = enumerate(t["gate_up_proj"])
    return {
        f"linear_fc1.weight{x}": torch.cat([w[:, ::2], w[:, 1::2]], dim=1).T
        for x, w in experts
    }
