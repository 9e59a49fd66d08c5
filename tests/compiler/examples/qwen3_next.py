"""Linear attention keeps, for each key head, its queries, keys, values and gates together on the left, and each kind by
itself on every rank of the right; a gated attention stores a gate behind each query head.
"""

import torch

SIZES = {"L": 4, "e": 6, "n": 8, "g": 4, "d": 3, "K": 4, "V": 8, "dk": 3, "dv": 5}
SIZES |= {"c": 4, "X": 4, "fm": 4, "fs": 8, "v": 11}
CASES = [
    SIZES | {"mesh": {}},
    SIZES | {"mesh": {"tp": 2, "ep": 2}},
    SIZES | {"mesh": {"pp": 2, "tp": 4, "etp": 2, "ep": 2}},
]
KINDS = ["linear_attention", "full_attention", "linear_attention", "full_attention"]
KEYS = {
    "L": ("num_hidden_layers", "num_layers"),
    "e": ("hidden_size",) * 2,
    "n": ("num_attention_heads",) * 2,
    "g": ("num_key_value_heads", "num_query_groups"),
    "d": ("head_dim", "kv_channels"),
    "K": ("linear_num_key_heads",) * 2,
    "V": ("linear_num_value_heads",) * 2,
    "dk": ("linear_key_head_dim",) * 2,
    "dv": ("linear_value_head_dim",) * 2,
    "c": ("linear_conv_kernel_dim",) * 2,
    "X": ("num_experts", "num_moe_experts"),
    "fm": ("moe_intermediate_size", "moe_ffn_hidden_size"),
    "fs": ("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size"),
    "v": ("vocab_size",) * 2,
}


def configs(c):
    left, right = ({KEYS[k][side]: getattr(c, k) for k in KEYS} for side in (0, 1))
    kinds = {"layer_types": KINDS}
    return left | kinds, right | kinds | {"make_vocab_size_divisible_by": 128}


def left(c):
    e, r = c.e, c.V // c.K
    shapes = {f"{name}.weight": (c.v, e) for name in ("model.embed_tokens", "lm_head")}
    shapes["model.norm.weight"] = (e,)
    for i, kind in enumerate(KINDS):
        layer = {"input_layernorm": (e,), "post_attention_layernorm": (e,)}
        if kind == "linear_attention":
            layer |= {
                "linear_attn.in_proj_qkvz": (c.K * 2 * (c.dk + r * c.dv), e),
                "linear_attn.in_proj_ba": (c.K * 2 * r, e),
                "linear_attn.conv1d": (2 * c.K * c.dk + c.V * c.dv, 1, c.c),
                "linear_attn.norm": (c.dv,),
                "linear_attn.out_proj": (e, c.V * c.dv),
            }
        else:
            layer |= {
                "self_attn.q_proj": (c.n * 2 * c.d, e),
                "self_attn.k_proj": (c.g * c.d, e),
                "self_attn.v_proj": (c.g * c.d, e),
                "self_attn.q_norm": (c.d,),
                "self_attn.k_norm": (c.d,),
                "self_attn.o_proj": (e, c.n * c.d),
            }
        shared = {"gate_proj": (c.fs, e), "up_proj": (c.fs, e), "down_proj": (e, c.fs)}
        expert = {"gate_proj": (c.fm, e), "up_proj": (c.fm, e), "down_proj": (e, c.fm)}
        layer |= {"mlp.gate": (c.X, e), "mlp.shared_expert_gate": (1, e)}
        layer |= {f"mlp.shared_expert.{n}": s for n, s in shared.items()}
        for x in range(c.X):
            layer |= {f"mlp.experts.{x}.{n}": s for n, s in expert.items()}
        shapes |= {f"model.layers.{i}.{n}.weight": s for n, s in layer.items()}
        if kind == "linear_attention":
            for name in ("A_log", "dt_bias"):
                shapes[f"model.layers.{i}.linear_attn.{name}"] = (c.V,)
    return shapes


def padded(rows, c, mesh, rank):
    whole = 128 * mesh.tp
    zeros = torch.zeros(-(-c.v // whole) * whole - c.v, c.e)
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
        i = rank.pp * each + number
        source = f"model.layers.{i}."
        own = {n[len(source) :]: x for n, x in t.items() if n.startswith(source)}
        kind = linear if KINDS[i] == "linear_attention" else full
        layer = kind(own, c, mesh.tp, rank.tp) | moe(own, c, mesh, rank)
        found |= {f"decoder.layers.{number}.{name}": x for name, x in layer.items()}
    return found


def linear(t, c, tp, rank):
    """A rank holds a share of the key heads: of each kind of row its own."""
    r, e = c.V // c.K, c.e
    mine = slice(rank * c.K // tp, (rank + 1) * c.K // tp)
    qkvz = t["linear_attn.in_proj_qkvz.weight"].reshape(c.K, -1, e)[mine]
    ba = t["linear_attn.in_proj_ba.weight"].reshape(c.K, -1, e)[mine]
    parts = [*qkvz.split([c.dk, c.dk, r * c.dv, r * c.dv], 1), *ba.split([r, r], 1)]
    conv = t["linear_attn.conv1d.weight"]
    convs = conv.split([c.K * c.dk, c.K * c.dk, c.V * c.dv])
    convs = [x.chunk(tp)[rank] for x in convs]
    return {
        "self_attention.in_proj.layer_norm_weight": t["input_layernorm.weight"],
        "self_attention.in_proj.weight": torch.cat([x.flatten(0, 1) for x in parts]),
        "self_attention.conv1d.weight": torch.cat(convs),
        "self_attention.A_log": t["linear_attn.A_log"].chunk(tp)[rank],
        "self_attention.dt_bias": t["linear_attn.dt_bias"].chunk(tp)[rank],
        "self_attention.out_norm.weight": t["linear_attn.norm.weight"] - 1,
        "self_attention.out_proj.weight": t["linear_attn.out_proj.weight"].chunk(tp, 1)[
            rank
        ],
    }


def full(t, c, tp, rank):
    q = t["self_attn.q_proj.weight"].reshape(c.g, c.n // c.g, 2, c.d, c.e)
    k, v = (t[f"self_attn.{x}_proj.weight"].reshape(c.g, 1, c.d, c.e) for x in "kv")
    fused = torch.cat([q[:, :, 0], q[:, :, 1], k, v], 1).reshape(-1, c.e)
    return {
        "self_attention.linear_qkv.layer_norm_weight": t["input_layernorm.weight"],
        "self_attention.linear_qkv.weight": fused.chunk(tp)[rank],
        "self_attention.q_layernorm.weight": t["self_attn.q_norm.weight"],
        "self_attention.k_layernorm.weight": t["self_attn.k_norm.weight"],
        "self_attention.linear_proj.weight": t["self_attn.o_proj.weight"].chunk(tp, 1)[
            rank
        ],
    }


def moe(t, c, mesh, rank):
    tp, r, etp, q = mesh.tp, rank.tp, mesh.etp, rank.etp
    shared = [t[f"mlp.shared_expert.{x}_proj.weight"] for x in ("gate", "up")]
    down = t["mlp.shared_expert.down_proj.weight"]
    found = {
        "pre_mlp_layernorm.weight": t["post_attention_layernorm.weight"],
        "mlp.router.weight": t["mlp.gate.weight"],
        "mlp.shared_experts.gate_weight": t["mlp.shared_expert_gate.weight"],
        "mlp.shared_experts.linear_fc1.weight": torch.cat(
            [x.chunk(tp)[r] for x in shared]
        ),
        "mlp.shared_experts.linear_fc2.weight": down.chunk(tp, 1)[r],
    }
    each = c.X // mesh.ep
    for number in range(each):
        expert = f"mlp.experts.{rank.ep * each + number}."
        pair = [t[f"{expert}{x}_proj.weight"].chunk(etp)[q] for x in ("gate", "up")]
        found[f"mlp.experts.linear_fc1.weight{number}"] = torch.cat(pair)
        down = t[expert + "down_proj.weight"].chunk(etp, 1)[q]
        found[f"mlp.experts.linear_fc2.weight{number}"] = down
    return found
