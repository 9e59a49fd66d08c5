"""Queries and keys through narrow layers, a few dense layers before those with experts, and layers behind the last one
that predict further tokens; these share the embedding and the head, of which the left side keeps a copy each.
"""

import torch

SIZES = {"L": 4, "M": 1, "K": 1, "e": 6, "n": 4, "rq": 5, "rkv": 4, "dn": 3, "dr": 2}
SIZES |= {"dv": 3, "f": 12, "fm": 4, "ns": 2, "X": 4, "v": 11, "tied": False}
BF16 = torch.bfloat16
CASES = [
    SIZES | {"mesh": {}},
    SIZES | {"mesh": {"tp": 2, "ep": 2}, "K": 2},
    SIZES | {"mesh": {"pp": 2, "tp": 2, "etp": 2, "ep": 2}, "rq": None, "M": 0},
    SIZES
    | {"mesh": {"tp": 2, "ep": 4}}
    | {"options": {"spec": "local", "experts": "sequential"}},
]
KEYS = {
    "L": ("num_hidden_layers", "num_layers"),
    "M": ("num_nextn_predict_layers", "mtp_num_layers"),
    "e": ("hidden_size",) * 2,
    "n": ("num_attention_heads",) * 2,
    "rq": ("q_lora_rank",) * 2,
    "rkv": ("kv_lora_rank",) * 2,
    "dn": ("qk_nope_head_dim", "qk_head_dim"),
    "dr": ("qk_rope_head_dim", "qk_pos_emb_head_dim"),
    "dv": ("v_head_dim",) * 2,
    "f": ("intermediate_size", "ffn_hidden_size"),
    "fm": ("moe_intermediate_size", "moe_ffn_hidden_size"),
    "X": ("n_routed_experts", "num_moe_experts"),
    "v": ("vocab_size",) * 2,
    "tied": ("tie_word_embeddings", "share_embeddings_and_output_weights"),
}


def configs(c):
    left, right = ({KEYS[k][side]: getattr(c, k) for k in KEYS} for side in (0, 1))
    if c.rq is None:
        del left["q_lora_rank"], right["q_lora_rank"]
    left |= {"first_k_dense_replace": c.K, "n_shared_experts": c.ns}
    right["moe_layer_freq"] = [0] * c.K + [1] * (c.L - c.K)
    right["moe_shared_expert_intermediate_size"] = c.fm * c.ns
    return left, right | {"make_vocab_size_divisible_by": 128}


def attention_shapes(c):
    e, fused = c.e, {"kv_a_proj_with_mqa": (c.rkv + c.dr, c.e), "kv_a_layernorm": None}
    fused["kv_a_layernorm"] = (c.rkv,)
    fused["kv_b_proj"] = (c.n * (c.dn + c.dv), c.rkv)
    fused["o_proj"] = (e, c.n * c.dv)
    rows = c.n * (c.dn + c.dr)
    if c.rq is None:
        return fused | {"q_proj": (rows, e)}
    narrow = {"q_a_proj": (c.rq, e), "q_a_layernorm": (c.rq,)}
    return fused | narrow | {"q_b_proj": (rows, c.rq)}


def linear(f, e):
    return {"gate_proj": (f, e), "up_proj": (f, e), "down_proj": (e, f)}


def left(c):
    found = {}
    for number, name in enumerate(("embed_tokens", "shared_head.head")):
        table = torch.arange(1.0, c.v * c.e + 1).reshape(c.v, c.e) * (-1) ** number
        first = "model.embed_tokens.weight" if number == 0 else "lm_head.weight"
        found[first] = table
        for k in range(c.M):
            found[f"model.layers.{c.L + k}.{name}.weight"] = table
    found["model.norm.weight"] = (c.e,)
    for i in range(c.L + c.M):
        layer = {f"self_attn.{n}": s for n, s in attention_shapes(c).items()}
        layer |= {"input_layernorm": (c.e,), "post_attention_layernorm": (c.e,)}
        if i < c.K:
            layer |= {f"mlp.{n}": s for n, s in linear(c.f, c.e).items()}
        else:
            layer["mlp.gate"] = (c.X, c.e)
            shared = linear(c.fm * c.ns, c.e)
            layer |= {f"mlp.shared_experts.{n}": s for n, s in shared.items()}
            for x in range(c.X):
                expert = linear(c.fm, c.e)
                layer |= {f"mlp.experts.{x}.{n}": s for n, s in expert.items()}
        if i >= c.L:
            layer |= {"enorm": (c.e,), "hnorm": (c.e,), "shared_head.norm": (c.e,)}
            layer["eh_proj"] = (c.e, 2 * c.e)
        found |= {f"model.layers.{i}.{n}.weight": s for n, s in layer.items()}
        if i >= c.K:
            found[f"model.layers.{i}.mlp.gate.e_score_correction_bias"] = (c.X,)
    return found


def padded(rows, c, mesh, rank):
    whole = 128 * mesh.tp
    zeros = torch.zeros(-(-c.v // whole) * whole - c.v, c.e)
    return torch.cat([rows, zeros]).chunk(mesh.tp)[rank.tp]


def right(t, c, mesh, rank):
    found, each, last = {}, c.L // mesh.pp, rank.pp == mesh.pp - 1
    if rank.pp == 0 or (last and c.M):
        rows = padded(t["model.embed_tokens.weight"], c, mesh, rank)
        found["embedding.word_embeddings.weight"] = rows
    if last:
        found["decoder.final_layernorm.weight"] = t["model.norm.weight"]
        found["output_layer.weight"] = padded(t["lm_head.weight"], c, mesh, rank)
    places = {f"decoder.layers.{k}.": rank.pp * each + k for k in range(each)}
    if last:
        inner = {f"mtp.layers.{k}.mtp_model_layer.": c.L + k for k in range(c.M)}
        places |= inner
    for target, i in places.items():
        own = layer_of(t, i)
        layer = attention(own, c, mesh, rank)
        layer |= (dense if i < c.K else moe)(own, c, mesh, rank)
        found |= {target + name: x for name, x in layer.items()}
    for k in range(c.M if last else 0):
        own, target = layer_of(t, c.L + k), f"mtp.layers.{k}."
        for name in ("enorm", "hnorm"):
            found[f"{target}{name}.weight"] = own[name + ".weight"]
        found[target + "final_layernorm.weight"] = own["shared_head.norm.weight"]
        projection = own["eh_proj.weight"].chunk(mesh.tp)[rank.tp]
        found[target + "eh_proj.weight"] = projection
    return found


def layer_of(t, i):
    source = f"model.layers.{i}."
    return {n[len(source) :]: x for n, x in t.items() if n.startswith(source)}


def local(c):
    return getattr(c, "spec", None) == "local"


def attention(t, c, mesh, rank):
    tp, r, own = mesh.tp, rank.tp, "self_attention."
    found = {
        "input_layernorm.weight": t["input_layernorm.weight"],
        own + "linear_kv_down_proj.weight": t["self_attn.kv_a_proj_with_mqa.weight"],
        own + "linear_kv_up_proj.weight": t["self_attn.kv_b_proj.weight"].chunk(tp)[r],
        own + "linear_proj.weight": t["self_attn.o_proj.weight"].chunk(tp, 1)[r],
    }
    norms = {"kv": "kv_a_layernorm"}
    if c.rq is None:
        rows = t["self_attn.q_proj.weight"].chunk(tp)[r]
        found[own + "linear_q_proj.weight"] = rows
    else:
        norms["q"] = "q_a_layernorm"
        found[own + "linear_q_down_proj.weight"] = t["self_attn.q_a_proj.weight"]
        rows = t["self_attn.q_b_proj.weight"].chunk(tp)[r]
        found[own + "linear_q_up_proj.weight"] = rows
    for short, name in norms.items():
        fused = f"{own}linear_{short}_up_proj.layer_norm_weight"
        new = f"{own}{short}_layernorm.weight" if local(c) else fused
        found[new] = t[f"self_attn.{name}.weight"]
    return found


def pair(t, name, n, r):
    return torch.cat([t[f"{name}{x}_proj.weight"].chunk(n)[r] for x in ("gate", "up")])


def dense(t, c, mesh, rank):
    norm = (
        "pre_mlp_layernorm.weight" if local(c) else "mlp.linear_fc1.layer_norm_weight"
    )
    return {
        norm: t["post_attention_layernorm.weight"],
        "mlp.linear_fc1.weight": pair(t, "mlp.", mesh.tp, rank.tp),
        "mlp.linear_fc2.weight": t["mlp.down_proj.weight"].chunk(mesh.tp, 1)[rank.tp],
    }


def moe(t, c, mesh, rank):
    shared = "mlp.shared_experts."
    down = t[shared + "down_proj.weight"]
    found = {
        "pre_mlp_layernorm.weight": t["post_attention_layernorm.weight"],
        "mlp.router.weight": t["mlp.gate.weight"],
        "mlp.router.expert_bias": t["mlp.gate.e_score_correction_bias"],
        shared + "linear_fc1.weight": pair(t, shared, mesh.tp, rank.tp),
        shared + "linear_fc2.weight": down.chunk(mesh.tp, 1)[rank.tp],
    }
    each, grouped = c.X // mesh.ep, getattr(c, "experts", None) != "sequential"
    for number in range(each):
        expert = f"mlp.experts.{rank.ep * each + number}."
        down = t[expert + "down_proj.weight"].chunk(mesh.etp, 1)[rank.etp]
        for fc, tensor in (
            ("linear_fc1", pair(t, expert, mesh.etp, rank.etp)),
            ("linear_fc2", down),
        ):
            name = f"{fc}.weight{number}"
            if not grouped:
                name = f"local_experts.{number}.{fc}.weight"
            found[f"mlp.experts.{name}"] = tensor
    return found


def right_too(ranks, c):
    """Megatron called the layer inside otherwise once; the names decide."""
    if c.M:
        old = (".mtp_model_layer.", ".transformer_layer.")
        yield {
            rank: {name.replace(*old): x for name, x in own.items()}
            for rank, own in ranks.items()
        }
