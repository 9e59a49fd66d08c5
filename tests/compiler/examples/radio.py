"""A fused attention is cut in three, prefixes change, a tensor of whole numbers stays."""

import torch

CASES = [{"L": 2}]
RENAMED = {
    "radio_model.model.patch_generator.embedder.": "embeddings.patch_projection.",
    "radio_model.model.patch_generator.pos_embed": "embeddings.position_embedding",
    "radio_model.model.patch_generator.cls_token.token": "embeddings.cls_register_token",
    "radio_model.input_conditioner.": "input_conditioner.",
    "radio_model.summary_idxs": "summary_idxs",
}


def configs(c):
    return {"num_hidden_layers": c.L}, {"num_hidden_layers": c.L}


def left(c):
    shapes = {
        "radio_model.summary_idxs": torch.tensor([0, 2**53 + 1]),
        "radio_model.input_conditioner.norm_mean": (3, 1, 1),
        "radio_model.model.patch_generator.embedder.weight": (5, 12),
        "radio_model.model.patch_generator.pos_embed": (1, 9, 5),
        "radio_model.model.patch_generator.cls_token.token": (2, 5),
    }
    for j in range(c.L):
        block = f"radio_model.model.blocks.{j}."
        shapes |= {
            block + "attn.qkv.weight": (18, 5),
            block + "attn.qkv.bias": (18,),
            block + "attn.proj.weight": (5, 6),
            block + "attn.proj.bias": (5,),
            block + "norm1.weight": (5,),
            block + "mlp.fc1.weight": (7, 5),
        }
    return shapes


def right(t, c, mesh, rank):
    found = {}
    for name, tensor in t.items():
        for old, new in RENAMED.items():
            name = new + name[len(old) :] if name.startswith(old) else name
        name = name.replace("radio_model.model.blocks.", "encoder.layer.")
        if ".attn.qkv." in name:
            for part, x in zip("qkv", tensor.chunk(3), strict=True):
                found[name.replace("attn.qkv", f"attention.{part}_proj")] = x
        else:
            found[name.replace("attn.proj", "attention.o_proj")] = tensor
    return found
