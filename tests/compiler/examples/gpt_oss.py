"""Gate and up rows of an expert are interleaved on the left, and its input axis comes first; each rank holds a share of
the experts, and of each expert's gate and up."""

import torch

SIZES = {"L": 2, "e": 6, "f": 8, "n": 8, "g": 4, "d": 3, "X": 4, "v": 11}
CASES = [
    SIZES | {"mesh": {}},
    SIZES | {"mesh": {"tp": 2, "ep": 2}},
    SIZES | {"mesh": {"tp": 4, "etp": 2, "ep": 2}, "options": {"pad": 8}},
    SIZES | {"mesh": {"pp": 2, "tp": 2, "ep": 4}},
]


def configs(c):
    left = {
        "num_hidden_layers": c.L,
        "hidden_size": c.e,
        "intermediate_size": c.f,
        "num_attention_heads": c.n,
        "num_key_value_heads": c.g,
        "head_dim": c.d,
        "num_local_experts": c.X,
        "vocab_size": c.v,
    }
    names = ("num_layers", "hidden_size", "moe_ffn_hidden_size", "num_attention_heads")
    names += ("num_query_groups", "kv_channels", "num_moe_experts", "vocab_size")
    right = dict(zip(names, left.values(), strict=True))
    pad = getattr(c, "pad", 128)
    return left, right | {"make_vocab_size_divisible_by": pad}


def left(c):
    shapes = {
        f"{name}.weight": (c.v, c.e) for name in ("model.embed_tokens", "lm_head")
    }
    shapes["model.norm.weight"] = (c.e,)
    q, k = c.n * c.d, c.g * c.d
    for i in range(c.L):
        layer = f"model.layers.{i}."
        shapes |= {
            layer + "input_layernorm.weight": (c.e,),
            layer + "post_attention_layernorm.weight": (c.e,),
            layer + "self_attn.sinks": (c.n,),
            layer + "mlp.experts.gate_up_proj": (c.X, c.e, 2 * c.f),
            layer + "mlp.experts.gate_up_proj_bias": (c.X, 2 * c.f),
            layer + "mlp.experts.down_proj": (c.X, c.f, c.e),
            layer + "mlp.experts.down_proj_bias": (c.X, c.e),
        }
        for name, shape in {
            "self_attn.q_proj": (q, c.e),
            "self_attn.k_proj": (k, c.e),
            "self_attn.v_proj": (k, c.e),
            "self_attn.o_proj": (c.e, q),
            "mlp.router": (c.X, c.e),
        }.items():
            shapes |= {f"{layer}{name}.weight": shape, f"{layer}{name}.bias": shape[:1]}
    return shapes


def padded(rows, c, mesh, rank):
    whole = getattr(c, "pad", 128) * mesh.tp
    size = -(-c.v // whole) * whole
    zeros = torch.zeros(size - c.v, c.e)
    return torch.cat([rows, zeros]).chunk(mesh.tp)[rank.tp]


def right(t, c, mesh, rank):
    found, each = {}, c.L // mesh.pp
    if rank.pp == 0:
        rows = padded(t["model.embed_tokens.weight"], c, mesh, rank)
        found["embedding.word_embeddings.weight"] = rows
    if rank.pp == mesh.pp - 1:
        found["decoder.final_layernorm.weight"] = t["model.norm.weight"]
        found["output_layer.weight"] = padded(t["lm_head.weight"], c, mesh, rank)
    for number in range(each):
        source = f"model.layers.{rank.pp * each + number}."
        own = {n[len(source) :]: x for n, x in t.items() if n.startswith(source)}
        layer = attention(own, c, mesh, rank) | experts(own, c, mesh, rank)
        found |= {f"decoder.layers.{number}.{name}": x for name, x in layer.items()}
    return found


def attention(t, c, mesh, rank):
    tp, r = mesh.tp, rank.tp
    found = {
        "self_attention.linear_qkv.layer_norm_weight": t["input_layernorm.weight"],
        "pre_mlp_layernorm.weight": t["post_attention_layernorm.weight"],
        "self_attention.core_attention.softmax_offset": t["self_attn.sinks"].chunk(tp)[
            r
        ],
        "self_attention.linear_proj.weight": t["self_attn.o_proj.weight"].chunk(tp, 1)[
            r
        ],
        "self_attention.linear_proj.bias": t["self_attn.o_proj.bias"],
        "mlp.router.weight": t["mlp.router.weight"],
        "mlp.router.bias": t["mlp.router.bias"],
    }
    for kind in ("weight", "bias"):
        q, k, v = (t[f"self_attn.{x}_proj.{kind}"] for x in "qkv")
        q, k, v = (x.reshape(c.g, -1, *x.shape[1:]) for x in (q, k, v))
        fused = torch.cat([q, k, v], 1).flatten(0, 1)
        found[f"self_attention.linear_qkv.{kind}"] = fused.chunk(tp)[r]
    return found


def experts(t, c, mesh, rank):
    found, each = {}, c.X // mesh.ep
    etp, r = mesh.etp, rank.etp
    for number in range(each):
        x = rank.ep * each + number
        up = t["mlp.experts.gate_up_proj"][x].T
        halves = [up[first::2].chunk(etp)[r] for first in (0, 1)]
        found[f"mlp.experts.linear_fc1.weight{number}"] = torch.cat(halves)
        bias = t["mlp.experts.gate_up_proj_bias"][x]
        halves = [bias[first::2].chunk(etp)[r] for first in (0, 1)]
        found[f"mlp.experts.linear_fc1.bias{number}"] = torch.cat(halves)
        down = t["mlp.experts.down_proj"][x].T
        found[f"mlp.experts.linear_fc2.weight{number}"] = down.chunk(etp, 1)[r]
        found[f"mlp.experts.linear_fc2.bias{number}"] = t["mlp.experts.down_proj_bias"][
            x
        ]
    return found
