"""Two vocabularies stand behind each other, fused projections are cut, up stands before gate."""

import torch

CASES = [{"L": 2, "n": 4, "g": 2, "d": 3, "v": 11, "a": 4, "J": 2}]
VIT = "model.vision_backbone.image_vit."
ATTENTION = dict(zip(("wq", "wk", "wv", "wo"), ("q", "k", "v", "o"), strict=True))
NAMES = {
    "model.transformer.ln_f.": "model.language_model.norm.",
    "self_attn.attn_out.": "self_attn.o_proj.",
    "mlp.ff_out.": "mlp.down_proj.",
    "attn_norm.": "input_layernorm.",
    "ff_norm.": "post_attention_layernorm.",
    "model.transformer.blocks.": "model.language_model.layers.",
    VIT + "transformer.resblocks.": "model.vision_tower.layers.",
    VIT: "model.vision_tower.",
    "model.vision_backbone.": "model.multi_modal_projector.",
    "feed_forward.w": "mlp.fc",
    "attention_norm.": "layer_norm1.",
    "ffn_norm.": "layer_norm2.",
    "image_projector.w1.": "image_projector.gate_proj.",
    "image_projector.w2.": "image_projector.down_proj.",
    "image_projector.w3.": "image_projector.up_proj.",
}


def configs(c):
    text = {
        "num_hidden_layers": c.L,
        "num_attention_heads": c.n,
        "num_key_value_heads": c.g,
        "head_dim": c.d,
        "vocab_size": c.v,
        "additional_vocab_size": c.a,
    }
    depth = {"num_hidden_layers": c.J}
    left = {"text_config": text, "vit_config": depth}
    return left, {"text_config": text, "vision_config": depth}


def left(c):
    wte = "model.transformer.wte."
    shapes = {wte + "embedding": (c.v, 5), wte + "new_embedding": (c.a, 5)}
    shapes |= {"model.transformer.ln_f.weight": (5,), "lm_head.weight": (c.v, 5)}
    for i in range(c.L):
        block = f"model.transformer.blocks.{i}."
        shapes |= {
            block + "self_attn.att_proj.weight": ((c.n + 2 * c.g) * c.d, 5),
            block + "self_attn.attn_out.weight": (5, c.n * c.d),
            block + "self_attn.q_norm.weight": (c.d,),
            block + "mlp.ff_proj.weight": (14, 5),
            block + "mlp.ff_out.weight": (5, 7),
            block + "attn_norm.weight": (5,),
            block + "ff_norm.weight": (5,),
        }
    for j in range(c.J):
        block = f"{VIT}transformer.resblocks.{j}."
        shapes |= {f"{block}attention.{x}.weight": (6, 6) for x in ATTENTION}
        shapes |= {block + "attention.wq.bias": (6,)}
        shapes |= {f"{block}feed_forward.w{x}.bias": (6,) for x in (1, 2)}
        shapes |= {f"{block}{x}_norm.weight": (6,) for x in ("attention", "ffn")}
    shapes[VIT + "patch_embedding.weight"] = (6, 12)
    backbone = "model.vision_backbone."
    shapes |= {f"{backbone}image_pooling_2d.{x}.weight": (6, 6) for x in ATTENTION}
    shapes |= {f"{backbone}image_projector.w{x}.weight": (5, 6) for x in (1, 2, 3)}
    return shapes


def right(t, c, mesh, rank):
    found, t = {}, dict(t)
    wte = [t.pop(f"model.transformer.wte.{x}embedding") for x in ("", "new_")]
    found["model.language_model.embed_tokens.weight"] = torch.cat(wte)
    for name, tensor in t.items():
        new = name
        for old, other in NAMES.items():
            new = new.replace(old, other)
        for old, letter in ATTENTION.items():
            new = new.replace(f"attention.{old}.", f"self_attn.{letter}_proj.")
            new = new.replace(f"_2d.{old}.", f"_2d.{letter}_proj.")
        if "att_proj" in new:
            sizes = [c.n * c.d, c.g * c.d, c.g * c.d]
            for letter, x in zip("qkv", tensor.split(sizes), strict=True):
                found[new.replace("att_proj", f"{letter}_proj")] = x
        elif "ff_proj" in new:
            for word, x in zip(("up", "gate"), tensor.chunk(2), strict=True):
                found[new.replace("ff_proj", f"{word}_proj")] = x
        else:
            found[new] = tensor
    return found
