"""A letter a layer: Mamba, attention, a plain feed-forward, experts. A rank holds its share of every part of a fused one."""

import torch

SIZES = {"L": 4, "P": "M*-E", "e": 6, "n": 8, "g": 4, "d": 3, "f": 8, "nh": 4, "hd": 3}
SIZES |= {"s": 5, "N": 4, "k": 2, "X": 4, "fm": 4, "fs": 8, "v": 11, "cb": True}
CASES = [
    SIZES | {"mesh": {}},
    SIZES | {"mesh": {"tp": 2, "ep": 2}, "cb": False},
    SIZES | {"mesh": {"pp": 2, "tp": 4, "etp": 2, "ep": 2}},
]
KEYS = {
    "L": ("num_hidden_layers", "num_layers"),
    "P": ("hybrid_override_pattern",) * 2,
    "e": ("hidden_size",) * 2,
    "n": ("num_attention_heads",) * 2,
    "g": ("num_key_value_heads", "num_query_groups"),
    "d": ("head_dim", "kv_channels"),
    "f": ("intermediate_size", "ffn_hidden_size"),
    "nh": ("mamba_num_heads",) * 2,
    "hd": ("mamba_head_dim",) * 2,
    "s": ("ssm_state_size", "mamba_state_dim"),
    "N": ("n_groups", "mamba_num_groups"),
    "k": ("conv_kernel",) * 2,
    "X": ("n_routed_experts", "num_moe_experts"),
    "fm": ("moe_intermediate_size", "moe_ffn_hidden_size"),
    "fs": ("moe_shared_expert_intermediate_size",) * 2,
    "v": ("vocab_size",) * 2,
    "cb": ("use_conv_bias",) * 2,
}


def configs(c):
    left, right = ({KEYS[k][side]: getattr(c, k) for k in KEYS} for side in (0, 1))
    return left, right | {"make_vocab_size_divisible_by": 128}


def left(c):
    e, inner, conv = c.e, c.nh * c.hd, c.nh * c.hd + 2 * c.N * c.s
    shapes = {f"{x}.weight": (c.v, e) for x in ("backbone.embeddings", "lm_head")}
    shapes["backbone.norm_f.weight"] = (e,)
    for i, letter in enumerate(c.P):
        layer = {"norm.weight": (e,)}
        if letter == "M":
            layer |= {
                "mixer.in_proj.weight": (inner + conv + c.nh, e),
                "mixer.conv1d.weight": (conv, 1, c.k),
                "mixer.norm.weight": (inner,),
                "mixer.out_proj.weight": (e, inner),
            }
            layer |= {f"mixer.{x}": (c.nh,) for x in ("A_log", "D", "dt_bias")}
            layer |= {"mixer.conv1d.bias": (conv,)} if c.cb else {}
        elif letter == "*":
            for x, heads in (("q", c.n), ("k", c.g), ("v", c.g)):
                layer[f"mixer.{x}_proj.weight"] = (heads * c.d, e)
            layer["mixer.o_proj.weight"] = (e, c.n * c.d)
        elif letter == "-":
            layer |= {"mixer.up_proj.weight": (c.f, e)}
            layer |= {"mixer.down_proj.weight": (e, c.f)}
        else:
            layer["mixer.gate.weight"] = (c.X, e)
            layer["mixer.gate.e_score_correction_bias"] = (c.X,)
            layer["mixer.shared_experts.up_proj.weight"] = (c.fs, e)
            layer["mixer.shared_experts.down_proj.weight"] = (e, c.fs)
            for x in range(c.X):
                layer[f"mixer.experts.{x}.up_proj.weight"] = (c.fm, e)
                layer[f"mixer.experts.{x}.down_proj.weight"] = (e, c.fm)
        shapes |= {f"backbone.layers.{i}.{n}": shape for n, shape in layer.items()}
    return shapes


def padded(rows, c, mesh, rank):
    whole = 128 * mesh.tp
    zeros = torch.zeros(-(-c.v // whole) * whole - c.v, c.e)
    return torch.cat([rows, zeros]).chunk(mesh.tp)[rank.tp]


def right(t, c, mesh, rank):
    found, each = {}, c.L // mesh.pp
    if rank.pp == 0:
        rows = padded(t["backbone.embeddings.weight"], c, mesh, rank)
        found["embedding.word_embeddings.weight"] = rows
    if rank.pp == mesh.pp - 1:
        found["decoder.final_norm.weight"] = t["backbone.norm_f.weight"]
        found["output_layer.weight"] = padded(t["lm_head.weight"], c, mesh, rank)
    for number in range(each):
        i = rank.pp * each + number
        source = f"backbone.layers.{i}."
        own = {n[len(source) :]: x for n, x in t.items() if n.startswith(source)}
        own["first.weight"] = own.pop("norm.weight")
        own = {name.removeprefix("mixer."): x for name, x in own.items()}
        kind = {"M": mamba, "*": attention, "-": plain, "E": moe}[c.P[i]]
        layer = kind(own, c, mesh, rank)
        found |= {f"decoder.layers.{number}.{name}": x for name, x in layer.items()}
    return found


def mamba(t, c, mesh, rank):
    def shares(name, *sizes):
        parts = [x.chunk(mesh.tp)[rank.tp] for x in t[name].split(sizes)]
        return torch.cat(parts)

    inner, group = c.nh * c.hd, c.N * c.s
    found = {
        "mixer.in_proj.layer_norm_weight": t["first.weight"],
        "mixer.in_proj.weight": shares(
            "in_proj.weight", inner, inner, group, group, c.nh
        ),
        "mixer.conv1d.weight": shares("conv1d.weight", inner, group, group),
        "mixer.out_proj.weight": t["out_proj.weight"].chunk(mesh.tp, 1)[rank.tp],
    }
    found["mixer.norm.weight"] = t["norm.weight"].chunk(mesh.tp)[rank.tp]
    if c.cb:
        found["mixer.conv1d.bias"] = shares("conv1d.bias", inner, group, group)
    for name in ("A_log", "D", "dt_bias"):
        found[f"mixer.{name}"] = t[name].chunk(mesh.tp)[rank.tp]
    return found


def attention(t, c, mesh, rank):
    q, k, v = (t[f"{x}_proj.weight"].reshape(c.g, -1, c.e) for x in "qkv")
    fused = torch.cat([q, k, v], 1).flatten(0, 1)
    return {
        "self_attention.linear_qkv.layer_norm_weight": t["first.weight"],
        "self_attention.linear_qkv.weight": fused.chunk(mesh.tp)[rank.tp],
        "self_attention.linear_proj.weight": t["o_proj.weight"].chunk(mesh.tp, 1)[
            rank.tp
        ],
    }


def plain(t, c, mesh, rank):
    return {
        "mlp.linear_fc1.layer_norm_weight": t["first.weight"],
        "mlp.linear_fc1.weight": t["up_proj.weight"].chunk(mesh.tp)[rank.tp],
        "mlp.linear_fc2.weight": t["down_proj.weight"].chunk(mesh.tp, 1)[rank.tp],
    }


def moe(t, c, mesh, rank):
    up, down = (t[f"shared_experts.{x}_proj.weight"] for x in ("up", "down"))
    found = {
        "pre_mlp_layernorm.weight": t["first.weight"],
        "mlp.router.weight": t["gate.weight"],
        "mlp.router.expert_bias": t["gate.e_score_correction_bias"],
        "mlp.shared_experts.linear_fc1.weight": up.chunk(mesh.tp)[rank.tp],
        "mlp.shared_experts.linear_fc2.weight": down.chunk(mesh.tp, 1)[rank.tp],
    }
    each = c.X // mesh.ep
    for number in range(each):
        expert = f"experts.{rank.ep * each + number}."
        up, down = (t[f"{expert}{x}_proj.weight"] for x in ("up", "down"))
        own = up.chunk(mesh.etp)[rank.etp]
        found[f"mlp.experts.linear_fc1.weight{number}"] = own
        own = down.chunk(mesh.etp, 1)[rank.etp]
        found[f"mlp.experts.linear_fc2.weight{number}"] = own
    return found
