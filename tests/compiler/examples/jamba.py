"""Every third layer from the second on has experts, which are stacked; all else keeps its name."""

import torch

CASES = [{"L": 6, "x": 3, "offset": 1, "period": 3}]


def configs(c):
    both = {
        "num_hidden_layers": c.L,
        "num_experts": c.x,
        "expert_layer_offset": c.offset,
        "expert_layer_period": c.period,
    }
    return both, both


def left(c):
    shapes = {"model.embed_tokens.weight": (11, 5)}
    for i in range(c.L):
        ffn = f"model.layers.{i}.feed_forward."
        if i in (1, 4):
            shapes[ffn + "router.weight"] = (c.x, 5)
            for x in range(c.x):
                for name, shape in (("gate", (7, 5)), ("up", (7, 5)), ("down", (5, 7))):
                    shapes[f"{ffn}experts.{x}.{name}_proj.weight"] = shape
        else:
            shapes[ffn + "gate_proj.weight"] = (7, 5)
    return shapes


def right(t, c, mesh, rank):
    found = {name: tensor for name, tensor in t.items() if ".experts." not in name}
    for i in (1, 4):
        experts = f"model.layers.{i}.feed_forward.experts."
        gate, up, down = (
            torch.stack([t[f"{experts}{x}.{n}_proj.weight"] for x in range(c.x)])
            for n in ("gate", "up", "down")
        )
        found[experts + "gate_up_proj"] = torch.cat([gate, up], 1)
        found[experts + "down_proj"] = down
    return found
