"""The left side has a head's rotary rows as two halves, the right one as pairs; muP factors on the right."""

import math

import torch

SIZES = {"L": 2, "e": 12, "n": 2, "g": 2, "d": 6, "v": 11}
CASES = [
    SIZES | {"tied": False, "bias": False},
    SIZES | {"tied": True, "bias": True, "g": 1},
    SIZES | {"tied": False, "bias": False, "options": {"aa": 4.0}},
    SIZES
    | {"tied": False, "bias": False}
    | {"options": {"base": 3, "ea": 2.0, "oa": 0.5, "byd": False, "qbyd": False}},
]
CHANGED = {
    "input_layernorm": "norm1",
    "post_attention_layernorm": "norm3",
    "mlp.gate_proj": "ffn.ffn.0.linear_layer_for_glu",
    "mlp.up_proj": "ffn.ffn.0.linear_layer",
    "mlp.down_proj": "ffn.ffn.1.linear_layer",
    "self_attn.q_proj": "self_attn.proj_q_dense_layer",
    "self_attn.k_proj": "self_attn.proj_k_dense_layer",
    "self_attn.v_proj": "self_attn.proj_v_dense_layer",
    "self_attn.o_proj": "self_attn.proj_output_dense_layer",
}
KEYS = {
    "base": "mup_base_hidden_size",
    "ea": "embeddings_scale",
    "oa": "output_logits_alpha",
    "aa": "attention_logits_alpha",
    "byd": "scale_output_logits_by_d",
    "qbyd": "scale_qk_dot_by_d",
}
PLAIN = {"ea": 1.0, "oa": 1.0, "aa": 1.0, "byd": True}


def configs(c):
    both = {"num_hidden_layers": c.L, "hidden_size": c.e, "vocab_size": c.v}
    left = both | {
        "num_attention_heads": c.n,
        "num_key_value_heads": c.g,
        "head_dim": c.d,
        "tie_word_embeddings": c.tied,
        "attention_bias": c.bias,
    }
    right = both | {
        "num_heads": c.n,
        "extra_attention_params": {"num_kv_groups": c.g},
        "attention_inner_dim": c.n * c.d,
        "rotary_dim": c.d,
        "share_embedding_weights": c.tied,
        "use_projection_bias_in_attention": c.bias,
    }
    given = PLAIN | {key: value for key, value in vars(c).items() if key in KEYS}
    return left, right | {KEYS[key]: value for key, value in given.items()}


def left(c):
    embedding = torch.arange(1.0, c.v * c.e + 1).reshape(c.v, c.e)
    found = {
        "model.embed_tokens.weight": embedding,
        "lm_head.weight": embedding if c.tied else embedding * -3,
        "model.norm.weight": (c.e,),
    }
    q, k = c.n * c.d, c.g * c.d
    attention = {"q": (q, c.e), "k": (k, c.e), "v": (k, c.e), "o": (c.e, q)}
    for i in range(c.L):
        layer = f"model.layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            found[f"{layer}{name}.weight"] = (c.e,)
        for name, shape in (("gate", (7, c.e)), ("up", (7, c.e)), ("down", (c.e, 7))):
            found[f"{layer}mlp.{name}_proj.weight"] = shape
        for name, shape in attention.items():
            found[f"{layer}self_attn.{name}_proj.weight"] = shape
            if c.bias:
                found[f"{layer}self_attn.{name}_proj.bias"] = shape[:1]
    return found


def pairs(rows, heads):
    """Each head's rows, first half and second half, one of each in turn."""
    halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)


def right(t, c, mesh, rank):
    base, ea, oa = getattr(c, "base", None), getattr(c, "ea", 1.0), getattr(c, "oa", 1)
    logits = math.sqrt(c.e / base) / oa if base else 1.0
    found = {
        "embedding_layer.word_embeddings.weight": t["model.embed_tokens.weight"] / ea,
        "lm_head.weight": t["lm_head.weight"] * logits,
        "transformer_decoder.norm.weight": t["model.norm.weight"],
        "ln_f.weight": t["model.norm.weight"],
    }
    for i in range(c.L):
        for old, new in CHANGED.items():
            for kind in ("weight", "bias"):
                tensor = t.get(f"model.layers.{i}.{old}.{kind}")
                if tensor is None:
                    continue
                if "q_proj" in old:
                    tensor = pairs(tensor, c.n)
                if "k_proj" in old:
                    tensor = pairs(tensor, c.g) / getattr(c, "aa", 1.0)
                found[f"transformer_decoder.layers.{i}.{new}.{kind}"] = tensor
    return found


def left_too(t, c):
    yield t | {"model.layers.1.self_attn.rotary_emb.inv_freq": torch.zeros(3)}
    if c.tied:
        yield {name: tensor for name, tensor in t.items() if name != "lm_head.weight"}


def right_too(ranks, c):
    yield {None: {f"model.{name}": tensor for name, tensor in ranks[None].items()}}
