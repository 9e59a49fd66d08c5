"""Expert x of the text is expert x, expert x of the vision is expert x + X; the gates are turned."""

import torch

CASES = [{"L": 2, "X": 3}]
KINDS = ["dense", "sparse"]
SIZES = {"gate": lambda f: (f, 5), "up": lambda f: (f, 5), "down": lambda f: (5, f)}
LINEARS = {"0": "fc1", "2": "fc2", "3": "ln"}


def configs(c):
    names = ("num_hidden_layers", "moe_num_experts", "mlp_layer_types")
    both = {"text_config": dict(zip(names, (c.L, c.X, KINDS), strict=True))}
    return both, both


def left(c):
    shapes = {"model.embed_tokens.weight": (11, 5), "model.norm.weight": (5,)}
    shapes["model.vision_model.blocks.0.norm.weight"] = (6,)
    shapes["model.resampler_model.after_norm.weight"] = (5,)
    for kind in ("spatial", "temporal"):
        for number in LINEARS:
            name = f"model.resampler_model.{kind}_linear.{number}"
            shapes |= {name + ".weight": (4, 6), name + ".bias": (4,)}
    shapes["model.layers.0.mlp.up_proj.weight"] = (13, 5)
    shapes["model.layers.1.input_layernorm.weight"] = (5,)
    mlp = "model.layers.1.mlp."
    for x in range(2 * c.X):
        for name, shape in SIZES.items():
            size = 7 if x < c.X else 9
            shapes[f"{mlp}experts.{x}.{name}_proj.weight"] = shape(size)
    shapes[mlp + "gate.weight"] = shapes[mlp + "gate.weight_1"] = (5, c.X)
    shapes[mlp + "moe_statics.e_score_correction_bias"] = (2, c.X)
    return shapes


def right(t, c, mesh, rank):
    found, mlp = {}, "model.layers.1.mlp."
    for name, tensor in t.items():
        head = name.rpartition(".")[0].rpartition(".")
        if "_linear." in name:
            name = f"{head[0]}.{LINEARS[head[2]]}.{name.rpartition('.')[2]}"
        name = name.replace("model.vision_model", "model.vision_tower")
        if name.startswith(("model.layers", "model.embed", "model.norm")):
            name = name.replace("model.", "model.language_model.", 1)
        if not name.startswith("model.language_model.layers.1.mlp."):
            found[name] = tensor
    both = "model.language_model.layers.1.mlp."
    for first, kind in ((0, "text_moe."), (c.X, "vision_moe.")):
        gate, up, down = (
            torch.stack(
                [
                    t[f"{mlp}experts.{x}.{n}_proj.weight"]
                    for x in range(first, first + c.X)
                ]
            )
            for n in ("gate", "up", "down")
        )
        found[f"{both}{kind}experts.gate_up_proj"] = torch.cat([gate, up], 1)
        found[f"{both}{kind}experts.down_proj"] = down
        gate = t[mlp + ("gate.weight_1" if first else "gate.weight")]
        found[f"{both}{kind}gate.weight"] = gate.T
        bias = t[mlp + "moe_statics.e_score_correction_bias"]
        name = f"{both}{kind}gate.moe_statics.e_score_correction_bias"
        found[name] = bias[1:] if first else bias[:1]
    return found
