"""Experts are stacked, gate above up; the towers and the text model change their prefixes."""

import torch

CASES = [{"L": 2, "X": 3}]


def configs(c):
    both = {"text_config": {"num_hidden_layers": c.L, "num_experts": c.X}}
    return both, both


def left(c):
    shapes = {
        "model.embed_tokens.weight": (11, 5),
        "audio_tower.conv.weight": (4, 3),
        "visual.blocks.0.norm.bias": (6,),
        "lm_head.weight": (11, 5),
    }
    for i in range(c.L):
        mlp = f"model.layers.{i}.mlp."
        shapes[mlp + "gate.weight"] = (c.X, 5)
        for x in range(c.X):
            for name, shape in (("gate", (7, 5)), ("up", (7, 5)), ("down", (5, 7))):
                shapes[f"{mlp}experts.{x}.{name}_proj.weight"] = shape
    return shapes


def right(t, c, mesh, rank):
    found = {}
    for name, tensor in t.items():
        if name.startswith("model."):
            name = "model.language_model." + name[len("model.") :]
        elif not name.startswith("lm_head"):
            name = "model." + name
        if ".experts." not in name:
            found[name] = tensor
    for i in range(c.L):
        experts = f"layers.{i}.mlp.experts."
        gate, up, down = (
            torch.stack([t[f"model.{experts}{x}.{n}_proj.weight"] for x in range(c.X)])
            for n in ("gate", "up", "down")
        )
        target = "model.language_model." + experts
        found[target + "gate_up_proj"] = torch.cat([gate, up], 1)
        found[target + "down_proj"] = down
    return found
