"""Names alone; a gated feed-forward has two inputs."""

import torch

CASES = [{"E": 2, "D": 3, "kind": "gated-gelu"}, {"E": 2, "D": 2, "kind": "relu"}]
SHARED = ("shared", "encoder.embed_tokens", "decoder.embed_tokens")
TABLE = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"


def configs(c):
    left = {"num_layers": c.E, "num_decoder_layers": c.D, "feed_forward_proj": c.kind}
    right = {"encoder_num_hidden_layers": c.E, "decoder_num_hidden_layers": c.D}
    spelled = {"gated-gelu": "geglu", "relu": "relu"}[c.kind]
    return left, right | {"encoder_nonlinearity": spelled}


def wide(c):
    return ["wi_0", "wi_1"] if c.kind == "gated-gelu" else ["wi"]


def left(c):
    embedding = torch.arange(55.0).reshape(11, 5)
    shapes = {f"{name}.weight": embedding for name in SHARED}
    shapes["lm_head.weight"] = (11, 5)
    for part, depth in (("encoder", c.E), ("decoder", c.D)):
        shapes |= {f"{part}.final_layer_norm.weight": (5,), f"{part}.{TABLE}": (8, 2)}
        last = 1 if part == "encoder" else 2
        for i in range(depth):
            layer = f"{part}.block.{i}.layer."
            names = [f"0.SelfAttention.{x}" for x in "qkvo"]
            if part == "decoder":
                names += [f"1.EncDecAttention.{x}" for x in "qkvo"]
            shapes |= {f"{layer}{name}.weight": (5, 6) for name in names}
            shapes |= {f"{layer}{x}.layer_norm.weight": (5,) for x in range(last + 1)}
            for name in [*wide(c), "wo"]:
                shapes[f"{layer}{last}.DenseReluDense.{name}.weight"] = (7, 5)
    return shapes


def right(t, c, mesh, rank):
    found = {"lm_head.weight": t["lm_head.weight"]}
    for part, depth in (("encoder", c.E), ("decoder", c.D)):
        helper = f"{part}_embeddings."
        found[helper + "word_embeddings.weight"] = t["shared.weight"]
        name = "position_embed_helper.relative_attention_bias.weight"
        found[helper + name] = t[f"{part}.{TABLE}"]
        found[f"{part}.norm.weight"] = t[f"{part}.final_layer_norm.weight"]
        last = 1 if part == "encoder" else 2
        for i in range(depth):
            source, target = f"{part}.block.{i}.layer.", f"{part}.layers.{i}."
            names = {"self_attn": "0.SelfAttention"}
            if part == "decoder":
                names["multihead_attn"] = "1.EncDecAttention"
            for new, old in names.items():
                for x in "qkvo":
                    dense = "output" if x == "o" else x
                    name = f"{target}{new}.proj_{dense}_dense_layer.weight"
                    found[name] = t[f"{source}{old}.{x}.weight"]
            for x in range(last + 1):
                norm = t[f"{source}{x}.layer_norm.weight"]
                found[f"{target}norm{x + 1}.weight"] = norm
            ffn, dense = f"{target}ffn.ffn.", f"{source}{last}.DenseReluDense."
            linear = ["linear_layer_for_glu", "linear_layer"][-len(wide(c)) :]
            for new, old in zip(linear, wide(c), strict=True):
                found[f"{ffn}0.{new}.weight"] = t[f"{dense}{old}.weight"]
            found[f"{ffn}1.linear_layer.weight"] = t[dense + "wo.weight"]
    return found


def left_too(t, c):
    yield {name: x for name, x in t.items() if name != "encoder.embed_tokens.weight"}


def right_too(ranks, c):
    left_out = "encoder_embeddings.word_embeddings.weight"
    yield {None: {name: x for name, x in ranks[None].items() if name != left_out}}
