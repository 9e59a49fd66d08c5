"""The rows of a head's query and key are interleaved pairs on the left, two halves on the right."""

import torch

CASES = [{"B": 2, "n": 3, "e": 12}]
TOWER = "vision_tower.encoder."
RENAMED = {
    "mm_projector.proj.0.": "model.mm_projector.in_proj.",
    "mm_projector.proj.2.": "model.mm_projector.out_proj.",
    TOWER + "patch_embed.": "model.vision_tower.patch_embed.",
    "vision_tower.patch_embed.pos_emb.weight": "model.vision_tower.patch_embed.pos_emb.position_embeddings",
    TOWER + "final_layernorm.": "model.vision_tower.final_layernorm.",
}
INSIDE = {
    "wo.": "attn.proj.",
    "norm0.": "norm1.",
    "norm1.": "norm2.",
    "mlp.fc0.": "mlp.fc1.",
    "mlp.fc1.": "mlp.fc2.",
}


def configs(c):
    both = {"num_attention_heads": c.n, "num_hidden_layers": c.B, "hidden_size": c.e}
    return {"vision_config": both}, {"vision_config": both}


def left(c):
    shapes = {
        "mm_projector.proj.0.weight": (5, 4),
        "mm_projector.proj.2.bias": (5,),
        "model.mm_projector.pre_norm.weight": (4,),
        TOWER + "patch_embed.proj.weight": (12, 7),
        "vision_tower.patch_embed.pos_emb.weight": (3, 3, 12),
        TOWER + "final_layernorm.weight": (12,),
    }
    for j in range(c.B):
        block = f"{TOWER}blocks.{j}."
        shapes |= {
            block + "wqkv.weight": (3 * c.e, c.e),
            block + "wqkv.bias": (3 * c.e,),
            block + "wo.weight": (c.e, c.e),
            block + "norm0.weight": (c.e,),
            block + "norm1.weight": (c.e,),
            block + "mlp.fc0.weight": (9, c.e),
            block + "mlp.fc1.weight": (c.e, 9),
        }
    return shapes


def halves(rows, n):
    """The rows of each head: those at even places, then those at odd ones."""
    heads = rows.reshape(n, -1, *rows.shape[1:])
    return torch.cat([heads[:, ::2], heads[:, 1::2]], 1).reshape(rows.shape)


def right(t, c, mesh, rank):
    found = {}
    for name, tensor in t.items():
        new = name
        for old, other in RENAMED.items():
            if name.startswith(old):
                new = other + name[len(old) :]
        if name.startswith(TOWER + "blocks."):
            number, _, inner = name[len(TOWER + "blocks.") :].partition(".")
            layer = f"model.vision_tower.layers.{number}."
            if inner.startswith("wqkv."):
                q, k, v = tensor.chunk(3)
                parts = {"q": halves(q, c.n), "k": halves(k, c.n), "v": v}
                kind = inner.partition(".")[2]
                found |= {f"{layer}attn.{n}_proj.{kind}": x for n, x in parts.items()}
                continue
            old = next(one for one in INSIDE if inner.startswith(one))
            new = layer + INSIDE[old] + inner[len(old) :]
        found[new] = tensor
    return found
