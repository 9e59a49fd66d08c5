"""Dense layers, dense layers inside the shared expert, and layers with experts; single tensors may be absent."""

import torch

SIZES = {"L": 3, "X": 3, "e": 5, "dense": [0, 2]}
CASES = [SIZES | {"sff": False, "latent": None}, SIZES | {"sff": True, "latent": 4}]


def configs(c):
    both = {"num_experts": c.X, "dense_layers_indices": c.dense}
    both |= {"dense_in_shared": c.sff}
    if c.latent:
        both["moe_latent_size"] = c.latent
    left = both | {"num_hidden_layers": c.L, "hidden_size": c.e}
    return left, both | {"n_layers": c.L, "d_model": c.e}


def left(c):
    e, f, s, l = c.e, 7, 6, c.latent or c.e
    shapes = {"model.embed_tokens.weight": (11, e), "model.norm.weight": (e,)}
    shapes["lm_head.weight"] = (11, e)
    if c.sff:
        shapes["model.embed_norm.weight"] = (e,)
    for i in range(c.L):
        layer = {f"{x}_layernorm": (e,) for x in ("post_attention", "post_feedforward")}
        layer |= {f"self_attn.{x}_proj": (e, e) for x in "qkvo"}
        layer |= {f"self_attn.{x}_norm": (e,) for x in "qk"}
        if i == 1:
            layer |= {"self_attn.g_proj": (2, e), "pre_attention_layernorm": (e,)}
        shared = {"up_proj": (s, e), "gate_proj": (s, e), "down_proj": (e, s)}
        if i in c.dense:
            layer |= {f"mlp.{name}": shape for name, shape in shared.items()}
        else:
            layer |= {f"mlp.shared_expert.{n}": shape for n, shape in shared.items()}
            layer["mlp.router.gate"] = (c.X, e)
            for x in range(c.X):
                layer[f"mlp.experts.{x}.up_proj"] = (f, l)
                layer[f"mlp.experts.{x}.gate_proj"] = (f, l)
                layer[f"mlp.experts.{x}.down_proj"] = (l, f)
            if c.latent:
                layer |= {"mlp.latent_down_proj": (l, e), "mlp.latent_up_proj": (e, l)}
                layer["mlp.latent_up_proj_input_norm"] = (l,)
        shapes |= {f"model.layers.{i}.{n}.weight": shape for n, shape in layer.items()}
        if i == 1 and c.latent:
            shapes["model.layers.1.mlp.latent_up_proj.bias"] = (e,)
        if i == 2:
            shapes["model.layers.2.self_attn.ssmax_scale"] = (3,)
    return shapes


PLAIN = {
    "post_attention_layernorm": "attention_norm",
    "post_feedforward_layernorm": "feed_forward_norm",
    "pre_attention_layernorm": "attention_input_norm",
    "self_attn.q_proj": "attention.w_q",
    "self_attn.k_proj": "attention.w_k",
    "self_attn.v_proj": "attention.w_v",
    "self_attn.o_proj": "attention.w_out",
    "self_attn.g_proj": "attention.w_g",
    "self_attn.q_norm": "attention.q_norm",
    "self_attn.k_norm": "attention.k_norm",
    "self_attn.ssmax_scale": "attention.ssmax_scale",
    "mlp.latent_down_proj": "latent_down_proj",
    "mlp.latent_up_proj": "latent_up_proj",
    "mlp.latent_up_proj_input_norm": "latent_up_proj_input_norm",
}


def right(t, c, mesh, rank):
    found = {
        "embeddings.weight": t["model.embed_tokens.weight"],
        "lm_head.norm.weight": t["model.norm.weight"],
        "lm_head.w_out.weight": t["lm_head.weight"],
    }
    if "model.embed_norm.weight" in t:
        found["embedding_norm.weight"] = t["model.embed_norm.weight"]
    for i in range(c.L):
        source, block = f"model.layers.{i}.", f"blocks.{i}."
        own = {n[len(source) :]: x for n, x in t.items() if n.startswith(source)}
        for old, new in PLAIN.items():
            for ending in ("", ".weight", ".bias"):
                if old + ending in own:
                    found[block + new + ending] = own[old + ending]
        if i in c.dense and not c.sff:
            for old, new in (("gate", "w1"), ("down", "w2"), ("up", "w3")):
                name = f"{block}feed_forward.{new}.weight"
                found[name] = own[f"mlp.{old}_proj.weight"]
            continue
        mlp = "mlp." if i in c.dense else "mlp.shared_expert."
        pair = [own[f"{mlp}{x}_proj.weight"] for x in ("up", "gate")]
        found[block + "shared_experts.w_up_gate"] = torch.cat(pair).T
        found[block + "shared_experts.w_down"] = own[mlp + "down_proj.weight"].T[None]
        if i not in c.dense:
            up, gate, down = (
                torch.stack(
                    [own[f"mlp.experts.{x}.{n}_proj.weight"] for x in range(c.X)]
                )
                for n in ("up", "gate", "down")
            )
            found[block + "routed_experts.w_up_gate"] = torch.cat([up, gate], 1)
            found[block + "routed_experts.w_down"] = down.transpose(1, 2)
            router = own["mlp.router.gate.weight"].flatten()
            found[block + "routed_experts_router.weight"] = router
    return found
