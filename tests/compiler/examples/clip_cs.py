"""The class token is the first position on the left, the last one on the right."""

import torch

CASES = [
    {"L": 2, "image": 6, "patch": 2, "options": {"old_ids": False}},
    {"L": 1, "image": 6, "patch": 3, "options": {"old_ids": True}},
]
for _case in CASES:
    _case["read"] = _case["options"]
EMBEDDINGS = "vision_model.embeddings."
NAMES = {
    EMBEDDINGS + "class_embedding": "embedding_layer.cls_embedding",
    EMBEDDINGS + "patch_embedding.": "embedding_layer.linear_proj.",
    "vision_model.pre_layrnorm.": "embedding_layer.post_embed_ln.",
    "vision_model.post_layernorm.": "encoder.transformer_encoder.norm.",
    "vision_model.encoder.layers.": "encoder.transformer_encoder.layers.",
    "layer_norm": "norm",
    "mlp.fc1.": "ffn.ffn.0.linear_layer.",
    "mlp.fc2.": "ffn.ffn.1.linear_layer.",
    "self_attn.q_proj.": "self_attn.proj_q_dense_layer.",
    "self_attn.k_proj.": "self_attn.proj_k_dense_layer.",
    "self_attn.v_proj.": "self_attn.proj_v_dense_layer.",
    "self_attn.out_proj.": "self_attn.proj_output_dense_layer.",
}


def configs(c):
    both = {
        "num_hidden_layers": c.L,
        "hidden_size": 5,
        "image_size": c.image,
        "patch_size": c.patch,
    }
    return both | {"position_ids_are_saved": c.old_ids}, both


def positions(c):
    return (c.image // c.patch) ** 2 + 1


def left(c):
    shapes = {
        EMBEDDINGS + "class_embedding": (5,),
        EMBEDDINGS + "patch_embedding.weight": (5, 3, c.patch, c.patch),
        EMBEDDINGS + "position_embedding.weight": (positions(c), 5),
    }
    for name in ("pre_layrnorm", "post_layernorm"):
        shapes |= {f"vision_model.{name}.{x}": (5,) for x in ("weight", "bias")}
    for i in range(c.L):
        layer = f"vision_model.encoder.layers.{i}."
        names = ["layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2"]
        names += [f"self_attn.{x}_proj" for x in ("q", "k", "v", "out")]
        for name in names:
            shapes |= {f"{layer}{name}.weight": (5, 5), f"{layer}{name}.bias": (5,)}
    if c.old_ids:
        shapes[EMBEDDINGS + "position_ids"] = torch.arange(positions(c))[None]
    return shapes


def right(t, c, mesh, rank):
    found = {}
    for name, tensor in t.items():
        if name == EMBEDDINGS + "position_embedding.weight":
            turned = torch.cat([tensor[1:], tensor[:1]])
            found["embedding_layer.position_embeddings.weight"] = turned
        elif not name.endswith("position_ids"):
            for old, new in NAMES.items():
                name = name.replace(old, new)
            found[name] = tensor
    return found
